//! `certificate` and `key`, or `certificates`: pairs of files.

use std::path::PathBuf;

use toml::de::DeValue;

use super::CertificateFiles;
use super::file::{self, WrittenFile};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::value::describe;

const KIND: &str = "in `certificates` of `tls`";

/// What a pair looks like, for those who wrote another thing.
const EXAMPLE: &str = "certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, { certificate = \"b.pem\", key = \"b.key\" }]";

/// The pairs that are whole, in order, and all their paths.
pub(super) fn read(tls: &Section<'_>) -> (Vec<CertificateFiles>, Vec<WrittenFile>) {
    let mut pairs = vec![pair(tls)];
    if let (Some(_), Some(written)) = (tls.value("certificates"), tls.value("certificate")) {
        let problem = Problem::new("`certificate` and `certificates` exclude each other");
        tls.report(written.span(), problem.instead("write it into `certificates` too, with its key"));
    }
    pairs.extend(several(tls));

    let mut files: Vec<WrittenFile> = Vec::new();
    let mut whole: Vec<CertificateFiles> = Vec::new();
    for (certificate, key) in pairs {
        if let Some(found) = &certificate
            && let Some(first) = files.iter().find(|file| file.value == found.value)
        {
            let line = tls.line(first.span.start);
            let problem = Problem::new(format!("this certificate is the one on line {line}"));
            tls.report(found.span.clone(), problem.instead("leave one of them out"));
        }
        if let (Some(certificate), Some(key)) = (&certificate, &key) {
            whole.push(CertificateFiles { certificate: certificate.value.clone(), key: key.value.clone() });
        }
        files.extend(certificate.into_iter().chain(key));
    }
    (whole, files)
}

type Pair = (Option<Found<PathBuf>>, Option<Found<PathBuf>>);

/// Reads the two keys of a table. One without the other is reported.
fn pair(section: &Section<'_>) -> Pair {
    let directory = section.directory();
    let certificate = section.read("certificate", |value| {
        refuse_list(value)?;
        file::certificate(value, directory)
    });
    let key = section.read("key", |value| {
        refuse_list(value)?;
        file::key(value, directory)
    });
    if let Some(written) = section.value("key").filter(|_| section.lacks("certificate")) {
        let problem = Problem::new("this key has no certificate");
        let instead = "write certificate = \"…/fullchain.pem\" beside it: the certificate, and behind it those that lead to its \
                       authority";
        section.report(written.span(), problem.instead(instead));
    }
    if let Some(written) = section.value("certificate").filter(|_| section.lacks("key")) {
        let problem = Problem::new("this certificate has no key");
        section.report(written.span(), problem.instead("write key = \"…/privkey.pem\" beside it"));
    }
    (certificate, key)
}

/// The pairs of `certificates = [{ … }, { … }]`.
fn several(tls: &Section<'_>) -> Vec<Pair> {
    let of = |section: Section<'_>| {
        let found = pair(&section);
        if section.lacks("certificate") && section.lacks("key") {
            let problem = Problem::new("there is no certificate in this table");
            section.report(section.span.clone(), problem.instead(format!("write {EXAMPLE}")));
        }
        section.finish();
        found
    };
    // Its keys are known wherever a name is misspelt.
    of(Section::absent(tls.reader(), KIND));
    let Some(written) = tls.value("certificates") else { return Vec::new() };
    let DeValue::Array(array) = written.get_ref() else {
        let problem =
            Problem::new(format!("`certificates` is a list of tables, not {}", describe(written.get_ref())));
        tls.report(written.span(), problem.instead(format!("write {EXAMPLE}")));
        return Vec::new();
    };
    if array.is_empty() {
        let problem = Problem::new("there is no certificate in the list");
        tls.report(written.span(), problem.instead(format!("write {EXAMPLE}")));
    }
    let mut pairs = Vec::new();
    for element in array.iter() {
        match element.get_ref() {
            DeValue::Table(table) => {
                pairs.push(of(Section::new(tls.reader(), KIND, table, element.span())));
            }
            _ => {
                let what = describe(element.get_ref());
                let problem = Problem::new(format!("each of the `certificates` is a table, not {what}"));
                tls.report(element.span(), problem.instead(format!("write {EXAMPLE}")));
            }
        }
    }
    pairs
}

fn refuse_list(value: &DeValue<'_>) -> Result<(), Problem> {
    match value {
        DeValue::Array(_) => {
            Err(Problem::new("this is one file, not a list").instead(format!("write {EXAMPLE}")))
        }
        _ => Ok(()),
    }
}
