//! `add_header`, `proxy_set_header` and their like.

use super::directive::Directive;
use super::note::Notes;
use super::scope::Scope;
use super::variable::{self, Known};
use super::written::{self, Keys};

/// What a location says of fields.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// Of requests: set, and left out.
    set: Vec<(String, String)>,
    remove: Vec<String>,
    /// Of answers: added, and left out.
    add: Vec<(String, String)>,
    hide: Vec<String>,
}

/// What becomes of `add_header Cache-Control`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caching {
    /// It is a field as others are.
    Plain,
    /// It goes into `files.cache_control`.
    OfFiles,
    /// It would be on the errors of an application too; `beside_files`, on files that have their own.
    OfApplication { beside_files: bool },
}

/// What is known of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'k> {
    pub(super) known: Known<'k>,
    /// The port, where it is only one.
    pub(super) port: Option<u16>,
    pub(super) is_tls: bool,
    /// Whether any proxy before us is believed.
    pub(super) trusts: bool,
    /// What of the names that the application hands over is which directory.
    pub(super) sendfile: &'k [(String, String)],
}

const SAME_ON_ERRORS: &str = "it is added to answers with an error status too, as with `always`";

/// A field of the route is on every answer: an error or a missing page would be kept as long as a good one.
pub(super) const UNCACHED: &str =
    "the application says Cache-Control itself; a field that is set holds for its errors too";

const UNTRUSTED: &str = "what a client sends of this is not believed: name the proxy that stands before Vestibule in trusted_proxies";

const USUAL: &str = "Host, X-Real-IP, X-Forwarded-*, X-Request-*, X-Accel-Mapping, and what a WebSocket needs are written by themselves";

/// Fields that Vestibule writes itself, and the values that mean what it writes.
const OWN: &[(&str, &[&str])] = &[
    ("host", &["$http_host", "$host", "$host:$server_port", "$http_host:$server_port"]),
    ("x-real-ip", &["$remote_addr", "$realip_remote_addr"]),
    ("x-forwarded-for", &["$proxy_add_x_forwarded_for", "$remote_addr", "$http_x_forwarded_for"]),
    ("x-forwarded-proto", &["$scheme", "$http_x_forwarded_proto"]),
    ("x-forwarded-host", &["$host", "$http_host", "$host:$server_port"]),
    ("x-request-id", &["$request_id", "$http_x_request_id"]),
    ("x-request-start", &["t=${msec}", "t=$msec", "${msec}", "$msec"]),
    ("client-ip", &["$remote_addr"]),
];

/// What belongs to the connection, and is written as it has to be.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "upgrade",
    "keep-alive",
    "te",
    "transfer-encoding",
    "content-length",
    "proxy",
    "proxy-connection",
];

impl Fields {
    /// Of the requests that a location passes on.
    pub(super) fn requests(&mut self, scope: &Scope<'_>, about: About<'_>, notes: &mut Notes) {
        let all = scope.all("proxy_set_header");
        let says = |name: &str| all.iter().any(|directive| directive.argument(0).eq_ignore_ascii_case(name));
        if !says("host")
            && let Some(pass) = scope.one("proxy_pass")
        {
            notes.different(pass, "without `proxy_set_header Host` nginx sends the upstream's name; Vestibule sends the client's Host");
        }
        for directive in all {
            self.request(directive, about, notes);
        }
        if scope.word("proxy_pass_request_headers") == Some("off") {
            notes.missing_one(scope, "proxy_pass_request_headers", "the fields of a request are passed on");
        }
    }

