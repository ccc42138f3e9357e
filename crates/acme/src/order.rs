//! One order, from the first question to the certificate (RFC 8555 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error as Protocol, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, RsaKeySize};
use vestibule_config::{Acme, Challenge, KeyKind};
use vestibule_tls::{Challenges, Standing};

use crate::Error;
use crate::attempts::{Reached, turn};
use crate::error::name_of;
use crate::problem;
use crate::record::Journal;

/// How to ask whether something is done that the authority does: soon, then less often. It says otherwise by Retry-After.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// The longest common name (RFC 5280, ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

/// What is to be ordered, and how.
pub(crate) struct Wanted<'a> {
    pub(crate) settings: &'a Acme,
    pub(crate) challenges: &'a Arc<Challenges>,
    /// How many challenges failed before.
    pub(crate) failed: u32,
    /// The certificate that it takes the place of, if the authority wants to know (RFC 9773 5).
    pub(crate) replaces: Option<CertificateIdentifier<'a>>,
}

/// Orders a certificate. Gives its key and its chain as one PEM text.
pub(crate) async fn fetch(
    account: &Account,
    wanted: Wanted<'_>,
    journal: &Journal<'_>,
) -> Result<String, Error> {
    journal.reach(Reached::Ordered).await?;
    let mut order = place(account, &wanted).await?;
    if order.state().status == OrderStatus::Pending {
        // They stand until the authority has made up its mind.
        let standing = put_up(&mut order, &wanted).await?;
        if !standing.is_empty() {
            journal.reach(Reached::Validating).await?;
        }
        let outcome = validate(&mut order, &standing).await;
        drop(standing);
        if outcome.is_err() {
            // Counted from the end: that is when the authority does.
            journal.reach(journal.reached()).await?;
        }
        outcome?;
    }
    let (key, request) = request(wanted.settings).await?;
    journal.reach(Reached::Finalizing).await?;
    match finish(&mut order, &request).await {
        Ok(chain) => Ok(format!("{}\n{}\n", key.trim_end(), chain.trim_end())),
        Err(error) => {
            if matches!(error, Error::Refused { .. }) {
                // It says that there is none.
                journal.reach(Reached::Ordered).await?;
            }
            Err(error)
        }
    }
}

async fn place(account: &Account, wanted: &Wanted<'_>) -> Result<Order, Error> {
    let names: Vec<Identifier> = wanted.settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let plain = NewOrder::new(&names);
    let step = "ordering a certificate";
    let Some(replaced) = wanted.replaces.clone() else {
        return account.new_order(&plain).await.map_err(|why| problem::of(step, why));
    };
    match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
        Ok(order) => Ok(order),
        Err(Protocol::Api(why)) if problem::is(&why, "rateLimited") => {
            Err(problem::of(step, Protocol::Api(why)))
        }
        // What it takes the place of is only a hint: RFC 9773 5 has several reasons not to know it.
        Err(why @ (Protocol::Api(_) | Protocol::Other(_) | Protocol::Unsupported(_))) => {
            let why = problem::of(step, why);
            tracing::debug!("ordering without saying what it replaces: {why}");
            account.new_order(&plain).await.map_err(|why| problem::of(step, why))
        }
        Err(why) => Err(problem::of(step, why)),
    }
}

/// A challenge that stands, and for which name.
struct Put {
    domain: String,
    challenge: Challenge,
    _standing: Standing,
}

