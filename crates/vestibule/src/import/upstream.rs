//! `upstream` blocks and `proxy_pass`.

use std::collections::BTreeMap;

use super::directive::Directive;
use super::measure;
use super::note::Notes;
use super::written::{self, Keys};

/// The upstreams that are written, in the order in which they were first needed.
#[derive(Debug, Default)]
pub(super) struct Upstreams<'d> {
    blocks: BTreeMap<&'d str, &'d Directive>,
    used: Vec<Used>,
}

/// An upstream that a route leads to.
#[derive(Debug)]
pub(super) struct Used {
    /// What nginx calls it: a name, or an address.
    origin: String,
    pub(super) name: String,
    pub(super) keys: Keys,
    /// `proxy_connect_timeout`, of the first that leads there.
    pub(super) connect: bool,
}

/// Where a `proxy_pass` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Of the upstream.
    pub(super) name: String,
    /// What takes the place of what the location's path is, if anything.
    pub(super) path: Option<String>,
}

impl<'d> Upstreams<'d> {
    pub(super) fn add(&mut self, block: &'d Directive, notes: &mut Notes) {
        block.see();
        if self.blocks.insert(block.arguments.first().map_or("", String::as_str), block).is_some() {
            notes.missing(block, "there are two with this name");
        }
    }

    /// Where this leads; an upstream that was not needed before is written.
    pub(super) fn target(&mut self, pass: &Directive, notes: &mut Notes) -> Option<Target> {
        let url = pass.argument(0);
        pass.see();
        let missing = |notes: &mut Notes, why: &str| {
            notes.missing(pass, why);
            None
        };
        if url.contains('$') {
            return missing(notes, "its address depends on the request; write a [[route]] for each upstream");
        }
        let Some(rest) = url.strip_prefix("http://") else {
            return missing(notes, "applications are reached by HTTP in the clear; write one with http://");
        };
        let (authority, path) = match rest.strip_prefix("unix:") {
            Some(rest) => {
                let (socket, path) = rest.split_once(':').unwrap_or((rest, ""));
                (format!("unix:{socket}"), path)
            }
            None => {
                let end = rest.find('/').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let path = (!path.is_empty()).then(|| path.to_owned());
        let name = self.named(&authority, notes)?;
        Some(Target { name, path })
    }

    /// The name of what nginx calls so.
    pub(super) fn named(&mut self, origin: &str, notes: &mut Notes) -> Option<String> {
        if let Some(used) = self.used.iter().find(|used| used.origin == origin) {
            return Some(used.name.clone());
        }
        let block = self.blocks.get(origin).copied();
        let wanted = match block {
            Some(block) => sanitised(block.argument(0)),
            None => "app".to_owned(),
        };
        let taken = |name: &str| self.used.iter().any(|used| used.name == name);
        let name =
            (1..).map(|number| if number == 1 { wanted.clone() } else { format!("{wanted}_{number}") });
        let name = name.take(1000).find(|name| !taken(name))?;
        let mut keys = Keys::default();
        match block {
            Some(block) => members(block, &mut keys, notes),
            None => keys.set("address", written::text(&address(origin))),
        }
        self.used.push(Used { origin: origin.to_owned(), name: name.clone(), keys, connect: false });
        Some(name)
    }

    pub(super) fn used(&mut self, name: &str) -> Option<&mut Used> {
        self.used.iter_mut().find(|used| used.name == name)
    }

    pub(super) fn all(&self) -> &[Used] {
        &self.used
    }

    /// Says which are not needed.
    pub(super) fn finish(&self, notes: &mut Notes) {
        for (name, block) in &self.blocks {
            if !self.used.iter().any(|used| used.origin == *name) {
                notes.needless(block, "no location that was carried over leads to it");
            }
        }
    }
}

/// `unix:/path`, or `host:port`; nginx's port is 80 where none is written.
fn address(text: &str) -> String {
    if let Some(path) = text.strip_prefix("unix:") {
        return format!("unix:/{}", path.trim_start_matches('/'));
    }
    match text.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
            text.to_owned()
        }
        _ => format!("{text}:80"),
    }
}

fn sanitised(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().map(|c| if fits(c) { c } else { '_' }).take(60).collect();
    if name.is_empty() { "app".to_owned() } else { name }
}

