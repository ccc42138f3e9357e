//! The files that certbot writes, of which one easily takes the wrong one.

use std::path::Path;

use crate::problem::Problem;

pub(super) const FULLCHAIN: &str = "fullchain";
pub(super) const PRIVKEY: &str = "privkey";

/// What each of its files has.
const FILES: &[(&str, &str)] = &[
    (
        "cert",
        "has the certificate without its chain: clients that do not know the authority in between would not trust it",
    ),
    ("chain", "has the chain without the certificate"),
    (FULLCHAIN, "has certificates, and no private key"),
    (PRIVKEY, "has the private key, and no certificate"),
];

/// What is wrong with a path as it is written if it is one of certbot's (`live/NAME/cert.pem`, `archive/NAME/cert1.pem`), and
/// another than `wanted`.
pub(super) fn refuse(written: Option<&str>, wanted: &str) -> Option<Problem> {
    let path = Path::new(written?);
    let stem = path.file_name()?.to_str()?.strip_suffix(".pem")?;
    let lineage = path.parent()?;
    let above = lineage.parent()?;
    match above.file_name()?.to_str()? {
        "live" => {
            let (_, what) = FILES.iter().find(|(name, _)| *name == stem && *name != wanted)?;
            let right = lineage.join(wanted).with_extension("pem");
            Some(Problem::new(format!("certbot's {stem}.pem {what}")).instead(format!("write {right:?}")))
        }
        "archive" => {
            let name = stem.trim_end_matches(|c: char| c.is_ascii_digit());
            FILES.iter().find(|(known, _)| *known == name && name != stem)?;
            let right =
                above.with_file_name("live").join(lineage.file_name()?).join(wanted).with_extension("pem");
            Some(
                Problem::new("this file stays as it is when certbot renews: it writes another one beside it")
                    .instead(format!("write {right:?}, which leads to the newest")),
            )
        }
        _ => None,
    }
}
