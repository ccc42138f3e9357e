//! Sizes, times, buffers and compression of a route.

use super::action::Shared;
use super::measure;
use super::note::Notes;
use super::scope::Scope;
use super::written::{self, Keys};

/// Writes what differs from what all routes have; `upstream` is the name of the one that is asked, if any.
pub(super) fn write(
    scope: &Scope<'_>,
    upstream: Option<&str>,
    shared: &mut Shared<'_>,
    notes: &mut Notes,
    keys: &mut Keys,
) {
    match (compress(scope, notes), &shared.compress) {
        (Some(own), common) if common.as_ref() != Some(&own) => keys.set("compress", own),
        // What the first server says would hold for those that say nothing.
        (None, Some(common)) if common != "false" => keys.set("compress", "false"),
        _ => {}
    }
    let Some(name) = upstream else { return };
    let body = body(scope, notes);
    if Some(body) != shared.body {
        keys.set("limits", written::table(&[("body".to_owned(), measure::written_size(body))]));
    }
    let mut buffer = Vec::new();
    for (name, key) in [("proxy_buffering", "response"), ("proxy_request_buffering", "request")] {
        match scope.one(name) {
            Some(directive) if directive.argument(0) == "off" => {
                buffer.push((key.to_owned(), "false".to_owned()));
            }
            Some(directive) => notes.needless(directive, "it is so by itself"),
            None => {}
        }
    }
    if let Some(directive) = scope.one("proxy_max_temp_file_size") {
        if measure::size(directive.argument(0)) == Some(0) {
            buffer.push(("disk".to_owned(), "\"0 B\"".to_owned()));
        } else {
            notes.needless(directive, "bodies stand in memory up to buffer.memory, and above it on disk");
        }
    }
    if !buffer.is_empty() {
        keys.set("buffer", written::table(&buffer));
    }
    if let Some(directive) = scope.one("proxy_read_timeout") {
        match measure::time(directive.argument(0)) {
            Some(time) => {
                let time = measure::written_time(time);
                let upgrades = scope
                    .all("proxy_set_header")
                    .iter()
                    .any(|field| field.argument(0).eq_ignore_ascii_case("upgrade"));
                let mut timeout =
                    vec![("response".to_owned(), time.clone()), ("idle".to_owned(), time.clone())];
                if upgrades {
                    timeout.push(("tunnel".to_owned(), time));
                }
                keys.set("timeout", written::table(&timeout));
            }
            None => notes.missing(directive, "it is no time"),
        }
    }
    if let (Some(directive), Some(used)) = (scope.one("proxy_connect_timeout"), shared.upstreams.used(name)) {
        super::upstream::connect_timeout(used, directive, notes);
    }
}

/// `client_max_body_size`, whose default is nginx's.
pub(super) fn body(scope: &Scope<'_>, notes: &mut Notes) -> u64 {
    let Some(directive) = scope.one("client_max_body_size") else { return 1 << 20 };
    match measure::size(directive.argument(0)) {
        // There is always a limit here.
        Some(0) => {
            notes.different(directive, "there is always a limit: it is 1 TiB");
            1 << 40
        }
        Some(size) => size,
        None => {
            notes.missing(directive, "it is no size");
            1 << 20
        }
    }
}

/// `gzip` and its like, as the value of `compress`; `None` where nothing is said.
pub(super) fn compress(scope: &Scope<'_>, notes: &mut Notes) -> Option<String> {
    let gzip = scope.one("gzip");
    let on = |name: &str| scope.is_on(name);
    let mut codings = Vec::new();
    for (name, coding) in [("zstd", "zstd"), ("brotli", "br"), ("gzip", "gzip")] {
        if on(name) {
            codings.push(coding.to_owned());
        }
    }
    if codings.is_empty() {
        return gzip.map(|_| "false".to_owned());
    }
    let mut types = vec!["text/html".to_owned()];
    let mut all = false;
    for name in ["gzip_types", "brotli_types", "zstd_types"] {
        for directive in scope.all(name) {
            for kind in &directive.arguments {
                let kind = kind.to_ascii_lowercase();
                if kind == "*" {
                    all = true;
                    notes.different(
                        directive,
                        "what is compressed already by its kind, such as images, is not compressed again",
                    );
                } else if !is_type(&kind) {
                    // What is no type would be an error.
                    notes.missing(directive, format!("{kind:?} is no type"));
                } else if !types.contains(&kind) {
                    types.push(kind);
                }
            }
        }
    }
    let lengths = ["gzip_min_length", "brotli_min_length", "zstd_min_length"];
    let least = lengths.iter().filter_map(|name| scope.word(name)).find_map(measure::size).unwrap_or(20);
    let mut entries = vec![
        ("codings".to_owned(), written::list(&codings)),
        ("least".to_owned(), measure::written_size(least.min(1 << 30))),
    ];
    if !all {
        entries.push(("types".to_owned(), written::list(&types)));
    }
    Some(written::table(&entries))
}

/// `text/html`
pub(super) fn is_type(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}