/// What an `upstream` block says.
fn members(block: &Directive, keys: &mut Keys, notes: &mut Notes) {
    let mut members: Vec<Vec<(String, String)>> = Vec::new();
    let mut in_flight = None;
    for directive in block.inside() {
        directive.see();
        match directive.name.as_str() {
            "server" => {
                if directive.says("down") {
                    notes.missing(directive, "it is down: leave it out, or write its address when it is up");
                    continue;
                }
                let mut member = vec![("address".to_owned(), written::text(&address(directive.argument(0))))];
                for option in directive.arguments.iter().skip(1) {
                    match option.split_once('=').unwrap_or((option, "")) {
                        ("weight", number) if number.parse::<u32>().is_ok() => {
                            member.push(("weight".to_owned(), number.to_owned()));
                        }
                        ("backup", _) => member.push(("backup".to_owned(), "true".to_owned())),
                        ("max_conns", number) if number != "0" && number.parse::<u32>().is_ok() => {
                            in_flight = Some((directive, number));
                        }
                        // The last one is never given up.
                        ("max_fails" | "fail_timeout", _) => notes.needless_part(
                            directive,
                            "max_fails and fail_timeout: whether a server is well is seen by each connection and by probes",
                        ),
                        ("resolve", _) => {
                            notes.needless_part(directive, "resolve: names are looked up again by themselves");
                        }
                        ("max_conns", "0") => {}
                        _ => {
                            notes
                                .missing(directive, format!("`{option}` has nothing that corresponds to it"));
                        }
                    }
                }
                members.push(member);
            }
            "keepalive" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" => {
                notes.needless(directive, "connections to the application are kept as suits its server");
            }
            "zone" => notes.needless(directive, "what is known of an upstream is shared by all workers"),
            "least_conn" | "random" => {
                notes
                    .needless(directive, "the one with fewer requests of two drawn at random is the default");
            }
            "ip_hash" => keys.set("balance", "\"hash:client\""),
            "hash" => match directive.argument(0) {
                "$remote_addr" | "$binary_remote_addr" => keys.set("balance", "\"hash:client\""),
                "$request_uri" | "$uri" => keys.set("balance", "\"hash:path\""),
                key => match keyed(key) {
                    Some(name) => keys.set("balance", written::text(&format!("hash:{name}"))),
                    None => notes.missing(directive, "write a hash by client, path or a field in `balance`"),
                },
            },
            _ => notes.missing(directive, "it has nothing that corresponds to it"),
        }
    }
    match members.as_slice() {
        [] => notes.missing(block, "it has no server"),
        [only] => {
            // Weight and backup say nothing of a single one.
            keys.entries.insert(0, only[0].clone());
            keys.entries.retain(|(name, _)| name != "balance");
            if let Some((_, number)) = in_flight {
                keys.set("in_flight", number);
            }
        }
        several => {
            let several: Vec<_> = several
                .iter()
                .map(|member| match member.as_slice() {
                    [(_, address)] => address.clone(),
                    member => written::table(member),
                })
                .collect();
            keys.entries.insert(0, ("addresses".to_owned(), format!("[{}]", several.join(", "))));
            if let Some((directive, _)) = in_flight {
                notes.missing(
                    directive,
                    "how many requests one of several servers gets is not set; `in_flight` is for all",
                );
            }
        }
    }
}

/// `field:NAME` or `cookie:NAME`
fn keyed(key: &str) -> Option<String> {
    let field = key.strip_prefix("$http_").map(|name| format!("field:{}", name.replace('_', "-")));
    field.or_else(|| key.strip_prefix("$cookie_").map(|name| format!("cookie:{name}")))
}

/// The time limit for a connection, if it says anything here: a Unix socket answers at once.
pub(super) fn connect_timeout(used: &mut Used, directive: &Directive, notes: &mut Notes) {
    let is_tcp = used.keys.entries.iter().any(|(_, value)| {
        value.split('"').any(|part| {
            part.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty() && !part.starts_with("unix:"))
        })
    });
    match measure::time(directive.argument(0)) {
        Some(time) if is_tcp && !used.connect => {
            used.connect = true;
            used.keys.set("timeout.connect", measure::written_time(time));
        }
        Some(_) if !is_tcp => notes.needless(directive, "a Unix socket answers at once"),
        Some(_) => {}
        None => notes.missing(directive, "it is no time"),
    }
}
