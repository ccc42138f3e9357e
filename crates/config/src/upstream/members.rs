//! `address` and `addresses` of `[upstream.NAME]`

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use crate::address;
use crate::document::{Reader, Section, Written};
use crate::model::{Member, UpstreamAddress};
use crate::problem::Problem;
use crate::value;

const KIND: &str = "in `addresses` of [upstream.NAME]";

/// Most addresses of an upstream.
const MOST: usize = 256;
/// Largest weight.
const MOST_WEIGHT: u64 = 1000;

/// The members of an upstream, and where they are written.
pub(super) struct Members {
    /// Never empty.
    pub(super) members: Vec<Member>,
    /// `None` when they are not written, or all wrong.
    pub(super) span: Option<Range<usize>>,
}

/// Whether there may be more than one server, now or later.
pub(super) fn are_several(members: &[Member]) -> bool {
    !matches!(members, [Member { address: UpstreamAddress::Unix(_) | UpstreamAddress::Tcp(_), .. }])
}

/// Reads the members; `usual` stand in where none is written, or none is right.
pub(super) fn read(reader: &Reader, section: &Section<'_>, usual: &[Member]) -> Members {
    let slow_start = section.or("slow_start", Duration::ZERO, value::duration_or_zero);
    let one = section.read("address", address::upstream);
    let several = section.value("addresses");
    if let (Some(written), Some(_)) = (several, section.value("address")) {
        let problem = Problem::new("`address` and `addresses` exclude each other");
        reader
            .report(written.span(), problem.instead("leave one of them out: `addresses` may have one alone"));
    }
    let (mut members, span) = match (one, several) {
        (Some(found), _) => (vec![Member { slow_start, ..Member::at(found.value) }], Some(found.span)),
        (None, Some(written)) => (list(reader, written, slow_start), Some(written.span())),
        (None, None) => (Vec::new(), None),
    };
    if members.is_empty() {
        members = usual.iter().map(|member| Member { slow_start, ..member.clone() }).collect();
        return Members { members, span: None };
    }
    Members { members, span }
}

fn list(reader: &Reader, written: Written<'_>, slow_start: Duration) -> Vec<Member> {
    let example = "addresses = [\"unix:/run/a.sock\", { address = \"10.0.0.2:3000\", weight = 3 }]";
    let report = |span: Range<usize>, message: String, instead: &str| {
        reader.report(span, Problem::new(message).instead(instead));
    };
    let DeValue::Array(array) = written.get_ref() else {
        let message = format!("`addresses` is a list, not {}", value::describe(written.get_ref()));
        report(written.span(), message, &format!("write {example}"));
        return Vec::new();
    };
    if array.is_empty() {
        report(written.span(), "`addresses` is empty".to_owned(), &format!("write {example}"));
    }
    if array.len() > MOST {
        let message = format!("{} addresses are more than an upstream may have", array.len());
        report(
            written.span(),
            message,
            &format!("write at most {MOST}, or a name that the DNS has all of them for"),
        );
        return Vec::new();
    }
    let found = reader.found();
    let mut members: Vec<Member> = Vec::new();
    for element in array {
        let Some(member) = member(reader, element, slow_start) else { continue };
        if members.iter().any(|other| other.address == member.address) {
            let message = format!("{} stands here a second time", member.address);
            report(element.span(), message, "leave it out; `weight` says that it is to get more than others");
            continue;
        }
        members.push(member);
    }
    // What was wrong has been reported, and might have been the one that is no backup.
    if reader.found() == found && !members.is_empty() && members.iter().all(|member| member.backup) {
        let message = "every member is a backup, and of nothing".to_owned();
        report(written.span(), message, "leave `backup` out for those that are to get requests as a rule");
    }
    members
}

/// One of `addresses`: an address alone, or a table with one.
fn member(reader: &Reader, element: Written<'_>, slow_start: Duration) -> Option<Member> {
    let DeValue::Table(table) = element.get_ref() else {
        return match address::upstream(element.get_ref()) {
            Ok(address) => Some(Member { slow_start, ..Member::at(address) }),
            Err(problem) => {
                reader.report(element.span(), problem);
                None
            }
        };
    };
    let section = Section::new(reader, KIND, table, element.span());
    let address = section.read("address", address::upstream);
    if section.lacks("address") {
        let problem = Problem::new("this member has no address");
        reader.report(
            element.span(),
            problem.instead("write its `address`, such as { address = \"10.0.0.2:3000\" }"),
        );
    }
    let weight = section.read("weight", value::integer::<u32>(1..=MOST_WEIGHT));
    let member = Member {
        address: UpstreamAddress::Unix(std::path::PathBuf::new()),
        weight: weight.as_ref().map_or(1, |found| found.value),
        backup: section.or("backup", false, value::boolean),
        slow_start: section.or("slow_start", slow_start, value::duration_or_zero),
    };
    section.finish();
    let address = address?.value;
    if let (UpstreamAddress::Srv(_), Some(weight)) = (&address, weight) {
        let problem = Problem::new("the records of a service say the weights of its servers");
        reader.report(weight.span, problem.instead("leave `weight` out"));
    }
    Some(Member { address, ..member })
}
