//! Floods (RFC 9113 10.5): what costs a client nothing costs Vestibule little, the application next to nothing, and others
//! not at all.
//!
//! Of each: it ends in ENHANCE_YOUR_CALM, or as it says here; memory grows by less than [`GROWTH`]; a client on other
//! connections is answered all the while; and a stream that is reset has cost the application one request at most, of no
//! more at a time than `limits.http2_streams`.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{noise, with_http2};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::h2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, H2, HEADERS, PING, PREFACE,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, request_fields,
};
use crate::support::process;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// Most bytes of memory that a flood may take; those of this module would take hundreds of megabytes, or no end.
const GROWTH: u64 = 16 << 20;
/// Streams of a connection at a time, here.
const STREAMS: usize = 20;
/// Resets that such a connection has to spare (`http2::flood`), and how many it gets back in a second.
const RESETS: usize = 100;
const RESETS_PER_SECOND: usize = 10;
/// Connections to the application beside those of the flood: for the client beside it, kept ones, looks at who listens.
const OTHERS: usize = 6;
/// Longest wait of the client beside a flood, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Vestibule before a flood, and what is to be seen of it meanwhile.
struct Shore {
    vestibule: Vestibule,
    origin: Fake,
    /// Most connections that the application had when it was asked for `/slow`.
    most: Arc<AtomicUsize>,
    beside: Option<Beside>,
    began: Instant,
    _dir: Dir,
}

/// A client that behaves, on connections of its own.
struct Beside {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    rss: Arc<AtomicU64>,
    before: u64,
    thread: JoinHandle<()>,
}

impl Beside {
    fn start(vestibule: &Vestibule) -> Beside {
        let (address, pid) = (vestibule.address(), vestibule.pid());
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let rss = Arc::new(AtomicU64::new(0));
        let (stopped, counted, seen) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&rss));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let start = Instant::now();
                assert_eq!(H2::connect(address).get("/beside").text(), "/beside");
                assert!(start.elapsed() < PATIENCE, "a client beside the flood waited {:?}", start.elapsed());
                counted.fetch_add(1, Ordering::SeqCst);
                seen.fetch_max(process::rss(pid), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        // Some memory is taken once, whoever asks.
        until_true("the client beside is answered", seconds(20), || answers.load(Ordering::SeqCst) >= 10);
        let before = vestibule.rss();
        rss.store(before, Ordering::SeqCst);
        Beside { stop, answers, rss, before, thread }
    }

    /// Waits for one more answer; gives by how much memory grew at most.
    fn end(self) -> u64 {
        let count = self.answers.load(Ordering::SeqCst);
        until_true("an answer beside the flood", seconds(30), || {
            self.answers.load(Ordering::SeqCst) > count + 1 || self.thread.is_finished()
        });
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("a client beside the flood is answered");
        self.rss.load(Ordering::SeqCst) - self.before
    }
}

impl Shore {
    /// The application answers all but `/slow`, which lasts until Vestibule gives it up.
    fn new() -> Shore {
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        Shore::before(most, "", move |conversation| {
            while let Some(request) = conversation.request() {
                if request.target() != "/slow" {
                    conversation.answer(request.target());
                    continue;
                }
                seen.fetch_max(conversation.connected(), Ordering::SeqCst);
                return conversation.wait_for_hangup();
            }
        })
    }

