//! `tls` of `[[listen]]`, as it is written.

use std::ops::Range;

use toml::de::DeValue;

use super::acme::{self, WrittenAcme};
use super::file::WrittenFile;
use super::{Tls, TlsVersion, certificates, client, hsts, version};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::value::describe;

const KIND: &str = "in `tls` of [[listen]]";

/// `tls` of one listener, and what errors need that come later.
pub(crate) struct WrittenTls {
    pub(crate) meaning: Tls,
    pub(crate) span: Range<usize>,
    /// Every path in it, in no order.
    pub(crate) files: Vec<WrittenFile>,
    pub(super) acme: Option<Found<WrittenAcme>>,
}

/// `None` when it is not written, or is no table, which is reported.
pub(crate) fn read(listener: &Section<'_>) -> Option<WrittenTls> {
    let table = |section| Some(table(section));
    listener.short_or_table("tls", KIND, |value| Err(no_table(value)), table).map(|found| found.value)
}

fn table(section: Section<'_>) -> WrittenTls {
    let (certificates, pairs) = certificates::read(&section);
    let acme = acme::read(&section);
    let client = client::read(&section);
    let tls = Tls {
        certificates,
        acme: acme.as_ref().map(|acme| acme.value.meaning.clone()),
        client: client.as_ref().map(|client| client.meaning.clone()),
        minimum: section.or("minimum", TlsVersion::V12, version::read),
        hsts: hsts::read(&section),
    };
    if ["certificate", "certificates", "key", "acme"].into_iter().all(|key| section.lacks(key)) {
        let problem = Problem::new("`tls` has no certificate");
        let instead = "write certificate = \"…/fullchain.pem\" and key = \"…/privkey.pem\", or have one fetched by \
                       itself: acme = { domains = [\"www.example.com\"] }";
        section.report(section.span.clone(), problem.instead(instead));
    }
    let span = section.span.clone();
    section.finish();
    let of_acme = acme.iter().flat_map(|acme| acme.value.files.iter().cloned());
    let of_client = client.into_iter().flat_map(|client| client.files);
    WrittenTls {
        meaning: tls,
        span,
        files: pairs.into_iter().chain(of_acme).chain(of_client).collect(),
        acme,
    }
}

fn no_table(value: &DeValue<'_>) -> Problem {
    let instead = match value {
        DeValue::Boolean(false) => "leave it out".to_owned(),
        DeValue::String(name) if name == "internal" => {
            "write tls = { certificate = \"…\", key = \"…\" }; `vestibule demo --tls` makes a certificate for this machine"
                .to_owned()
        }
        _ => "write tls = { certificate = \"…/fullchain.pem\", key = \"…/privkey.pem\" }, or tls = { acme = { domains = \
              [\"www.example.com\"] } }"
            .to_owned(),
    };
    Problem::new(format!("`tls` is a table, not {}", describe(value))).instead(instead)
}
