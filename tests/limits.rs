//! How many connections, and requests on each: what is above is refused early, and the others are served.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketType, bind, connect as connect_to, socket};

use crate::forwarding::connect;
use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::gated::Gated;
use crate::support::process::{Signal, stopped};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until, until_true};

/// A configuration with these `[limits]`, this many workers, and many requests in flight.
fn limited(dir: &Dir, workers: usize, limits: &str) -> String {
    let base = config(dir, "in_flight = 1000").replace("workers = 1", &format!("workers = {workers}"));
    format!("{base}[limits]\n{limits}\n")
}

type Plain = Client<TcpStream>;

/// A connection with a request that the gate keeps.
fn slow(vestibule: &Vestibule) -> Plain {
    let mut client = connect(vestibule);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    client
}

/// The answer on a fresh connection, with the connection; `None` when it was closed without one.
fn ask(address: SocketAddr, path: &str) -> Option<(Response, Plain)> {
    let mut client = Client::connect(address).ok()?.patience(seconds(20));
    let answer = client.get(path).ok()?;
    Some((answer, client))
}

/// It is what a connection above a limit gets, whole, and then an end.
fn assert_refused(refused: (Response, Plain), status: u16) {
    let (answer, mut client) = refused;
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.closes(), "{}", answer.head);
    assert!(answer.field("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{}", answer.head);
    assert!(answer.field("date").is_some() && !answer.body.is_empty(), "{}", answer.head);
    assert!(client.is_closed());
}

#[test]
fn refuses_what_is_above_the_total_and_goes_on_accepting() {
    for workers in [1, 2] {
        let dir = Dir::new();
        let gated = Gated::start(&dir);
        let vestibule = Vestibule::start(&dir, &limited(&dir, workers, "connections = 8"));
        let mut busy: Vec<_> = (0..8).map(|_| slow(&vestibule)).collect();
        gated.origin.wait_for_requests(8);
        for _ in 0..60 {
            let refused = ask(vestibule.address(), "/refused").expect("an answer");
            assert_refused(refused, 503);
        }
        gated.open();
        for client in &mut busy {
            assert_eq!(client.response().expect("an answer").text(), "/slow");
        }
        assert!(gated.origin.requests().iter().all(|request| request.target() == "/slow"));
        // Places are given back, in whatever worker.
        drop(busy);
        until_true("all places are free again", seconds(20), || {
            let all: Vec<_> = (0..8).filter_map(|_| ask(vestibule.address(), "/served")).collect();
            all.len() == 8 && all.iter().all(|(answer, _)| answer.status == 200)
        });
    }
}

#[test]
fn reads_no_request_of_a_connection_that_it_refuses() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "connections = 1"));
    let _busy = slow(&vestibule);
    gated.origin.wait_for_requests(1);
    // The answer comes without a request, and is not lost to one that is large and was sent before it was read.
    let mut silent = connect(&vestibule);
    assert_eq!(silent.response().expect("an answer").status, 503);
    let mut large = connect(&vestibule);
    let _ = large.send(
        [b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", &[b'x'; 200_000][..]]
            .concat(),
    );
    assert_eq!(large.response().expect("an answer").status, 503);
    assert_eq!(gated.origin.requests().len(), 1);
}

#[test]
fn lets_a_connection_go_that_it_refuses_however_steadily_it_sends() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "connections = 1"));
    let _inside = slow(&vestibule);
    gated.origin.wait_for_requests(1);
    let mut refused = connect(&vestibule);
    assert_eq!(refused.response().expect("an answer").status, 503);
    until_true("it is let go", seconds(15), || refused.send("x").is_err());
}

