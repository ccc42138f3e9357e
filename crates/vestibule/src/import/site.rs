//! The routes of a server.

use std::path::{Component, Path, PathBuf};

use super::action::{self, Draft, Shared, Site};
use super::condition;
use super::directive::Directive;
use super::fields::About;
use super::files;
use super::listen;
use super::location::{Location, Locations};
use super::note::Notes;
use super::order::{self, Entry, Kind};
use super::pattern::Pattern;
use super::redirect;
use super::server::Server;
use super::variable::Known;
use super::written::{self, Keys};

/// A `[[route]]`, but for its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Where it comes from.
    pub(super) comment: String,
    /// Its paths; none for all.
    pub(super) paths: Vec<String>,
    pub(super) keys: Keys,
}

/// All of a server, in the order in which they are to be written. `hsts`: its listener says Strict-Transport-Security.
pub(super) fn routes<'d>(
    server: &Server<'d>,
    locations: &Locations<'d>,
    hsts: bool,
    shared: &mut Shared<'d>,
    notes: &mut Notes,
) -> Vec<Written> {
    let sendfile = sendfile(locations, notes);
    let mut ports: Vec<_> =
        server.listens.iter().filter_map(|listen| listen::port(&listen.address)).collect();
    ports.dedup();
    let known = Known { server_name: server.names.first().map_or("", String::as_str), ..Known::default() };
    let about = About {
        known,
        port: ports.first().copied().filter(|_| ports.len() == 1),
        is_tls: server.is_tls(),
        trusts: shared.trusts,
        sendfile: &sendfile,
    };
    let site = Site { locations, about, hsts, sendfile: &sendfile };

    let mut drafts: Vec<(usize, Draft)> = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut own = action::drafts(&locations.all[0], &site, shared, notes);
    let last = own.pop();
    // A server's own rewrites come before any location is looked for.
    for draft in own {
        if let Some(regex) = &draft.only {
            entries.push(Entry { pattern: Pattern::Regex(regex.clone()), target: drafts.len() });
        }
        drafts.push((0, draft));
    }
    let answers_all = last.as_ref().is_some_and(|draft| {
        draft.keys.has("redirect")
            || locations.all[0].scope.block().iter().any(|directive| directive.name == "return")
    });
    let level: &[_] = if answers_all { &[] } else { &locations.choices };
    let (list, lost) = order::list(level, 0);
    for target in lost {
        notes.different(locations.all[target].directive, "it fits in a part of the server only where another location is not asked first: look at the order of the routes");
    }
    if !answers_all {
        without_slash(locations, &mut drafts, &mut entries, notes);
    }
    let mut of_target: Vec<Option<Vec<usize>>> = vec![None; locations.all.len()];
    for Entry { pattern, target } in list {
        if of_target[target].is_none() {
            let made = if target == 0 {
                last.clone().into_iter().collect()
            } else {
                action::drafts(&locations.all[target], &site, shared, notes)
            };
            let first = drafts.len();
            drafts.extend(made.into_iter().map(|draft| (target, draft)));
            of_target[target] = Some((first..drafts.len()).collect());
        }
        for &index in of_target[target].iter().flatten() {
            let only = match (&drafts[index].1.only, &pattern) {
                (None, pattern) => Some(pattern.clone()),
                (Some(regex), Pattern::Prefix(prefix)) => regex.below(prefix).map(Pattern::Regex),
                (Some(regex), Pattern::Exact(path)) => regex.fits(path).then(|| pattern.clone()),
                // Most often the one expression is the other again.
                (Some(regex), Pattern::Regex(_)) => Some(Pattern::Regex(regex.clone())),
            };
            if let Some(pattern) = only {
                entries.push(Entry { pattern, target: index });
            }
        }
    }
    written(order::for_routes(entries), &drafts, locations)
}

/// A location `/api/` with a proxy_pass has nginx send `/api` there, if no other location is for that.
fn without_slash(
    locations: &Locations<'_>,
    drafts: &mut Vec<(usize, Draft)>,
    entries: &mut Vec<Entry>,
    notes: &mut Notes,
) {
    for (target, location) in locations.all.iter().enumerate() {
        let Some(Kind::Prefix(prefix, _)) = &location.kind else { continue };
        let passes =
            !location.scope.own("proxy_pass").is_empty() && location.scope.own("internal").is_empty();
        let Some(path) = prefix.strip_suffix('/').filter(|path| !path.is_empty() && passes) else { continue };
        let is_taken = locations
            .all
            .iter()
            .any(|other| matches!(&other.kind, Some(Kind::Exact(own) | Kind::Prefix(own, _)) if own == path));
        if !is_taken {
            // `?$query` would leave a `?` where there is none.
            notes.different(
                location.directive,
                "what comes without the slash at the end is sent on without its query",
            );
            let mut keys = Keys::default();
            let to = written::text(&prefix.replace('$', "$$"));
            keys.set(
                "redirect",
                written::table(&[("to".to_owned(), to), ("status".to_owned(), "301".to_owned())]),
            );
            entries.push(Entry { pattern: Pattern::Exact(path.to_owned()), target: drafts.len() });
            drafts.push((target, Draft { only: None, keys }));
        }
    }
}

