//! What a reload changes, one kind of thing after the other, and how that is told.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{command, is_there, listen, reload, reload_to, socket, upstream, write};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::vestibule::{Vestibule, app, config, control, told};
use crate::support::wait::{seconds, until, until_true};

/// A port that nobody has at this moment.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

fn two_workers(config: &str) -> String {
    format!("workers = 2\n{config}")
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn says_what_changed_in_words_and_in_json() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let file = dir.join("vestibule.toml");
    let told_now = reload(&dir);
    assert_eq!(told_now.status, Some(0), "{told_now:?}");
    assert!(told_now.stdout.starts_with(&format!("{}: reloaded in ", file.display())), "{told_now:?}");
    assert!(told_now.stdout.ends_with(" ms: nothing changed"), "{told_now:?}");
    let told_now = reload_to(&dir, &(config(&dir, "hold.timeout = \"9s\"") + "[limits]\nhead = \"8 KiB\"\n"));
    let lines: Vec<&str> = told_now.stdout.lines().skip(1).collect();
    assert_eq!(lines, ["  upstream app: changed", "  limits: changed"]);
    write(&dir, &config(&dir, "hold.timeout = \"9s\""));
    let told_now = told(command(&dir, &["reload", "--json", "--config", "vestibule.toml"]));
    let json: Value = serde_json::from_str(&told_now.stdout).expect("JSON");
    assert_eq!((told_now.status, json["outcome"].as_str()), (Some(0), Some("done")), "{json}");
    assert_eq!(json["changes"][0]["what"], "limits");
    assert_eq!(json["changes"][0]["became"], "changed");
    assert!(json["milliseconds"].is_u64() && json["warnings"] == Value::Array(Vec::new()), "{json}");
    assert_eq!(get(vestibule.address(), "/after").text(), "/after");
}

#[test]
fn another_configuration_than_the_one_served_is_refused_by_name() {
    let dir = Dir::new();
    let _vestibule = Vestibule::start(&dir, &config(&dir, ""));
    fs::write(dir.join("other.toml"), config(&dir, "")).expect("written");
    let told_now = told(command(&dir, &["reload", "--config", "other.toml"]));
    assert_eq!((told_now.status, told_now.stdout.as_str()), (Some(2), ""), "{told_now:?}");
    assert!(told_now.stderr.contains("other.toml is not the configuration"), "{told_now:?}");
}

#[test]
fn nobody_there_is_told_with_its_own_status() {
    let dir = Dir::new();
    let told_now = reload(&dir);
    assert_eq!(told_now.status, Some(4), "{told_now:?}");
    assert!(told_now.stderr.contains("no Vestibule is running there"), "{told_now:?}");
}

#[test]
fn requests_go_by_the_new_limits_pages_and_fields_also_on_kept_connections() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut kept = Client::connect(vestibule.address()).expect("a connection");
    let long = format!("/{}", "x".repeat(4000));
    assert_eq!(kept.get(&long).expect("an answer").status, 200);
    fs::write(dir.join("414.txt"), "far too long").expect("written");
    let more = format!(
        "[limits]\nhead = \"2 KiB\"\n[error_pages]\n431 = {0:?}\n414 = {0:?}\n[fields]\nvia = \"another\"\n",
        dir.join("414.txt")
    );
    reload_to(&dir, &(config(&dir, "") + &more));
    assert_eq!(kept.get("/short").expect("an answer").status, 200);
    let via = origin.wait_for_requests(2).last().and_then(|request| request.field("Via").map(str::to_owned));
    assert_eq!(via.as_deref(), Some("1.1 another"));
    let answer = kept.get(&long).expect("an answer");
    assert!(answer.status == 414 || answer.status == 431, "{}", answer.head);
    assert_eq!(answer.text(), "far too long");
}

#[test]
fn the_bound_on_connections_follows() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut first = Client::connect(vestibule.address()).expect("a connection");
    assert_eq!(first.get("/1").expect("an answer").status, 200);
    reload_to(&dir, &(config(&dir, "") + "[limits]\nconnections_per_address = 1\n"));
    assert_eq!(get(vestibule.address(), "/2").status, 429);
    assert_eq!(first.get("/3").expect("an answer").status, 200, "who is in stays in");
    reload_to(&dir, &config(&dir, ""));
    assert_eq!(get(vestibule.address(), "/4").status, 200);
}

