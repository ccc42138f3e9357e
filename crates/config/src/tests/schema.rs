//! The schema says what the readers take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};
use toml::de::DeTable;

use super::example::{defaults, everything};
use crate::document::Reader;
use crate::schema::{Key, ROOT, Shape, Table, json_of, schema};
use crate::source::Source;
use crate::web_server::WebServer;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a schema")
}

fn document(text: &str) -> Value {
    let document = DeTable::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Value::Object(
        document
            .get_ref()
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())))
            .collect(),
    )
}

fn wrong(validator: &Validator, text: &str) -> Vec<String> {
    validator
        .iter_errors(&document(text))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The tables of the schema: the keys of each kind.
fn tables() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    fn visit(table: &'static Table, into: &mut BTreeMap<&'static str, BTreeSet<&'static str>>) {
        let names = table.keys.iter().map(|key| key.name);
        if into.insert(table.kind, names.collect()).is_none() {
            table.keys.iter().for_each(|Key { shape, .. }| below(shape, into));
        }
    }
    fn below(shape: &'static Shape, into: &mut BTreeMap<&'static str, BTreeSet<&'static str>>) {
        match shape {
            Shape::Table(table) => visit(table, into),
            Shape::List(shape) | Shape::Filled(shape) | Shape::Pair(shape) => below(shape, into),
            Shape::Named(shape) | Shape::Numbered(_, shape) => below(shape, into),
            Shape::Any(shapes) => shapes.iter().for_each(|shape| below(shape, into)),
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    visit(ROOT, &mut found);
    found
}

#[test]
fn it_has_the_keys_that_the_readers_know_and_no_other() {
    let text = everything();
    let document = DeTable::parse(&text).expect("TOML");
    let reader = Reader::new(Source::new(Path::new("example"), &text));
    crate::meaning::config(&reader, document.get_ref(), &WebServer::default());
    let known: BTreeMap<_, BTreeSet<_>> =
        reader.known().into_iter().map(|(kind, keys)| (kind, keys.into_iter().collect())).collect();
    let tables = tables();
    let all = |tables: &BTreeMap<&'static str, BTreeSet<&'static str>>| -> BTreeSet<String> {
        let keys = tables.iter().flat_map(|(kind, keys)| keys.iter().map(move |key| format!("{key} {kind}")));
        keys.collect()
    };
    let (known, tables) = (all(&known), all(&tables));
    let missing: Vec<_> = known.difference(&tables).collect();
    let unknown: Vec<_> = tables.difference(&known).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing in the schema: {missing:#?}\nin the schema only: {unknown:#?}"
    );
}

#[test]
fn every_configuration_that_is_shown_fits() {
    let validator = validator();
    for text in [defaults(), everything(), String::new()] {
        assert_eq!(wrong(&validator, &text), Vec::<String>::new());
    }
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let files = std::fs::read_dir(shown).expect("listed").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(wrong(&validator, &text), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn variables_may_stand_where_other_things_do() {
    let text = "workers = \"${WORKERS:-2}\"\nlimits = { head = \"${SIZE}\", send_timeout = \"${A}s\" }\nbuffer.request = \"${YES}\"\n\
                log.access = \"${ACCESS}\"\nfields.via = \"${VIA}\"\n[[listen]]\nredirect = \"${REDIRECT}\"\n";
    assert_eq!(wrong(&validator(), text), Vec::<String>::new());
}

#[test]
fn what_the_reader_refuses_does_not_fit() {
    let validator = validator();
    for text in [
        "wrokers = 2",
        "workers = 0",
        "workers = \"2\"",
        "limits.head = \"64 KB\"",
        "limits.send_timeout = 5",
        "limits.send_timeout = \"5 sec\"",
        "buffer.request = 1",
        "log.access = \"xml\"",
        "[[listen]]\naddres = \"0.0.0.0:80\"",
        "[listen]\naddress = \"0.0.0.0:80\"",
        "[[listen]]\nredirect = \"http\"",
        "[[listen]]\ntls = { hsts = { age = 5 } }",
        "[upstream.app]\nhold = \"30s\"",
        "[upstream.app]\nin_flight = \"many\"",
        "[process.app]\ncommand = \"puma\"",
        "error_pages.500 = \"/500.html\"",
        "error_pages.503 = []",
        "compress.types = []",
        "[[route]]\nhost = []",
        "[[route]]\npath = []",
        "[[route]]\ntry = []",
        "[[route]]\nrate = []",
        "[[route]]\nrate = { per = \"1s\" }",
        "[[route]]\nfiles = {}",
        "[[route]]\nfiles = { root = \"public\", precompressed = [] }",
        "[[route]]\nredirect = { status = 303 }",
        "[[route]]\ncors = { age = \"1h\" }",
        "[[route]]\nupstreams = []",
        "[[route]]\nupstreams = [{ weight = 3 }]",
        "[[route]]\nupstreams = [{ upstream = \"web_server\" }]\nsticky = { age = \"1h\" }",
        "[[route]]\nfields.request.remove = []",
        "[upstream.app]\naddresses = []",
        "[upstream.app]\naddresses = [{ weight = 3 }]",
        "[[listen]]\ntls = { certificates = [{ certificate = \"a.pem\" }] }",
        "[[listen]]\ntls = { certificate = \"a.pem\", key = \"a.key\", hsts = { preload = true } }",
        "[[listen]]\ntls = { certificate = \"a.pem\", key = \"a.key\", client = { required = false } }",
        "[[listen]]\ntls = { acme = { contact = \"a@example.com\" } }",
        "[[listen]]\ntls = { acme = { domains = [\"a.example.com\"], eab = { id = \"a\" } } }",
        "[process.app]\ncommand = [\"puma\"]\nmemory = { every = \"10s\" }",
        "[process.app]\ncommand = [\"puma\"]\ncpu = { every = \"10s\" }",
        "[process.app]\ncpu = { above = 90, times = [1, 2, 3] }",
    ] {
        assert_ne!(wrong(&validator, text), Vec::<String>::new(), "{text}");
        assert!(crate::parse(text, Path::new("t.toml")).is_err(), "the reader takes it: {text}");
    }
}

#[test]
fn what_may_be_a_list_may_be_one_alone() {
    let validator = validator();
    for text in [
        "compress = { codings = \"br\", types = \"text/*\" }",
        "[[route]]\ntry = \"files\"\nfiles = { root = \"/srv\", precompressed = \"br\", immutable = \"/a/*\", links = \"none\" }",
        "[[route]]\ncompress = { codings = \"gzip\", types = \"text/html\" }",
        "[[route]]\nfields.request.remove = \"X\"\nfields.response = { remove = \"Y\", add = { Z = \"1\" } }",
        "[[route]]\nhost = \"a\"\npath = \"/\"\nmethod = \"GET\"\nclient = \"::1\"\nallow = \"all\"\ndeny = \"::1\"",
    ] {
        assert_eq!(wrong(&validator, text), Vec::<String>::new(), "{text}");
        crate::parse(text, Path::new("t.toml")).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn its_defaults_are_those_of_the_example() {
    let defaults = document(&defaults());
    let mut count = 0;
    compare(&defaults, &schema(), "", &mut count);
    assert!(count > 40, "only {count} compared");
}

/// Compares what is written with what is the default of the same key.
fn compare(written: &Value, schema: &Value, at: &str, count: &mut usize) {
    for (key, value) in written.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        let ways = [&schema["properties"][key], &schema["additionalProperties"]].into_iter();
        let Some(schema) = ways.into_iter().find(|found| found.is_object()) else {
            panic!("{at} is not in the schema")
        };
        match (value, &schema["items"]) {
            (Value::Object(_), _) => compare(value, schema, &at, count),
            (Value::Array(tables), items) if tables.iter().any(Value::is_object) => {
                tables.iter().for_each(|table| compare(table, items, &at, count));
            }
            _ if at == ".route.upstream" => {}
            _ => {
                assert_eq!(Some(value), schema.get("default"), "{at}");
                *count += 1;
            }
        }
    }
}

#[test]
fn every_key_is_described_and_every_default_fits() {
    fn visit(schema: &Value, whole: &Value, count: &mut usize) {
        if let Some(default) = schema.get("default") {
            let alone = json!({ "$defs": whole["$defs"], "allOf": [schema] });
            let validator = jsonschema::draft202012::new(&alone).expect("a schema");
            assert!(validator.is_valid(default), "{default} in {schema}");
            *count += 1;
        }
        for (name, key) in schema["properties"].as_object().into_iter().flatten() {
            assert!(key["description"].as_str().is_some_and(|text| text.len() > 3), "{name}");
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| visit(value, whole, count)),
            Value::Array(list) => list.iter().for_each(|value| visit(value, whole, count)),
            _ => {}
        }
    }
    let schema = schema();
    let mut count = 0;
    visit(&schema["properties"], &schema, &mut count);
    assert!(count > 60, "only {count} defaults");
}

#[test]
fn the_one_that_lies_beside_the_example_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/vestibule.schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lies: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(lies == schema(), "write it anew: cargo run -- schema > config/vestibule.schema.json");
    let example = include_str!("../../../../config/vestibule.toml");
    assert!(example.starts_with("#:schema vestibule.schema.json\n"));
}
