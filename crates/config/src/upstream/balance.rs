//! `balance` of `[upstream.NAME]`

use toml::de::DeValue;

use crate::model::Balance;
use crate::problem::Problem;
use crate::suggestion;
use crate::value;

const KNOWN: &[&str] =
    &["least", "random", "hash:client", "hash:path", "hash:field:NAME", "hash:cookie:NAME"];

/// Names that people bring from Nginx, HAProxy and Caddy.
const ELSEWHERE: &[(&str, &str)] = &[
    ("round_robin", "least"),
    ("roundrobin", "least"),
    ("least_conn", "least"),
    ("leastconn", "least"),
    ("random two least_conn", "least"),
    ("ip_hash", "hash:client"),
    ("source", "hash:client"),
    ("uri", "hash:path"),
    ("uri_hash", "hash:path"),
    ("hash:ip", "hash:client"),
    ("hash:uri", "hash:path"),
];

/// How requests are spread: `"least"`, `"random"`, `"hash:client"`, `"hash:path"`, `"hash:field:NAME"`, `"hash:cookie:NAME"`.
pub(super) fn read(value: &DeValue<'_>) -> Result<Balance, Problem> {
    let text = value::text(value, "least")?;
    let named = |name: &str| (!name.is_empty() && name.bytes().all(is_token)).then(|| name.to_owned());
    let wrong_name = |what: &str, name: &str| {
        Problem::new(format!("{name:?} is not the name of a {what}"))
            .instead(format!("write it behind the second colon, such as \"hash:{what}:X-Session\""))
    };
    if let Some(name) = text.strip_prefix("hash:field:") {
        let name_read = named(name).map(|name| Balance::Field(name.to_ascii_lowercase()));
        return name_read.ok_or_else(|| wrong_name("field", name));
    }
    if let Some(name) = text.strip_prefix("hash:cookie:") {
        return named(name).map(Balance::Cookie).ok_or_else(|| wrong_name("cookie", name));
    }
    match text {
        "least" => Ok(Balance::Least),
        "random" => Ok(Balance::Random),
        "hash:client" => Ok(Balance::Client),
        "hash:path" => Ok(Balance::Path),
        _ => {
            let list = KNOWN.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let folded = text.to_ascii_lowercase();
            let meant = ELSEWHERE.iter().find(|(name, _)| *name == folded).map(|(_, ours)| *ours);
            let meant = meant.or_else(|| suggestion::nearest(text, KNOWN.iter().copied()));
            Err(Problem::new(format!("{text:?} is no way to spread requests")).instead(match meant {
                Some(meant) => format!("write \"{meant}\" (of {list})"),
                None => format!("write one of {list}"),
            }))
        }
    }
}

/// Whether a name may have this byte (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