#[test]
fn routes_and_upstreams_come_and_go() {
    let dir = Dir::new();
    let (_a, _b) = (
        Fake::echoing(&socket(&dir, "a")),
        Fake::start(&socket(&dir, "b"), |conversation| {
            while conversation.request().is_some() {
                conversation.answer("b");
            }
        }),
    );
    let one = format!("workers = 2\n{}{}", listen("127.0.0.1:0", ""), upstream(&dir, "a", ""));
    let two = format!(
        "{one}{}[[route]]\npath = \"/b/*\"\nupstream = \"b\"\n[[route]]\nupstream = \"a\"\n",
        upstream(&dir, "b", "")
    );
    let vestibule = Vestibule::start(&dir, &one);
    assert_eq!(get(vestibule.address(), "/b/1").text(), "/b/1");
    let told_now = reload_to(&dir, &two);
    assert!(
        told_now.stdout.contains("upstream b: added") && told_now.stdout.contains("routes: changed"),
        "{told_now:?}"
    );
    assert_eq!(
        (get(vestibule.address(), "/b/1").text(), get(vestibule.address(), "/2").text()),
        ("b".to_owned(), "/2".to_owned())
    );
    let told_now = reload_to(&dir, &one);
    assert!(told_now.stdout.contains("upstream b: removed"), "{told_now:?}");
    assert_eq!(get(vestibule.address(), "/b/1").text(), "/b/1");
}

#[test]
fn an_upstream_that_is_the_same_keeps_its_connections_and_one_that_is_not_lets_them_go() {
    let dir = Dir::new();
    let (asked, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&asked), Arc::clone(&closed));
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        let mut requests = 0;
        while conversation.request().is_some() {
            requests += 1;
            // Others only look whether somebody is there.
            counts.0.fetch_add(usize::from(requests == 1), Ordering::SeqCst);
            conversation.answer("fine");
        }
        counts.1.fetch_add(usize::from(requests > 0), Ordering::SeqCst);
    });
    let connections = || asked.load(Ordering::SeqCst);
    let vestibule = Vestibule::start(&dir, &config(&dir, "server = \"puma\""));
    assert_eq!(get(vestibule.address(), "/1").status, 200);
    reload_to(&dir, &(config(&dir, "server = \"puma\"") + "[limits]\nhead = \"8 KiB\"\n"));
    assert_eq!(get(vestibule.address(), "/2").status, 200);
    assert_eq!(connections(), 1, "the kept connection was not used");
    reload_to(&dir, &config(&dir, "server = \"puma\"\nhold.timeout = \"9s\""));
    until_true("the old connection is closed", seconds(30), || closed.load(Ordering::SeqCst) == 1);
    assert_eq!(get(vestibule.address(), "/3").status, 200);
    assert_eq!(connections(), 2);
}

#[test]
fn listeners_come_go_and_move() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let base = upstream(&dir, "web_server", "");
    let (second, third) = (free(), free());
    let path = dir.join("public.sock");
    let vestibule = Vestibule::start(&dir, &(listen("127.0.0.1:0", "") + &base));
    let first = vestibule.address();
    // One more, and a Unix socket; port 0 stays the port that it was.
    let unix = listen(&format!("unix:{}", path.display()), "");
    reload_to(&dir, &(listen(&second.to_string(), "") + &listen("127.0.0.1:0", "") + &unix + &base));
    assert_eq!((get(first, "/a").text(), get(second, "/b").text()), ("/a".to_owned(), "/b".to_owned()));
    let mut public = Client::connect_unix(&path).expect("a connection");
    assert_eq!(public.get("/c").expect("an answer").text(), "/c");
    let mut kept = Client::connect(second).expect("a connection");
    assert_eq!(kept.get("/kept").expect("an answer").status, 200);
    // The second moves.
    let told_now =
        reload_to(&dir, &(listen("127.0.0.1:0", "") + &listen(&third.to_string(), "") + &unix + &base));
    assert!(told_now.stdout.contains(&format!("listener {third}: added")), "{told_now:?}");
    assert!(told_now.stdout.contains(&format!("listener {second}: removed")), "{told_now:?}");
    until_true("nobody listens there any more", seconds(30), || refuses(second));
    assert_eq!((get(first, "/a").text(), get(third, "/b").text()), ("/a".to_owned(), "/b".to_owned()));
    assert_eq!(kept.get("/still").expect("an answer").text(), "/still", "who came that way stays");
    reload_to(&dir, &(listen(&third.to_string(), "") + &base));
    until_true("nobody listens there any more", seconds(30), || refuses(first));
    assert!(!is_there(&path), "its file is left");
    assert_eq!(get(third, "/d").text(), "/d");
    assert_eq!(public.get("/e").expect("an answer").text(), "/e", "who came that way stays");
}

