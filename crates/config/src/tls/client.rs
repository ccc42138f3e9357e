//! `client` of `tls`

use toml::de::DeValue;

use super::ClientAuthority;
use super::file::WrittenFile;
use crate::document::Section;
use crate::path;
use crate::problem::Problem;
use crate::value::{self, describe};

const KIND: &str = "in `client` of `tls`";

/// `client`, and the paths in it.
pub(super) struct WrittenClient {
    pub(super) meaning: ClientAuthority,
    pub(super) files: Vec<WrittenFile>,
}

/// `None` when it is not written, or names no authorities, which is reported.
pub(super) fn read(tls: &Section<'_>) -> Option<WrittenClient> {
    tls.short_or_table("client", KIND, |value| Err(no_table(value)), table).map(|found| found.value)
}

fn table(section: Section<'_>) -> Option<WrittenClient> {
    let directory = section.directory();
    let path = |value: &DeValue<'_>| path::file(value, directory, "/etc/vestibule/clients.pem");
    let authorities = section.read("authorities", path);
    let required = section.or("required", true, required);
    let revoked = section.read("revoked", path);
    if section.lacks("authorities") {
        let problem = Problem::new("nothing says which clients' certificates count");
        let instead =
            "write authorities = \"clients.pem\", a file with the certificates of those who sign them";
        section.report(section.span.clone(), problem.instead(instead));
    }
    section.finish();
    let authorities = authorities?;
    Some(WrittenClient {
        meaning: ClientAuthority {
            authorities: authorities.value.clone(),
            required,
            revoked: revoked.as_ref().map(|found| found.value.clone()),
        },
        files: [Some(authorities), revoked].into_iter().flatten().collect(),
    })
}

/// Nginx has more than two answers to this.
fn required(value: &DeValue<'_>) -> Result<bool, Problem> {
    value::boolean(value).map_err(|problem| match value.as_str() {
        Some("on" | "yes" | "require" | "required") => problem.instead("write true, without quotes"),
        Some("optional" | "request") => {
            problem.instead("write false: then a client may come without a certificate, not with a wrong one")
        }
        Some("optional_no_ca") => problem.instead(
            "write false; a certificate that nobody in `authorities` signed is refused all the same",
        ),
        Some("off" | "no" | "none") => {
            problem.instead("leave `client` out, and nobody is asked for a certificate")
        }
        _ => problem,
    })
}

fn no_table(value: &DeValue<'_>) -> Problem {
    let path = value.as_str().filter(|text| text.ends_with(".pem") || text.ends_with(".crt"));
    Problem::new(format!("`client` is a table, not {}", describe(value)))
        .instead(format!("write client = {{ authorities = {:?} }}", path.unwrap_or("clients.pem")))
}
