//! What a location does, as the keys of a route.

use super::access;
use super::directive::Directive;
use super::fields::{About, Fields};
use super::files::{self, Files};
use super::location::{Location, Locations};
use super::measure;
use super::note::Notes;
use super::order::{self, Kind};
use super::pattern::Regex;
use super::scope::Scope;
use super::upstream::{self, Target, Upstreams};
use super::variable::{self, Known};
use super::written::{self, Keys};

/// What routes of all servers share.
#[derive(Debug, Default)]
pub(super) struct Shared<'d> {
    pub(super) upstreams: Upstreams<'d>,
    /// `limit_req_zone`
    pub(super) zones: Vec<&'d Directive>,
    /// What `[limits] body` and `[compress]` say; routes say what differs.
    pub(super) body: Option<u64>,
    pub(super) compress: Option<String>,
}

/// What is known of the server whose locations they are.
#[derive(Debug)]
pub(super) struct Site<'s, 'd> {
    pub(super) locations: &'s Locations<'d>,
    pub(super) about: About<'s>,
    /// Whether its listener says Strict-Transport-Security.
    pub(super) hsts: bool,
    /// Where files lie that its application has us send.
    pub(super) sendfile: &'s [(String, String)],
}

/// What is to be written for a location: requests below `only` first.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Of the paths of the location, those that fit this.
    pub(super) only: Option<Regex>,
    pub(super) keys: Keys,
}

/// What a location does is in no route that could be written.
const NOTHING: u16 = 404;

/// Directives by which others than we answer.
const FOREIGN: &[(&str, &str)] = &[
    (
        "fastcgi_pass",
        "FastCGI is not spoken; requests to it are answered 404, so that no source is sent as a file",
    ),
    ("uwsgi_pass", "uwsgi is not spoken: have the application listen for HTTP, and write its upstream"),
    ("scgi_pass", "SCGI is not spoken: have the application listen for HTTP, and write its upstream"),
    ("grpc_pass", "gRPC to an upstream is not offered"),
    ("memcached_pass", "memcached is not asked"),
    ("stub_status", "there is no such page; `vestibule app status` and the access log have the numbers"),
    ("content_by_lua_block", "Lua is not run: the application has to answer this"),
    ("content_by_lua_file", "Lua is not run: the application has to answer this"),
    ("empty_gif", "have a file of that name below `files`"),
    ("perl", "Perl is not run"),
    ("dav_methods", "WebDAV is not offered"),
    ("autoindex", "directories are not listed"),
];

/// The routes of a location, the more special first.
pub(super) fn drafts<'d>(
    location: &Location<'d>,
    site: &Site<'_, 'd>,
    shared: &mut Shared<'d>,
    notes: &mut Notes,
) -> Vec<Draft> {
    let scope = &location.scope;
    let mut keys = Keys::default();
    let mut drafts = Vec::new();
    let caught = caught(location);
    let known = Known { caught: &caught, ..site.about.known };
    let old = conditions(location, notes);

    if !scope.own("internal").is_empty() {
        respond(&mut keys, NOTHING);
        return vec![Draft { only: None, keys }];
    }
    let nobody = access::write(scope, &shared.zones, &mut keys, notes);
    if let Some(returns) = scope.own("return").first() {
        returned(returns, scope, known, &mut keys, notes);
        let about = About { known, ..site.about };
        let mut fields = Fields::default();
        fields.answers(scope, about, site.hsts, false, notes);
        fields.write(&mut keys);
        return vec![Draft { only: None, keys }];
    }
    let rewrites = scope.own("rewrite");
    let mut rewritten = None;
    for rewrite in rewrites {
        match self::rewrite(rewrite, location, site, shared, notes) {
            Rewritten::All(redirect) => return vec![Draft { only: None, keys: redirect }],
            Rewritten::Some(draft) => drafts.push(draft),
            Rewritten::Path(path) => rewritten = rewritten.or(Some(path)),
            Rewritten::Nothing => {}
        }
    }

    if let Some((_, directive, why)) = FOREIGN.iter().find_map(|(name, why)| {
        let directive = scope.own(name).into_iter().find(|directive| directive.argument(0) != "off")?;
        Some((name, directive, why))
    }) {
        notes.missing(directive, *why);
        if directive.name != "autoindex" {
            respond(&mut keys, NOTHING);
            drafts.push(Draft { only: None, keys });
            return drafts;
        }
    }

    let answer = Answer::of(location, &old, site, shared, notes);
    if nobody && answer.upstream.is_none() {
        keys = Keys::default();
        respond(&mut keys, 403);
        drafts.push(Draft { only: None, keys });
        return drafts;
    }
    let mut answering = Keys::default();
    answer.write(location, site, shared, notes, &mut answering);
    if let Some(path) = rewritten {
        answering.set("rewrite", written::text(&path));
    }
    // What is asked where it goes on has been asked there.
    keys.entries.retain(|(name, _)| !answering.has(name));
    answering.entries.extend(keys.entries);
    drafts.push(Draft { only: None, keys: answering });
    drafts
}

