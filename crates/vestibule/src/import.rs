//! `vestibule import nginx.conf`: the configuration of a site that nginx has served until now.
//!
//! [`convert`] is where the steps stand in order. What says something in nginx's file is either in the configuration, or in a note: each
//! directive remembers whether somebody has looked at it, and in the end those are told that nobody has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod access;
mod action;
mod condition;
mod directive;
mod fields;
mod files;
mod glob;
mod include;
mod known;
mod limits;
mod listen;
mod listener;
mod location;
mod measure;
mod note;
mod order;
mod output;
mod pattern;
mod place;
mod redirect;
mod scope;
mod security;
mod server;
mod settings;
mod site;
mod token;
mod upstream;
mod variable;
mod written;
mod zone;

#[cfg(test)]
mod tests;

pub(crate) use include::Error;

use action::Shared;
use directive::Directive;
use location::Locations;
use note::Notes;
use output::Output;
use scope::Scope;
use server::Server;

/// `vestibule import`
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// nginx's configuration: nginx.conf, or the file of a site
    file: PathBuf,
    /// Write to this file, which may not be there yet, instead of standard output
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Where files begin that are included by a relative name [default: the file's directory, that above sites-available and its
    /// like, /etc/nginx]
    #[arg(long)]
    prefix: Option<PathBuf>,
}

/// Writes the configuration, and says on standard error what is not in it. What is not carried over is no failure: it has been said.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let Imported { config, mut said, missing } = convert(&options.file, options.prefix.as_deref())?;
    let shown = options.output.clone().unwrap_or_else(|| PathBuf::from("vestibule.toml"));
    // It is ours to write what `check` takes; where we do not, that is said beside everything else.
    let faulty = vestibule_config::parse(&config, &shown).err();
    if let Some(error) = &faulty {
        said.push_str(&format!("\nTo be mended by hand:\n{error}\n"));
    }
    match &options.output {
        Some(path) => {
            let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
            let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, config.as_bytes()));
            written.map_err(|source| Unwritable { path: path.clone(), source })?;
        }
        None => print!("{config}"),
    }
    eprint!("{said}");
    eprintln!("{}", ending(&options.file, missing, faulty.is_some(), &shown));
    Ok(ExitCode::SUCCESS)
}

/// The last line of what is said.
fn ending(file: &Path, missing: usize, is_faulty: bool, shown: &Path) -> String {
    let what = match (missing, is_faulty) {
        (0, false) => "all of it is carried over".to_owned(),
        (0, true) => "what was made has faults that are to be mended by hand, see above".to_owned(),
        (1, _) => "1 directive is not carried over, see above".to_owned(),
        (some, _) => format!("{some} directives are not carried over, see above"),
    };
    let more = if missing > 0 && is_faulty { ", and faults are to be mended by hand" } else { "" };
    format!("{}: {what}{more}; next: vestibule check --config {}", file.display(), shown.display())
}

/// The configuration cannot be written to the file that was named.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub(crate) struct Unwritable {
    path: PathBuf,
    source: std::io::Error,
}

/// What came out.
#[derive(Debug)]
struct Imported {
    /// TOML.
    config: String,
    /// For the operator: what is not carried over, what differs, what is not needed.
    said: String,
    /// How many directives are not carried over.
    missing: usize,
}