/// The entries as routes; neighbours with the same draft are one.
fn written(entries: Vec<Entry>, drafts: &[(usize, Draft)], locations: &Locations<'_>) -> Vec<Written> {
    let mut all: Vec<Written> = Vec::new();
    let mut before = None;
    for Entry { pattern, target } in entries {
        let (location, draft) = &drafts[target];
        let paths = pattern.written();
        match all.last_mut().filter(|_| before == Some(target)) {
            Some(route) => route.paths.extend(paths),
            None => {
                let Location { directive, .. } = &locations.all[*location];
                let what = if *location == 0 {
                    "what no location fits".to_owned()
                } else {
                    directive.text().trim_end_matches(" { … }").to_owned()
                };
                let internal = locations.all[*location].scope.own("internal");
                let what = if internal.is_empty() {
                    what
                } else {
                    format!("{what}, internal: for the application's answers only")
                };
                let what = if draft.only.is_some() { format!("rewrite in {what}") } else { what };
                let comment = format!("{what} ({})", directive.place);
                let mut paths = paths;
                // A prefix that has become an expression catches what it leaves over all the same.
                if let (None, Pattern::Regex(regex)) = (&draft.only, &pattern)
                    && regex.groups.is_empty()
                    && draft.keys.entries.iter().any(|(key, value)| key == "rewrite" && value.contains("$1"))
                {
                    paths.iter_mut().for_each(|path| path.push_str("(.*)"));
                }
                all.push(Written { comment, paths, keys: draft.keys.clone() });
            }
        }
        before = Some(target);
    }
    for route in &mut all {
        if route.paths == ["/*"] {
            route.paths.clear();
        }
    }
    all
}

/// Locations that only the application leads to, by X-Accel-Redirect: `internal` with a directory.
fn sendfile(locations: &Locations<'_>, notes: &mut Notes) -> Vec<(String, String)> {
    let mut all = Vec::new();
    // Those of a location are looked at only, not seen: nobody carries them over.
    let own = locations.all.iter().skip(1).flat_map(|location| location.scope.block());
    let own = own.filter(|directive| directive.name == "error_page");
    let pages: Vec<&str> = locations.all[0]
        .scope
        .all("error_page")
        .into_iter()
        .chain(own)
        .filter_map(|page| page.arguments.last().map(String::as_str))
        .collect();
    for location in &locations.all {
        let internal = location.scope.own("internal");
        let (Some(internal), Some(Kind::Prefix(prefix, _))) = (internal.first(), &location.kind) else {
            continue;
        };
        let root = location.scope.one("root").and_then(|root| {
            let root = files::directory(root, &location.scope, notes)?;
            Some(format!("{}{prefix}", root.trim_end_matches('/')))
        });
        let alias = location.scope.own("alias").first().map(|alias| alias.argument(0).to_owned());
        match alias.or(root) {
            Some(directory) if prefix.ends_with('/') && !directory.contains('$') => {
                let directory =
                    if directory.len() > 1 { directory.trim_end_matches('/').to_owned() } else { directory };
                all.push((prefix.clone(), directory));
            }
            // The page of an error is asked for by its name only.
            _ if pages.contains(&prefix.as_str()) => {}
            _ => notes.missing(
                internal,
                "write the directory of what the application sends so as `sendfile` of its route",
            ),
        }
    }
    all
}

/// `if ($host = a.example) { return 301 …; }` of a server: the host, and what it gets.
pub(super) fn of_hosts(server: &Server<'_>, notes: &mut Notes) -> Vec<(String, Written)> {
    let mut all = Vec::new();
    for directive in
        server.scope.own("if").into_iter().filter(|directive| condition::is_taken_elsewhere(directive))
    {
        let host = directive.argument(2).trim_end_matches(')').trim_matches('"').to_ascii_lowercase();
        let mut keys = Keys::default();
        for inner in directive.inside().iter().filter(|inner| inner.name == "return") {
            inner.see();
            redirect::returned(inner, &server.scope, Known::default(), &mut keys, notes);
        }
        all.push((
            host,
            Written {
                comment: format!("{} ({})", directive.text(), directive.place),
                paths: Vec::new(),
                keys,
            },
        ));
    }
    all
}

