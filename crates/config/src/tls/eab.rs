//! `eab` of `acme`: the account that one has with an authority already.

use toml::de::DeValue;

use super::Eab;
use crate::document::Section;
use crate::problem::Problem;
use crate::value;

const KIND: &str = "in `eab` of `acme`";

/// `None` when it is not written, or is not whole, which is reported.
pub(super) fn read(acme: &Section<'_>) -> Option<Eab> {
    let section = acme.section("eab", KIND);
    let id = section.read("id", id);
    let key = section.read("key", key);
    for (name, what) in
        [("id", "the name of the account"), ("key", "the secret of the account, in base64url")]
    {
        if section.lacks(name) {
            let problem = Problem::new(format!("`eab` has no `{name}`"));
            let instead = format!("write {name} = \"…\", {what}, as the authority shows it");
            section.report(section.span.clone(), problem.instead(instead));
        }
    }
    section.finish();
    Some(Eab { id: id?.value, key: key?.value })
}

fn id(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "kid-1")?;
    if text.is_empty() || text.contains(char::is_control) {
        return Err(
            Problem::new("this is the name of no account").instead("write it as the authority shows it")
        );
    }
    Ok(text.to_owned())
}

/// A secret: what is wrong with it is told without it.
fn key(value: &DeValue<'_>) -> Result<String, Problem> {
    let Some(text) = value.as_str() else {
        return Err(
            Problem::new("the key is text").instead("write it between quotes, as the authority shows it")
        );
    };
    let bare = text.trim_end_matches('=');
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // One digit too many is six bits that make no byte.
    if bare.is_empty() || !bare.bytes().all(is_base64url) || bare.len() % 4 == 1 {
        return Err(Problem::new("this is not base64url (RFC 4648 5)").instead(
            "write the key as the authority shows it: letters, digits, `-` and `_`; in plain base64, `-` stands for its `+`, \
             and `_` for its `/`",
        ));
    }
    Ok(bare.to_owned())
}
