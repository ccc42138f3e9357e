//! The `[[listen]]` of all servers.

use super::known;
use super::listen::{self, Listen};
use super::note::Notes;
use super::security;
use super::server::Server;
use super::written::{self, Keys};

/// All addresses, in the order in which they were first written.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: Vec<(String, Keys, bool)>,
}

impl Listeners {
    /// Whether all addresses of a server over TLS say Strict-Transport-Security.
    pub(super) fn says_hsts(&self, server: &Server<'_>) -> bool {
        let mut own = server.listens.iter().filter(|listen| listen.is_tls).peekable();
        own.peek().is_some()
            && own.all(|listen| self.all.iter().any(|(address, _, hsts)| *address == listen.address && *hsts))
    }

    /// Whether some of them say it, and some do not.
    fn says_in_part(&self, server: &Server<'_>) -> bool {
        let own = server.listens.iter().filter(|listen| listen.is_tls);
        let mut says =
            own.map(|listen| self.all.iter().any(|(address, _, hsts)| *address == listen.address && *hsts));
        let first = says.next();
        says.any(|other| Some(other) != first)
    }

    /// Takes the PROXY protocol from nobody, where no proxy is named that it would be taken from.
    pub(super) fn distrust(&mut self, servers: &[Server<'_>], notes: &mut Notes) {
        for (_, keys, _) in &mut self.all {
            keys.entries.retain(|(name, _)| name != "proxy_protocol");
        }
        for directive in servers.iter().flat_map(|server| server.scope.own("listen")) {
            if directive.says("proxy_protocol") {
                notes.missing(
                    directive,
                    "a PROXY header is taken from trusted proxies only: write their networks in `trusted_proxies`, and proxy_protocol = true",
                );
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let texts: Vec<_> =
            self.all.iter().map(|(_, keys, _)| format!("[[listen]]\n{}", keys.lines())).collect();
        texts.join("\n")
    }
}

pub(super) fn write(servers: &[Server<'_>], notes: &mut Notes) -> Listeners {
    let mut listeners = Listeners::default();
    for listen in servers.iter().flat_map(|server| &server.listens) {
        if listeners.all.iter().any(|(address, ..)| *address == listen.address) {
            continue;
        }
        let (keys, hsts) = one(&listen.address, servers, notes);
        listeners.all.push((listen.address.clone(), keys, hsts));
    }
    // A server says it by all of its addresses or by its routes: both would say it twice. One address fewer may be one fewer for the
    // next server.
    let secure: Vec<_> = servers.iter().filter(|server| server.is_tls()).collect();
    while let Some(server) = secure.iter().find(|server| listeners.says_in_part(server)) {
        for listen in &server.listens {
            if let Some((_, keys, hsts)) =
                listeners.all.iter_mut().find(|(address, ..)| *address == listen.address)
            {
                keys.entries.retain(|(name, _)| name != "tls.hsts");
                *hsts = false;
            }
        }
    }
    listeners
}

fn one(address: &str, servers: &[Server<'_>], notes: &mut Notes) -> (Keys, bool) {
    let at: Vec<(&Server<'_>, &Listen)> = servers
        .iter()
        .flat_map(|server| server.listens.iter().map(move |listen| (server, listen)))
        .filter(|(_, listen)| listen.address == address)
        .collect();
    let mut keys = Keys::default();
    keys.set("address", written::text(address));
    if let Some(backlog) = at.iter().find_map(|(_, listen)| listen.backlog) {
        keys.set("backlog", backlog.to_string());
    }
    if at.iter().any(|(_, listen)| listen.proxy_protocol) {
        keys.set("proxy_protocol", "true");
    }
    let mut hsts = false;
    if at.iter().any(|(_, listen)| listen.is_tls) {
        let mut tls: Vec<&Server<'_>> =
            at.iter().filter(|(_, listen)| listen.is_tls).map(|(server, _)| *server).collect();
        tls.sort_by_key(|server| !server.is_default_at(address, servers));
        hsts = security::write(&tls, &mut keys, notes);
    } else {
        if at.iter().any(|(_, listen)| listen.http2) {
            keys.set("http2", "true");
        }
        redirect(&at, &mut keys, notes);
    }
    (keys, hsts)
}

/// A listener sends all to https or none.
fn redirect(at: &[(&Server<'_>, &Listen)], keys: &mut Keys, notes: &mut Notes) {
    let Some((port, _)) = at.iter().find_map(|(server, _)| server.to_https) else { return };
    if let Some((server, listen)) =
        at.iter().find(|(server, _)| server.to_https.is_none() && !server.refuses())
    {
        let why = format!(
            "{} sends all of its requests to https or none, and the server at {} answers there: give the others an address of their own",
            listen.address, server.directive.place
        );
        for (_, directive) in at.iter().filter_map(|(server, _)| server.to_https) {
            notes.missing(directive, why.clone());
        }
        return;
    }
    let to = if port == 443 { "https".to_owned() } else { format!("https:{port}") };
    keys.set("redirect", written::text(&to));
    for (server, listen) in at {
        match server.to_https {
            Some((_, directive)) => {
                notes.different(directive, "requests are sent to the same host, by 308, which keeps a form's method (redirect of the listener)");
                covered(server, notes);
            }
            None => {
                let why =
                    format!("what comes to {} is sent to https first, whatever its host", listen.address);
                notes.different(server.directive, why);
            }
        }
    }
}

/// What a server has beside its redirect says nothing any more.
fn covered(server: &Server<'_>, notes: &mut Notes) {
    for directive in server.scope.block() {
        match directive.name.as_str() {
            "listen" => {}
            "server_name" => notes.needless(directive, "the listener sends every host to https"),
            "location" if directive.arguments.iter().any(|word| word.contains("well-known")) => notes.missing(
                directive,
                "the listener sends this to https too: let Vestibule fetch the certificate by itself (tls.acme), or have the authority's client use another way",
            ),
            "return" | "rewrite" | "if" => directive.see_all(),
            "location" => directive.see_all(),
            name if known::needless(directive).is_none() && listen::is_of_no_use(name) => {
                notes.needless(directive, "the listener sends everything to https");
            }
            _ => {}
        }
    }
}
