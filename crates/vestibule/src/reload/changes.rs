//! What differs between two configurations, in words.

use std::path::Path;

use vestibule_config::{Config, ListenAddress, Listener, Process, Upstream};

use crate::control::protocol::{Became, Change};

/// Makes `config` what can be served by after `present` without a restart; gives what of it has to wait, and for what.
pub(crate) fn settle(present: &Config, config: &mut Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.workers != present.workers {
        let (is, wanted) = (present.workers, config.workers);
        warnings.push(format!("workers = {wanted} waits for a restart: there are {is} until then"));
        config.workers = present.workers;
    }
    if config.control.socket != present.control.socket {
        let words = |socket: Option<&Path>| {
            socket.map_or("the default place".to_owned(), |socket| socket.display().to_string())
        };
        let (is, wanted) =
            (words(present.control.socket.as_deref()), words(config.control.socket.as_deref()));
        warnings.push(format!("[control] socket at {wanted} waits for a restart: it is at {is} until then"));
        config.control = present.control.clone();
    }
    warnings
}

/// What differs. Of what has a name, it is said by name.
pub(crate) fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let mut all = Vec::new();
    named(&mut all, "listener", (&before.listeners, &after.listeners), address, |one, other| one == other);
    named(
        &mut all,
        "upstream",
        (&before.upstreams, &after.upstreams),
        |upstream: &Upstream| upstream.name.clone(),
        |one, other| one == other,
    );
    let upstream = |config: &Config, process: &Process| {
        process.upstream.and_then(|id| config.upstreams.get(id.0)).map(|upstream| upstream.name.clone())
    };
    let is_same_process = |one: &Process, other: &Process| {
        // The place of an upstream among the others says nothing.
        upstream(before, one) == upstream(after, other)
            && Process { upstream: None, ..one.clone() } == Process { upstream: None, ..other.clone() }
    };
    let name = |process: &Process| process.name.clone();
    named(&mut all, "process", (&before.processes, &after.processes), name, is_same_process);
    let sections = [
        ("trusted_proxies", before.trusted_proxies == after.trusted_proxies),
        ("dns", before.dns == after.dns),
        ("limits", before.limits == after.limits),
        ("buffer", before.buffer == after.buffer),
        ("disk", before.disk == after.disk),
        ("fields", before.fields == after.fields),
        ("error_pages", before.error_pages == after.error_pages),
        ("log", before.log == after.log),
        ("reload", before.reload == after.reload),
    ];
    for (what, is_same) in sections {
        if !is_same {
            all.push(Change { what: what.to_owned(), name: None, became: Became::Changed });
        }
    }
    // What a route matches cannot be compared: a text that differs in nothing else differs in that, or in a remark.
    let is_elsewhere = !all.is_empty() || before.is_same_text(after);
    if before.route_settings != after.route_settings || !is_elsewhere {
        all.push(Change { what: "routes".to_owned(), name: None, became: Became::Changed });
    }
    all
}

fn address(listener: &Listener) -> String {
    match &listener.address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// What differs among things that have names.
fn named<T>(
    all: &mut Vec<Change>,
    what: &str,
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> String,
    is_same: impl Fn(&T, &T) -> bool,
) {
    let mut tell = |name: String, became| {
        all.push(Change { what: what.to_owned(), name: Some(name), became });
    };
    let mut left: Vec<&T> = before.iter().collect();
    for new in after {
        // With port 0 several listeners have one name.
        match left.iter().position(|old| name(old) == name(new)) {
            Some(at) if is_same(left[at], new) => _ = left.remove(at),
            Some(at) => {
                left.remove(at);
                tell(name(new), Became::Changed);
            }
            None => tell(name(new), Became::Added),
        }
    }
    left.into_iter().for_each(|gone| tell(name(gone), Became::Removed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        vestibule_config::parse(text, Path::new("vestibule.toml")).expect("it is right")
    }

    fn words(before: &str, after: &str) -> Vec<String> {
        changes(&config(before), &config(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn says_each_by_its_name() {
        let before = "[[listen]]\naddress = \"127.0.0.1:1080\"\n[[listen]]\naddress = \"127.0.0.1:1081\"\n\
                      [upstream.a]\naddress = \"127.0.0.1:2000\"\n";
        let after = "[[listen]]\naddress = \"127.0.0.1:1082\"\n[[listen]]\naddress = \"127.0.0.1:1081\"\nbacklog = 9\n\
                     [upstream.b]\naddress = \"127.0.0.1:2000\"\n[limits]\nhead = \"8 KiB\"\n";
        assert_eq!(
            words(before, after),
            [
                "listener 127.0.0.1:1082: added",
                "listener 127.0.0.1:1081: changed",
                "listener 127.0.0.1:1080: removed",
                "upstream b: added",
                "upstream a: removed",
                "limits: changed",
            ]
        );
        assert_eq!(words(before, before), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_things_is_no_difference() {
        let one = "[[route]]\npath = \"/a\"\nupstream = \"a\"\n[[route]]\nupstream = \"b\"\n";
        let [a, b] = ["a", "b"].map(|name| {
            format!(
                "[upstream.{name}]\naddress = \"unix:/tmp/{name}.sock\"\npid_file = \"/tmp/{name}.pid\"\n\
                 [process.{name}]\ncommand = [\"{name}\"]\n"
            )
        });
        let changes = words(&format!("{one}{a}{b}"), &format!("{one}{b}{a}"));
        assert!(changes.iter().all(|words| words == "routes: changed"), "{changes:?}");
    }

    #[test]
    fn what_needs_a_restart_is_said_and_stays() {
        let present = config("workers = 2");
        let mut next =
            config("workers = 5\n[control]\nsocket = \"/run/other.sock\"\n[limits]\nhead = \"8 KiB\"");
        let warnings = settle(&present, &mut next);
        assert!(warnings[0].starts_with("workers = 5") && warnings[0].contains("restart"), "{warnings:?}");
        assert!(warnings[1].contains("/run/other.sock") && warnings[1].contains("the default place"));
        assert_eq!((next.workers.get(), &next.control.socket, next.limits.head), (2, &None, 8 << 10));
        assert_eq!(settle(&present, &mut config("workers = 2")), Vec::<String>::new());
    }
}