    /// In front of this application, with more `[limits]`.
    fn before(
        most: Arc<AtomicUsize>,
        limits: &str,
        script: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Shore {
        let dir = Dir::new();
        let origin = Fake::start(&dir.socket(), script);
        let settings = format!("{}\n[limits]\n{limits}", with_http2(&dir, "in_flight = 1000"));
        let settings = if limits.contains("http2_streams") {
            settings
        } else {
            format!("{settings}\nhttp2_streams = {STREAMS}\n")
        };
        let vestibule = Vestibule::start(&dir, &settings);
        let beside = Some(Beside::start(&vestibule));
        Shore { vestibule, origin, most, beside, began: Instant::now(), _dir: dir }
    }

    fn connect(&self) -> H2 {
        H2::connect(self.vestibule.address())
    }

    /// How often the application was asked for this.
    fn asked(&self, target: &str) -> usize {
        self.origin.requests().iter().filter(|request| request.target() == target).count()
    }

    /// The flood is over: what it cost is within bounds.
    fn recovers(mut self) {
        self.grew_by_less_than(GROWTH);
        let spared = RESETS + RESETS_PER_SECOND * (self.began.elapsed().as_secs() as usize + 1) + STREAMS;
        let asked = self.asked("/slow");
        assert!(asked <= spared, "{asked} requests reached the application, where {spared} may");
        let most = self.most.load(Ordering::SeqCst);
        assert!(most <= STREAMS + OTHERS, "{most} at a time, with {STREAMS} streams");
        until_true("the application is free", seconds(20), || self.origin.connected() <= OTHERS);
        assert_eq!(self.connect().get("/after").text(), "/after");
    }

    fn grew_by_less_than(&mut self, bound: u64) {
        let grown = self.beside.take().expect("measured once").end();
        assert!(grown < bound, "memory grew by {} KiB", grown >> 10);
    }
}

/// Sends `round` again and again until the connection comes to its end, which has to be ENHANCE_YOUR_CALM.
fn until_calm(client: &mut H2, rounds: usize, mut round: impl FnMut(&mut H2) -> io::Result<()>) {
    for _ in 0..rounds {
        if round(client).is_err() || !client.goaways.is_empty() {
            break;
        }
        client.listen(Duration::from_millis(1));
    }
    let _ = client.end();
    let codes: Vec<u32> = client.goaways.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [ENHANCE_YOUR_CALM]);
}

/// A request for `/slow` on a new stream.
fn slow(client: &mut H2) -> (u32, Vec<u8>) {
    let stream = client.next_stream();
    (stream, frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&request_fields("GET", "/slow"))))
}

/// Ten times a request, with what `then` gives behind each.
fn ten(client: &mut H2, then: impl Fn(u32) -> Vec<u8>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for _ in 0..10 {
        let (stream, request) = slow(client);
        bytes.extend(request);
        bytes.extend(then(stream));
    }
    client.send(&bytes)
}

/// Ten requests, each of which the application has; then what `then` gives for each.
fn ten_paced(shore: &Shore, client: &mut H2, then: impl Fn(u32) -> Vec<u8>) -> io::Result<()> {
    let before = shore.asked("/slow");
    let (streams, requests): (Vec<u32>, Vec<Vec<u8>>) = (0..10).map(|_| slow(client)).unzip();
    client.send(&requests.concat())?;
    let start = Instant::now();
    while shore.asked("/slow") < before + 10 && start.elapsed() < Duration::from_millis(100) {
        client.listen(Duration::from_millis(2));
    }
    client.send(&streams.into_iter().flat_map(then).collect::<Vec<u8>>())
}

fn cancel(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// What makes the server reset a stream (CVE-2025-8671).
fn provocations() -> [fn(u32) -> Vec<u8>; 4] {
    [
        |stream| window(stream, 0),
        |stream| [window(stream, 0x7fff_ffff), window(stream, 0x7fff_ffff)].concat(),
        |stream| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat()),
        |stream| frame(DATA, 0, stream, b"behind the end"),
    ]
}

#[test]
fn rapid_reset_in_batches() {
    let shore = Shore::new();
    let mut client = shore.connect();
    until_calm(&mut client, 1000, |client| ten(client, cancel));
    shore.recovers();
}

#[test]
fn rapid_reset_of_what_the_application_has() {
    let shore = Shore::new();
    let mut client = shore.connect();
    until_calm(&mut client, 1000, |client| ten_paced(&shore, client, cancel));
    assert!(shore.asked("/slow") >= 10, "none reached the application: this tests nothing");
    shore.recovers();
}

#[test]
fn made_you_reset_in_batches() {
    // DATA for a stream that was refused, and has ended with that, would end the connection at once (STREAM_CLOSED).
    for provocation in &provocations()[..3] {
        let shore = Shore::new();
        until_calm(&mut shore.connect(), 1000, |client| ten(client, provocation));
        shore.recovers();
    }
}

#[test]
fn made_you_reset_of_what_the_application_has() {
    for provocation in provocations() {
        let shore = Shore::new();
        let mut client = shore.connect();
        until_calm(&mut client, 1000, |client| ten_paced(&shore, client, provocation));
        assert!(shore.asked("/slow") >= 10, "none reached the application: this tests nothing");
        shore.recovers();
    }
}

