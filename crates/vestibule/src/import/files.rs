//! `root`, `alias`, `index`, `try_files`, `expires`, `gzip_static`: what is answered from a directory.

use super::directive::Directive;
use super::limits;
use super::location::Location;
use super::measure;
use super::note::Notes;
use super::order::Kind;
use super::scope::Scope;
use super::variable;
use super::written;

/// What `files` of a route says.
#[derive(Debug, Default, Clone)]
pub(super) struct Files {
    pub(super) root: String,
    pub(super) strip: Option<String>,
    /// Nothing: no file stands for a directory.
    pub(super) index: Option<String>,
    pub(super) fallback: Vec<String>,
    pub(super) precompressed: Vec<String>,
    pub(super) cache_control: Option<String>,
    /// Types by the ending of a name.
    pub(super) types: Vec<(String, String)>,
    /// Where links may lead beside the root.
    pub(super) links: Option<String>,
    /// Another path that the file lies at: of an exact location with an `alias`.
    pub(super) path: Option<String>,
}

impl Files {
    /// The directory of a location, and how it is looked into; `None` without `root` and `alias`.
    pub(super) fn of(location: &Location<'_>, notes: &mut Notes) -> Option<Files> {
        let scope = &location.scope;
        let mut files = Files::default();
        if let Some(alias) = scope.own("alias").into_iter().next() {
            files.alias(alias, location, notes)?;
        } else {
            let root = scope.one("root")?;
            files.root = directory(root, scope, notes)?;
        }
        files.links = shared(&files.root);
        if files.links.is_none()
            && let Some(root) = scope.own("alias").first().copied().or_else(|| scope.one("root"))
        {
            notes.different(root, "links that lead out of it are not followed, unless files.links names where to; nothing is found whose name begins with a dot");
        }
        files.index = index(scope, notes);
        files.types = types(scope, notes);
        for (name, coding) in [("brotli_static", "br"), ("zstd_static", "zstd"), ("gzip_static", "gzip")] {
            if let Some(directive) = scope.one(name) {
                if matches!(directive.argument(0), "on" | "always") {
                    files.precompressed.push(coding.to_owned());
                }
                if directive.argument(0) == "always" {
                    notes.different(directive, "a client that does not take the coding gets the plain file");
                }
            }
        }
        Some(files)
    }

    fn alias(&mut self, alias: &Directive, location: &Location<'_>, notes: &mut Notes) -> Option<()> {
        let path = alias.argument(0);
        if path.contains('$') {
            notes.missing(alias, "its path depends on the request; write a [[route]] for each directory");
            return None;
        }
        match &location.kind {
            Some(Kind::Exact(_)) => {
                let (directory, name) = path.rsplit_once('/')?;
                self.root = directory.to_owned();
                self.path = Some(format!("/{name}"));
            }
            Some(Kind::Prefix(prefix, _)) => {
                if prefix.ends_with('/') != path.ends_with('/') {
                    notes.missing(alias, "location and alias do not both end with a slash: write files = { root = …, strip = … }");
                    return None;
                }
                self.root = path.trim_end_matches('/').to_owned();
                self.strip = Some(prefix.trim_end_matches('/').to_owned()).filter(|strip| !strip.is_empty());
            }
            _ => {
                notes.missing(alias, "the location is a regular expression: write a [[route]] with a path and files = { root = …, strip = … }");
                return None;
            }
        }
        Some(())
    }

    /// As the value of `files`.
    pub(super) fn value(&self) -> String {
        let mut keys = vec![("root".to_owned(), written::text(&self.root))];
        if let Some(strip) = &self.strip {
            keys.push(("strip".to_owned(), written::text(strip)));
        }
        match self.index.as_deref() {
            Some("index.html") => {}
            Some(index) => keys.push(("index".to_owned(), written::text(index))),
            None => keys.push(("index".to_owned(), "false".to_owned())),
        }
        if !self.fallback.is_empty() {
            keys.push(("fallback".to_owned(), written::list(&self.fallback)));
        }
        if !self.precompressed.is_empty() {
            keys.push(("precompressed".to_owned(), written::list(&self.precompressed)));
        }
        if !self.types.is_empty() {
            let types: Vec<_> =
                self.types.iter().map(|(ending, kind)| (ending.clone(), written::text(kind))).collect();
            keys.push(("types".to_owned(), written::table(&types)));
        }
        if let Some(links) = &self.links {
            keys.push(("links".to_owned(), written::list(std::slice::from_ref(links))));
        }
        if let Some(cache_control) = &self.cache_control {
            keys.push(("cache_control".to_owned(), written::text(cache_control)));
        }
        written::table(&keys)
    }
}

/// Where Capistrano keeps what all releases have in common, and what of each release links to: of `…/current/public` that is `…/shared`.
fn shared(root: &str) -> Option<String> {
    let (base, below) = root.split_once("/current/")?;
    (!base.is_empty() && !below.is_empty()).then(|| format!("{base}/shared"))
}

