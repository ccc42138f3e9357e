//! Requests that wait: in order, within bounds, for nothing but as long as it may be, and without using the CPU.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::app::{App, Kind};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::load::Load;
use crate::support::turn;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// Sends a GET and does not wait for its answer.
fn ask(vestibule: &Vestibule, path: &str) -> Client<TcpStream> {
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n")).expect("sent");
    client
}

fn answers(conversation: &mut Conversation) {
    while let Some(request) = conversation.request() {
        conversation.answer(request.target());
    }
}

/// Measures the CPU time that Vestibule uses while `what` happens, as a share of one core.
fn cpu_share<T>(vestibule: &Vestibule, what: impl FnOnce() -> T) -> (f64, T) {
    let (start, before) = (Instant::now(), vestibule.cpu());
    let result = what();
    ((vestibule.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64(), result)
}

#[test]
fn holds_ten_thousand_requests_and_releases_them_in_order() {
    const COUNT: usize = 10_000;
    let _turn = turn::alone();
    let dir = Dir::new();
    let hold = "hold = { timeout = \"60s\", requests = 20000 }\nin_flight = 1\n[limits]\nconnections_per_address = 20000";
    let vestibule = Vestibule::start(&dir, &config(&dir, hold));
    let before = vestibule.open_files();
    let connect = |_| Client::connect(vestibule.address()).expect("a connection");
    let mut clients: Vec<_> = (0..COUNT).map(connect).collect();
    // Every connection is accepted before the first request, so that requests arrive in the order of their bytes.
    vestibule.wait_for_files(before, COUNT);
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /{index} HTTP/1.1\r\nHost: example.com\r\n\r\n")).expect("sent");
    }
    until_true("all requests are read", seconds(20), || unread(&vestibule) == 0);
    let origin = Fake::start(&dir.socket(), answers);
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.response().unwrap_or_else(|error| panic!("request {index}: {error}"));
        assert_eq!((answer.status, answer.text()), (200, format!("/{index}")));
    }
    let memory = vestibule.rss();
    println!("{COUNT} held requests: {:.1} MiB resident", memory as f64 / 1024.0 / 1024.0);
    let arrived: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    let sent: Vec<String> = (0..COUNT).map(|index| format!("/{index}")).collect();
    let first = arrived.iter().zip(&sent).position(|(one, other)| one != other);
    assert_eq!((first, arrived.len()), (None, COUNT), "the first that is out of order, and how many arrived");
    assert!(memory < 200 * 1024 * 1024, "{memory} bytes resident");
}

/// Bytes that clients have sent and Vestibule has not read, over all connections to its listener.
pub(crate) fn unread(vestibule: &Vestibule) -> u64 {
    let port = format!(":{:04X}", vestibule.address().port());
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = rows.filter(|row| row[1].ends_with(&port) && row[3] == "01");
    let queued = established.filter_map(|row| u64::from_str_radix(row[4].split_once(':')?.1, 16).ok());
    queued.sum()
}

#[test]
fn answers_503_with_retry_after_when_the_server_never_comes_back() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { timeout = \"1s\" }"));
    let start = Instant::now();
    let (share, answer) = cpu_share(&vestibule, || get(vestibule.address(), "/"));
    let took = start.elapsed();
    assert_eq!(answer.status, 503);
    assert!(answer.field("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{}", answer.head);
    assert!(took >= Duration::from_millis(900) && took < seconds(10), "after {took:?}");
    assert!(share < 0.05, "{share} of a core while waiting");
}

#[test]
fn holds_for_a_stale_socket_file_as_for_none() {
    let dir = Dir::new();
    let mut dead = Fake::echoing(&dir.socket());
    dead.die();
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = ask(&vestibule, "/held");
    until_true("the request is read", seconds(30), || unread(&vestibule) == 0);
    fs::remove_file(dir.socket()).expect("the stale socket is removed");
    let _origin = Fake::echoing(&dir.socket());
    let back = Instant::now();
    assert_eq!(client.response().expect("an answer").text(), "/held");
    // It may be held for 30 s, and nothing else than the return of the socket lets it in before.
    assert!(back.elapsed() < seconds(5), "released {:?} after the return", back.elapsed());
}