#[test]
fn more_streams_than_there_may_be() {
    let shore = Shore::new();
    until_calm(&mut shore.connect(), 1000, |client| ten(client, |_| Vec::new()));
    assert!(shore.asked("/slow") <= STREAMS);
    shore.recovers();
}

/// A header block that does not end.
fn endless_block(first: &[u8], continuation: &[u8]) {
    let shore = Shore::new();
    let mut client = shore.connect();
    // What acknowledges them must not come in between.
    client.wait("the server's settings", |client| client.setting(3).is_some());
    let stream = client.next_stream();
    client.frame(HEADERS, END_STREAM, stream, first).expect("sent");
    until_calm(&mut client, 10_000, |client| client.frame(CONTINUATION, 0, stream, continuation));
    shore.recovers();
}

#[test]
fn continuation_without_end() {
    let first = block(&request_fields("GET", "/slow"));
    endless_block(&first, &[b'x'; 16_384]);
}

#[test]
fn continuation_without_content() {
    endless_block(&block(&request_fields("GET", "/slow")), b"");
    endless_block(b"", b"");
}

#[test]
fn continuation_byte_by_byte() {
    endless_block(&block(&request_fields("GET", "/slow")), &[0x90]);
}

/// A hundred of a frame at a time, on a connection with a stream that is open; its answers are read, or not.
fn frames(of: impl Fn(u32) -> Vec<u8>) {
    let shore = Shore::new();
    for is_read in [true, false] {
        let mut client = shore.connect();
        let stream = client.request("POST", "/upload", &[], false);
        let bytes = of(stream).repeat(100);
        if !is_read {
            for _ in 0..200 {
                if client.send(&bytes).is_err() {
                    break;
                }
            }
        }
        until_calm(&mut client, 10_000, |client| client.send(&bytes));
    }
    assert_eq!(shore.asked("/upload"), 0);
    shore.recovers();
}

#[test]
fn settings() {
    frames(|_| frame(SETTINGS, 0, 0, b""));
}

#[test]
fn settings_that_are_long() {
    frames(|_| frame(SETTINGS, 0, 0, &[0xfa, 0, 0, 0, 0, 1].repeat(1000)));
}

#[test]
fn settings_that_move_the_windows() {
    frames(|_| {
        [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])].concat()
    });
}

#[test]
fn pings() {
    frames(|_| frame(PING, 0, 0, b"how long"));
}

#[test]
fn empty_data() {
    frames(|stream| frame(DATA, 0, stream, b""));
}

#[test]
fn priorities() {
    frames(|stream| frame(PRIORITY, 0, stream + 2, &[0, 0, 0, 0, 15]));
    frames(|_| frame(0x10, 0, 0, b"\0\0\0\x01u=1"));
}

#[test]
fn unknown_frames() {
    frames(|stream| frame(0xfa, 0xff, stream, &[0; 100]));
}

#[test]
fn small_window_updates() {
    frames(|_| window(0, 1));
    frames(|stream| window(stream, 1));
}

/// 16 KB that stand for 64 MB (CVE-2016-1544), and such as are nothing but cookies. Each ends in 431, and the connection
/// goes on.
#[test]
fn compressed_bombs() {
    let shore = Shore::new();
    let mut client = shore.connect();
    // One field for the dynamic table (RFC 7541 6.2.1), which nearly fills it, and then its place, 62, again and again.
    let value = [b'x'; 4000];
    let field = block(&[("x", value)]);
    let table = [&block(&request_fields("GET", "/slow")), &[0x40][..], &field[1..], &[0xbe; 12_000]].concat();
    let cookies = [&block(&request_fields("GET", "/slow")), &[0xa0; 16_000][..]].concat();
    for _ in 0..50 {
        for bomb in [&table, &cookies] {
            let stream = client.open_block(bomb, true);
            let answer = client.answer(stream);
            assert_eq!(answer.status(), 431, "{answer:?}");
            client.forget(stream);
        }
    }
    assert_eq!(client.get("/same").text(), "/same");
    assert_eq!(shore.asked("/slow"), 0);
    shore.recovers();
}

