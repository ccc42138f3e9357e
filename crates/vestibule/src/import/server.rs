//! `server` blocks: which of them answer, at which addresses, for whom.

use super::condition;
use super::directive::Directive;
use super::listen::{self, Listen};
use super::note::Notes;
use super::scope::Scope;

/// A server.
#[derive(Debug)]
pub(super) struct Server<'d> {
    pub(super) directive: &'d Directive,
    pub(super) scope: Scope<'d>,
    pub(super) listens: Vec<Listen>,
    pub(super) names: Vec<String>,
    /// It does nothing but send everybody to https: to this port, and by this directive.
    pub(super) to_https: Option<(u16, &'d Directive)>,
}

impl<'d> Server<'d> {
    pub(super) fn of(directive: &'d Directive, http: &Scope<'d>, notes: &mut Notes) -> Self {
        directive.see();
        let scope = http.with(directive.inside());
        let listens = listen::listens(&scope, notes);
        let names = listen::names(&scope, notes);
        let is_plain = !listens.is_empty() && listens.iter().all(|listen| !listen.is_tls);
        let to_https = if is_plain { to_https(&scope, &names) } else { None };
        Server { directive, scope, listens, names, to_https }
    }

    /// Whether it is nobody's: it answers everything with 444, or with nothing that matters.
    pub(super) fn refuses(&self) -> bool {
        let own = self.scope.block().iter().find(|directive| directive.name == "return");
        own.is_some_and(|directive| matches!(directive.argument(0), "444" | "404" | "403" | "400" | "421"))
    }

    /// Whether a `return` answers all of its requests.
    pub(super) fn returns(&self) -> bool {
        self.scope.block().iter().any(|directive| directive.name == "return")
    }

    pub(super) fn is_tls(&self) -> bool {
        self.listens.iter().any(|listen| listen.is_tls)
    }

    /// Whether it is the one for hosts that none names, at one of its addresses.
    pub(super) fn is_default_at(&self, address: &str, all: &[Server<'_>]) -> bool {
        let at = |server: &&Server<'_>| server.listens.iter().any(|listen| listen.address == address);
        let said = |server: &&Server<'_>| {
            server.listens.iter().any(|listen| listen.address == address && listen.is_default)
        };
        let first = all.iter().filter(at).find(said).or_else(|| all.iter().find(at));
        first.is_some_and(|server| server.directive.place == self.directive.place)
    }
}

/// The port, and the directive that sends them there.
fn to_https<'d>(scope: &Scope<'d>, names: &[String]) -> Option<(u16, &'d Directive)> {
    let block = scope.block();
    let mut found = None;
    for directive in block {
        match directive.name.as_str() {
            "return" => {
                match https(directive.argument(1), names).or_else(|| https(directive.argument(0), names)) {
                    Some(port) => found = found.or(Some((port, directive))),
                    // certbot writes it behind its conditions.
                    None if directive.argument(0) == "404" => {}
                    None => return None,
                }
            }
            "rewrite" => found = Some((https(&sent(directive), names)?, directive)),
            "if" if condition::is_taken_elsewhere(directive) => {
                let returns = directive.inside().iter().find(|inner| inner.name == "return")?;
                found = Some((https(returns.argument(1), names)?, directive));
            }
            "if" | "try_files" | "proxy_pass" => return None,
            "location" => {
                let inside = directive.inside();
                let inner = inside.iter().find(|inner| inner.name == "return" || inner.name == "rewrite");
                let port = inner.and_then(|inner| match inner.name.as_str() {
                    "return" => https(inner.argument(1), names),
                    _ => https(&sent(inner), names),
                });
                match port {
                    Some(port) if matches!(directive.argument(0), "/" | "^~") => {
                        found = Some((port, directive));
                    }
                    // What an authority asks for stays on port 80.
                    _ if directive.arguments.iter().any(|word| word.contains("well-known")) => {}
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    found
}

/// `rewrite ^(.*)$ https://$host$1 permanent`, as it would be returned.
fn sent(rewrite: &Directive) -> String {
    let to = rewrite.argument(1).trim_end_matches('?');
    match rewrite.argument(0) {
        "^(.*)$" | "^(.*)" | "(.*)" => to.replace("$1", "$request_uri"),
        "^/(.*)$" | "^/(.*)" => to.replace("/$1", "$request_uri"),
        "^" | ".*" | "^.*$" | "." => to.to_owned(),
        _ => String::new(),
    }
}

/// The port of `https://$host$request_uri`, the host being what was asked for.
fn https(url: &str, names: &[String]) -> Option<u16> {
    let rest = url.strip_prefix("https://")?;
    let rest = rest
        .strip_suffix("$request_uri")
        .or_else(|| rest.strip_suffix("$uri$is_args$args"))
        .or_else(|| rest.strip_suffix("$uri"))?;
    let (host, port) = rest.split_once(':').unwrap_or((rest, "443"));
    // A name of its own, with or without the www of the other.
    let same = |name: &String| name == host || name.strip_prefix("www.") == Some(host);
    let is_same = matches!(host, "$host" | "$http_host" | "$server_name") || names.iter().any(same);
    is_same.then(|| port.parse().ok()).flatten()
}