/// The file whose presence means maintenance, of a server's condition.
pub(super) fn maintenance(locations: &Locations<'_>, notes: &mut Notes) -> Option<String> {
    let mut found = None;
    for location in &locations.all {
        for directive in location.scope.own("if") {
            if !condition::is_maintenance(directive) {
                continue;
            }
            let condition = directive.arguments.join(" ");
            let condition = condition.trim_start_matches('(').trim_end_matches(')').trim();
            let file = condition.strip_prefix("-f").map(|file| file.trim().trim_matches('"').to_owned());
            let root =
                location.scope.one("root").and_then(|root| files::directory(root, &location.scope, notes));
            let root = root.unwrap_or_default();
            let file =
                file.map(|file| file.replace("$document_root", &root).replace("$realpath_root", &root));
            match file {
                Some(file) if file.starts_with('/') && !file.contains('$') => {
                    directive.see_all();
                    notes.different(directive, "files are answered all the same; what would go to the application gets the page (maintenance of its upstream)");
                    found = found.or(Some(plain(&file)));
                }
                _ => notes.missing(directive, "write the file as `maintenance` of the upstream"),
            }
        }
    }
    found
}

/// A path without `.` and `..`: with a link in it that could mean another place, so only what a name precedes is left out.
fn plain(path: &str) -> String {
    let mut plain = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                // `current` of Capistrano is a link: what is above it is not what is above the release that it leads to.
                if plain.file_name().is_some_and(|name| name != "current") {
                    plain.pop();
                } else {
                    return path.to_owned();
                }
            }
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain.to_string_lossy().into_owned()
}

/// `error_page`: statuses with the files of their pages.
pub(super) fn error_pages<'d>(
    locations: &Locations<'d>,
    notes: &mut Notes,
) -> Vec<(u16, String, &'d Directive)> {
    let mut pages = Vec::new();
    let server = &locations.all[0];
    for directive in server.scope.all("error_page") {
        let Some((uri, codes)) = directive.arguments.split_last() else { continue };
        let (changed, codes): (Vec<_>, Vec<_>) = codes.iter().partition(|code| code.starts_with('='));
        if !changed.is_empty() {
            notes.missing(directive, "a page does not change the status; write [error_pages], or a route");
            continue;
        }
        let Some(file) = page(uri, locations, notes) else {
            notes.missing(directive, "write the file of the page in [error_pages]");
            continue;
        };
        if !["html", "json", "txt"]
            .iter()
            .any(|ending| Path::new(&file).extension().is_some_and(|known| known == *ending))
        {
            notes.missing(directive, "a page is an .html, .json or .txt file");
            continue;
        }
        for code in codes.iter().filter_map(|code| code.parse::<u16>().ok()) {
            if OURS.contains(&code) {
                pages.push((code, file.clone(), directive));
            } else {
                notes.needless_part(
                    directive,
                    "500 and other statuses that only the application answers with keep its page",
                );
            }
        }
    }
    pages
}

/// The statuses that Vestibule answers with itself.
const OURS: &[u16] = &[400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 502, 503, 504, 505, 507];

fn page(uri: &str, locations: &Locations<'_>, notes: &mut Notes) -> Option<String> {
    if uri.starts_with('@') {
        let named = locations.named(uri)?;
        named.directive.see();
        // It is sent whatever was asked for.
        let to = named.scope.own("rewrite").first().map(|rewrite| rewrite.argument(1).to_owned());
        let to =
            to.or_else(|| named.scope.own("try_files").first().map(|tries| tries.argument(0).to_owned()))?;
        named.directive.see_all();
        let root = files::directory(named.scope.one("root")?, &named.scope, notes)?;
        return (to.starts_with('/') && !to.contains('$')).then(|| format!("{root}{to}"));
    }
    if !uri.starts_with('/') || uri.contains('$') {
        return None;
    }
    let target = order::choose(&locations.choices, uri).unwrap_or(0);
    let location = &locations.all[target];
    let scope = &location.scope;
    let alias = scope.own("alias");
    let Some(alias) = alias.first() else {
        return Some(format!("{}{uri}", files::directory(scope.one("root")?, scope, notes)?));
    };
    let rest = uri.strip_prefix(location.prefix().unwrap_or(uri))?;
    Some(format!("{}{rest}", alias.argument(0)))
}

/// The path of a route as it is written.
pub(super) fn paths(route: &Written) -> Option<String> {
    (!route.paths.is_empty()).then(|| written::one_or_list(&route.paths))
}
