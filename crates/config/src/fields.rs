//! `[fields]`

use toml::de::DeValue;

use crate::document::Section;
use crate::model::Fields;
use crate::problem::Problem;
use crate::value;

/// Longest name in a field that every request carries.
const LONGEST_NAME: usize = 64;

pub(crate) fn read(section: Section<'_>) -> Fields {
    let default = Fields::default();
    let fields = Fields {
        via: section.or("via", default.via, via),
        forwarded: section.or("forwarded", default.forwarded, value::boolean),
        underscores: section.or("underscores", default.underscores, value::boolean),
    };
    section.later("add", "write fields = { request = { add = { … } } } in a [[route]]");
    section.later("remove", "write fields = { request = { remove = [ … ] } } in a [[route]]");
    section.finish();
    fields
}

/// A pseudonym (RFC 9110 7.6.3), or `false` for none.
fn via(value: &DeValue<'_>) -> Result<Option<String>, Problem> {
    if let Some(wanted) = value.as_bool() {
        let problem = Problem::new("`via` is a name: true does not say which");
        return if wanted {
            Err(problem.instead("write \"vestibule\", or false for none"))
        } else {
            Ok(None)
        };
    }
    let name = value::text(value, "vestibule")?;
    if name.len() > LONGEST_NAME || !name.bytes().all(is_token) {
        return Err(Problem::new(format!("{name:?} cannot stand in a Via field"))
            .instead(format!("write a name of at most {LONGEST_NAME} letters, digits, `-`, `_` and `.`")));
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Whether a byte may stand in a token (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