/// `respond = 404`
pub(super) fn respond(keys: &mut Keys, status: u16) {
    keys.set("respond", status.to_string());
}

/// What the path of its route catches: what a prefix leaves over, or the groups of an expression.
fn caught(location: &Location<'_>) -> Vec<String> {
    match &location.kind {
        Some(Kind::Regex(regex)) => regex.groups.clone(),
        _ => Vec::new(),
    }
}

/// What answers.
#[derive(Debug, Default)]
struct Answer<'d> {
    files: Option<Files>,
    upstream: Option<(Target, Scope<'d>)>,
    /// The location with another name that asks it, if it is not this one.
    elsewhere: bool,
    /// A status where there is no file.
    otherwise: Option<u16>,
}

impl<'d> Answer<'d> {
    fn of(
        location: &Location<'d>,
        old: &OldWay<'d>,
        site: &Site<'_, 'd>,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
    ) -> Self {
        let scope = &location.scope;
        let mut answer = Answer::default();
        if let Some(pass) = scope.own("proxy_pass").first() {
            answer.upstream = shared.upstreams.target(pass, notes).map(|target| (target, scope.clone()));
            answer.otherwise = answer.upstream.is_none().then_some(NOTHING);
        } else if let Some(pass) = old.pass {
            let target = shared.upstreams.target(pass, notes);
            answer.upstream = target.map(|target| (target, scope.with(old.block)));
            answer.files = Files::of(location, notes);
        } else if let Some(passenger) =
            scope.one("passenger_enabled").filter(|_| scope.is_on("passenger_enabled"))
        {
            notes.different(passenger, "Passenger runs in nginx no more: start it by itself (`passenger start --socket …`, see config/), and write its address as that of the upstream");
            let name = shared.upstreams.named("unix:/tmp/web_server.sock", notes);
            answer.upstream = name.map(|name| (Target { name, path: None }, scope.clone()));
            answer.files = Files::of(location, notes);
            if let Some(files) = &mut answer.files {
                files.index = None;
            }
        } else if location.kind.is_some() || !scope.own("try_files").is_empty() || scope.one("root").is_some()
        {
            answer.files = Files::of(location, notes);
        }
        if let Some(files) = answer.files.as_mut().filter(|_| old.pass.is_some()) {
            files.index = None;
            files.fallback.clone_from(&old.fallback);
        }
        if let Some(directive) = scope.own("try_files").first() {
            answer.try_files(directive, location, site, shared, notes);
        }
        answer
    }

    fn try_files(
        &mut self,
        directive: &'d Directive,
        location: &Location<'d>,
        site: &Site<'_, 'd>,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
    ) {
        let tries = files::tries(directive, notes);
        match &mut self.files {
            Some(files) if tries.files => {
                if !tries.index {
                    files.index = None;
                }
                files.fallback = tries.fallback;
            }
            Some(_) => self.files = None,
            None if tries.files => notes.missing(directive, "there is no root that the files could lie in"),
            None => {}
        }
        let last = tries.last.as_str();
        if let Some(status) = last.strip_prefix('=') {
            self.otherwise = status.parse().ok().filter(|status| *status != NOTHING || self.files.is_none());
        } else if last.starts_with('@') {
            match site.locations.named(last) {
                Some(named) => self.go_on_at(&named, directive, shared, notes),
                None => notes.missing(directive, format!("there is no location {last}")),
            }
        } else if !last.contains('$') && last.starts_with('/') {
            self.page(last, directive, location, site, shared, notes);
        } else if matches!(last, "$uri" | "$uri/") {
            self.otherwise = None;
        } else {
            notes.missing(directive, format!("{last} depends on more than the path"));
        }
    }

