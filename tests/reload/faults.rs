//! A bad configuration changes nothing, and what is wrong is told as `vestibule check` tells it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{check, command, listen, reload, reload_to, upstream, write};
use crate::support::certificates::{Authority, Kind};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::tls::{NAME, Speaker};
use crate::support::vestibule::{Vestibule, config, told};
use crate::support::wait::{seconds, until_true};

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_as_check_tells_it() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let good = config(&dir, "");
    let vestibule = Vestibule::start(&dir, &good);
    let mut kept = Client::connect(vestibule.address()).expect("a connection");
    assert_eq!(kept.get("/before").expect("an answer").status, 200);
    fs::write(dir.join("bad.pem"), "no certificate").expect("written");
    fs::write(dir.join("file"), "").expect("written");
    let at = |name: &str| dir.join(name);
    let files = vestibule.open_files();
    for bad in [
        "[[listen]\n".to_owned(),
        "wrokers = 2\n".to_owned(),
        "[limits]\nhead = \"large\"\n[log]\naccess = \"loud\"\n".to_owned(),
        "[[route]]\nupstream = \"nobody\"\n".to_owned(),
        format!("[error_pages]\n404 = {:?}\n", at("nowhere.html")),
        format!("[log]\noutput = {:?}\n", at("nowhere/access.log")),
        format!("[disk]\ndirectory = {:?}\n", at("nowhere")),
        listen(&format!("unix:{}", at("file").display()), ""),
        listen("127.0.0.1:0", &format!("tls = {{ certificate = {0:?}, key = {0:?} }}\n", at("bad.pem"))),
        listen("127.0.0.1:0", &format!("tls = {{ certificate = {0:?}, key = {0:?} }}\n", at("nowhere.pem"))),
        "[process.jobs]\ncommand = [\"sleep\", \"600\"]\nuser = \"nobody-at-all\"\n".to_owned(),
    ] {
        // What can be taken is not taken either.
        write(&dir, &(good.clone() + &bad + "[buffer]\nmemory = \"1 KiB\"\n"));
        let (told_now, checked) = (reload(&dir), check(&dir));
        assert_eq!((told_now.status, told_now.stdout.as_str()), (Some(2), ""), "{bad}: {told_now:?}");
        assert_eq!(told_now.stderr, checked.stderr, "{bad}");
        assert_eq!(checked.status, Some(2), "{bad}");
        let json = told(command(&dir, &["reload", "--json"]));
        assert_eq!(json.status, Some(2), "{json:?}");
        assert!(json.stdout.starts_with("{\"outcome\":\"refused\",\"words\":"), "{json:?}");
        assert_eq!(kept.get("/after").expect("an answer").status, 200, "{bad}");
        assert_eq!(get(vestibule.address(), "/after").status, 200, "{bad}");
    }
    fs::remove_file(dir.join("vestibule.toml")).expect("removed");
    let gone = told(command(&dir, &["reload", "--config", "vestibule.toml"]));
    assert!(gone.status == Some(2) && gone.stderr.contains("cannot be read"), "{gone:?}");
    write(&dir, &good);
    assert!(reload(&dir).stdout.ends_with("nothing changed"), "something of it was taken");
    until_true("files are left open", seconds(30), || vestibule.open_files() <= files);
}

#[test]
fn a_file_that_is_gone_or_has_just_been_begun_changes_nothing() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let good = config(&dir, "");
    // As it is found, without its name: another that is found later would not be the one that is served.
    let vestibule = Vestibule::start_with(&dir, &good, |started| *started = command(&dir, &["serve"]));
    fs::remove_file(dir.join("vestibule.toml")).expect("removed");
    let gone = reload(&dir);
    assert_eq!((gone.status, gone.stdout.as_str()), (Some(2), ""), "{gone:?}");
    assert!(gone.stderr.contains("vestibule.toml: cannot be read"), "{gone:?}");
    for begun in ["", "# The configuration of\n"] {
        write(&dir, begun);
        let empty = reload(&dir);
        assert_eq!((empty.status, empty.stdout.as_str()), (Some(2), ""), "{empty:?}");
        assert!(empty.stderr.contains("nothing is written in it"), "{empty:?}");
        assert_eq!(get(vestibule.address(), "/a").text(), "/a");
    }
    write(&dir, &good);
    assert!(reload(&dir).stdout.ends_with("nothing changed"), "something of it was taken");
}

#[test]
fn a_named_pipe_is_no_configuration_and_nobody_waits_for_it() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    make_pipe(&dir.join("pipe"));
    fs::rename(dir.join("pipe"), dir.join("vestibule.toml")).expect("it is put in its place");
    let told_now = reload(&dir);
    assert_eq!((told_now.status, told_now.stdout.as_str()), (Some(2), ""), "{told_now:?}");
    assert!(told_now.stderr.contains("it is not a file"), "{told_now:?}");
    assert_eq!(get(vestibule.address(), "/a").text(), "/a");
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_yet_keeps_no_reload_waiting() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let pipe = dir.join("log.pipe");
    make_pipe(&pipe);
    reload_to(&dir, &(config(&dir, "") + &format!("[log]\naccess = \"json\"\noutput = {pipe:?}\n")));
    assert_eq!(get(vestibule.address(), "/logged").text(), "/logged");
    let mut line = String::new();
    BufReader::new(fs::File::open(&pipe).expect("open")).read_line(&mut line).expect("a line");
    assert!(line.contains("/logged"), "{line}");
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0));
}

