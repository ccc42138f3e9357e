//! What was written: the TOML document, read key by key. A reader never stops at an error; it notes it with its place
//! and goes on with the default.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::Problem;
use crate::source::{Line, Source};
use crate::suggestion;
use crate::value::describe;

/// A value as it stands in the document.
pub(crate) type Written<'d> = &'d Spanned<DeValue<'d>>;

/// Something read, and the bytes that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// Collects everything that is wrong with one document.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Arc<Source>,
    problems: RefCell<Vec<Problem>>,
    /// Keys that each kind of table takes: known when all have been read, since asking for a key is what makes it known.
    known: RefCell<BTreeMap<&'static str, Vec<&'static str>>>,
    unknown: RefCell<Vec<Unknown>>,
}

/// A key that nobody asked for.
#[derive(Debug)]
struct Unknown {
    kind: &'static str,
    key: String,
    span: Range<usize>,
}

impl Reader {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, problems: RefCell::default(), known: RefCell::default(), unknown: RefCell::default() }
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// How much is wrong so far.
    pub(crate) fn found(&self) -> usize {
        self.problems.borrow().len() + self.unknown.borrow().len()
    }

    /// Notes a problem with what is written at `span`.
    pub(crate) fn report(&self, span: Range<usize>, problem: Problem) {
        self.problems.borrow_mut().push(self.source.locate(problem, span));
    }

    /// Everything found, unknown keys included.
    pub(crate) fn finish(self) -> Vec<Problem> {
        let known = self.known.take();
        for Unknown { kind, key, span } in self.unknown.take() {
            let problem = Problem::new(format!("unknown key `{key}` {kind}"));
            self.report(span, problem.instead(suggestion::for_key(&key, kind, &known)));
        }
        self.problems.into_inner()
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> BTreeMap<&'static str, Vec<&'static str>> {
        self.known.borrow().clone()
    }
}

/// One table of the document, or the absence of one: then every key is absent, and everything is as by default.
#[derive(Debug)]
pub(crate) struct Section<'d> {
    reader: &'d Reader,
    /// Where its keys stand, in words: the same for all tables that take the same keys.
    kind: &'static str,
    table: Option<&'d DeTable<'d>>,
    /// Where the table stands; empty when it is absent.
    pub(crate) span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
    later: RefCell<Vec<&'static str>>,
}

impl<'d> Section<'d> {
    pub(crate) fn new(
        reader: &'d Reader,
        kind: &'static str,
        table: &'d DeTable<'d>,
        span: Range<usize>,
    ) -> Self {
        Self { table: Some(table), span, ..Self::absent(reader, kind) }
    }

    pub(crate) fn absent(reader: &'d Reader, kind: &'static str) -> Self {
        Self { reader, kind, table: None, span: 0..0, asked: RefCell::default(), later: RefCell::default() }
    }