    /// A file for all that have none, or a location that answers for them.
    fn page(
        &mut self,
        last: &str,
        directive: &'d Directive,
        location: &Location<'d>,
        site: &Site<'_, 'd>,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
    ) {
        let path = last.split('?').next().unwrap_or(last);
        let target =
            order::choose(&site.locations.choices, path).map(|target| site.locations.all[target].clone());
        match target {
            Some(other)
                if !other.scope.own("proxy_pass").is_empty()
                    && other.directive.place != location.directive.place =>
            {
                self.go_on_at(&other, directive, shared, notes);
            }
            _ => match &mut self.files {
                Some(files) => files.fallback.push(path.to_owned()),
                None => notes.missing(directive, "there is no root that the file could lie in"),
            },
        }
    }

    fn go_on_at(
        &mut self,
        named: &Location<'d>,
        directive: &Directive,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
    ) {
        named.directive.see();
        if let Some(pass) = named.scope.own("proxy_pass").first() {
            conditions(named, notes);
            let target = shared.upstreams.target(pass, notes);
            self.upstream = target.map(|target| (target, named.scope.clone()));
            self.elsewhere = true;
            for rewrite in named.scope.own("rewrite") {
                notes.missing(rewrite, "write `rewrite` into the route");
            }
        } else if let Some(returns) = named.scope.own("return").first() {
            self.otherwise = returns.argument(0).parse().ok();
        } else {
            notes.missing(
                directive,
                format!("what {} does has no `proxy_pass` in it", named.directive.argument(0)),
            );
        }
    }

    fn write(
        &self,
        location: &Location<'d>,
        site: &Site<'_, 'd>,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
        keys: &mut Keys,
    ) {
        let scope = &location.scope;
        let mut fields = Fields::default();
        let by_files = self.files.is_some();
        let more = fields.answers(scope, site.about, site.hsts, by_files, notes);
        let cache_control = files::cache_control(scope, &more, notes);
        let mut steps = Vec::new();
        if let Some(files) = &self.files {
            let files = Files { cache_control: cache_control.clone(), ..files.clone() };
            if let Some(path) = &files.path {
                keys.set("rewrite", written::text(path));
            }
            keys.set("files", files.value());
            steps.push("files");
        }
        if let Some((target, upstream)) = &self.upstream {
            keys.set("upstream", written::text(&target.name));
            steps.push("upstream");
            let mut theirs = Fields::default();
            theirs.requests(upstream, site.about, notes);
            theirs.hidden(upstream, notes);
            let more = theirs.answers(upstream, site.about, site.hsts, false, notes);
            if let Some(value) = files::cache_control(upstream, &more, notes) {
                theirs.replace("Cache-Control", &value);
            }
            self.access(upstream, location, shared, notes, keys);
            if by_files && self.elsewhere && !fields.answers_as(&theirs) {
                let why = format!(
                    "fields of answers are those of {} for files too",
                    upstream_name(upstream, location)
                );
                notes.different(location.directive, why);
            }
            fields = theirs;
            if let Some(path) = &target.path {
                pass_path(path, location, keys, notes);
            }
        } else if let Some(status) = self.otherwise {
            respond(keys, status);
            steps.push("respond");
        }
        if steps.is_empty() {
            respond(keys, NOTHING);
        }
        if steps.len() > 1 {
            let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
            keys.entries.insert(0, ("try".to_owned(), written::list(&steps)));
        }
        fields.write(keys);
        let limits = self.upstream.as_ref().map_or(scope, |(_, upstream)| upstream);
        self.limits(limits, shared, notes, keys);
        if self.upstream.is_some() && !site.sendfile.is_empty() {
            let sendfile: Vec<_> =
                site.sendfile.iter().map(|(from, root)| (from.clone(), written::text(root))).collect();
            keys.set("sendfile", written::table(&sendfile));
        }
    }

    /// What the location that is gone on to asks of who comes.
    fn access(
        &self,
        upstream: &Scope<'d>,
        location: &Location<'d>,
        shared: &Shared<'d>,
        notes: &mut Notes,
        keys: &mut Keys,
    ) {
        let own = ["allow", "deny", "auth_basic", "limit_req"]
            .into_iter()
            .find_map(|name| upstream.own(name).into_iter().next());
        let Some(own) = own.filter(|_| self.elsewhere) else { return };
        let mut theirs = Keys::default();
        access::write(upstream, &shared.zones, &mut theirs, notes);
        if self.files.is_some() {
            notes.different(own, format!("it holds for the files of {} too", location.directive.place));
        }
        keys.entries.extend(theirs.entries);
    }

