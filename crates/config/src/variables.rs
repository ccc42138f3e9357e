//! `${NAME}` and `${NAME:-default}`: values from the environment.
//!
//! They stand in any text but in keys, and but in what is handed to a program as it is (`command`, `start_command`,
//! `restart_command`, `alert` and `environment` of a process: a `${HOME}` there is for a shell). A variable that is not set is an
//! error, unless there is a default, which stands for an empty one too. `$${` is `${` itself. Where a number or a boolean is wanted,
//! the text becomes one.
//!
//! In templates (`redirect`, `rewrite`, the values of `fields`) `${name}` is first of all what the request gives: only a name in
//! capitals that the path catches nothing by is the environment's. What it gives is text there: its dollars stand for themselves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::Problem;
use crate::schema::{Key, ROUTE, Shape, Table};
use crate::secrets::Secrets;
use crate::source::Source;

/// What gives a variable's value.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// What stands in the place of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// This text.
    Text(String),
    /// The number or the boolean that this is in TOML.
    Bare(String),
}

/// What is put in the places of texts, by the offsets where these begin.
pub(crate) type Puts = BTreeMap<usize, Put>;

/// Looks for variables in a document.
pub(crate) struct Filler<'e> {
    pub(crate) environment: Environment<'e>,
    /// Offset of the document's first byte in all.
    pub(crate) start: usize,
    pub(crate) puts: Puts,
    pub(crate) secrets: Secrets,
    /// What is wrong, and where.
    pub(crate) wrong: Vec<(Range<usize>, Problem)>,
}

/// How a text is to be read.
#[derive(Clone, Copy)]
enum Mode<'t> {
    Plain,
    /// With names that the request gives.
    Template(&'t [String]),
}

impl Filler<'_> {
    /// Everything in a table whose keys are those of `keys`, if they are known.
    pub(crate) fn table(&mut self, table: &DeTable<'_>, keys: Option<&'static Table>) {
        let caught = keys.filter(|keys| keys.kind == ROUTE).map(|_| caught(table));
        self.entries(table, keys.map(Below::Keys), &caught.unwrap_or_default());
    }

    fn entries(&mut self, table: &DeTable<'_>, below: Option<Below>, caught: &[String]) {
        for (key, value) in table {
            let shape = below.as_ref().and_then(|below| below.shape(key.get_ref()));
            self.value(value, shape, caught);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, shape: Option<&'static Shape>, caught: &[String]) {
        match value.get_ref() {
            DeValue::String(text) => {
                if shape.is_some_and(|shape| shape.can_be(|shape| matches!(shape, Shape::Literal))) {
                    return;
                }
                let is_template =
                    shape.is_some_and(|shape| shape.can_be(|shape| matches!(shape, Shape::Template)));
                let mode = if is_template { Mode::Template(caught) } else { Mode::Plain };
                self.text(text, value.span(), shape, mode);
            }
            DeValue::Array(array) => {
                let element = shape.and_then(Shape::element);
                array.iter().for_each(|value| self.value(value, element, caught));
            }
            DeValue::Table(table) => match shape.and_then(Shape::table) {
                Some(keys) if keys.kind == ROUTE => self.table(table, Some(keys)),
                _ => self.entries(table, shape.map(Below::Shape), caught),
            },
            _ => {}
        }
    }

    fn text(&mut self, text: &str, span: Range<usize>, shape: Option<&'static Shape>, mode: Mode<'_>) {
        if !text.contains("${") {
            return;
        }
        let span = span.start + self.start..span.end + self.start;
        let mut parts = Vec::new();
        let found = pieces(text, mode, |variable| {
            let value = self.look_up(&variable)?;
            if !value.is_empty() && variable.default != Some(value.as_str()) {
                parts.push((variable.name.to_owned(), value.clone()));
            }
            Ok(value)
        });
        let filled = match found {
            Ok(filled) => filled,
            Err(problem) => {
                self.wrong.push((span, problem));
                // A stand-in: what it would be is not known, and what is wrong has been said.
                return;
            }
        };
        if filled == text {
            return;
        }
        if !parts.is_empty() {
            self.secrets.add(span.clone(), text.to_owned(), filled.clone(), parts);
        }
        let is_whole = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
        let put = match shape {
            Some(shape) if is_whole && shape.takes_bare(filled.trim()) => Put::Bare(filled.trim().to_owned()),
            _ => Put::Text(filled),
        };
        self.puts.insert(span.start, put);
    }

    fn look_up(&self, variable: &Variable<'_>) -> Result<String, Problem> {
        let Variable { name, default } = variable;
        match ((self.environment)(name), default) {
            (None, None) => Err(Problem::new(format!("the variable {name} is not set"))
                .instead(format!("set it where Vestibule is started, or write a default: ${{{name}:-…}}"))),
            (None, Some(default)) => Ok((*default).to_owned()),
            (Some(value), Some(default)) if value.is_empty() => Ok((*default).to_owned()),
            (Some(value), _) => value.into_string().map_err(|_| {
                Problem::new(format!("the variable {name} is not UTF-8 text")).instead("set it to UTF-8 text")
            }),
        }
    }
}

