//! `acme` of `tls`, as it is written.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeValue;

use super::file::WrittenFile;
use super::{Acme, Challenge, KeyKind, contact, directory, domain, eab};
use crate::document::{Found, Section};
use crate::path;
use crate::problem::Problem;
use crate::value::{self, describe};

const KIND: &str = "in `acme` of `tls`";

/// Names in one certificate: what Let's Encrypt takes, and the others hardly more.
const MOST_DOMAINS: usize = 100;

const CHALLENGES: &[(&str, Challenge)] =
    &[("tls-alpn-01", Challenge::TlsAlpn01), ("http-01", Challenge::Http01)];

const KEYS: &[(&str, KeyKind)] = &[("ecdsa", KeyKind::Ecdsa), ("rsa", KeyKind::Rsa)];

/// `acme` of one listener.
pub(super) struct WrittenAcme {
    pub(super) meaning: Acme,
    /// Where each domain is written.
    pub(super) domains: Vec<Range<usize>>,
    /// `None` when they are not written: then all listeners together tell which ones suit.
    pub(super) challenges: Option<Vec<Found<Challenge>>>,
    pub(super) files: Vec<WrittenFile>,
    /// Whether nothing in it is wrong by itself. What differs from another one otherwise is no news.
    pub(super) is_right: bool,
}

/// `None` when it is not written, or is no table, which is reported.
pub(super) fn read(tls: &Section<'_>) -> Option<Found<WrittenAcme>> {
    tls.short_or_table("acme", KIND, |value| Err(no_table(value)), |section| Some(table(section)))
}

fn table(section: Section<'_>) -> WrittenAcme {
    let reader = section.reader();
    let before = reader.found();
    let from = section.directory();
    let domains = domains(&section);
    let contact = contact::read(&section);
    let directory = section.or("directory", Acme::DIRECTORY.to_owned(), directory::read);
    let store = section.read("store", |value| path::directory(value, from, Acme::STORE));
    let challenges = challenges(&section);
    let authorities =
        section.read("authorities", |value| path::file(value, from, "/etc/vestibule/authority.pem"));
    let key = section.or("key", KeyKind::Ecdsa, value::one_of(KEYS));
    let eab = eab::read(&section);
    if directory == Acme::DIRECTORY {
        refuse_private_names(&section, &domains);
    }
    section.finish();
    let meaning = Acme {
        domains: domains.iter().map(|domain| domain.value.clone()).collect(),
        contact,
        directory,
        store: store.as_ref().map_or_else(|| PathBuf::from(Acme::STORE), |found| found.value.clone()),
        challenges: match &challenges {
            Some(written) => written.iter().map(|challenge| challenge.value).collect(),
            None => CHALLENGES.iter().map(|(_, challenge)| *challenge).collect(),
        },
        authorities: authorities.as_ref().map(|found| found.value.clone()),
        key,
        eab,
    };
    WrittenAcme {
        meaning,
        domains: domains.into_iter().map(|domain| domain.span).collect(),
        challenges,
        files: [store, authorities].into_iter().flatten().collect(),
        is_right: reader.found() == before,
    }
}

/// The names that are right, each once.
fn domains(section: &Section<'_>) -> Vec<Found<String>> {
    let mut domains: Vec<Found<String>> = Vec::new();
    let found = section.found_list("domains", "www.example.com", domain::read);
    if section.lacks("domains") {
        let problem = Problem::new("nothing says which names the certificate is for");
        section.report(
            section.span.clone(),
            problem.instead("write domains = [\"example.com\", \"www.example.com\"]"),
        );
    }
    let Some(array) =
        section.value("domains").and_then(|written| Some((written.get_ref().as_array()?, written)))
    else {
        return domains;
    };
    let (array, written) = array;
    if array.is_empty() {
        let problem = Problem::new("there is no name in the list");
        section.report(
            written.span(),
            problem.instead("write domains = [\"example.com\", \"www.example.com\"]"),
        );
    }
    if array.len() > MOST_DOMAINS {
        let problem = Problem::new(format!("{} names are too many for one certificate", array.len()));
        let instead =
            format!("write at most {MOST_DOMAINS}, and the others in the `acme` of another [[listen]]");
        section.report(written.span(), problem.instead(instead));
    }
    for domain in found {
        match domains.iter().find(|earlier| earlier.value == domain.value) {
            Some(_) => {
                let problem = Problem::new(format!("{:?} stands in the list already", domain.value));
                section.report(domain.span, problem.instead("leave it out here"));
            }
            None => domains.push(domain),
        }
    }
    domains
}

/// What is no name of the public DNS, only an authority of one's own signs.
fn refuse_private_names(section: &Section<'_>, domains: &[Found<String>]) {
    for domain in domains.iter().filter(|domain| !domain.value.contains('.')) {
        let problem = Problem::new(format!("no public authority signs {:?}", domain.value));
        let instead = "write the whole name, such as \"www.example.com\", or the `directory` of an authority of your own";
        section.report(domain.span.clone(), problem.instead(instead));
    }
}

/// The challenges that are right, each once, in the order of preference; `None` when none are written.
fn challenges(section: &Section<'_>) -> Option<Vec<Found<Challenge>>> {
    let found = section.found_list("challenges", "http-01", challenge);
    let written = section.value("challenges")?;
    if written.get_ref().as_array().is_some_and(|array| array.is_empty()) {
        let problem = Problem::new("without a challenge no authority signs anything");
        section.report(
            written.span(),
            problem.instead("leave `challenges` out for both, or write [\"http-01\"]"),
        );
    }
    let mut challenges: Vec<Found<Challenge>> = Vec::new();
    for challenge in found {
        if challenges.iter().any(|earlier| earlier.value == challenge.value) {
            let problem = Problem::new("this challenge stands in the list already");
            section.report(challenge.span, problem.instead("leave it out here"));
        } else {
            challenges.push(challenge);
        }
    }
    Some(challenges)
}

fn challenge(value: &DeValue<'_>) -> Result<Challenge, Problem> {
    match value.as_str() {
        Some("dns-01" | "dns-account-01" | "dns-persist-01" | "dns") => {
            Err(Problem::new("challenges over the DNS are not offered").instead(
                "write \"http-01\" or \"tls-alpn-01\", or have another program fetch the certificate, and write its files as \
                 `certificate` and `key` of `tls`",
            ))
        }
        _ => value::one_of(CHALLENGES)(value),
    }
}

fn no_table(value: &DeValue<'_>) -> Problem {
    let domain = value.as_str().and_then(|text| domain::read(&DeValue::String(text.into())).ok());
    Problem::new(format!("`acme` is a table, not {}", describe(value))).instead(format!(
        "write acme = {{ domains = [{:?}] }}",
        domain.as_deref().unwrap_or("www.example.com")
    ))
}