    /// Limits, buffers, times, compression.
    fn limits(&self, scope: &Scope<'d>, shared: &mut Shared<'d>, notes: &mut Notes, keys: &mut Keys) {
        if let Some(compress) = compress(scope, notes)
            && Some(&compress) != shared.compress.as_ref()
        {
            keys.set("compress", compress);
        }
        let Some((target, _)) = &self.upstream else { return };
        let body = body(scope, notes);
        if Some(body) != shared.body {
            keys.set("limits", written::table(&[("body".to_owned(), measure::written_size(body))]));
        }
        let mut buffer = Vec::new();
        for (name, key) in [("proxy_buffering", "response"), ("proxy_request_buffering", "request")] {
            if scope.word(name) == Some("off") {
                buffer.push((key.to_owned(), "false".to_owned()));
            }
        }
        if scope.word("proxy_max_temp_file_size").and_then(measure::size) == Some(0) {
            buffer.push(("disk".to_owned(), "\"0 B\"".to_owned()));
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
        if let (Some(directive), Some(used)) =
            (scope.one("proxy_connect_timeout"), shared.upstreams.used(&target.name))
        {
            upstream::connect_timeout(used, directive, notes);
        }
    }
}

fn upstream_name(upstream: &Scope<'_>, location: &Location<'_>) -> String {
    let pass = upstream.one("proxy_pass").or_else(|| upstream.one("passenger_enabled"));
    pass.map_or_else(|| location.directive.place.to_string(), |pass| pass.place.to_string())
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
    for name in ["gzip_types", "brotli_types", "zstd_types"] {
        for directive in scope.all(name) {
            for kind in &directive.arguments {
                let kind = if kind == "*" { "*/*".to_owned() } else { kind.to_ascii_lowercase() };
                // What is no type would be an error.
                if !kind.contains('/') {
                    notes.missing(directive, format!("{kind:?} is no type"));
                } else if !types.contains(&kind) {
                    types.push(kind);
                }
            }
        }
    }
    let lengths = ["gzip_min_length", "brotli_min_length", "zstd_min_length"];
    let least = lengths.iter().filter_map(|name| scope.word(name)).find_map(measure::size).unwrap_or(20);
    Some(written::table(&[
        ("codings".to_owned(), written::list(&codings)),
        ("least".to_owned(), measure::written_size(least)),
        ("types".to_owned(), written::list(&types)),
    ]))
}

/// The path of a `proxy_pass`, which takes the place of the location's.
fn pass_path(path: &str, location: &Location<'_>, keys: &mut Keys, notes: &mut Notes) {
    match location.prefix() {
        Some(prefix) if path == "/" && prefix.ends_with('/') && prefix != "/" => {
            keys.set("strip", written::text(prefix.trim_end_matches('/')));
        }
        Some("/") if path == "/" => {}
        Some(prefix) if prefix.ends_with('/') => keys.set("rewrite", written::text(&format!("{path}$1"))),
        _ => notes.missing(
            location.directive,
            format!("the path {path} of its proxy_pass: write `rewrite` into the route"),
        ),
    }
}

/// What a `return` answers.
pub(super) fn returned(
    directive: &Directive,
    scope: &Scope<'_>,
    known: Known<'_>,
    keys: &mut Keys,
    notes: &mut Notes,
) {
    let (status, rest) = match directive.argument(0).parse::<u16>() {
        Ok(status) => (status, directive.argument(1)),
        Err(_) => (302, directive.argument(0)),
    };
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        return match variable::template(rest, known) {
            Ok(to) => redirect(keys, &to, status),
            Err(unknown) => {
                notes.missing(
                    directive,
                    format!("{unknown} is not known here; write a redirect with what is"),
                );
                respond(keys, NOTHING);
            }
        };
    }
    let Some(body) = variable::constant(rest) else {
        notes
            .missing(directive, "a fixed answer has the same text for all; have the application answer this");
        return respond(keys, status);
    };
    if body.is_empty() {
        return respond(keys, status);
    }
    let fields = scope.own("add_header");
    let kind = fields.iter().find(|field| field.argument(0).eq_ignore_ascii_case("content-type"));
    let kind =
        kind.map(|field| field.argument(1)).or_else(|| scope.word("default_type")).unwrap_or("text/plain");
    keys.set(
        "respond",
        written::table(&[
            ("status".to_owned(), status.to_string()),
            ("body".to_owned(), written::text(body)),
            ("type".to_owned(), written::text(kind)),
        ]),
    );
}

fn redirect(keys: &mut Keys, to: &str, status: u16) {
    // A path alone could begin with two slashes, which would lead to another host.
    let to = if to.starts_with("$uri") || to.starts_with("$path") {
        format!("$scheme://$host{to}")
    } else {
        to.to_owned()
    };
    let entries = [("to".to_owned(), written::text(&to)), ("status".to_owned(), status.to_string())];
    keys.set("redirect", written::table(&entries));
}

