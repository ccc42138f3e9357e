//! `sendfile`

use toml::de::DeValue;

use crate::document::Section;
use crate::model::Sendfile;
use crate::path;
use crate::problem::Problem;
use crate::value::describe;

/// Names and directories, the longest name first: the first that fits is the one.
pub(super) fn read(section: &Section<'_>) -> Vec<Sendfile> {
    const INSTEAD: &str = "write sendfile = { \"/srv/app/private/\" = \"/srv/app/private\" }: what names begin with, and the directory \
                           that is meant";
    let Some(written) = section.value("sendfile") else { return Vec::new() };
    let DeValue::Table(table) = written.get_ref() else {
        let message = match written.get_ref() {
            DeValue::Boolean(true) => {
                "`true` does not say which directories the application may have us send from".to_owned()
            }
            other => format!("`sendfile` is a table, not {}", describe(other)),
        };
        let instead = match written.get_ref() {
            DeValue::Boolean(false) => "leave it out",
            _ => INSTEAD,
        };
        section.report(written.span(), Problem::new(message).instead(instead));
        return Vec::new();
    };
    if table.is_empty() {
        section.report(written.span(), Problem::new("there is nothing in `sendfile`").instead(INSTEAD));
    }
    let directory = section.directory();
    let below = Section::new(section.reader(), "in `sendfile` of [[route]]", table, written.span());
    let mut all: Vec<Sendfile> = Vec::new();
    for (name, value) in below.entries() {
        let from = format!("{}/", name.value.trim_end_matches('/'));
        let is_plain = name.value.starts_with('/')
            && !name.value.split('/').any(|segment| matches!(segment, ".." | "."));
        if !is_plain || name.value.chars().any(|c| c.is_control() || matches!(c, '*' | '?')) {
            let problem = Problem::new(format!("{:?} is not the beginning of a name", name.value));
            section
                .report(name.span, problem.instead("write it from the root, such as \"/srv/app/private/\""));
            continue;
        }
        if all.iter().any(|other| other.from == from) {
            let problem = Problem::new(format!("{from:?} is there already"));
            section.report(name.span, problem.instead("leave one of them out"));
            continue;
        }
        match path::directory(value.get_ref(), directory, "/srv/app/private") {
            Ok(root) => all.push(Sendfile { from, root }),
            Err(problem) => section.report(value.span(), problem),
        }
    }
    all.sort_by_key(|sendfile| std::cmp::Reverse(sendfile.from.len()));
    all
}