#[test]
fn an_include_that_was_refused_is_watched_until_it_is_right() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let watched = config(&dir, "") + "[reload]\nwatch = true\n";
    let vestibule = Vestibule::start(&dir, &watched);
    fs::write(dir.join("new.toml"), "nonsense").expect("written");
    write(&dir, &format!("include = [\"new.toml\"]\n{watched}"));
    until_true("it is told", seconds(30), || vestibule.stderr().contains("not reloaded"));
    fs::write(dir.join("new.toml"), "[limits]\nhead = \"2 KiB\"\n").expect("written");
    until_true("it is taken", seconds(30), || {
        get(vestibule.address(), &format!("/{}", "x".repeat(3000))).status == 414
    });
}

#[test]
fn a_port_in_use_leaves_the_other_new_listeners_unbound_too() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let path = dir.join("public.sock");
    // With the connection to the application that is kept for the next request.
    assert_eq!(get(vestibule.address(), "/first").text(), "/first");
    let files = vestibule.open_files();
    write(
        &dir,
        &(listen(&format!("unix:{}", path.display()), "")
            + &listen(&address.to_string(), "")
            + &upstream(&dir, "web_server", "")),
    );
    let told_now = reload(&dir);
    assert_eq!(told_now.status, Some(2), "{told_now:?}");
    assert!(told_now.stderr.contains("another program listens there"), "{told_now:?}");
    assert!(told_now.stderr.contains(&format!("address = \"{address}\"")), "{told_now:?}");
    assert!(!super::is_there(&path), "its file is left");
    assert_eq!(get(vestibule.address(), "/a").text(), "/a");
    until_true("files are left open", seconds(30), || vestibule.open_files() <= files);
    drop(taken);
    assert_eq!(reload(&dir).status, Some(0));
    assert_eq!(get(address, "/b").text(), "/b");
}

#[test]
fn sighup_takes_new_certificates_also_when_the_file_is_bad() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let [first, second] = [(); 2].map(|()| std::sync::Arc::new(Authority::new()));
    let (certificate, key) = first.server(&[NAME], Kind::Ecdsa).write(dir.path(), "site");
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    let settings = listen("127.0.0.1:0", &tls) + &upstream(&dir, "web_server", "");
    let vestibule = Vestibule::start(&dir, &settings);
    let mut old = Speaker::new(&first).connect(vestibule.address()).expect("a handshake");
    assert_eq!(old.get("/1").expect("an answer").status, 200);
    second.server(&[NAME], Kind::Ecdsa).write(dir.path(), "site");
    write(&dir, "nonsense");
    vestibule.signal(Signal::HUP);
    until_true("the new certificate is served", seconds(30), || {
        Speaker::new(&second).connect(vestibule.address()).and_then(|mut new| new.get("/2")).is_ok()
    });
    until_true("it is told", seconds(30), || vestibule.stderr().contains("not reloaded"));
    assert_eq!(old.get("/3").expect("an answer").status, 200, "the old connection goes on");
}

#[test]
fn many_at_once_are_carried_out_one_after_the_other_and_all_are_told() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    write(&dir, &(config(&dir, "") + "[limits]\nhead = \"8 KiB\"\n"));
    thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(|| reload(&dir))).collect();
        for asked in asking {
            let told_now = asked.join().expect("it ends");
            assert_eq!(told_now.status, Some(0), "{told_now:?}");
        }
    });
    assert_eq!(vestibule.stderr().matches("reloaded: limits: changed").count(), 1);
    assert_eq!(get(vestibule.address(), "/a").text(), "/a");
}

#[test]
fn while_draining_it_is_refused_with_words() {
    let dir = Dir::new();
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    // Nobody is at the socket, so that it waits.
    let mut held = Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
    held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    until_true("it is read", seconds(30), || crate::hold::unread(&vestibule) == 0);
    vestibule.signal(Signal::TERM);
    until_true("it drains", seconds(30), || vestibule.stderr().contains("draining"));
    let told_now = reload(&dir);
    assert_eq!((told_now.status, told_now.stdout.as_str()), (Some(2), ""), "{told_now:?}");
    assert!(told_now.stderr.contains("is draining"), "{told_now:?}");
    vestibule.signal(Signal::HUP);
    until_true("that is told, too", seconds(30), || {
        vestibule.stderr().contains("draining: the configuration is not reloaded")
    });
    let _origin = Fake::echoing(&dir.socket());
    assert_eq!(held.response().expect("an answer").text(), "/held");
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0));
}