#[test]
fn serves_those_who_are_in_while_it_refuses_others_by_the_thousand() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "connections = 6"));
    let _busy: Vec<_> = (0..5).map(|_| slow(&vestibule)).collect();
    gated.origin.wait_for_requests(5);
    let mut kept = connect(&vestibule);
    // Those that linger are bounded: the harness never closes these, nor does it read from them.
    let before = vestibule.open_files();
    let mut crowd = Vec::new();
    for round in 0..20 {
        crowd.extend((0..100).map(|_| TcpStream::connect(vestibule.address()).expect("a connection")));
        let path = format!("/{round}");
        assert_eq!(kept.get(&path).expect("an answer").text(), path);
        let open = vestibule.open_files();
        assert!(open <= before + 140, "{open} files are open, {before} before");
    }
    let count = || {
        let events = vestibule.events();
        let told = events.iter().filter(|event| event.to_string().contains("limits.connections is reached"));
        told.map(|event| event["fields"]["count"].as_u64().or(event["count"].as_u64()).expect("a count"))
            .collect::<Vec<_>>()
    };
    until_true("the count in the log", seconds(30), || count().iter().sum::<u64>() >= crowd.len() as u64);
    assert!(count().len() < 6, "{:?}", count());
}

#[test]
fn closes_idle_connections_to_make_room_oldest_first() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "connections = 20"));
    let mut busy = slow(&vestibule);
    gated.origin.wait_for_requests(1);
    let mut idle: Vec<_> = (0..17)
        .map(|n| {
            let mut client = connect(&vestibule);
            assert_eq!(client.get(&format!("/{n}")).expect("an answer").status, 200);
            client
        })
        .collect();
    std::thread::sleep(seconds(2));
    // The first used is the newest again.
    assert_eq!(idle[0].get("/again").expect("an answer").text(), "/again");
    let mut new = Vec::new();
    for n in 0..10 {
        let (answer, client) = ask(vestibule.address(), "/new").expect("an answer");
        assert_eq!(answer.status, 200, "connection {n}");
        new.push(client);
    }
    // 1 and 17 and 10 are 28; 18 of them are left.
    for (n, client) in idle.iter_mut().enumerate().skip(1).take(10) {
        assert!(client.is_closed(), "connection {n} is one of the oldest");
    }
    for (n, client) in idle.iter_mut().enumerate().skip(11) {
        assert_eq!(client.get("/still").expect("an answer").text(), "/still", "connection {n}");
    }
    assert_eq!(idle[0].get("/still").expect("an answer").text(), "/still");
    gated.open();
    assert_eq!(
        busy.response().expect("an answer").text(),
        "/slow",
        "a busy connection is never closed for it"
    );
}

#[test]
fn idle_connections_make_room_whichever_worker_has_them() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &limited(&dir, 2, "connections = 10"));
    let _idle: Vec<_> = (0..10).map(|_| ask(vestibule.address(), "/idle")).collect();
    // A client that comes back until it is served: that takes as long as the idle ones need to be a second old, and
    // no longer, whichever of the two workers the kernel gives it to.
    let mut served = Vec::new();
    for n in 0..10 {
        let client = until(&format!("connection {n} is served"), seconds(30), || {
            let (answer, client) = ask(vestibule.address(), "/new")?;
            (answer.status == 200).then_some(client)
        });
        served.push(client);
    }
}

#[test]
fn connections_that_never_ask_for_anything_make_room_too() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "connections = 10"));
    let mut silent: Vec<_> = (0..9).map(|_| connect(&vestibule)).collect();
    std::thread::sleep(seconds(2));
    for n in 0..9 {
        let (answer, _client) = ask(vestibule.address(), "/").expect("an answer");
        assert_eq!(answer.status, 200, "connection {n}");
    }
    assert!(silent[0].is_closed());
}

/// A connection from this address of the machine itself.
pub(crate) fn connect_from(source: Ipv4Addr, to: SocketAddr) -> Plain {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddrV4::new(source, 0)).expect("all of 127/8 is this machine");
    connect_to(&socket, &to).expect("a connection");
    Client::over(TcpStream::from(socket)).patience(seconds(20))
}

