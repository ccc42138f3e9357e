//! What may be written, in one table: for editors (JSON Schema), and for values from the environment, which are text and have to
//! become what their key takes.
//!
//! The readers stay the judges of what is right. A test holds the keys here and theirs together.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

mod listen;
mod process;
mod route;
mod top;
mod upstream;

/// What a key takes.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// Text that a program gets as it is: nothing from the environment is put in.
    Literal,
    /// Text in which parts of a request are put in: `$host`, `${name}`.
    Template,
    /// Text that a regular expression (ECMA 262) describes.
    Pattern(&'static str),
    /// `"30s"`
    Duration,
    /// `"64 MiB"`, or a number of bytes.
    Size,
    /// A whole number within bounds.
    Integer(u64, u64),
    Boolean,
    /// This boolean alone.
    Only(bool),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    Numbers(&'static [u64]),
    List(&'static Shape),
    /// A list with something in it.
    Filled(&'static Shape),
    /// `[3, 5]`
    Pair(&'static Shape),
    Table(&'static Table),
    /// A table with names of the operator's own.
    Named(&'static Shape),
    /// A table with numbers of ours for names.
    Numbered(&'static [u16], &'static Shape),
    Any(&'static [Shape]),
}

/// A table with keys of ours.
#[derive(Debug)]
pub(crate) struct Table {
    /// Where its keys stand, in the words of its reader.
    pub(crate) kind: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) required: &'static [&'static str],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it says, for people.
    pub(crate) about: &'static str,
    /// The default as TOML, where there is one that can be written.
    pub(crate) default: Option<&'static str>,
    pub(crate) shape: Shape,
}

/// A key without a default.
const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, about, default: None, shape }
}

/// A key with a default.
const fn or(name: &'static str, default: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, about, default: Some(default), shape }
}

const fn table(kind: &'static str, keys: &'static [Key]) -> Table {
    Table { kind, keys, required: &[] }
}

/// A table that means nothing without some of its keys.
const fn needs(required: &'static [&'static str], table: Table) -> Table {
    Table { required, ..table }
}

/// The whole configuration.
pub(crate) const ROOT: &Table = &top::TOP;

/// The kind of the table whose path may catch something for its templates.
pub(crate) const ROUTE: &str = "in [[route]]";

/// What stands for a value from the environment.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Shape {
    /// The shape of what stands below `key`, if this can be a table.
    pub(crate) fn below(&'static self, key: &str) -> Option<&'static Shape> {
        match self {
            Shape::Table(table) => table.key(key).map(|key| &key.shape),
            Shape::Named(shape) | Shape::Numbered(_, shape) => Some(shape),
            Shape::Any(shapes) => shapes.iter().find_map(|shape| shape.below(key)),
            _ => None,
        }
    }

    /// The table that this can be.
    pub(crate) fn table(&'static self) -> Option<&'static Table> {
        match self {
            Shape::Table(table) => Some(table),
            Shape::Any(shapes) => shapes.iter().find_map(Shape::table),
            _ => None,
        }
    }

    /// The shape of each element, if this can be a list.
    pub(crate) fn element(&'static self) -> Option<&'static Shape> {
        match self {
            Shape::List(shape) | Shape::Filled(shape) | Shape::Pair(shape) => Some(shape),
            Shape::Any(shapes) => shapes.iter().find_map(|shape| shape.element()),
            _ => None,
        }
    }

    /// Whether this, or a way to write it, is what `is` says.
    pub(crate) fn can_be(&self, is: fn(&Shape) -> bool) -> bool {
        match self {
            Shape::Any(shapes) => shapes.iter().any(|shape| shape.can_be(is)),
            shape => is(shape),
        }
    }

    /// Whether a text from the environment stands for a number or a boolean here: where it is one, and no text is taken.
    pub(crate) fn takes_bare(&self, text: &str) -> bool {
        if self.takes(text) {
            return false;
        }
        match self {
            Shape::Boolean | Shape::Only(_) => matches!(text, "true" | "false"),
            Shape::Integer(..) | Shape::Numbers(_) => text.parse::<u64>().is_ok() && !text.starts_with('+'),
            Shape::Any(shapes) => shapes.iter().any(|shape| shape.takes_bare(text)),
            _ => false,
        }
    }

    /// Whether text is a way to write this.
    fn takes(&self, text: &str) -> bool {
        match self {
            Shape::Text
            | Shape::Literal
            | Shape::Template
            | Shape::Pattern(_)
            | Shape::Duration
            | Shape::Size => true,
            Shape::OneOf(names) => names.contains(&text),
            Shape::Any(shapes) => shapes.iter().any(|shape| shape.takes(text)),
            _ => false,
        }
    }

    fn json(&self) -> Value {
        let or_variable = |value: Value| json!({ "anyOf": [value, { "$ref": "#/$defs/variable" }] });
        match self {
            Shape::Text | Shape::Literal | Shape::Template => json!({ "type": "string" }),
            Shape::Pattern(pattern) => or_variable(json!({ "type": "string", "pattern": pattern })),
            Shape::Duration => json!({ "$ref": "#/$defs/duration" }),
            Shape::Size => json!({ "$ref": "#/$defs/size" }),
            Shape::Integer(least, most) => {
                or_variable(json!({ "type": "integer", "minimum": least, "maximum": most }))
            }
            Shape::Boolean => or_variable(json!({ "type": "boolean" })),
            Shape::Only(value) => json!({ "const": value }),
            Shape::OneOf(names) => or_variable(json!({ "enum": names })),
            Shape::Numbers(numbers) => or_variable(json!({ "enum": numbers })),
            Shape::List(shape) => json!({ "type": "array", "items": shape.json() }),
            Shape::Filled(shape) => json!({ "type": "array", "items": shape.json(), "minItems": 1 }),
            Shape::Pair(shape) => {
                json!({ "type": "array", "items": shape.json(), "minItems": 2, "maxItems": 2 })
            }
            Shape::Table(table) => table.json(),
            Shape::Named(shape) => json!({ "type": "object", "additionalProperties": shape.json() }),
            Shape::Numbered(numbers, shape) => {
                let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                json!({
                    "type": "object",
                    "propertyNames": { "enum": names },
                    "additionalProperties": shape.json(),
                })
            }
            Shape::Any(shapes) => json!({ "anyOf": shapes.iter().map(Shape::json).collect::<Vec<_>>() }),
        }
    }
}

impl Table {
    fn json(&self) -> Value {
        let properties: Map<String, Value> =
            self.keys.iter().map(|key| (key.name.to_owned(), key.json())).collect();
        let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !self.required.is_empty() {
            table["required"] = json!(self.required);
        }
        table
    }
}

impl Key {
    fn json(&self) -> Value {
        let mut value = self.shape.json();
        value["description"] = json!(self.about);
        if let Some(default) = self.default.and_then(value_of) {
            value["default"] = default;
        }
        value
    }
}

/// The JSON of a value of TOML; `None` for text that is none.
fn value_of(toml: &str) -> Option<Value> {
    DeValue::parse(toml).ok().map(|value| json_of(value.get_ref()))
}

/// A value of TOML as JSON, in which a date is text.
pub(crate) fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(date) => json!(date.to_string()),
        DeValue::Array(array) => array.iter().map(|element| json_of(element.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref()))).collect(),
        ),
    }
}