#[test]
fn two_listeners_may_swap_what_they_do() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let (one, two) = (free(), free());
    let base = upstream(&dir, "web_server", "");
    let redirect = "redirect = \"https\"\n";
    let config = |first: SocketAddr, second: SocketAddr| {
        listen(&first.to_string(), redirect) + &listen(&second.to_string(), "") + &base
    };
    let vestibule = Vestibule::start(&dir, &config(one, two));
    assert_eq!(vestibule.addresses().len(), 2);
    assert_eq!((get(one, "/").status, get(two, "/").status), (308, 200));
    let mut kept = Client::connect(two).expect("a connection");
    assert_eq!(kept.get("/1").expect("an answer").status, 200);
    let told_now = reload_to(&dir, &config(two, one));
    assert_eq!(told_now.stdout.matches(": changed").count(), 2, "{told_now:?}");
    assert_eq!((get(one, "/").status, get(two, "/").status), (200, 308));
    assert_eq!(kept.get("/2").expect("an answer").status, 200, "a connection is as it was accepted");
}

#[test]
fn a_port_goes_from_one_address_to_all_and_back() {
    for reuse_port in ["", "reuse_port = false\n"] {
        let dir = Dir::new();
        let _origin = Fake::echoing(&dir.socket());
        let port = free().port();
        let base = upstream(&dir, "web_server", "");
        let local = two_workers(&(listen(&format!("127.0.0.1:{port}"), reuse_port) + &base));
        let all = two_workers(&(listen(&format!("0.0.0.0:{port}"), reuse_port) + &base));
        let vestibule = Vestibule::start(&dir, &local);
        let (here, there) = (vestibule.address(), SocketAddr::from(([127, 0, 0, 2], port)));
        assert!(refuses(there));
        for _ in 0..3 {
            reload_to(&dir, &all);
            assert_eq!((get(here, "/1").text(), get(there, "/2").text()), ("/1".to_owned(), "/2".to_owned()));
            reload_to(&dir, &local);
            assert_eq!(get(here, "/1").text(), "/1");
            until_true("nobody listens there any more", seconds(30), || refuses(there));
        }
    }
}

#[test]
fn backlog_and_reuse_port_change_in_place() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let address = free();
    let base = upstream(&dir, "web_server", "");
    let config = |more: &str| two_workers(&(listen(&address.to_string(), more) + &base));
    let _vestibule = Vestibule::start(&dir, &config(""));
    for more in ["backlog = 7", "reuse_port = false", "reuse_port = false\nbacklog = 9", ""] {
        let told_now = reload_to(&dir, &config(more));
        assert!(told_now.stdout.contains(&format!("listener {address}: changed")), "{told_now:?}");
        for number in 0..8 {
            assert_eq!(get(address, &format!("/{number}")).text(), format!("/{number}"));
        }
    }
}

#[test]
fn a_public_socket_whose_file_is_gone_comes_back() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let path = dir.join("public.sock");
    let config = listen(&format!("unix:{}", path.display()), "") + &upstream(&dir, "web_server", "");
    let _vestibule = Vestibule::start(&dir, &config);
    fs::remove_file(&path).expect("removed");
    reload_to(&dir, &config);
    let mut public = Client::connect_unix(&path).expect("a connection");
    assert_eq!(public.get("/a").expect("an answer").text(), "/a");
}