#[test]
fn refuses_what_an_address_has_above_its_limit_and_serves_others() {
    for workers in [1, 2] {
        let dir = Dir::new();
        let _origin = Fake::echoing(&dir.socket());
        let limits = limited(&dir, workers, "connections_per_address = 5");
        let vestibule = Vestibule::start(&dir, &limits);
        let first = Ipv4Addr::new(127, 0, 0, 2);
        let mut kept: Vec<_> = (0..5).map(|_| connect_from(first, vestibule.address())).collect();
        for client in &mut kept {
            assert_eq!(client.get("/in").expect("an answer").status, 200);
        }
        for _ in 0..20 {
            let mut client = connect_from(first, vestibule.address());
            let answer = client.get("/refused").expect("an answer");
            assert_refused((answer, client), 429);
        }
        let mut other = connect_from(Ipv4Addr::new(127, 0, 0, 3), vestibule.address());
        assert_eq!(other.get("/other").expect("an answer").text(), "/other");
        drop(kept.pop());
        until_true("the place is free again", seconds(20), || {
            connect_from(first, vestibule.address()).get("/in").is_ok_and(|answer| answer.status == 200)
        });
        for client in &mut kept {
            assert_eq!(client.get("/still").expect("an answer").text(), "/still");
        }
    }
}

#[test]
fn trusted_proxies_have_as_many_connections_as_they_want() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let limits = limited(&dir, 1, "connections_per_address = 2");
    let vestibule = Vestibule::start(&dir, &format!("trusted_proxies = [\"127.0.0.0/8\"]\n{limits}"));
    let clients: Vec<_> = (0..20).map(|_| ask(vestibule.address(), "/").expect("an answer")).collect();
    assert!(clients.iter().all(|(answer, _)| answer.status == 200));
}

#[test]
fn counts_the_client_and_not_the_proxy_that_speaks_for_it() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let limits = limited(&dir, 2, "connections_per_address = 2");
    let asking = limits.replace("[[listen]]\n", "[[listen]]\nproxy_protocol = true\n");
    let vestibule = Vestibule::start(&dir, &format!("trusted_proxies = [\"127.0.0.0/8\"]\n{asking}"));
    let ask_as = |line: &str| {
        let mut client = connect(&vestibule);
        client.send(format!("PROXY {line}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        let answer = client.response().expect("an answer");
        (answer, client)
    };
    let status = |line: &str| ask_as(line).0.status;
    let kept: Vec<_> = (0..2).map(|n| ask_as(&format!("TCP4 203.0.113.7 198.51.100.1 {n} 443"))).collect();
    assert!(kept.iter().all(|(answer, _)| answer.status == 200));
    assert_refused(ask_as("TCP4 203.0.113.7 198.51.100.1 9 443"), 429);
    assert_eq!(status("TCP4 203.0.113.8 198.51.100.1 9 443"), 200);
    // All of a /64 is one.
    let kept: Vec<_> = (1..3).map(|n| ask_as(&format!("TCP6 2001:db8:0:1::{n} ::1 {n} 443"))).collect();
    assert!(kept.iter().all(|(answer, _)| answer.status == 200));
    assert_refused(ask_as("TCP6 2001:db8:0:1:ffff::3 ::1 9 443"), 429);
    assert_eq!(status("TCP6 2001:db8:0:2::1 ::1 9 443"), 200);
    // The proxy for itself, as often as it wants.
    let own: Vec<_> = (0..10).map(|_| ask_as("UNKNOWN")).collect();
    assert!(own.iter().all(|(answer, _)| answer.status == 200));
    assert_eq!(origin.requests().len(), 2 + 1 + 2 + 1 + 10);
}

#[test]
fn says_close_with_the_last_answer_of_a_connection() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &limited(&dir, 1, "requests_per_connection = 3"));
    let mut client = connect(&vestibule);
    for n in 1..=3 {
        let answer = client.get(&format!("/{n}")).expect("an answer");
        assert_eq!((answer.status, answer.closes()), (200, n == 3), "{}", answer.head);
    }
    assert!(client.is_closed());
    // Of those that were sent ahead, three are answered, and the client can read that. A reset would take it away.
    let mut client = connect(&vestibule);
    let ahead: String = (1..=2000).map(|n| format!("GET /ahead/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(ahead).expect("sent");
    for n in 1..=3 {
        let answer = client.response().expect("an answer");
        assert_eq!((answer.text(), answer.closes()), (format!("/ahead/{n}"), n == 3));
    }
    assert_eq!(client.rest().expect("an end, and no reset"), b"");
    assert_eq!(origin.requests().len(), 6);
    // An answer of our own is counted as well as the application's.
    let routed = limited(&dir, 1, "requests_per_connection = 2")
        .replace("[limits]", "[[route]]\nhost = \"nowhere.example\"\nupstream = \"app\"\n[limits]");
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &routed);
    let mut client = connect(&vestibule);
    for n in 1..=2 {
        let answer = client.get("/").expect("an answer");
        assert_eq!((answer.status, answer.closes()), (404, n == 2), "{}", answer.head);
    }
}

