//! Text with `$places`.

use toml::de::DeValue;

use super::name;
use crate::model::{Part, Template};
use crate::path_pattern::PathPattern;
use crate::problem::Problem;
use crate::suggestion;
use crate::value;

/// Names that stand alone.
const NAMES: &[(&str, Part)] = &[
    ("client", Part::Client),
    ("host", Part::Host),
    ("id", Part::Id),
    ("path", Part::Path),
    ("query", Part::Query),
    ("scheme", Part::Scheme),
    ("uri", Part::Uri),
];

/// Names of nginx's variables, and what says the same here.
const NGINX: &[(&str, &str)] = &[
    ("args", "$query"),
    ("binary_remote_addr", "$client"),
    ("document_uri", "$path"),
    ("http_host", "$host, which has no port, or $field:Host"),
    ("is_args", "?$query"),
    ("query_string", "$query"),
    ("remote_addr", "$client"),
    ("request_id", "$id"),
    ("request_uri", "$uri"),
    ("server_name", "$host"),
];

/// What the paths of a route catch, all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Catches {
    /// `$1` to this number; `None` where a path is wrong, and nothing is known.
    count: Option<usize>,
    names: Vec<(String, usize)>,
    /// The path that catches least, as it is written.
    path: String,
}

impl Catches {
    pub(super) fn of(paths: &[PathPattern]) -> Self {
        let Some(least) = paths.iter().min_by_key(|path| path.catches()) else { return Self::default() };
        let names = |path: &PathPattern| match path {
            PathPattern::Expression(expression) => {
                expression.names().map(|(name, number)| (name.to_owned(), number)).collect()
            }
            _ => Vec::new(),
        };
        let mut common = names(least);
        common.retain(|name| paths.iter().all(|path| names(path).contains(name)));
        Self { count: Some(least.catches()), names: common, path: least.written() }
    }

    fn number(&self, number: usize) -> Result<Part, Problem> {
        let Some(count) = self.count else { return Ok(Part::Caught(number)) };
        if (1..=count).contains(&number) {
            return Ok(Part::Caught(number));
        }
        let instead = match count {
            _ if number == 0 => "write $path for the whole path".to_owned(),
            0 => "write a `*` into the path, such as \"/old/*\", or a regular expression with a group"
                .to_owned(),
            1 => "write $1, or one more `*` or group into the path".to_owned(),
            _ => format!("write $1 to ${count}, or one more `*` or group into the path"),
        };
        Err(Problem::new(format!("the path `{}` catches no ${number}", self.path)).instead(instead))
    }
}

/// Reads a text in which the request fills places.
pub(super) fn read(value: &DeValue<'_>, catches: &Catches, example: &str) -> Result<Template, Problem> {
    parse(value::text(value, example)?, catches)
}

pub(super) fn parse(text: &str, catches: &Catches) -> Result<Template, Problem> {
    if let Some(bad) = text.chars().find(|&c| c.is_control() && c != '\t') {
        return Err(Problem::new(format!("the text has {bad:?} in it"))
            .instead("leave it out: a field or an address is one line"));
    }
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let (name, after) = name_of(after)?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(part(name, catches)?);
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template { parts })
}

/// The name after a `$`, and what follows it.
fn name_of(after: &str) -> Result<(&str, &str), Problem> {
    if let Some(braced) = after.strip_prefix('{') {
        return braced.split_once('}').ok_or_else(|| {
            Problem::new(format!("`${after}` has no `}}`")).instead("write ${name}, or $$ for a dollar")
        });
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_field = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = |text: &str, is: &dyn Fn(u8) -> bool| text.bytes().take_while(|&byte| is(byte)).count();
    let end = if after.starts_with(|c: char| c.is_ascii_digit()) {
        length(after, &|byte| byte.is_ascii_digit())
    } else if let Some(field) = after.strip_prefix("field:") {
        "field:".len() + length(field, &is_field)
    } else {
        length(after, &is_name)
    };
    if end == 0 {
        return Err(Problem::new("a `$` has no name after it")
            .instead(format!("write $$ for a dollar, or one of {}", known())));
    }
    Ok(after.split_at(end))
}

fn part(name: &str, catches: &Catches) -> Result<Part, Problem> {
    if let Some((_, part)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(part.clone());
    }
    if let Some(field) = name.strip_prefix("field:") {
        return name::field(field).map(|name| Part::Field(name.to_ascii_lowercase()));
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return catches.number(name.parse().unwrap_or(usize::MAX));
    }
    if let Some(&(_, number)) = catches.names.iter().find(|(known, _)| known == name) {
        return Ok(Part::Caught(number));
    }
    let unknown = Problem::new(format!("there is no ${name}"));
    let lower = name.to_ascii_lowercase();
    if let Some((_, instead)) = NGINX.iter().find(|(nginx, _)| *nginx == lower) {
        return Err(unknown.instead(format!("write {instead}")));
    }
    if let Some(field) = lower.strip_prefix("http_").filter(|field| !field.is_empty()) {
        return Err(unknown.instead(format!("write $field:{}", field.replace('_', "-"))));
    }
    let names =
        NAMES.iter().map(|(name, _)| *name).chain(catches.names.iter().map(|(name, _)| name.as_str()));
    Err(match suggestion::nearest(name, names) {
        Some(near) if catches.names.iter().any(|(name, _)| name == near) => {
            unknown.instead(format!("write ${{{near}}}"))
        }
        Some(near) => unknown.instead(format!("write ${near}")),
        None => unknown.instead(format!("write one of {}, or $$ for a dollar", known())),
    })
}

fn known() -> String {
    let names: Vec<_> = NAMES.iter().map(|(name, _)| format!("${name}")).collect();
    format!("$1, {}, $field:NAME", names.join(", "))
}