/// Puts up a challenge for each name that is not proven yet.
async fn put_up(order: &mut Order, wanted: &Wanted<'_>) -> Result<Vec<Put>, Error> {
    let step = "asking for the challenges";
    let choice = turn(&wanted.settings.challenges, wanted.failed);
    let mut standing = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(|why| problem::of(step, why))?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => {
                let why = format!("an authorization is {other:?} before it began").to_lowercase();
                return Err(Error::Nonsense { step, why });
            }
        }
        let Identifier::Dns(domain) = authorization.identifier().identifier.clone() else {
            return Err(Error::Nonsense { step, why: "it is for something that is no name".to_owned() });
        };
        // What is put up for a name that we did not ask for would prove something to somebody else.
        if !wanted.settings.domains.contains(&domain) {
            let domain = problem::printable(&domain);
            return Err(Error::Nonsense {
                step,
                why: format!("we did not order a certificate for {domain}"),
            });
        }
        let offered: Vec<ChallengeType> =
            authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
        let Some(challenge) = choice.iter().copied().find(|one| offered.contains(&kind_of(*one))) else {
            return Err(Error::NoChallenge { domain, offered: listed(&offered) });
        };
        let Some(handle) = authorization.challenge(kind_of(challenge)) else { continue };
        let proof = handle.key_authorization();
        let guard = match challenge {
            Challenge::Http01 => wanted.challenges.stand_http(&handle.token, proof.as_str()),
            Challenge::TlsAlpn01 => wanted.challenges.stand_tls(&domain, proof.digest().as_ref())?,
        };
        tracing::info!(domain, challenge = name_of(challenge), "proving that the name is ours");
        standing.push(Put { domain, challenge, _standing: guard });
    }
    Ok(standing)
}

/// Has the authority look at the challenges, and waits for what it finds.
async fn validate(order: &mut Order, standing: &[Put]) -> Result<(), Error> {
    let step = "having the names validated";
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(|why| problem::of(step, why))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(put) = standing.iter().find(|put| put.domain == name) else { continue };
        if let Some(mut handle) = authorization.challenge(kind_of(put.challenge)) {
            handle.set_ready().await.map_err(|why| problem::of(step, why))?;
        }
    }
    let outcome = order.poll_ready(&POLLING).await;
    match outcome {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
        Ok(_) | Err(Protocol::Api(_)) => {
            let found = unproven(order, standing).await;
            match (found, outcome) {
                (Some(error), _) => Err(error),
                (None, Err(why)) => Err(problem::of(step, why)),
                (None, Ok(_)) => Err(Error::Nonsense {
                    step,
                    why: "the order is invalid, and nothing says why".to_owned(),
                }),
            }
        }
        Err(why) => Err(problem::of(step, why)),
    }
}

/// The first name that was not proven, and what the authority found there.
async fn unproven(order: &mut Order, standing: &[Put]) -> Option<Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let Ok(mut authorization) = next else { continue };
        let Ok(state) = authorization.refresh().await else { continue };
        if state.status != AuthorizationStatus::Invalid {
            continue;
        }
        let domain = state.identifier().to_string();
        let challenge = standing.iter().find(|put| put.domain == domain)?.challenge;
        let failed = state.challenges.iter().find_map(|one| one.error.as_ref());
        let why = failed.map_or_else(|| "it does not say why".to_owned(), problem::in_words);
        return Some(Error::Unproven { domain, challenge, why });
    }
    None
}

/// Sends the request, and waits for the chain.
async fn finish(order: &mut Order, request: &[u8]) -> Result<String, Error> {
    let step = "having the certificate issued";
    order.finalize_csr(request).await.map_err(|why| problem::of(step, why))?;
    order.poll_certificate(&POLLING).await.map_err(|why| problem::of(step, why))
}

/// A fresh key, PEM, and the request that it signs (RFC 8555 7.4), DER. Made on another thread: RSA takes a moment.
async fn request(settings: &Acme) -> Result<(String, Vec<u8>), Error> {
    let (domains, kind) = (settings.domains.clone(), settings.key);
    let make = move || -> Result<_, rcgen::Error> {
        let key = match kind {
            KeyKind::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            KeyKind::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        };
        let common = domains.first().filter(|name| name.len() <= LONGEST_COMMON_NAME).cloned();
        let mut params = CertificateParams::new(domains)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let request = params.serialize_request(&key)?;
        Ok((key.serialize_pem(), request.der().to_vec()))
    };
    match tokio::task::spawn_blocking(make).await {
        Ok(made) => made.map_err(|why| Error::Key(why.to_string())),
        Err(why) => Err(Error::Key(why.to_string())),
    }
}

fn kind_of(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn listed(offered: &[ChallengeType]) -> String {
    let name = |kind: &ChallengeType| match kind {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        ChallengeType::Unknown(other) => problem::printable(other),
        _ => "others".to_owned(),
    };
    let names: Vec<String> = offered.iter().take(10).map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
