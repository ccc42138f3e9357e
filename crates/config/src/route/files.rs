//! `files`

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::{compress, respond, rewrite};
use crate::document::{Found, Section};
use crate::model::{Coding, Compress, Files, Links};
use crate::path;
use crate::path_pattern::PathPattern;
use crate::problem::Problem;
use crate::value::{self, describe};

const KIND: &str = "in `files` of [[route]]";

pub(super) fn read(section: &Section<'_>, compress: &Compress) -> Option<Found<Files>> {
    let directory = section.directory();
    section.short_or_table(
        "files",
        KIND,
        |value| Ok(Files { compress: compress.clone(), ..Files::of(root(value, directory)?) }),
        |section| table(section, directory, compress),
    )
}

fn root(value: &DeValue<'_>, directory: &Path) -> Result<std::path::PathBuf, Problem> {
    path::directory(value, directory, "public")
}

fn table(section: Section<'_>, directory: &Path, compress: &Compress) -> Option<Files> {
    let root = section.read("root", |value| root(value, directory));
    if section.lacks("root") {
        let problem = Problem::new("this does not say where the files are");
        section.report(section.span.clone(), problem.instead("write root = \"public\""));
    }
    let default = Files::of(root.as_ref().map_or_else(Default::default, |found| found.value.clone()));
    let types = types(&section);
    let files = Files {
        strip: section.or("strip", default.strip, rewrite::prefix),
        index: section.or("index", default.index, index),
        fallback: section.one_or_list("fallback", fallback).into_iter().map(|found| found.value).collect(),
        precompressed: match section.value("precompressed").map(|written| written.get_ref()) {
            // Coded once and thoroughly, brotli is the shortest.
            Some(DeValue::Boolean(true)) => vec![Coding::Brotli, Coding::Zstd, Coding::Gzip],
            Some(DeValue::Boolean(false)) => Vec::new(),
            _ => compress::codings(&section, "precompressed"),
        },
        cache_control: section.read("cache_control", cache_control).map(|found| found.value),
        immutable: section.one_or_list("immutable", immutable).into_iter().map(|found| found.value).collect(),
        links: links(&section, directory).unwrap_or(default.links),
        types,
        check: section.or(
            "check",
            default.check,
            value::duration_within(Duration::ZERO..=Duration::from_secs(3600)),
        ),
        compress: compress.clone(),
        root: default.root,
    };
    section.finish();
    root.map(|_| files)
}

/// The name of a file in a directory; `false` for none.
fn index(value: &DeValue<'_>) -> Result<Option<String>, Problem> {
    if let Some(wanted) = value.as_bool() {
        let problem = Problem::new("`index` is a name: true does not say which");
        return if wanted {
            Err(problem.instead("write \"index.html\", or false for none"))
        } else {
            Ok(None)
        };
    }
    let text = value::text(value, "index.html")?;
    if text.is_empty()
        || text.starts_with('.')
        || text.contains(['/', '\0'])
        || text.contains(char::is_whitespace)
    {
        return Err(Problem::new(format!("{text:?} is not the name of a file"))
            .instead("write one such as \"index.html\", or false for none"));
    }
    Ok(Some(text.to_owned()))
}

/// What else is tried: a path below the root, in which `$path` may stand for the one that was asked for.
fn fallback(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "$path.html")?;
    let wrong = |message: String, instead: &str| Err(Problem::new(message).instead(instead));
    let fixed = text.replace("$path", "");
    if let Some((_, rest)) = fixed.split_once('$') {
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        return wrong(
            format!("there is no ${name} here"),
            "write $path, which is the path that was asked for",
        );
    }
    if text.starts_with('@') || text.starts_with('=') {
        return wrong(
            format!("{text:?} is no file"),
            "write try = [\"files\", \"upstream\"] in [[route]] to have an application answer where there is no file",
        );
    }
    if !text.starts_with('/') && !text.starts_with("$path") {
        return wrong(
            format!("{text:?} does not begin with `/`"),
            "write \"$path.html\", \"$path/index.html\" or \"/index.html\"",
        );
    }
    if text == "$path" {
        return wrong("the path itself is tried first".to_owned(), "leave it out");
    }
    if fixed.split('/').any(|segment| segment == "..") || fixed.contains(|c: char| c.is_control() || c == '?')
    {
        return wrong(
            format!("{text:?} is not a path below the root"),
            "write \"$path.html\" or \"/index.html\"",
        );
    }
    Ok(text.to_owned())
}

/// A value of `Cache-Control`.
fn cache_control(value: &DeValue<'_>) -> Result<String, Problem> {
    const EXAMPLE: &str = "public, max-age=60";
    let text = value::text(value, EXAMPLE)?;
    if text.trim().is_empty() || text.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(Problem::new(format!("{text:?} cannot stand in Cache-Control"))
            .instead(format!("write a value such as \"{EXAMPLE}\"")));
    }
    if value::duration(value).is_ok() {
        return Err(Problem::new(format!("{text:?} does not say who may keep it"))
            .instead(format!("write the field's whole value, in seconds, such as \"{EXAMPLE}\"")));
    }
    Ok(text.trim().to_owned())
}

/// A pattern of paths, but no expression.
fn immutable(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "/assets/*")?;
    match PathPattern::parse(text)? {
        PathPattern::Expression(_) => Err(Problem::new("a regular expression has no place here")
            .instead("write \"/assets/*\", or a list of such")),
        _ => Ok(text.to_owned()),
    }
}

fn links(section: &Section<'_>, directory: &Path) -> Option<Links> {
    const INSTEAD: &str =
        "write \"inside\", \"none\", \"any\", or a list of directories that links may lead into";
    let written = section.value("links")?;
    match written.get_ref() {
        DeValue::Array(_) => {
            let read = |value: &DeValue<'_>| path::directory(value, directory, "/srv/app/shared");
            let directories = section.one_or_list("links", read);
            Some(Links::Into(directories.into_iter().map(|found| found.value).collect()))
        }
        DeValue::String(text) if text.contains('/') => {
            let problem = Problem::new(format!("{text:?} is not known here"));
            section.report(
                written.span(),
                problem.instead(format!("write [{text:?}]: directories stand in a list")),
            );
            None
        }
        DeValue::String(_) => {
            const NAMES: &[(&str, u8)] = &[("inside", 0), ("none", 1), ("any", 2)];
            let links = section.read("links", value::one_of(NAMES))?;
            Some(match links.value {
                0 => Links::Inside,
                1 => Links::None,
                _ => Links::Any,
            })
        }
        other => {
            let problem = Problem::new(format!("expected a name, found {}", describe(other)));
            section.report(written.span(), problem.instead(INSTEAD));
            None
        }
    }
}

/// Types by file ending, in lower case without a dot.
fn types(section: &Section<'_>) -> Vec<(String, String)> {
    let below = section.section("types", "in `types` of `files`");
    let mut types = Vec::new();
    for (ending, written) in below.entries() {
        if let Some(bare) = ending.value.strip_prefix('.') {
            let problem = Problem::new(format!("{:?} begins with a dot", ending.value));
            section.report(ending.span, problem.instead(format!("write \"{bare}\"")));
            continue;
        }
        if ending.value.is_empty()
            || !ending.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        {
            let problem = Problem::new(format!("{:?} is not the ending of a file's name", ending.value));
            section.report(ending.span, problem.instead("write what follows its last dot, such as \"epub\""));
            continue;
        }
        match respond::content_type(written.get_ref()) {
            Ok(content_type) => types.push((ending.value.to_ascii_lowercase(), content_type)),
            Err(problem) => section.report(written.span(), problem),
        }
    }
    types
}
