//! vestibule(1)

use std::io;

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{entries, page_name, paragraphs, title};
use crate::command::CommandLine;

const DESCRIPTION: &str = "\
Vestibule takes HTTP and HTTPS from the internet and forwards it over a Unix socket to whichever Rack server listens there: Puma, Unicorn, \
Thin or Passenger. While that server restarts, requests wait in order instead of failing.

Every key of the configuration is optional; without any it forwards 127.0.0.1:8080 to unix:/tmp/web_server.sock.";

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done; for a server: it was told to end, and every request had its answer."),
    ("1", "Something failed that nobody could know before; for a server: requests were cut at the end."),
    ("2", "The operator has to mend something: the command line, the configuration, an address in use."),
];

const FILES: &[(&str, &str)] = &[
    ("./vestibule.toml", "The configuration, where --config names no other."),
    ("/etc/vestibule/vestibule.toml", "The configuration, where neither is."),
    ("/tmp/web_server.sock", "The socket of the application, where nothing else is written."),
    ("/tmp/web_server.pid", "Its PID file."),
    (
        "/run/vestibule/control.sock",
        "The control socket, where that directory can be written to; else /tmp/vestibule-UID/control.sock.",
    ),
    ("/var/lib/vestibule/acme", "Accounts, keys and certificates that are fetched (ACME)."),
    ("/var/tmp", "Bodies that memory does not take; the files have no name."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("CUSTOM_WEB_SOCKET_FILE", "The socket of the application in the place of /tmp/web_server.sock."),
    ("CUSTOM_WEB_PID_FILE", "Its PID file in the place of /tmp/web_server.pid."),
    ("VESTIBULE_CONTROL", "The control socket."),
    ("RUST_LOG", "What of the events is logged, such as vestibule=debug. Default: info."),
    ("others", "What the configuration names as ${NAME}."),
];

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGTERM, SIGINT",
        "Take no new connection, finish the requests in flight, and end. A second one ends at once.",
    ),
    ("SIGHUP", "Read the configuration, certificates and keys anew; what is wrong changes nothing."),
    ("SIGUSR1", "Open the access log anew, after logrotate has moved it."),
];

/// The page.
///
/// # Errors
/// It cannot be written to memory.
pub(super) fn command() -> io::Result<String> {
    let mut command = CommandLine::command();
    command.build();
    let mut page = Vec::new();
    title("VESTIBULE", "1").to_writer(&mut page)?;
    let man = Man::new(command.clone());
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, DESCRIPTION);
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        whole(&mut roff, sub);
    }
    for (heading, words) in
        [("EXIT STATUS", EXIT_STATUS), ("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("SIGNALS", SIGNALS)]
    {
        roff.control("SH", [heading]);
        entries(&mut roff, words);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text(page_name("vestibule.toml", "5"));
    roff.to_writer(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

/// A command with what is below it.
fn whole(roff: &mut Roff, command: &Command) {
    let below: Vec<&Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    if command.get_name() == "help" {
        return;
    }
    let usage = command.clone().render_usage().to_string();
    for line in usage.lines() {
        roff.control("SS", [line.trim_start_matches("Usage:").trim()]);
    }
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        paragraphs(roff, &about.to_string());
    }
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set() && !is_help(argument)) {
        entry(roff, argument);
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The same below each command that has commands.
    if !after.is_empty() && !below.iter().any(|sub| sub.get_after_help().is_some()) {
        roff.control("PP", []);
        paragraphs(roff, &after);
    }
    for sub in below {
        whole(roff, sub);
    }
}

fn is_help(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

fn entry(roff: &mut Roff, argument: &Arg) {
    roff.control("TP", []);
    let names: Vec<_> = argument.get_value_names().into_iter().flatten().map(ToString::to_string).collect();
    let values = if argument.get_action().takes_values() { names.join(" ") } else { String::new() };
    let mut line = Vec::new();
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => {
            line.extend([bold(format!("-{short}")), roman(", "), bold(format!("--{long}"))]);
        }
        (None, Some(long)) => line.push(bold(format!("--{long}"))),
        (Some(short), None) => line.push(bold(format!("-{short}"))),
        (None, None) => {}
    }
    if !values.is_empty() {
        if !line.is_empty() {
            line.push(roman(" "));
        }
        line.push(italic(values));
    }
    roff.text(line);
    let help =
        argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible = argument.get_possible_values();
    let possible: Vec<_> =
        possible.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    let possible = if possible.is_empty() || !argument.get_action().takes_values() {
        String::new()
    } else {
        format!(" [{}]", possible.join(", "))
    };
    roff.text([roman(format!("{}{possible}", help.replace('\n', " ")))]);
}