    fn request(&mut self, directive: &Directive, about: About<'_>, notes: &mut Notes) {
        let (name, value) = (directive.argument(0), directive.argument(1));
        let lower = name.to_ascii_lowercase();
        if OF_THE_CONNECTION.contains(&lower.as_str()) {
            return notes.needless(directive, USUAL);
        }
        let own = OWN.iter().find(|(own, _)| *own == lower);
        // Passed on by nginx whoever sent it, and written anew here.
        let is_untrusted = value.starts_with("$http_x_") && !about.trusts;
        if own.is_some_and(|(_, values)| values.contains(&value)) {
            if is_untrusted {
                return notes.different(directive, UNTRUSTED);
            }
            return notes.needless(directive, USUAL);
        }
        if matches!(lower.as_str(), "x-sendfile-type" | "x-accel-mapping") {
            let unknown = value.split(',').filter_map(|pair| pair.split_once('=')).any(|(root, from)| {
                let is_it = |(known, directory): &(String, String)| {
                    known.trim_end_matches('/') == from.trim().trim_end_matches('/')
                        && directory == root.trim().trim_end_matches('/')
                };
                !about.sendfile.iter().any(is_it)
            });
            return if unknown || about.sendfile.is_empty() {
                notes.missing(
                    directive,
                    "write what it says as `sendfile` of the route: the application is told of it by itself",
                );
            } else {
                notes.needless(directive, USUAL);
            };
        }
        let own_scheme = if about.is_tls { "https" } else { "http" };
        let port = about.port.map(|port| port.to_string());
        let value = match (lower.as_str(), value, &port) {
            ("x-forwarded-proto", value, _) if value == own_scheme => {
                return notes.needless(directive, USUAL);
            }
            (
                "x-forwarded-proto" | "x-forwarded-for" | "x-real-ip" | "x-forwarded-host" | "x-request-id"
                | "x-request-start" | "forwarded" | "via" | "client-ip",
                ..,
            ) => {
                let why = "Vestibule says itself who the client is and how it came; where a proxy stands before it, name that in `trusted_proxies`";
                return notes.missing(directive, why);
            }
            ("x-forwarded-ssl", "$https", _) if about.is_tls => "on",
            ("x-forwarded-scheme", "$http_x_forwarded_scheme" | "$http_x_forwarded_proto", _) => {
                if is_untrusted {
                    notes.different(directive, UNTRUSTED);
                }
                "$scheme"
            }
            (_, "$server_port", Some(port)) => port,
            (_, value, _) => value,
        };
        if value.is_empty() {
            return push(&mut self.remove, name.to_owned());
        }
        match variable::template(value, about.known) {
            Ok(value) => push(&mut self.set, (name.to_owned(), value)),
            Err(unknown) => notes.missing(
                directive,
                format!("{unknown} is not known here; write fields.request.set with a value that is"),
            ),
        }
    }

    /// Of the answers. Gives the values of `Cache-Control` where they go to another key. `hsts` has been said already.
    pub(super) fn answers(
        &mut self,
        scope: &Scope<'_>,
        about: About<'_>,
        hsts: bool,
        caching: Caching,
        notes: &mut Notes,
    ) -> Vec<String> {
        let mut cache = Vec::new();
        for directive in scope.all("add_header") {
            let (name, value) = (directive.argument(0), directive.argument(1));
            let lower = name.to_ascii_lowercase();
            if value.is_empty() {
                notes.needless(directive, "a field without a value is not sent");
                continue;
            }
            if lower == "strict-transport-security" && (hsts || !about.is_tls) {
                if !about.is_tls {
                    notes.needless(directive, "browsers heed it over https only");
                }
                continue;
            }
            if lower == "alt-svc" && value.contains("h3") {
                notes.missing(directive, "HTTP/3 is not offered, and clients would look for it in vain");
                continue;
            }
            if lower == "cache-control" {
                match caching {
                    Caching::OfFiles => {
                        cache.push(value.to_owned());
                        continue;
                    }
                    Caching::OfApplication { beside_files } if beside_files || !directive.says("always") => {
                        notes.missing(directive, UNCACHED);
                        continue;
                    }
                    _ => {}
                }
            }
            if lower == "content-type" && scope.block().iter().any(|directive| directive.name == "return") {
                continue;
            }
            match variable::template(value, about.known) {
                Ok(value) => {
                    push(&mut self.add, (name.to_owned(), value));
                    if !directive.says("always") {
                        notes.different(directive, SAME_ON_ERRORS);
                    }
                }
                Err(unknown) => notes.missing(
                    directive,
                    format!("{unknown} is not known here; write fields.response.add with a value that is"),
                ),
            }
        }
        cache
    }

