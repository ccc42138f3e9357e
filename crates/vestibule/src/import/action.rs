//! What a location does, as the keys of a route.

use super::access;
use super::condition::{self, OldWay};
use super::directive::Directive;
use super::fields::{About, Caching, Fields, UNCACHED};
use super::files::{self, Files};
use super::limits;
use super::location::{Location, Locations};
use super::note::Notes;
use super::order::{self, Kind};
use super::pattern::Regex;
use super::redirect::{self, Rewritten};
use super::scope::Scope;
use super::upstream::{Target, Upstreams};
use super::variable::Known;
use super::written::{self, Keys};
use super::zone::Zones;

/// What routes of all servers share.
#[derive(Debug, Default)]
pub(super) struct Shared<'d> {
    pub(super) upstreams: Upstreams<'d>,
    /// `limit_req_zone`
    pub(super) zones: Zones<'d>,
    /// What `[limits] body` and `[compress]` say; routes say what differs.
    pub(super) body: Option<u64>,
    pub(super) compress: Option<String>,
    /// Whether there are `trusted_proxies`.
    pub(super) trusts: bool,
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
pub(super) const NOTHING: u16 = 404;

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
    let old = condition::conditions(location, notes);

    if !scope.own("internal").is_empty() {
        respond(&mut keys, NOTHING);
        for directive in scope.own("add_header") {
            notes.missing(
                directive,
                "write it in fields.response of the route with `sendfile`; the page of an error has the fields of the route that was asked",
            );
        }
        for directive in scope.block() {
            if matches!(directive.name.as_str(), "types" | "default_type") {
                notes.missing(
                    directive,
                    "the application says of what type is what it has sent (Content-Type)",
                );
            }
        }
        let about = About { known, ..site.about };
        let mut fields = Fields::default();
        fields.answers_of_errors(scope, about, site.hsts);
        fields.write(&mut keys);
        return vec![Draft { only: None, keys }];
    }
    let mut kept_out = Keys::default();
    let nobody = access::write(scope, &mut shared.zones, &mut kept_out, notes);
    // A `return` answers before anybody is kept out.
    if let Some(returns) = scope.own("return").first() {
        redirect::returned(returns, scope, known, &mut keys, notes);
        let about = About { known, ..site.about };
        let mut fields = Fields::default();
        fields.answers(scope, about, site.hsts, Caching::Plain, notes);
        fields.write(&mut keys);
        return vec![Draft { only: None, keys }];
    }
    let mut rewritten = None;
    for rewrite in scope.own("rewrite") {
        match redirect::rewrite(rewrite, location, site, shared, notes) {
            Rewritten::All(redirect) => {
                drafts.push(Draft { only: None, keys: redirect });
                return drafts;
            }
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

    keys.entries.extend(kept_out.entries);
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
pub(super) struct Answer<'d> {
    files: Option<Files>,
    upstream: Option<(Target, Scope<'d>)>,
    /// The location with another name that asks it, if it is not this one.
    elsewhere: bool,
    /// A status where there is no file.
    otherwise: Option<u16>,
    /// The `return` that answers there, and where it stands.
    returns: Option<(&'d Directive, Scope<'d>)>,
}

impl<'d> Answer<'d> {
    pub(super) fn of(
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
        } else if answer.files.is_some() && answer.upstream.is_none() {
            answer.error_page(location, site, shared, notes);
        }
        answer
    }

    /// `error_page 404 = @app`, another old way to write `try_files`. All others of a location stay unseen, and are told of in the end.
    fn error_page(
        &mut self,
        location: &Location<'d>,
        site: &Site<'_, 'd>,
        shared: &mut Shared<'d>,
        notes: &mut Notes,
    ) {
        let mut pages = location.scope.block().iter().filter(|directive| directive.name == "error_page");
        let Some((page, named)) = pages.find_map(|page| match page.arguments.as_slice() {
            [status, sign, name] if status == "404" && sign == "=" => {
                Some((page, site.locations.named(name)?))
            }
            _ => None,
        }) else {
            return;
        };
        if named.scope.block().iter().any(|directive| directive.name == "proxy_pass") {
            page.see();
            self.go_on_at(&named, page, shared, notes);
        }
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
            let status = status.parse::<u16>().ok().filter(|status| redirect::is_answer(*status));
            if status.is_none() {
                notes.missing(directive, format!("{last} is no answer by itself; 404 is what is answered"));
            }
            self.otherwise = status.filter(|status| *status != NOTHING || self.files.is_none());
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
            condition::conditions(named, notes);
            let target = shared.upstreams.target(pass, notes);
            self.upstream = target.map(|target| (target, named.scope.clone()));
            self.elsewhere = true;
            for rewrite in named.scope.own("rewrite") {
                notes.missing(rewrite, "write `rewrite` into the route");
            }
        } else if let Some(returns) = named.scope.own("return").first() {
            self.returns = Some((*returns, named.scope.clone()));
        } else {
            notes.missing(
                directive,
                format!("what {} does has no `proxy_pass` in it", named.directive.argument(0)),
            );
        }
    }

    pub(super) fn write(
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
        let mut steps = Vec::new();
        if !by_files && self.upstream.is_none() {
            fields.answers(scope, site.about, site.hsts, Caching::Plain, notes);
        }
        if let Some(files) = &self.files {
            let more = fields.answers(scope, site.about, site.hsts, Caching::OfFiles, notes);
            let cache_control = files::cache_control(scope, &more, notes);
            let files = Files { cache_control, ..files.clone() };
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
            let caching = Caching::OfApplication { beside_files: by_files };
            theirs.answers(upstream, site.about, site.hsts, caching, notes);
            if let Some(expires) = upstream.one("expires").filter(|expires| expires.argument(0) != "off") {
                notes.missing(expires, UNCACHED);
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
        } else if let Some((returns, scope)) = &self.returns {
            let caught = caught(location);
            redirect::returned(returns, scope, Known { caught: &caught, ..site.about.known }, keys, notes);
            steps.push(if keys.has("redirect") { "redirect" } else { "respond" });
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
        let asked = self.upstream.as_ref().map_or(scope, |(_, upstream)| upstream);
        let name = self.upstream.as_ref().map(|(target, _)| target.name.as_str());
        limits::write(asked, name, shared, notes, keys);
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
        shared: &mut Shared<'d>,
        notes: &mut Notes,
        keys: &mut Keys,
    ) {
        let own = ["allow", "deny", "auth_basic", "limit_req"]
            .into_iter()
            .find_map(|name| upstream.own(name).into_iter().next());
        let Some(own) = own.filter(|_| self.elsewhere) else { return };
        let mut theirs = Keys::default();
        access::write(upstream, &mut shared.zones, &mut theirs, notes);
        if self.files.is_some() {
            notes.different(own, format!("it holds for the files of {} too", location.directive.place));
        }
        keys.entries.extend(theirs.entries);
    }
}

fn upstream_name(upstream: &Scope<'_>, location: &Location<'_>) -> String {
    let pass = upstream.one("proxy_pass").or_else(|| upstream.one("passenger_enabled"));
    pass.map_or_else(|| location.directive.place.to_string(), |pass| pass.place.to_string())
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