#[test]
fn answers_503_at_once_when_the_hold_is_full() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { timeout = \"30s\", requests = 3 }"));
    let mut held: Vec<_> = (0..3).map(|index| ask(&vestibule, &format!("/{index}"))).collect();
    // Nothing outside shows that a request is held; what shows is that the next is refused.
    let start = Instant::now();
    let mut refused = None;
    until_true("a request is refused", seconds(30), || {
        let mut client = ask(&vestibule, "/late").patience(Duration::from_millis(300));
        refused = client.response().ok();
        refused.is_some()
    });
    let answer = refused.expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(answer.field("retry-after").is_some(), "{}", answer.head);
    // One that is held would not be refused before 30 s.
    assert!(start.elapsed() < seconds(10), "refused after {:?}", start.elapsed());
    let _origin = Fake::echoing(&dir.socket());
    for (index, client) in held.iter_mut().enumerate() {
        assert_eq!(client.response().expect("an answer").text(), format!("/{index}"));
    }
}

#[test]
fn holds_nothing_when_told_so() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { requests = 0 }"));
    assert_eq!(get(vestibule.address(), "/").status, 503);
}

#[test]
fn drops_a_held_request_whose_client_left() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut first = ask(&vestibule, "/first");
    let leaver = ask(&vestibule, "/leaver");
    let mut last = ask(&vestibule, "/last");
    until_true("all requests are read", seconds(30), || unread(&vestibule) == 0);
    drop(leaver);
    vestibule.access_line("the leaver with 499", |line| line["status"] == 499 && line["path"] == "/leaver");
    let origin = Fake::echoing(&dir.socket());
    assert_eq!(first.response().expect("an answer").text(), "/first");
    assert_eq!(last.response().expect("an answer").text(), "/last");
    assert!(
        !origin.requests().iter().any(|request| request.target() == "/leaver"),
        "{:?}",
        origin.requests()
    );
}

#[test]
fn waits_for_a_server_that_boots_for_twenty_seconds() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let mut app = App::stopped(Kind::PumaCluster { preload: false }, &dir);
    app.boots_for(seconds(20));
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let load = Load::start(vestibule.address(), 20);
    std::thread::sleep(Duration::from_millis(500));
    // This Puma binds its socket at once and answers 20 s later: connect() succeeds all the time.
    app.run();
    let (share, ()) = cpu_share(&vestibule, || std::thread::sleep(seconds(18)));
    app.wait_until_answers();
    load.wait_for(100);
    let report = load.stop();
    println!("20 s boot: {}, {:.2}% of a core while waiting", report.summary(), share * 100.0);
    assert!(report.longest() > seconds(15), "the boot was not slow: {:?}", report.longest());
    report.assert_nothing_failed(&app.ledger());
    assert!(share < 0.05, "{share} of a core while waiting");
}

#[test]
fn answers_504_when_the_server_accepts_and_never_answers() {
    let dir = Dir::new();
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    let _origin =
        Fake::start(
            &dir.socket(),
            move |conversation| {
                while !end.load(Ordering::SeqCst) && conversation.request().is_some() {}
            },
        );
    let vestibule =
        Vestibule::start(&dir, &config(&dir, "timeout = { response = \"1s\" }\nhold = { timeout = \"5s\" }"));
    let start = Instant::now();
    let mut clients: Vec<_> = (0..20).map(|index| ask(&vestibule, &format!("/{index}"))).collect();
    let (share, answers) = cpu_share(&vestibule, || {
        clients.iter_mut().map(|client| client.response()).collect::<Vec<io::Result<_>>>()
    });
    let took = start.elapsed();
    for answer in answers {
        let status = answer.expect("an answer").status;
        // What was sent is a 504; what still waited for its turn when its time was over is a 503.
        assert!(status == 504 || status == 503, "{status}");
    }
    assert!(took >= Duration::from_millis(900) && took < seconds(10), "after {took:?}");
    assert!(share < 0.05, "{share} of a core while waiting");
    over.store(true, Ordering::SeqCst);
}

