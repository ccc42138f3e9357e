//! Reload after reload under load, with listeners, routes, upstreams and logs changing each time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::{listen, reload, socket, upstream, write};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// Clients that ask all the time.
const CLIENTS: usize = 8;
/// Requests on one connection.
const EACH: usize = 20;

/// The configuration of a number: everything in it differs from the one before.
fn config(dir: &Dir, number: usize) -> String {
    let more = listen(&format!("unix:{}", dir.join(&format!("public-{}.sock", number % 3)).display()), "");
    let comes_and_goes =
        if number.is_multiple_of(2) { listen("127.0.0.1:0", "backlog = 99") } else { String::new() };
    let changing = upstream(dir, "b", &format!("hold.timeout = \"{}s\"", 10 + number % 20));
    let routes: String = (0..number % 7)
        .map(|extra| format!("[[route]]\npath = \"/extra/{extra}/*\"\nupstream = \"a\"\n"))
        .collect();
    format!(
        "workers = 2\n{}{more}{comes_and_goes}{}{changing}{routes}[[route]]\npath = \"/b/*\"\nupstream = \"b\"\n\
         [[route]]\nupstream = \"a\"\n[limits]\nidle_timeout = \"10m\"\nhead = \"{} KiB\"\n[log]\naccess = \"{}\"\noutput = {:?}\n",
        listen("127.0.0.1:0", &format!("backlog = {}", 100 + number % 50)),
        upstream(dir, "a", ""),
        8 + number % 8,
        if number.is_multiple_of(5) { "combined" } else { "json" },
        dir.join("access.log"),
    )
}

/// How long a reload took, as it says itself.
fn milliseconds(told: &str) -> u64 {
    let number = told.split_once("reloaded in ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    number.unwrap_or(u64::MAX)
}

/// Asks until it is to stop; gives what went wrong.
fn ask(address: SocketAddr, client: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) && failures.len() < 5 {
        let outcome = Client::connect(address).and_then(|mut connection| {
            for _ in 0..EACH {
                number += 1;
                let path = if number.is_multiple_of(2) {
                    format!("/a/{client}/{number}")
                } else {
                    format!("/b/{client}/{number}")
                };
                let answer = if number.is_multiple_of(5) {
                    connection.post(&path, b"body")
                } else {
                    connection.get(&path)
                }?;
                if answer.status != 200 || answer.text() != path {
                    return Err(std::io::Error::other(format!("{path}: {}{}", answer.head, answer.text())));
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        failures.extend(outcome.err().map(|error| format!("client {client}, request {number}: {error}")));
    }
    failures
}

#[test]
fn reload_after_reload_fails_no_request_and_leaks_nothing() {
    let _turn = turn::heavy();
    let reloads = if std::env::var_os("VESTIBULE_SLOW").is_some() { 1000 } else { 100 };
    let dir = Dir::new();
    let (_a, _b) = (Fake::echoing(&socket(&dir, "a")), Fake::echoing(&socket(&dir, "b")));
    let vestibule = Vestibule::start(&dir, &config(&dir, 1));
    let address = vestibule.address();
    // Held open all the time: it keeps the plan of its beginning, and no other.
    let mut kept = Client::connect(address).expect("a connection");
    assert_eq!(kept.get("/first").expect("an answer").status, 200);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let mut times = Vec::new();
    let (mut warm, mut end) = ((0, 0, 0), (0, 0, 0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (stop, answered, failures) = (&stop, &answered, &failures);
            scope.spawn(move || {
                let found = ask(address, client, stop, answered);
                failures.lock().expect("failures").extend(found);
            });
        }
        let measure = || {
            let threads =
                std::fs::read_dir(format!("/proc/{}/task", vestibule.pid())).expect("it lives").count();
            (vestibule.rss(), vestibule.open_files(), threads)
        };
        for number in 2..=reloads + 1 {
            write(&dir, &config(&dir, number));
            let told = reload(&dir);
            if told.status != Some(0) || !failures.lock().expect("failures").is_empty() {
                stop.store(true, Ordering::Relaxed);
                panic!("reload {number}: {told:?} {:?}", failures.lock().expect("failures"));
            }
            times.push(milliseconds(&told.stdout));
            if number == reloads / 4 {
                warm = measure();
            }
        }
        end = measure();
        stop.store(true, Ordering::Relaxed);
    });
    let failures = failures.into_inner().expect("failures");
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(kept.get("/last").expect("an answer").status, 200);
    times.sort_unstable();
    println!(
        "{reloads} reloads, {} requests, 0 failed; a reload takes {} ms (median), {} at most; RSS {} -> {} KiB, \
         descriptors {} -> {}, threads {} -> {}",
        answered.load(Ordering::Relaxed),
        times[times.len() / 2],
        times[times.len() - 1],
        warm.0 >> 10,
        end.0 >> 10,
        warm.1,
        end.1,
        warm.2,
        end.2,
    );
    assert!(answered.load(Ordering::Relaxed) > reloads, "hardly any load");
    // Each client and its upstream connection may be there or not at the moment of a look.
    assert!(end.1 <= warm.1 + 4 * CLIENTS, "descriptors: {} and then {}", warm.1, end.1);
    assert!(end.2 <= warm.2 + 8, "threads: {} and then {}", warm.2, end.2);
    assert!(end.0 <= warm.0 + warm.0 / 4 + (4 << 20), "memory: {} and then {}", warm.0, end.0);
    // When nobody asks any more nothing is left but what one configuration needs.
    drop(kept);
    until_true("descriptors are left", seconds(60), || vestibule.open_files() < 60);
}
