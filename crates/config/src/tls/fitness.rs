//! Whether the listeners go together in what they say of `tls`, and what one of them means beside the others.

use std::collections::HashMap;

use super::{Acme, Challenge};
use crate::document::Reader;
use crate::listener::ReadListener;
use crate::model::ListenAddress;
use crate::problem::Problem;

/// Port that an authority looks for the answer to a tls-alpn-01 challenge at (RFC 8737 3).
const HTTPS: u16 = 443;

/// Chooses the challenges where none are written, and reports what cannot work.
pub(crate) fn settle(reader: &Reader, listeners: &mut [ReadListener]) {
    // A Unix socket may be behind a balancer that takes port 80.
    let has_plain = listeners.iter().any(|listener| !listener.is_tls);
    refuse_unanswered(reader, listeners, has_plain);
    let usual = usual_challenges(listeners, has_plain);
    for (listener, challenges) in listeners.iter_mut().zip(usual) {
        let acme = listener.meaning.tls.as_mut().and_then(|tls| tls.acme.as_mut());
        if let (Some(acme), Some(challenges)) = (acme, challenges) {
            acme.challenges = challenges;
        }
    }
    refuse_two_ways(reader, listeners);
}

/// http-01 is asked over plain HTTP (RFC 8555 8.3): where nobody speaks it, nobody answers.
fn refuse_unanswered(reader: &Reader, listeners: &[ReadListener], has_plain: bool) {
    let acmes = listeners.iter().filter_map(|listener| Some(&listener.tls.as_ref()?.acme.as_ref()?.value));
    let written = acmes.filter_map(|acme| acme.challenges.as_ref()).flatten();
    for challenge in written.filter(|challenge| challenge.value == Challenge::Http01 && !has_plain) {
        let problem = Problem::new("nobody would answer this challenge: no [[listen]] is without `tls`");
        let instead = "add a [[listen]] with address = \"0.0.0.0:80\" and redirect = \"https\", or write \"tls-alpn-01\" alone";
        reader.report(challenge.span.clone(), problem.instead(instead));
    }
}

/// The challenges of each listener that has written none: those that can be answered, and before the others the one that
/// comes in at its usual port for sure. Listeners that fetch the same certificate have the same.
fn usual_challenges(listeners: &[ReadListener], has_plain: bool) -> Vec<Option<Vec<Challenge>>> {
    let at_https = |listener: &ReadListener| matches!(&listener.meaning.address, ListenAddress::Tcp(address) if address.port() == HTTPS);
    let preferred: Vec<&Acme> =
        listeners.iter().filter(|listener| at_https(listener)).filter_map(acme).collect();
    let usual = |listener: &ReadListener| {
        let acme = acme(listener)?;
        let written = listener.tls.as_ref()?.acme.as_ref()?.value.challenges.is_some();
        let is_preferred = preferred.iter().any(|other| other.domains == acme.domains);
        match (written, has_plain) {
            (true, _) => None,
            (false, false) => Some(vec![Challenge::TlsAlpn01]),
            (false, true) if is_preferred => Some(vec![Challenge::TlsAlpn01, Challenge::Http01]),
            (false, true) => Some(vec![Challenge::Http01, Challenge::TlsAlpn01]),
        }
    };
    listeners.iter().map(usual).collect()
}

/// One certificate is fetched once, in one way.
fn refuse_two_ways(reader: &Reader, listeners: &[ReadListener]) {
    let mut first: HashMap<&str, &ReadListener> = HashMap::new();
    for listener in listeners {
        let Some(written) = listener.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else { continue };
        let Some(acme) = acme(listener).filter(|_| written.value.is_right) else { continue };
        for (domain, span) in acme.domains.iter().zip(&written.value.domains) {
            let earlier = *first.entry(domain).or_insert(listener);
            if self::acme(earlier) == Some(acme) {
                continue;
            }
            let line = earlier.tls.as_ref().and_then(|tls| tls.acme.as_ref()).map(|acme| acme.span.start);
            let line = reader.source().line(line.unwrap_or_default());
            let problem = Problem::new(format!(
                "a certificate for {domain:?} is fetched already, as line {line} says, which differs"
            ));
            reader.report(
                span.clone(),
                problem.instead("write the same `acme` in both, or leave this name out of one of them"),
            );
            // The other names would say the same.
            break;
        }
    }
}

fn acme(listener: &ReadListener) -> Option<&Acme> {
    listener.meaning.tls.as_ref()?.acme.as_ref()
}