enum Rewritten {
    /// All that the location is for are sent elsewhere.
    All(Keys),
    /// Some of them.
    Some(Draft),
    /// All go on with another path.
    Path(String),
    Nothing,
}

/// A `rewrite` of a location or of a server.
fn rewrite<'d>(
    directive: &'d Directive,
    location: &Location<'d>,
    site: &Site<'_, 'd>,
    shared: &mut Shared<'d>,
    notes: &mut Notes,
) -> Rewritten {
    let (expression, to, flag) = (directive.argument(0), directive.argument(1), directive.argument(2));
    let regex = match Regex::of(expression, false) {
        Ok(regex) => regex,
        Err(why) => {
            notes.missing(directive, why);
            return Rewritten::Nothing;
        }
    };
    let is_all = matches!(
        expression,
        "^" | "."
            | ".*"
            | "^.*"
            | "^.*$"
            | "^/"
            | "^(.*)$"
            | "^(.*)"
            | "(.*)"
            | "^/(.*)$"
            | "^/(.*)"
            | "^/.*$"
    );
    // What the whole path is caught as is the path.
    let to = match expression {
        "^(.*)$" | "^(.*)" | "(.*)" => to.replace("$1", "$uri"),
        "^/(.*)$" | "^/(.*)" => to.replace("/$1", "$uri"),
        _ => to.to_owned(),
    };
    let sends = matches!(flag, "permanent" | "redirect")
        || to.starts_with("http://")
        || to.starts_with("https://")
        || to.starts_with("$scheme");
    let known = Known { caught: if is_all { &[] } else { &regex.groups }, ..site.about.known };
    let template = match variable::template(to.trim_end_matches('?'), known) {
        Ok(template) => template,
        Err(unknown) => {
            notes.missing(directive, format!("{unknown} is not known here"));
            return Rewritten::Nothing;
        }
    };
    if sends {
        // nginx adds the query, unless the text ends with `?` or has one.
        let mut template = template;
        if is_all && !to.ends_with('?') {
            template = template.replace("$path", "$uri");
        } else if !to.ends_with('?') && !to.contains('?') {
            notes.different(
                directive,
                "the query is left out of the new address: write ?$query behind it if it matters",
            );
        }
        let mut keys = Keys::default();
        redirect(&mut keys, &template, if flag == "permanent" { 301 } else { 302 });
        return if is_all {
            Rewritten::All(keys)
        } else {
            Rewritten::Some(Draft { only: Some(regex), keys })
        };
    }
    if let Some(Kind::Prefix(prefix, _)) = &location.kind
        && flag == "break"
    {
        // `rewrite ^/api/(.*)$ /$1 break`: what the location's prefix leaves over.
        let own = [
            format!("^{prefix}(.*)$"),
            format!("^{prefix}(.*)"),
            format!("^{prefix}/?(.*)$"),
            format!("{prefix}(.*)"),
        ];
        if own.iter().any(|own| own == expression) && prefix.ends_with('/') {
            return Rewritten::Path(template);
        }
        if is_all && template.starts_with('/') {
            return Rewritten::Path(template);
        }
    }
    if location.kind.is_none() && matches!(flag, "last" | "break" | "") && template.starts_with('/') {
        // The location that the new path leads to, as far as it can be known.
        let sample = template.replace("$1", "x").replace("$2", "x").replace("$3", "x");
        let target = order::choose(&site.locations.choices, &sample).unwrap_or(0);
        let other = site.locations.all[target].clone();
        if target != 0 || !other.scope.own("try_files").is_empty() {
            let mut keys = Keys::default();
            let answer = Answer::of(&other, &OldWay::default(), site, shared, notes);
            answer.write(&other, site, shared, notes, &mut keys);
            keys.set("rewrite", written::text(&template));
            notes.different(directive, format!("what answers is what answers {sample}"));
            return Rewritten::Some(Draft { only: Some(regex), keys });
        }
    }
    notes.missing(
        directive,
        "write a [[route]] with this expression as its path, `rewrite`, and what answers",
    );
    Rewritten::Nothing
}

/// `if (!-f $request_filename) { proxy_pass …; }`, as it was written before `try_files`.
#[derive(Debug, Default)]
struct OldWay<'d> {
    pass: Option<&'d Directive>,
    block: &'d [Directive],
    fallback: Vec<String>,
}

/// The conditions of a location: those that are another way of writing something else.
fn conditions<'d>(location: &Location<'d>, notes: &mut Notes) -> OldWay<'d> {
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