#[test]
fn what_needs_a_restart_is_told_by_name_and_the_rest_is_taken() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let elsewhere = dir.join("elsewhere.sock");
    let more = format!("[control]\nsocket = {elsewhere:?}\n[limits]\nhead = \"2 KiB\"\n");
    write(&dir, &(config(&dir, "").replace("workers = 1", "workers = 3") + &more));
    let mut asking = command(&dir, &["reload", "--control"]);
    asking.arg(control(&dir));
    let told_now = told(asking);
    assert_eq!(told_now.status, Some(0), "{told_now:?}");
    assert!(told_now.stderr.contains("workers = 3 waits for a restart"), "{told_now:?}");
    assert!(
        told_now.stderr.contains(&format!("[control] socket at {}", elsewhere.display())),
        "{told_now:?}"
    );
    assert!(told_now.stdout.contains("limits: changed"), "{told_now:?}");
    assert_eq!(get(vestibule.address(), &format!("/{}", "x".repeat(3000))).status, 414);
    assert!(!is_there(&elsewhere) && UnixStream::connect(control(&dir)).is_ok());
}

#[test]
fn the_access_log_goes_elsewhere_and_loses_no_line() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let log = |name: &str, format: &str| {
        config(&dir, "") + &format!("[log]\naccess = \"{format}\"\noutput = {:?}\n", dir.join(name))
    };
    let vestibule = Vestibule::start(&dir, &log("one.log", "json"));
    assert_eq!(get(vestibule.address(), "/1").status, 200);
    reload_to(&dir, &log("two.log", "combined"));
    assert_eq!(get(vestibule.address(), "/2").status, 200);
    let lines = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    until_true("both lines are written", seconds(30), || {
        lines("one.log").contains("/1") && lines("two.log").contains("/2")
    });
    assert!(lines("one.log").starts_with('{') && lines("two.log").contains("\"GET /2 HTTP/1.1\" 200"));
    reload_to(&dir, &(config(&dir, "") + "[log]\naccess = \"off\"\n"));
    assert_eq!(get(vestibule.address(), "/3").status, 200);
    assert!(!lines("two.log").contains("/3"));
}

#[test]
fn sighup_does_it_too_and_tells_the_log() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    write(&dir, &(config(&dir, "") + "[limits]\nhead = \"2 KiB\"\n"));
    vestibule.signal(Signal::HUP);
    until_true("it is told", seconds(30), || vestibule.stderr().contains("reloaded: limits: changed"));
    assert_eq!(get(vestibule.address(), &format!("/{}", "x".repeat(3000))).status, 414);
    write(&dir, "nonsense");
    vestibule.signal(Signal::HUP);
    until_true("it is told", seconds(30), || {
        vestibule.stderr().contains("not reloaded, everything is as before")
    });
    assert_eq!(get(vestibule.address(), "/a").text(), "/a");
}

#[test]
fn a_watched_file_is_read_anew_by_itself() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let watched = config(&dir, "") + "[reload]\nwatch = true\n";
    let vestibule = Vestibule::start(&dir, &watched);
    let status = || get(vestibule.address(), &format!("/{}", "x".repeat(3000))).status;
    assert_eq!(status(), 200);
    write(&dir, &format!("{watched}[limits]\nhead = \"2 KiB\"\n"));
    until_true("it is taken", seconds(30), || status() == 414);
    write(&dir, "nonsense");
    until_true("it is told", seconds(30), || vestibule.stderr().contains("not reloaded"));
    assert_eq!(status(), 414);
    // In place, as some editors do; and not watched any more.
    fs::write(dir.join("vestibule.toml"), config(&dir, "")).expect("written");
    until_true("it is taken", seconds(30), || status() == 200);
    until("that too is told", seconds(30), || vestibule.stderr().contains("reload: changed").then_some(()));
    assert_eq!(app(&dir, &["status"]).status, Some(0));
}