    /// What of an application's answers is left out.
    pub(super) fn hidden(&mut self, scope: &Scope<'_>, notes: &mut Notes) {
        for directive in scope.all("proxy_hide_header") {
            if directive.argument(0).eq_ignore_ascii_case("x-powered-by") || !directive.argument(0).is_empty()
            {
                push(&mut self.hide, directive.argument(0).to_owned());
            }
        }
        for directive in scope.all("more_clear_headers") {
            let is_name = |name: &String| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                    && !name.starts_with('-')
            };
            // `-s 404` and `X-*` mean a part of the answers, or of the names.
            if directive.arguments.iter().all(is_name) {
                directive.arguments.iter().for_each(|name| push(&mut self.hide, name.clone()));
            } else {
                notes.missing(directive, "write fields.response.remove into the route, with each name");
            }
        }
        for directive in scope.all("proxy_pass_header") {
            notes.needless(directive, "the application's fields pass");
        }
        for directive in scope.all("proxy_ignore_headers") {
            notes.missing(
                directive,
                "X-Accel-Redirect is followed where a route has `sendfile`, X-Accel-Buffering always",
            );
        }
    }

    /// Of nothing but errors: what nginx adds `always`. What is inherited is noted where else it holds; what the location itself says, by
    /// the caller.
    pub(super) fn answers_of_errors(&mut self, scope: &Scope<'_>, about: About<'_>, hsts: bool) {
        self.answers(scope, about, hsts, Caching::Plain, &mut Notes::default());
        let always = |name: &str| {
            let mut named =
                scope.all("add_header").into_iter().filter(|directive| directive.argument(0) == name);
            named.any(|directive| directive.says("always"))
        };
        self.add.retain(|(name, _)| always(name));
        self.hide.clear();
    }

    /// Whether answers are changed by `self` as by `other`.
    pub(super) fn answers_as(&self, other: &Self) -> bool {
        self.add == other.add && self.hide == other.hide
    }

    /// As keys of a route.
    pub(super) fn write(&self, keys: &mut Keys) {
        if !self.set.is_empty() {
            let set: Vec<_> =
                self.set.iter().map(|(name, value)| (name.clone(), written::text(value))).collect();
            keys.set("fields.request.set", written::table(&set));
        }
        if !self.remove.is_empty() {
            keys.set("fields.request.remove", written::list(&self.remove));
        }
        let table = |fields: &[(String, Vec<String>)]| {
            let fields: Vec<_> =
                fields.iter().map(|(name, values)| (name.clone(), written::one_or_list(values))).collect();
            written::table(&fields)
        };
        // What is left out and added again is replaced; only one value can be.
        let is_hidden = |name: &str| self.hide.iter().any(|hidden| hidden.eq_ignore_ascii_case(name));
        let (set, add): (Vec<_>, Vec<_>) =
            by_name(&self.add).into_iter().partition(|(name, values)| is_hidden(name) && values.len() == 1);
        let is_set = |name: &String| set.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let remove: Vec<_> = self.hide.iter().filter(|name| !is_set(name)).cloned().collect();
        if !set.is_empty() {
            keys.set("fields.response.set", table(&set));
        }
        if !add.is_empty() {
            keys.set("fields.response.add", table(&add));
        }
        if !remove.is_empty() {
            keys.set("fields.response.remove", written::list(&remove));
        }
    }
}

/// A key stands once in a table. Values are never joined: of Set-Cookie they must not be (RFC 9110 5.3).
fn by_name(fields: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in fields {
        match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => known.push(value.clone()),
            None => all.push((name.clone(), vec![value.clone()])),
        }
    }
    all
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// `Strict-Transport-Security: max-age=…` as `tls.hsts` of a listener.
pub(super) fn hsts(value: &str) -> Option<String> {
    let mut age = None;
    let mut keys = Vec::new();
    for part in value.split(';').map(|part| part.trim().to_ascii_lowercase()) {
        match part.as_str() {
            "includesubdomains" => keys.push(("subdomains".to_owned(), "true".to_owned())),
            "preload" => keys.push(("preload".to_owned(), "true".to_owned())),
            "" => {}
            part => age = Some(part.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok()?),
        }
    }
    let age = age.filter(|age| *age > 0)?;
    // A year is the most that a duration is; two years say the same to those who keep lists.
    let age = super::measure::written_time(std::time::Duration::from_secs(age));
    keys.insert(0, ("age".to_owned(), if age == "\"365d\"" { "\"1y\"".to_owned() } else { age }));
    Some(written::table(&keys))
}
