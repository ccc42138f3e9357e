//! `if`: the conditions that are another way of writing something else.

use super::directive::Directive;
use super::location::Location;
use super::note::Notes;

/// `if (!-f $request_filename) { proxy_pass …; }`, as it was written before `try_files`.
#[derive(Debug, Default)]
pub(super) struct OldWay<'d> {
    pub(super) pass: Option<&'d Directive>,
    pub(super) block: &'d [Directive],
    pub(super) fallback: Vec<String>,
}

/// The conditions of a location: those that are another way of writing something else.
pub(super) fn conditions<'d>(location: &Location<'d>, notes: &mut Notes) -> OldWay<'d> {
    let mut old = OldWay::default();
    for directive in location.scope.own("if") {
        let condition = directive.arguments.join(" ");
        let condition = condition.trim_start_matches('(').trim_end_matches(')').trim();
        let inside = directive.inside();
        let pass = inside.iter().find(|inner| inner.name == "proxy_pass");
        match condition {
            "!-f $request_filename" | "!-e $request_filename" if pass.is_some() => {
                directive.see();
                inside.iter().filter(|inner| inner.name == "break").for_each(Directive::see);
                (old.pass, old.block) = (pass, inside);
            }
            "-f $request_filename/index.html" => {
                directive.see_all();
                old.fallback.push("$path/index.html".to_owned());
            }
            "-f $request_filename.html" => {
                directive.see_all();
                old.fallback.push("$path.html".to_owned());
            }
            "-f $request_filename" if inside.iter().all(|inner| inner.name == "break") => directive.see_all(),
            _ if is_maintenance(directive) => {}
            _ if location.kind.is_none() && is_taken_elsewhere(directive) => {}
            _ if condition.contains("$request_method") => {
                notes.missing(directive, "write a [[route]] with `method`, which comes before the one without");
            }
            _ if condition.contains("$http_") => {
                notes.missing(directive, "write a [[route]] with `header`, which comes before the one without");
            }
            _ if condition.contains("$arg") => {
                notes.missing(directive, "write a [[route]] with `query`, which comes before the one without");
            }
            _ => notes.missing(directive, "write a [[route]] with a condition (method, header, query, client) if there is one that says this"),
        }
    }
    old
}

/// `if (-f $document_root/system/maintenance.html) { return 503; }`
pub(super) fn is_maintenance(directive: &Directive) -> bool {
    let returns = directive.inside().iter().any(|inner| inner.name == "return" && inner.argument(0) == "503");
    returns && directive.argument(0).trim_start_matches('(').starts_with("-f")
}

/// `if ($host = example.com) { return 301 …; }`: what the server's own code looks at.
pub(super) fn is_taken_elsewhere(directive: &Directive) -> bool {
    directive.argument(0).trim_start_matches('(') == "$host"
        && directive.argument(1) == "="
        && directive.inside().iter().any(|inner| inner.name == "return")
}