#[test]
fn a_client_that_sends_ahead_keeps_nobody_else_waiting() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let routed =
        limited(&dir, 1, "").replace("[limits]", "[[route]]\nhost = \"a\"\nupstream = \"app\"\n[limits]");
    let vestibule = Vestibule::start(&dir, &routed);
    let (mut ahead, mut other) = (connect(&vestibule), connect(&vestibule));
    for client in [&mut ahead, &mut other] {
        assert_eq!(client.get("/before").expect("an answer").status, 404);
    }
    // Both find their requests there at once, those of the one first. None needs the application.
    vestibule.signal(Signal::STOP);
    until_true("it stands still", seconds(30), || stopped(vestibule.pid()));
    let count = 2_000;
    ahead.send("GET /ahead HTTP/1.1\r\nHost: b\r\n\r\n".repeat(count)).expect("the kernel takes it");
    other.send("GET /other HTTP/1.1\r\nHost: b\r\n\r\n").expect("sent");
    vestibule.signal(Signal::CONT);
    assert_eq!(other.response().expect("an answer").status, 404);
    for _ in 0..count {
        assert_eq!(ahead.response().expect("an answer").status, 404);
    }
    let paths = until("a line for each", seconds(30), || {
        let lines = vestibule.access_log();
        (lines.len() == count + 3).then(|| lines.iter().map(|line| line["path"].clone()).collect::<Vec<_>>())
    });
    let before = paths.iter().position(|path| path == "/other").expect("its line");
    assert!(before < 100, "{before} requests were answered before it");
}

/// Vestibule where the system allows it only this many open files, with what it said until it listened.
struct Confined {
    child: Child,
    said: Vec<String>,
}

impl Confined {
    fn start(dir: &Dir, open_files: u32, config: &str) -> Confined {
        let file = dir.join("vestibule.toml");
        fs::write(&file, config).expect("written");
        let binary = std::env::var("VESTIBULE").unwrap_or(env!("CARGO_BIN_EXE_vestibule").to_owned());
        let script = format!("ulimit -n {open_files} && exec \"$0\" serve --config \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, &binary]).arg(file).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env("VESTIBULE_CONTROL", dir.join("control.sock"));
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let mut said: Vec<String> = Vec::new();
        while !said.last().is_some_and(|line| line.contains("listening on")) {
            said.push(lines.next().expect("it listens").expect("a line"));
        }
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Confined { child, said }
    }

    fn address(&self) -> SocketAddr {
        let line = self.said.last().expect("a line");
        let (_, rest) = line.split_once("listening on ").expect("an address");
        rest.split('"').next().expect("an address").parse().expect("an address")
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn warns_at_the_start_when_the_system_allows_too_few_files() {
    let dir = Dir::new();
    let is_warned = |connections: u32| {
        let confined =
            Confined::start(&dir, 2000, &limited(&dir, 1, &format!("connections = {connections}")));
        confined.said.iter().any(|line| line.contains("limits.connections") && line.contains("LimitNOFILE"))
    };
    assert!(is_warned(10_000));
    assert!(!is_warned(300));
}

#[test]
fn idle_connections_make_room_when_the_system_allows_no_more_files() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let confined = Confined::start(&dir, 60, &limited(&dir, 1, "connections = 10000"));
    let mut kept = Vec::new();
    for n in 0..100 {
        // Without a descriptor for it the connection waits in the kernel until an idle one is old enough to go.
        let (answer, client) = ask(confined.address(), "/").expect("an answer");
        assert_eq!(answer.status, 200, "connection {n}: {}", answer.text());
        kept.push(client);
    }
}
