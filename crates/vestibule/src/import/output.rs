//! The configuration as text.

use std::path::Path;

use super::action::Shared;
use super::condition;
use super::listener::Listeners;
use super::note::Notes;
use super::server::Server;
use super::settings;
use super::site::{self, Written};
use super::written::{self, Keys};

/// What is written, section by section.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) top: Keys,
    pub(super) limits: Keys,
    pub(super) compress: Option<String>,
    pub(super) log: Keys,
    pub(super) pages: Keys,
    /// Whether a page was not there.
    pub(super) comment_pages: bool,
    /// Of each server: what it is called, for which hosts, and its routes.
    pub(super) routes: Vec<(String, Hosts, Vec<Written>)>,
    /// The names of the servers that are written, and of the default one, whose routes may have no host.
    pub(super) claimed: Vec<String>,
}

/// For which hosts the routes of a server are written; `None` for any.
pub(super) type Hosts = Vec<Option<Vec<String>>>;

impl Output {
    /// The hosts of a server; `None` where another one answers for them all.
    pub(super) fn hosts(
        &mut self,
        server: &Server<'_>,
        is_default: bool,
        all: &[&Server<'_>],
        notes: &mut Notes,
    ) -> Option<Hosts> {
        let mut names = server.names.clone();
        // The default one has claimed its own before any other.
        let taken = |name: &String| !is_default && self.claimed.contains(name);
        let again: Vec<_> = names.iter().filter(|name| taken(name)).cloned().collect();
        self.claimed.extend(server.names.clone());
        names.retain(|name| !again.contains(name));
        let sent = |name: &String| {
            let conditions = server
                .scope
                .own("if")
                .into_iter()
                .filter(|directive| condition::is_taken_elsewhere(directive));
            conditions.into_iter().any(|directive| directive.argument(2).trim_end_matches(')') == name)
        };
        names.retain(|name| !sent(name));
        if !again.is_empty() && !names.is_empty() {
            let why = format!(
                "{}: a route does not look at the port that was asked, and another server has this name",
                again.join(", ")
            );
            notes.different(server.directive, why);
        }
        if is_default {
            // A wildcard of another server would come before "any host".
            let is_wild = all.iter().flat_map(|other| &other.names).any(|other| {
                other.strip_prefix('*').is_some_and(|end| names.iter().any(|name| name.ends_with(end)))
            });
            return Some(if is_wild { vec![Some(names), None] } else { vec![None] });
        }
        if names.is_empty() {
            notes.missing(server.directive, "nobody asks for it by a name of its own: a route does not look at the port or the address that was asked; give it a host, or serve it by another Vestibule");
            return None;
        }
        Some(vec![Some(names)])
    }

    /// `rate` of each route that has one.
    pub(super) fn rates(&self) -> Vec<&str> {
        let routes = self.routes.iter().flat_map(|(_, hosts, routes)| {
            // Each is written once for each of these.
            hosts.iter().flat_map(move |_| routes)
        });
        let entries = routes.flat_map(|route| &route.keys.entries);
        entries.filter(|(key, _)| key == "rate").map(|(_, rate)| rate.as_str()).collect()
    }

    pub(super) fn text(&self, file: &Path, listeners: &Listeners, shared: &Shared<'_>, said: &str) -> String {
        let mut text = format!(
            "# Made of {} by `vestibule import`. What was not carried over stands at the end.\n#\n\
             #   vestibule check --config FILE    says whether it is right.\n",
            file.display()
        );
        let mut section = |title: &str, body: String| {
            if !body.is_empty() {
                text.push_str(&format!("\n{title}{body}"));
            }
        };
        section("", self.top.lines());
        section("", listeners.text());
        for used in shared.upstreams.all() {
            section(&format!("[upstream.{}]\n", written::key(&used.name)), used.keys.lines());
        }
        for (title, hosts, routes) in &self.routes {
            let mut body = String::new();
            for hosts in hosts {
                for route in routes {
                    body.push_str(&format!("\n# {}\n[[route]]\n", one_line(&route.comment)));
                    let mut keys = Keys::default();
                    if let Some(hosts) = hosts {
                        keys.set("host", written::one_or_list(hosts));
                    }
                    if let Some(path) = site::paths(route) {
                        keys.set("path", path);
                    }
                    keys.entries.extend(route.keys.entries.clone());
                    body.push_str(&keys.lines());
                }
            }
            section(&format!("\n# ---- {}\n", one_line(title)), body);
        }
        section("[limits]\n", self.limits.lines());
        section(
            "",
            self.compress.as_ref().map_or_else(String::new, |compress| settings::compress_section(compress)),
        );
        let title = if self.comment_pages {
            "# Pages are read when Vestibule starts; not all of these were there when this was written.\n[error_pages]\n"
        } else {
            "[error_pages]\n"
        };
        section(title, self.pages.lines());
        section("[log]\n", self.log.lines());
        if !said.is_empty() {
            text.push_str("\n\n");
            for line in said.lines() {
                text.push_str(format!("# {}", one_line(line)).trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// A text that can stand in a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