/// The JSON Schema (2020-12) of a configuration, for editors that know TOML by it (taplo, Even Better TOML): every key with its
/// description and its default. It is wider than the reader in what a schema cannot say; it refuses nothing that the reader takes.
#[must_use]
pub fn schema() -> Value {
    let with_variable = |pattern: &str| format!("^({pattern}|.*{VARIABLE}.*)$");
    let mut schema = ROOT.json();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Vestibule");
    schema["description"] = json!(
        "The configuration of Vestibule, the public front-end of Ruby Rack applications. Every key is optional."
    );
    schema["$defs"] = json!({
        "variable": {
            "type": "string",
            "pattern": VARIABLE,
            "description": "A value from the environment: ${NAME}, or ${NAME:-default}.",
        },
        "duration": {
            "type": "string",
            "pattern": with_variable(r"\s*[0-9]+\s*(ms|s|m|h|d|w|y)\s*"),
            "description": "A duration: \"500ms\", \"30s\", \"2m\", \"1h\", \"90d\", \"2w\", \"1y\".",
        },
        "size": {
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": with_variable(r"\s*[0-9]+\s*(B|KiB|MiB|GiB|TiB)?\s*") },
            ],
            "description": "A size: \"512 B\", \"64 KiB\", \"64 MiB\", \"1 GiB\", or a number of bytes.",
        },
    });
    schema
}