    /// Who reads the document that it is in.
    pub(crate) fn reader(&self) -> &'d Reader {
        self.reader
    }

    /// The value of a key, which is known from now on.
    pub(crate) fn value(&self, key: &'static str) -> Option<Written<'d>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table?.get(key)
    }

    /// Reads a key. `None` when it is not written, or when it is wrong, which is noted.
    pub(crate) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Problem>,
    ) -> Option<Found<T>> {
        let written = self.value(key)?;
        match read(written.get_ref()) {
            Ok(value) => Some(Found { value, span: written.span() }),
            Err(problem) => {
                self.reader.report(written.span(), problem);
                None
            }
        }
    }

    /// Reads a key that has a default.
    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Problem>,
    ) -> T {
        self.read(key, read).map_or(default, |found| found.value)
    }

    /// Reads a key that has a list of values: those that are right.
    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Problem>,
    ) -> Vec<T> {
        self.found_list(key, example, read).into_iter().map(|found| found.value).collect()
    }

    /// As [`Section::list`], with the place of each value.
    pub(crate) fn found_list<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Problem>,
    ) -> Vec<Found<T>> {
        let Some(written) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = written.get_ref() else {
            let problem = Problem::new(format!("`{key}` is a list, not {}", describe(written.get_ref())));
            self.reader.report(written.span(), problem.instead(format!("write {key} = [\"{example}\"]")));
            return Vec::new();
        };
        let element = |element: Written<'_>| {
            let value = read(element.get_ref());
            let value = value.map_err(|problem| self.reader.report(element.span(), problem)).ok()?;
            Some(Found { value, span: element.span() })
        };
        array.iter().filter_map(element).collect()
    }

    /// Reads a key that has one value or a list of them: those that are right. An empty list is an error.
    pub(crate) fn one_or_list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Problem>,
    ) -> Vec<Found<T>> {
        let Some(written) = self.value(key) else { return Vec::new() };
        let elements: Vec<Written<'_>> = match written.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                let problem = Problem::new(format!("there is nothing in the list `{key}`"));
                self.reader.report(written.span(), problem.instead("leave it out"));
                return Vec::new();
            }
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![written],
        };
        let element = |element: Written<'_>| {
            let value = read(element.get_ref());
            let value = value.map_err(|problem| self.reader.report(element.span(), problem)).ok()?;
            Some(Found { value, span: element.span() })
        };
        elements.into_iter().filter_map(element).collect()
    }

    /// Whether the table itself is written.
    pub(crate) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a key is written, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The table below a key.
    pub(crate) fn section(&self, key: &'static str, kind: &'static str) -> Section<'d> {
        let absent = Self::absent(self.reader, kind);
        let Some(written) = self.value(key) else { return absent };
        match written.get_ref() {
            DeValue::Table(table) => Self::new(self.reader, kind, table, written.span()),
            other => {
                let problem = Problem::new(format!("`{key}` is a table, not {}", describe(other)));
                self.reader.report(written.span(), problem.instead(format!("write {key} = {{ … }}")));
                absent
            }
        }
    }

    /// What a key says by itself or as a table, whose keys are known either way.
    pub(crate) fn short_or_table<T>(
        &self,
        key: &'static str,
        kind: &'static str,
        short: impl FnOnce(&DeValue<'_>) -> Result<T, Problem>,
        table: impl FnOnce(Section<'d>) -> Option<T>,
    ) -> Option<Found<T>> {
        let written = self.value(key);
        if let Some((DeValue::Table(keys), span)) = written.map(|written| (written.get_ref(), written.span()))
        {
            let value = table(Self::new(self.reader, kind, keys, span.clone()))?;
            return Some(Found { value, span });
        }
        table(Self::absent(self.reader, kind));
        self.read(key, short)
    }

    /// The tables below a key, as `[[key]]` writes them.
    pub(crate) fn sections(&self, key: &'static str, kind: &'static str) -> Vec<Section<'d>> {
        let Some(written) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = written.get_ref() else {
            let what = describe(written.get_ref());
            let problem =
                Problem::new(format!("`{key}` may stand many times and is written with two brackets"))
                    .instead(format!("write [[{key}]] above its keys, instead of {what}"));
            self.reader.report(written.span(), problem);
            return Vec::new();
        };
        let table = |element: Written<'d>| match element.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.reader, kind, table, element.span())),
            other => {
                let problem = Problem::new(format!("each `{key}` is a table, not {}", describe(other)));
                self.reader
                    .report(element.span(), problem.instead(format!("write [[{key}]] above its keys")));
                None
            }
        };
        array.iter().filter_map(table).collect()
    }

    /// Whether a key is missing, and not just misspelt: that is an error of its own.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        let asked = self.asked.borrow();
        let is_another = |written: &str| written != key && asked.contains(&written);
        let resembles = |(written, _): (Found<String>, _)| {
            !is_another(&written.value)
                && (suggestion::nearest(&written.value, [key]).is_some()
                    || suggestion::is_foreign(&written.value, key, self.kind))
        };
        self.is_written() && !self.entries().into_iter().any(resembles)
    }

    /// Keys and values in the order of the file, whatever their names.
    pub(crate) fn entries(&self) -> Vec<(Found<String>, Written<'d>)> {
        let table = self.table.into_iter().flatten();
        let mut entries: Vec<_> = table
            .map(|(key, value)| (Found { value: key.get_ref().to_string(), span: key.span() }, value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// Refuses a key that has its meaning in a later version, saying that it is not a mistake in the name.
    pub(crate) fn later(&self, key: &'static str, instead: &str) {
        self.later.borrow_mut().push(key);
        if let Some((written, _)) = self.table.and_then(|table| table.get_key_value(key)) {
            let problem = Problem::new(format!("`{key}` {} is not supported yet", self.kind));
            self.reader.report(written.span(), problem.instead(instead));
        }
    }

    /// The line of an offset, for people.
    pub(crate) fn line(&self, offset: usize) -> Line<'d> {
        self.reader.source.line(offset)
    }

    /// Where the file is in which the table stands, for paths that are written without their root.
    pub(crate) fn directory(&self) -> &'d Path {
        self.reader.source.directory(self.span.start)
    }

    /// Notes a problem with what is written at `span`.
    pub(crate) fn report(&self, span: Range<usize>, problem: Problem) {
        self.reader.report(span, problem);
    }

    /// Says that all keys have been asked for: the others are unknown.
    pub(crate) fn finish(self) {
        let asked = self.asked.take();
        let later = self.later.take();
        let is_known = |key: &str| asked.contains(&key) || later.contains(&key);
        for (key, _) in self.entries() {
            if !is_known(&key.value) {
                let unknown = Unknown { kind: self.kind, key: key.value, span: key.span };
                self.reader.unknown.borrow_mut().push(unknown);
            }
        }
        self.reader.known.borrow_mut().entry(self.kind).or_insert(asked);
    }
}