/// An application whose `/large` is this long; it counts how often it has written all of that.
fn large(length: usize, limits: &str) -> (Shore, Arc<AtomicUsize>) {
    let done = Arc::new(AtomicUsize::new(0));
    let (counted, body) = (Arc::clone(&done), noise(length));
    let shore = Shore::before(Arc::default(), limits, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() != "/large" {
                conversation.answer(request.target());
                continue;
            }
            let _ = conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            if conversation.write(&body).is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (shore, done)
}

#[test]
fn windows_of_one_byte() {
    let (shore, done) = large(1_000_000, "");
    let mut client = H2::with_window(shore.vestibule.address(), 1);
    let stream = client.request("GET", "/large", &[], true);
    until_calm(&mut client, 10_000, |client| client.send(&window(stream, 1).repeat(20)));
    // The application is done with it all the same, and of the answer next to nothing went out.
    until_true("the application is free", seconds(20), || done.load(Ordering::SeqCst) == 1);
    let answer = client.seen(stream);
    assert!(answer.pieces > 10 && answer.body.len() < 2_000, "{} pieces", answer.pieces);
    shore.recovers();
}

/// A hundred answers of 1 MB, of which nothing is taken: each of its streams is reset, when `send_timeout` is over.
#[test]
fn windows_of_no_byte_on_a_hundred_streams() {
    const LENGTH: usize = 1 << 20;
    let _turn = turn::heavy();
    let (mut shore, done) = large(LENGTH, "http2_streams = 100\nsend_timeout = \"5s\"\n");
    let mut client = H2::with_window(shore.vestibule.address(), 0);
    let streams: Vec<u32> = (0..100).map(|_| client.request("GET", "/large", &[], true)).collect();
    until_true("the application is free", seconds(60), || done.load(Ordering::SeqCst) == streams.len());
    for stream in streams {
        let answer = client.answer(stream);
        assert_eq!((answer.reset, answer.body.len(), answer.has_ended), (Some(CANCEL), 0, false));
    }
    // Of each 64 KiB that wait, one read and two pieces on their way to the disk, in memory that grows by doubling. The rest of
    // the 100 MB is on disk.
    shore.grew_by_less_than(100 * 2 * 4 * 64 * 1024 + 8 * 1024 * 1024);
    assert_eq!(shore.asked("/large"), 100);
    assert_eq!(shore.connect().get("/after").text(), "/after");
}

/// Prefaces that do not come to an end, or have nothing behind them: closed by `request_timeout`.
#[test]
fn slow_prefaces() {
    let shore = Shore::before(Arc::default(), "request_timeout = \"1s\"\n", |conversation| {
        while let Some(request) = conversation.request() {
            conversation.answer(request.target());
        }
    });
    let files = shore.vestibule.open_files();
    let mut clients: Vec<H2> = (0..90).map(|_| H2::silent(shore.vestibule.address())).collect();
    let settings = frame(SETTINGS, 0, 0, &[0; 6]);
    for (number, client) in clients.iter_mut().enumerate() {
        let bytes = match number % 3 {
            0 => &PREFACE[..10],
            1 => PREFACE,
            _ => &[PREFACE, &settings[..12]].concat(),
        };
        client.send(bytes).expect("sent");
    }
    // One byte more now and then is no progress.
    let trickling = H2::silent(shore.vestibule.address());
    let start = Instant::now();
    let socket = trickling.socket().try_clone().expect("a handle");
    socket.set_nonblocking(true).expect("non-blocking");
    for byte in PREFACE.iter().cycle() {
        let sent = (&socket).write_all(&[*byte]);
        std::thread::sleep(Duration::from_millis(100));
        let mut answer = [0; 1000];
        let is_over = matches!((&socket).read(&mut answer), Ok(0)) || sent.is_err();
        if is_over {
            break;
        }
        assert!(start.elapsed() < seconds(15), "a preface may trickle");
    }
    for client in &clients {
        let mut rest = Vec::new();
        client.socket().read_to_end(&mut rest).expect("an end in good order");
    }
    drop((clients, trickling, socket));
    assert!(start.elapsed() < seconds(30), "they stayed for {:?}", start.elapsed());
    until_true("all are gone", seconds(20), || shore.vestibule.open_files() <= files + OTHERS);
    shore.recovers();
}