/// The value of `root`.
pub(super) fn directory(root: &Directive, scope: &Scope<'_>, notes: &mut Notes) -> Option<String> {
    let mut path = root.argument(0).to_owned();
    // `set $root …` above is a usual way to write it once.
    for set in scope.look("set") {
        if let Some(filled) = variable::filled(&path, set.argument(0), set.argument(1)) {
            set.see();
            path = filled;
        }
    }
    if path.contains('$') {
        notes.missing(
            root,
            "its path depends on the request; write a [[route]] for each host and its directory",
        );
        return None;
    }
    if !path.starts_with('/') {
        notes.different(root, "nginx looks for it below its prefix (`nginx -V`), Vestibule beside its configuration: write it from the root");
    }
    Some(if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path })
}

/// The file of a directory.
fn index(scope: &Scope<'_>, notes: &mut Notes) -> Option<String> {
    let Some(directive) = scope.one("index") else { return Some("index.html".to_owned()) };
    let plain = |name: &&String| !name.contains('$') && !name.starts_with('/') && !name.ends_with(".php");
    let mut names = directive.arguments.iter().filter(plain);
    let first = names.next().cloned();
    if names.next().is_some() && first.as_deref() != Some("index.html") {
        notes.different(directive, "one name stands for a directory, the first of these");
    }
    first
}

/// `types` and `default_type`: types by the endings of names.
fn types(scope: &Scope<'_>, notes: &mut Notes) -> Vec<(String, String)> {
    let mut types: Vec<(String, String)> = Vec::new();
    for block in scope.all("types") {
        notes.different(
            block,
            "these types stand beside those that are known, in place of those of the same ending",
        );
        for directive in block.inside() {
            let is_ending = |ending: &String| {
                !ending.is_empty()
                    && ending.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
            };
            if !limits::is_type(&directive.name) || !directive.arguments.iter().all(is_ending) {
                notes.missing(directive, "write it in files.types, by what follows the last dot of a name");
                continue;
            }
            directive.see();
            for ending in directive.arguments.iter().map(|ending| ending.to_ascii_lowercase()) {
                if !types.iter().any(|(known, _)| *known == ending) {
                    types.push((ending, directive.name.clone()));
                }
            }
        }
    }
    if let Some(directive) = scope.one("default_type") {
        if directive.argument(0) == "application/octet-stream" {
            notes.needless(directive, "it is the type of a file whose own is not known");
        } else {
            notes.missing(
                directive,
                "a file whose type is not known is application/octet-stream: write its ending in files.types",
            );
        }
    }
    types
}

/// What `try_files` says.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Whether files are asked at all.
    pub(super) files: bool,
    /// Whether a directory has an index.
    pub(super) index: bool,
    pub(super) fallback: Vec<String>,
    /// `@app`, `=404`, or another path.
    pub(super) last: String,
}

/// Takes a `try_files` apart.
pub(super) fn tries(directive: &Directive, notes: &mut Notes) -> Tries {
    let mut tries = Tries::default();
    let Some((last, names)) = directive.arguments.split_last() else { return tries };
    tries.last.clone_from(last);
    for name in names {
        match name.as_str() {
            "$uri" | "$request_filename" => {
                // A directory's own page cannot be there beside a file of its name.
                if let Some(first) = tries.fallback.iter().find(|name| *name != "$path/index.html") {
                    let why = format!(
                        "{first} is looked for behind the file itself, not before it; a page of maintenance is `maintenance` of the upstream"
                    );
                    notes.different(directive, why);
                }
                tries.files = true;
            }
            "$uri/" => (tries.files, tries.index) = (true, true),
            name if !name.contains('$') && name.starts_with('/') => {
                tries.files = true;
                tries.fallback.push(name.to_owned());
            }
            name => match name.strip_prefix("$uri") {
                Some(end) if !end.contains('$') => {
                    tries.files = true;
                    tries.fallback.push(format!("$path{end}"));
                }
                _ => notes.missing(
                    directive,
                    format!("{name} depends on more than the path; write it as a [[route]] with conditions"),
                ),
            },
        }
    }
    tries
}

/// `expires` and `Cache-Control`, as one value.
pub(super) fn cache_control(scope: &Scope<'_>, more: &[String], notes: &mut Notes) -> Option<String> {
    let mut values: Vec<String> = Vec::new();
    if let Some(expires) = scope.one("expires") {
        match expires.argument(0) {
            "off" => {}
            "max" => values.push("max-age=315360000".to_owned()),
            "epoch" => values.push("no-cache".to_owned()),
            time if time.starts_with('-') => values.push("no-cache".to_owned()),
            time => match measure::time(time.trim_start_matches('+')) {
                Some(time) => values.push(format!("max-age={}", time.as_secs())),
                None => {
                    notes
                        .missing(expires, "write cache_control with a time that does not depend on the file");
                }
            },
        }
        if !values.is_empty() {
            notes.needless_part(
                expires,
                "Expires itself is not sent: Cache-Control says the same (RFC 9111 5.3)",
            );
        }
    }
    for value in more.iter().flat_map(|value| value.split(',')).map(str::trim) {
        if !value.is_empty() && !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }
    (!values.is_empty()).then(|| values.join(", "))
}
