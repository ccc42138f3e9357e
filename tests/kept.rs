//! Kept connections of two workers to an application in which each of them occupies a thread.

use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// The threads of an application: each serves one connection until that closes.
#[derive(Default)]
struct Threads {
    busy: Mutex<usize>,
    freed: Condvar,
}

impl Threads {
    /// Runs `serve` on one of `count` threads, when one is free.
    fn run(&self, count: usize, serve: impl FnOnce()) {
        let busy = self.busy.lock().expect("threads");
        *self.freed.wait_while(busy, |busy| *busy >= count).expect("threads") += 1;
        serve();
        *self.busy.lock().expect("threads") -= 1;
        self.freed.notify_one();
    }
}

/// Two requests at once on fresh connections, so that they are often with the same worker, which then keeps both
/// connections; then one after the other on many: those of the other worker find no thread but through these.
fn two_and_then_many() {
    let dir = Dir::new();
    let threads = Arc::new(Threads::default());
    let origin = Fake::start(&dir.socket(), move |conversation| {
        threads.run(2, || {
            while let Some(request) = conversation.request() {
                if request.target() == "/together" {
                    std::thread::sleep(Duration::from_millis(50));
                }
                conversation.answer(request.target());
            }
        });
    });
    let settings = config(&dir, "in_flight = 2").replace("workers = 1", "workers = 2");
    let vestibule = Vestibule::start(&dir, &settings);
    let connect = |_| Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
    let mut clients: Vec<Client<TcpStream>> = (0..40).map(connect).collect();
    let (together, others) = clients.split_at_mut(2);
    for client in together.iter_mut() {
        client.send("GET /together HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    }
    for client in together.iter_mut() {
        assert_eq!(client.response().expect("an answer").text(), "/together");
    }
    for (index, client) in others.iter_mut().enumerate() {
        let (start, path) = (Instant::now(), format!("/{index}"));
        let answer = client.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((answer.status, answer.text()), (200, path));
        // An idle connection that nobody takes over keeps its thread for 15 s.
        assert!(start.elapsed() < seconds(5), "request {index} took {:?}", start.elapsed());
    }
    assert_eq!(origin.requests().len(), 40);
}

#[test]
fn workers_take_over_each_others_connections_where_each_occupies_a_thread() {
    // The kernel chooses the worker of a connection: in one round of two, both of the first are with the same.
    for _ in 0..10 {
        two_and_then_many();
    }
}
