//! Our account with an authority: made once, kept in the store.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use vestibule_config::{Acme, Eab};

use crate::Error;
use crate::problem;
use crate::record::Record;
use crate::store::Store;
use crate::transport::Transport;

pub(crate) const FILE: &str = "account.json";
const LOCK: &str = "account.lock";
/// Another is just making the account: how often, and how long apart, to look.
const TRIES: u32 = 60;
const APART: Duration = Duration::from_secs(1);

/// The account as it lies in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    credentials: AccountCredentials,
    contact: Vec<String>,
}

/// The account of `settings`: the one that is kept, or a new one.
pub(crate) async fn open(
    settings: &Acme,
    store: &Store,
    record: &Record,
    transport: &Transport,
) -> Result<Account, Error> {
    // Two that need an account at the same time need one.
    let mut tries = 0;
    let _lock = loop {
        match store.run(|store| store.lock(LOCK)).await? {
            Some(lock) => break lock,
            None if tries < TRIES => tokio::time::sleep(APART).await,
            None => {
                let why = std::io::ErrorKind::ResourceBusy.into();
                return Err(Error::Store { path: store.path(LOCK), why });
            }
        }
        tries += 1;
    };
    let kept = store.run(read).await?;
    match kept {
        Some(kept) => restore(kept, settings, store, transport).await,
        None => create(settings, store, record, transport).await,
    }
}

/// Reads what is kept; moves it aside where it is broken.
fn read(store: &Store) -> Result<Option<Kept>, Error> {
    match store.read_json::<Kept>(FILE) {
        Err(Error::Broken { path, why }) => {
            let aside = store.set_aside(FILE)?;
            tracing::error!(
                file = %path.display(), aside = %aside.display(), "the account is broken, a new one is made: {why}"
            );
            Ok(None)
        }
        other => other,
    }
}

/// The account that is kept, if there is one: to ask what needs none to be made.
pub(crate) async fn existing(store: &Store, transport: &Transport) -> Result<Option<Account>, Error> {
    let Some(kept) = store.run(read).await? else { return Ok(None) };
    let account = from_credentials(kept.credentials, transport).await?;
    Ok(Some(account))
}

async fn from_credentials(credentials: AccountCredentials, transport: &Transport) -> Result<Account, Error> {
    let builder = Account::builder_with_http(Box::new(transport.clone()));
    builder.from_credentials(credentials).await.map_err(|why| problem::of("asking for the directory", why))
}

async fn restore(
    kept: Kept,
    settings: &Acme,
    store: &Store,
    transport: &Transport,
) -> Result<Account, Error> {
    let Kept { credentials, contact } = kept;
    // It is written again with the new contact; it cannot be cloned.
    let copy = serde_json::to_value(&credentials).and_then(serde_json::from_value::<AccountCredentials>);
    let account = from_credentials(credentials, transport).await?;
    if contact != settings.contact {
        let addresses = addresses(settings);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        match (account.update_contacts(&addresses).await, copy) {
            (Ok(()), Ok(credentials)) => {
                let kept = Kept { credentials, contact: settings.contact.clone() };
                store.run(move |store| store.write_json(FILE, &kept)).await?;
                tracing::info!(directory = settings.directory, "the account has a new contact");
            }
            // It does not stand in the way of a certificate; the next attempt tries again.
            (Err(why), _) => {
                let error = problem::of("changing the contact", why);
                tracing::warn!(directory = settings.directory, "the account keeps its old contact: {error}");
            }
            (Ok(()), Err(_)) => {}
        }
    }
    Ok(account)
}

async fn create(
    settings: &Acme,
    store: &Store,
    record: &Record,
    transport: &Transport,
) -> Result<Account, Error> {
    let external = settings.eab.as_ref().map(external_key).transpose()?;
    transport.find_directory().await?;
    record.update(|attempts, now| attempts.ask_for_account(now)).await?;
    let addresses = addresses(settings);
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &addresses,
        // Who writes `tls.acme` agrees; README.md says so.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_http(Box::new(transport.clone()));
    let made = builder.create(&wanted, settings.directory.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(|why| problem::of("making an account", why))?;
    let kept = Kept { credentials, contact: settings.contact.clone() };
    store.run(move |store| store.write_json(FILE, &kept)).await?;
    tracing::info!(
        directory = settings.directory,
        account = account.id(),
        "made an account, and agreed to the terms"
    );
    Ok(account)
}

/// Forgets the account, so that the next attempt makes another.
pub(crate) async fn forget(store: &Store) -> Result<(), Error> {
    store.run(|store| store.set_aside(FILE)).await.map(drop)
}

fn addresses(settings: &Acme) -> Vec<String> {
    let with_scheme = |address: &String| {
        if address.starts_with("mailto:") { address.clone() } else { format!("mailto:{address}") }
    };
    settings.contact.iter().map(with_scheme).collect()
}

fn external_key(eab: &Eab) -> Result<ExternalAccountKey, Error> {
    let key = BASE64_URL_SAFE_NO_PAD.decode(&eab.key).or_else(|_| BASE64_URL_SAFE.decode(&eab.key));
    Ok(ExternalAccountKey::new(eab.id.clone(), &key.map_err(|_| Error::ExternalAccount)?))
}
