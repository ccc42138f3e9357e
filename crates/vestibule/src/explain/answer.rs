//! What a route does with a request, step by step.

use std::net::IpAddr;

use ipnet::IpNet;
use tokio::runtime::Runtime;
use vestibule_config::{
    Auth, Config, FieldChanges, Member, Rate, RateKey, Route, RouteId, Split, Step as RouteStep, Template,
    UpstreamId,
};

use super::fill::fill;
use super::look::{Seen, look};
use super::request::Request;
use super::{Change, Limit, Step};
use crate::measures::{duration, size};

/// A request, and the route that takes it.
pub(super) struct Answer<'c> {
    pub(super) config: &'c Config,
    pub(super) request: &'c Request,
    pub(super) id: RouteId,
    pub(super) route: &'c Route,
    /// On which files are looked for.
    pub(super) runtime: &'c Runtime,
}

/// A step that goes on.
fn goes_on(name: &'static str, says: impl Into<String>) -> Step {
    Step { name, says: says.into(), status: None }
}

/// A step that ends in an answer of ours.
fn ends(name: &'static str, status: u16, says: impl Into<String>) -> Step {
    Step { name, says: says.into(), status: Some(status) }
}

impl Answer<'_> {
    /// In order, to the first that ends in an answer. The order is that of proxy/stack.rs.
    pub(super) fn steps(&self) -> Vec<Step> {
        let rates = self.route.rates.iter().map(rate);
        let before = self.cors().into_iter().chain(self.access()).chain(rates).chain(self.auth());
        let mut steps = Vec::new();
        for step in before {
            let is_end = step.status.is_some();
            steps.push(step);
            if is_end {
                return steps;
            }
        }
        let target = match &self.route.rewrite {
            Some(template) => {
                let target = fill(self.config, self.id, template, self.request);
                steps.push(goes_on("rewrite", format!("to {target}")));
                target
            }
            None => self.request.target.clone(),
        };
        self.answers(&target, &mut steps);
        steps
    }

    fn access(&self) -> Option<Step> {
        let access = &self.route.access;
        if access.allow.is_empty() && access.deny.is_empty() {
            return None;
        }
        let client = self.request.client;
        let decisive = |networks: &[IpNet]| longest(networks, client).map(|network| network.to_string());
        let (allowed, denied) = (decisive(&access.allow), decisive(&access.deny));
        Some(if access.admits(client) {
            let why = allowed
                .map_or_else(|| "no network denies it".to_owned(), |network| format!("{network} is allowed"));
            goes_on("access", format!("{client} is let in: {why}"))
        } else {
            let why = denied.map_or_else(
                || "no network that is allowed has it".to_owned(),
                |network| format!("{network} is denied"),
            );
            ends("access", 403, format!("403: {client} is not let in: {why}"))
        })
    }

    fn auth(&self) -> Option<Step> {
        let Auth { realm, users } = self.route.auth.as_ref()?;
        let who = format!("for {realm:?}, of {}", counted(users.len(), "user"));
        Some(match self.request.field("authorization") {
            Some(_) => {
                goes_on("auth", format!("the name and the password are checked {who}; 401 if they are wrong"))
            }
            None => ends("auth", 401, format!("401: a name and a password are asked {who}")),
        })
    }

    /// A browser asks before it sends what another site's script wants to send (a preflight).
    fn cors(&self) -> Option<Step> {
        let cors = self.route.cors.as_ref()?;
        let origin = self.request.field("origin")?;
        let is_allowed = cors.origins.is_empty() || cors.origins.iter().any(|allowed| allowed == origin);
        let allowed = if is_allowed { "may" } else { "may not" };
        let asks =
            self.request.method == "OPTIONS" && self.request.field("access-control-request-method").is_some();
        Some(if asks {
            ends("cors", 204, format!("204: scripts of {origin} {allowed} ask"))
        } else {
            goes_on("cors", format!("scripts of {origin} {allowed} read the answer"))
        })
    }

    /// What answers, and what is asked before it.
    fn answers(&self, target: &str, steps: &mut Vec<Step>) {
        let path = target.split('?').next().unwrap_or_default();
        let last = self.route.steps.len().saturating_sub(1);
        for (index, step) in self.route.steps.iter().enumerate() {
            match step {
                RouteStep::Files(files) => {
                    let is_asked = matches!(self.request.method.as_str(), "GET" | "HEAD");
                    let seen = is_asked.then(|| look(self.runtime, files, path, self.request));
                    let next = if index < last { "; the next is asked" } else { "" };
                    match seen {
                        Some(Seen::Answer(status, words)) => {
                            steps.push(ends("files", status, words));
                            return;
                        }
                        Some(Seen::Nothing(words)) => steps.push(goes_on("files", format!("{words}{next}"))),
                        None => steps.push(goes_on("files", format!("only GET and HEAD are answered{next}"))),
                    }
                    if index == last {
                        let status = if is_asked { 404 } else { 405 };
                        steps.push(ends("answer", status, format!("{status}: nothing else is asked")));
                    }
                }
                RouteStep::Upstream(split) => {
                    self.upstream(split, steps);
                    return;
                }
                RouteStep::Redirect(redirection) => {
                    let to = fill(self.config, self.id, &redirection.to, self.request);
                    steps.push(ends(
                        "redirect",
                        redirection.status,
                        format!("{} to {to}", redirection.status),
                    ));
                    return;
                }
                RouteStep::Respond(fixed) => {
                    let what = match &fixed.body {
                        Some(body) if fixed.content_type.is_empty() => size(body.len() as u64),
                        Some(body) => format!("{} of {}", size(body.len() as u64), fixed.content_type),
                        None if fixed.status == 444 => {
                            "the connection is closed without an answer".to_owned()
                        }
                        None if fixed.status >= 400 => "the page for it".to_owned(),
                        None => "nothing".to_owned(),
                    };
                    steps.push(ends("respond", fixed.status, format!("{}: {what}", fixed.status)));
                    return;
                }
            }
        }
    }

    fn upstream(&self, split: &Split, steps: &mut Vec<Step>) {
        let sum: u64 = split.shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let several = split.shares.len() > 1;
        for &(id, weight) in &split.shares {
            let Some(upstream) = self.config.upstreams.get(id.0) else { continue };
            let mut says = format!("{} at {}", upstream.name, self.address(id));
            if several {
                says.push_str(&format!(", {weight} of {sum}"));
            }
            let page = upstream.maintenance.as_ref().filter(|page| page.exists());
            if let Some(page) = page {
                says.push_str(&format!("; {} is there now: 503 with what is in it", page.display()));
            }
            let status = page.filter(|_| !several).map(|_| 503);
            steps.push(Step { name: "upstream", says, status });
        }
        if let Some(sticky) = split.sticky.as_ref().filter(|_| several) {
            let age = sticky.age.map_or_else(String::new, |age| format!(" for {}", duration(age)));
            steps.push(goes_on(
                "sticky",
                format!("the cookie {} keeps the client at one of them{age}", sticky.cookie),
            ));
        }
    }

    /// The addresses of an upstream's members.
    fn address(&self, id: UpstreamId) -> String {
        let members = self.config.upstreams.get(id.0).map_or(&[][..], |upstream| &upstream.members);
        let member = |member: &Member| {
            let spare = if member.backup { " (backup)" } else { "" };
            format!("{}{spare}", member.address)
        };
        members.iter().map(member).collect::<Vec<_>>().join(" or ")
    }

    /// What is changed in fields, by the configuration.
    pub(super) fn fields(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (of, fields) in
            [("request", &self.route.request_fields), ("response", &self.route.response_fields)]
        {
            let FieldChanges { remove, set, add, default } = fields;
            let says = |words: String| Change { of, says: words };
            changes.extend(remove.iter().map(|name| says(format!("remove {name}"))));
            let filled = |name: &str, template: &Template| {
                format!("{name}: {}", fill(self.config, self.id, template, self.request))
            };
            changes.extend(set.iter().map(|(name, value)| says(format!("set {}", filled(name, value)))));
            changes.extend(add.iter().map(|(name, value)| says(format!("add {}", filled(name, value)))));
            changes.extend(
                default
                    .iter()
                    .map(|(name, value)| says(format!("set {}, if it is missing", filled(name, value)))),
            );
        }
        changes
    }

    /// What holds for the request and its answer.
    pub(super) fn limits(&self) -> Vec<Limit> {
        let (config, route) = (self.config, self.route);
        let mut limits = vec![
            Limit { key: "limits.body", is: size(route.body_limit) },
            Limit { key: "limits.request_timeout", is: duration(config.limits.request_timeout) },
            Limit { key: "limits.send_timeout", is: duration(config.limits.send_timeout) },
        ];
        let upstreams = route.steps.iter().find_map(|step| match step {
            RouteStep::Upstream(split) => split.shares.first(),
            _ => None,
        });
        if let Some(upstream) = upstreams.and_then(|(id, _)| config.upstreams.get(id.0)) {
            let timeout = &upstream.timeout;
            limits.extend([
                Limit { key: "hold.timeout", is: duration(upstream.hold.timeout) },
                Limit {
                    key: "timeout.response",
                    is: duration(route.timeout.response.unwrap_or(timeout.response)),
                },
                Limit { key: "timeout.idle", is: duration(route.timeout.idle.unwrap_or(timeout.idle)) },
                Limit { key: "timeout.tunnel", is: duration(route.timeout.tunnel.unwrap_or(timeout.tunnel)) },
                Limit { key: "buffer.request", is: route.buffer.request.to_string() },
                Limit { key: "buffer.response", is: route.buffer.response.to_string() },
                Limit { key: "buffer.memory", is: size(route.buffer.memory) },
            ]);
        }
        if !route.compress.codings.is_empty() {
            let codings: Vec<_> = route.compress.codings.iter().map(|coding| coding.as_str()).collect();
            limits.push(Limit { key: "compress", is: codings.join(", ") });
        }
        limits
    }
}

/// The network with the longest prefix that has the address.
fn longest(networks: &[IpNet], address: IpAddr) -> Option<&IpNet> {
    networks.iter().filter(|network| network.contains(&address)).max_by_key(|network| network.prefix_len())
}

fn rate(rate: &Rate) -> Step {
    let by = match &rate.by {
        RateKey::Client => "of each client".to_owned(),
        RateKey::Field(name) => format!("of each {name}"),
        RateKey::All => "of all together".to_owned(),
    };
    let says = format!(
        "{} per {} {by}, at most {} at once; 429 above",
        counted(usize::try_from(rate.requests.get()).unwrap_or(usize::MAX), "request"),
        duration(rate.per),
        rate.burst
    );
    goes_on("rate", says)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