/// What tells the shape of a value by its key.
enum Below {
    Keys(&'static Table),
    Shape(&'static Shape),
}

impl Below {
    fn shape(&self, key: &str) -> Option<&'static Shape> {
        match self {
            Below::Keys(keys) => keys.key(key).map(|Key { shape, .. }| shape),
            Below::Shape(shape) => shape.below(key),
        }
    }
}

/// One `${NAME:-default}`.
struct Variable<'t> {
    name: &'t str,
    default: Option<&'t str>,
}

/// `text` with what `look_up` gives in the places of variables.
fn pieces(
    text: &str,
    mode: Mode<'_>,
    mut look_up: impl FnMut(Variable<'_>) -> Result<String, Problem>,
) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let is_escape = match mode {
            Mode::Plain => rest.starts_with("$${"),
            Mode::Template(_) => rest.starts_with("$$"),
        };
        if is_escape {
            // A template has its own use for two dollars.
            let kept = if matches!(mode, Mode::Plain) { "$" } else { "$$" };
            out.push_str(kept);
            rest = &rest[2..];
            continue;
        }
        let Some(inside) = rest.strip_prefix("${") else {
            out.push('$');
            rest = &rest[1..];
            continue;
        };
        let name =
            &inside[..inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len())];
        let behind = &inside[name.len()..];
        let is_ours = match mode {
            Mode::Plain => true,
            Mode::Template(caught) => is_in_capitals(name) && !caught.iter().any(|caught| caught == name),
        };
        if !is_ours {
            out.push_str("${");
            rest = inside;
            continue;
        }
        let (default, end) = match behind.strip_prefix(":-") {
            Some(default) => {
                let end = default.find('}');
                (end.map(|end| &default[..end]), end.map(|end| end + 2))
            }
            None => (None, behind.starts_with('}').then_some(0)),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let Some(end) = end.filter(|_| is_name) else { return Err(malformed(name, behind)) };
        let value = look_up(Variable { name, default })?;
        match mode {
            Mode::Plain => out.push_str(&value),
            Mode::Template(_) => out.push_str(&value.replace('$', "$$")),
        }
        rest = &behind[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// What begins as a variable and is none.
fn malformed(name: &str, behind: &str) -> Problem {
    let problem = Problem::new("`${` begins the name of a variable, and there is none that ends with `}`");
    let text = "and `$${` for the text itself";
    problem.instead(match behind.chars().next() {
        _ if name.is_empty() => format!("write a name, such as ${{PORT}}, {text}"),
        Some('-' | ':' | '=' | '?' | '+') => format!("write ${{{name}}} or ${{{name}:-default}}, {text}"),
        _ => format!("write ${{{name}}}, {text}"),
    })
}

fn is_in_capitals(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| c.is_ascii_lowercase())
        && name.contains(|c: char| c.is_ascii_uppercase())
}

/// The names that the path of a route catches something by.
fn caught(route: &DeTable<'_>) -> Vec<String> {
    let Some(path) = route.get("path") else { return Vec::new() };
    let paths: Vec<&str> = match path.get_ref() {
        DeValue::Array(array) => array.iter().filter_map(|path| path.get_ref().as_str()).collect(),
        path => path.as_str().into_iter().collect(),
    };
    let names = paths.into_iter().flat_map(|path| path.split("(?").skip(1)).filter_map(|group| {
        let group = group.strip_prefix('P').unwrap_or(group);
        Some(group.strip_prefix('<')?.split_once('>')?.0.to_owned())
    });
    names.collect()
}

/// A document whose spans are in the space of all files, with what is put into it.
pub(crate) fn filled<'d>(table: DeTable<'d>, start: usize, puts: &'d Puts) -> DeTable<'d> {
    let entries = table.into_iter().map(|(key, value)| {
        let span = key.span();
        let key = Spanned::new(span.start + start..span.end + start, key.into_inner());
        (key, filled_value(value, start, puts))
    });
    entries.collect()
}

fn filled_value<'d>(value: Spanned<DeValue<'d>>, start: usize, puts: &'d Puts) -> Spanned<DeValue<'d>> {
    let span = value.span().start + start..value.span().end + start;
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(filled(table, start, puts)),
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|value| filled_value(value, start, puts)).collect())
        }
        DeValue::String(text) => match puts.get(&span.start) {
            None => DeValue::String(text),
            Some(Put::Text(text)) => DeValue::String(text.as_str().into()),
            Some(Put::Bare(bare)) => DeValue::parse(bare)
                .map_or_else(|_| DeValue::String(bare.as_str().into()), Spanned::into_inner),
        },
        other => other,
    };
    Spanned::new(span, value)
}

/// The problems, each in its place.
pub(crate) fn located(source: &Source, wrong: Vec<(Range<usize>, Problem)>) -> impl Iterator<Item = Problem> {
    wrong.into_iter().map(|(span, problem)| source.locate(problem, span))
}