/// The configuration that does what nginx does with this file.
fn convert(file: &Path, prefix: Option<&Path>) -> Result<Imported, Error> {
    let mut notes = Notes::default();
    let main = include::Reader::new(file, prefix, &mut notes).read(file)?;
    let http = http(&main);
    let mut shared = Shared::default();
    let mut found = Vec::new();
    for directive in http.iter().flat_map(|block| block.iter()) {
        match directive.name.as_str() {
            "server" => found.push(directive),
            "upstream" => shared.upstreams.add(directive, &mut notes),
            "limit_req_zone" => shared.zones.all.push(directive),
            _ => {}
        }
    }
    let around = http.iter().fold(Scope::default(), |scope, block| scope.with(block));
    let servers: Vec<_> = found.iter().map(|server| Server::of(server, &around, &mut notes)).collect();
    let mut listeners = listener::write(&servers, &mut notes);
    let answering: Vec<_> = servers.iter().filter(|server| server.to_https.is_none()).collect();
    let default = default(&servers, &answering);

    let claimed = default.map_or_else(Vec::new, |server| server.names.clone());
    let mut output = Output { claimed, ..Output::default() };
    // What holds for all is what a server says that answers, not one that is there to refuse.
    let speaking = default.filter(|server| !server.refuses());
    let speaking = speaking.or_else(|| answering.iter().copied().find(|server| !server.refuses()));
    if let Some(first) = speaking.or(default).or(answering.first().copied()) {
        shared.body = Some(limits::body(&first.scope, &mut notes));
        shared.compress = limits::compress(&first.scope, &mut notes);
        settings::write(&first.scope, &shared, &around, &mut output, &mut notes);
        shared.trusts = output.top.has("trusted_proxies");
    }
    if !shared.trusts {
        listeners.distrust(&servers, &mut notes);
    }
    let mut pages: BTreeMap<u16, String> = BTreeMap::new();
    let mut with_pages: Vec<(&Server<'_>, Vec<u16>)> = Vec::new();
    for server in &answering {
        let is_default = default.is_some_and(|default| std::ptr::eq(*server, default));
        let Some(hosts) = output.hosts(server, is_default, &answering, &mut notes) else { continue };
        let locations = Locations::of(server.directive, &server.scope, &mut notes);
        let maintenance = site::maintenance(&locations, &mut notes);
        let mut own = Vec::new();
        for (status, page, directive) in site::error_pages(&locations, &mut notes) {
            if status == 503 && maintenance.as_ref() == Some(&page) {
                // It is there only while there is maintenance, when its upstream shows it.
                continue;
            }
            own.push(status);
            let known = pages.entry(status).or_insert_with(|| page.clone());
            if *known != page {
                notes.missing(directive, format!("the page for {status} is {known} for all servers"));
            }
        }
        with_pages.push((server, own));
        let hsts = listeners.says_hsts(server);
        let routes = site::routes(server, &locations, hsts, &mut shared, &mut notes);
        if let Some(file) = maintenance {
            let names =
                routes.iter().flat_map(|route| &route.keys.entries).filter(|(key, _)| key == "upstream");
            for (_, name) in names {
                if let Some(used) = shared.upstreams.used(name.trim_matches('"')) {
                    used.keys.set("maintenance", written::text(&file));
                }
            }
        }
        let of_hosts = site::of_hosts(server, &mut notes);
        output.routes.push((server_title(server), hosts, routes));
        for (host, route) in of_hosts {
            output.routes.push((host.clone(), vec![Some(vec![host])], vec![route]));
        }
    }
    for (server, own) in with_pages.iter().filter(|(server, _)| !server.returns()) {
        if pages.keys().any(|status| !own.contains(status)) {
            notes.different(
                server.directive,
                "its errors have the pages of the other servers too: [error_pages] is the same for all routes",
            );
        }
    }
    for (status, page) in pages {
        if !Path::new(&page).is_file() {
            output.comment_pages = true;
        }
        output.pages.set(status.to_string(), written::text(&page));
    }
    let rates: Vec<_> = output.rates();
    shared.zones.finish(&rates, &mut notes);
    shared.upstreams.finish(&mut notes);
    unseen(&main, &mut notes);
    let missing = notes.missing_count();
    let said = notes.text();
    Ok(Imported { config: output.text(file, &listeners, &shared, &said), said, missing })
}

/// What stands in `http`, and around it: the file of a site begins in it.
fn http(main: &[Directive]) -> Vec<&[Directive]> {
    let mut levels = vec![main];
    for directive in main.iter().filter(|directive| directive.name == "http") {
        directive.see();
        levels.push(directive.inside());
    }
    levels
}

/// The server for hosts that none names: that of the first address over TLS, else of the first address.
fn default<'s, 'd>(servers: &[Server<'d>], answering: &[&'s Server<'d>]) -> Option<&'s Server<'d>> {
    let at = |tls: bool| {
        answering.iter().copied().find(|server| {
            let mut listens = server.listens.iter().filter(|listen| listen.is_tls == tls);
            listens.any(|listen| server.is_default_at(&listen.address, servers))
        })
    };
    at(true).or_else(|| at(false))
}

fn server_title(server: &Server<'_>) -> String {
    let names = if server.names.is_empty() { "any host".to_owned() } else { server.names.join(", ") };
    format!("{names} ({})", server.directive.place)
}

/// Says of each directive that nobody has looked at why.
fn unseen(block: &[Directive], notes: &mut Notes) {
    for directive in block {
        if !directive.is_seen() {
            // What it says is what Vestibule does with every WebSocket.
            let is_upgrade = directive.name == "map" && directive.argument(0) == "$http_upgrade";
            let needless =
                if is_upgrade { Some("WebSockets pass by themselves") } else { known::needless(directive) };
            match needless {
                Some(why) => notes.needless(directive, why),
                None => notes.missing(directive, known::advice(&directive.name)),
            }
        }
        unseen(directive.inside(), notes);
    }
}