#[test]
fn answers_504_to_what_was_sent_and_no_answer_came() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| while conversation.request().is_some() {});
    let vestibule = Vestibule::start(&dir, &config(&dir, "timeout = { response = \"500ms\" }"));
    let start = Instant::now();
    assert_eq!(get(vestibule.address(), "/").status, 504);
    assert!(start.elapsed() < seconds(15), "after {:?}", start.elapsed());
}

#[test]
fn waits_in_order_for_a_backlog_of_four() {
    const COUNT: usize = 60;
    let _turn = turn::heavy();
    let dir = Dir::new();
    // Like Puma with one busy thread: the next connection is accepted when this request is answered.
    let origin = Fake::serial(&dir.socket(), 4, |conversation| {
        if let Some(request) = conversation.request() {
            std::thread::sleep(Duration::from_millis(30));
            let body = request.target();
            let length = body.len();
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "in_flight = 40"));
    let mut clients = Vec::new();
    for index in 0..COUNT {
        clients.push(ask(&vestibule, &format!("/{index}")));
        until_true("the request is read", seconds(30), || unread(&vestibule) == 0);
    }
    let (share, answers) = cpu_share(&vestibule, || {
        clients.iter_mut().map(|client| client.response()).collect::<Vec<io::Result<_>>>()
    });
    for (index, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap_or_else(|error| panic!("request {index}: {error}"));
        assert_eq!((answer.status, answer.text()), (200, format!("/{index}")));
    }
    let arrived: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(arrived, (0..COUNT).map(|index| format!("/{index}")).collect::<Vec<_>>());
    assert!(share < 0.15, "{share} of a core while waiting");
}

#[test]
fn releases_at_the_pace_of_the_application() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "in_flight = 3"));
    let mut clients: Vec<_> = (0..30).map(|index| ask(&vestibule, &format!("/{index}"))).collect();
    until_true("all requests are read", seconds(30), || unread(&vestibule) == 0);
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (here, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            peak.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            here.fetch_sub(1, Ordering::SeqCst);
            conversation.answer(request.target());
        }
    });
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().expect("an answer").text(), format!("/{index}"));
    }
    assert_eq!(most.load(Ordering::SeqCst), 3, "requests in the application at the same time");
}

#[test]
fn uses_no_cpu_while_the_accept_queue_stays_full() {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.socket()).expect("the socket is free");
    rustix::net::listen(&listener, 4).expect("the backlog is set"); // and nobody ever accepts
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let _clients: Vec<_> = (0..40).map(|index| ask(&vestibule, &format!("/{index}"))).collect();
    until_true("all requests are read", seconds(30), || unread(&vestibule) == 0);
    let (share, ()) = cpu_share(&vestibule, || std::thread::sleep(seconds(3)));
    println!("full accept queue, 40 waiting: {:.2}% of a core", share * 100.0);
    assert!(share < 0.10, "{share} of a core while waiting");
}

#[test]
fn holds_a_request_that_ran_for_longer_than_the_hold_before_its_server_died() {
    let dir = Dir::new();
    let origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            conversation.wait_for_close();
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { timeout = \"2s\" }"));
    let mut client = ask(&vestibule, "/long");
    origin.wait_for_requests(1);
    std::thread::sleep(seconds(3)); // only the time that a request is held counts, not this
    origin.leave();
    std::thread::sleep(Duration::from_millis(300));
    let _origin = Fake::echoing(&dir.socket());
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "/long".to_owned()));
}
