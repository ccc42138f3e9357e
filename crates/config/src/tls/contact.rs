//! `contact` of `acme`: whom the authority may write to.

use toml::de::DeValue;

use crate::document::Section;
use crate::problem::Problem;
use crate::value;

const EXAMPLE: &str = "ops@example.com";

/// More than an authority takes.
const MOST: usize = 10;
/// RFC 5321 4.5.3.1.3, without the brackets.
const LONGEST: usize = 254;

/// One address or a list of them: those that are right.
pub(super) fn read(acme: &Section<'_>) -> Vec<String> {
    let Some(written) = acme.value("contact") else { return Vec::new() };
    let DeValue::Array(array) = written.get_ref() else {
        return acme.read("contact", address).into_iter().map(|found| found.value).collect();
    };
    if array.len() > MOST {
        let problem = Problem::new(format!("{} addresses are more than an authority takes", array.len()));
        acme.report(written.span(), problem.instead(format!("write at most {MOST}")));
    }
    acme.list("contact", EXAMPLE, address)
}

/// A mail address, without the `mailto:` that one may write before it.
fn address(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, EXAMPLE)?;
    let bare = match text.split_at_checked("mailto:".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto:") => rest,
        _ => text,
    };
    // RFC 8555 7.3: one address, and no header fields behind it. What a URL would have to quote nobody's address has.
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_graphic() && !b",;:?<>()[]\\\"%".contains(&byte))
    };
    match bare.split_once('@') {
        Some((local, domain))
            if is_plain(local) && is_plain(domain) && !domain.contains('@') && bare.len() <= LONGEST =>
        {
            Ok(bare.to_owned())
        }
        _ => Err(Problem::new(format!("{text:?} is not a mail address"))
            .instead(format!("write one such as \"{EXAMPLE}\"; several as a list"))),
    }
}
