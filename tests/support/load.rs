//! An open-loop load: requests leave at their time whether or not earlier ones were answered, as visitors do.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::client::Client;
use super::ledger::Ledger;
use super::multiplexed::Multiplexed;
use super::wait::{seconds, until_true};

/// Idle connections kept for the next requests.
const KEPT: usize = 16;
/// Every so many requests one is a POST.
const POST_EVERY: usize = 4;
/// Every so many requests one is on a new connection though others are idle.
const NEW_EVERY: usize = 5;

/// A load that runs until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    generator: JoinHandle<()>,
}

struct Shared {
    address: SocketAddr,
    /// Milliseconds that a request takes in the application.
    takes: u32,
    /// Bytes of a POST's body, where it is more than its name.
    body: usize,
    stop: AtomicBool,
    is_paused: AtomicBool,
    issued: AtomicUsize,
    ended: AtomicUsize,
    answered: AtomicUsize,
    idle: Mutex<Vec<Client<TcpStream>>>,
    /// Where it goes over HTTP/2 and TLS.
    multiplexed: Option<Multiplexed>,
    outcomes: Mutex<Vec<Outcome>>,
}

/// What became of one request.
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) post: bool,
    /// When it was due, since the load began.
    pub(crate) due: Duration,
    /// From then to its answer's last byte.
    pub(crate) took: Duration,
    pub(crate) failure: Option<Failure>,
}

/// Why a request counts as failed.
pub(crate) enum Failure {
    Status(u16, String),
    Body(String),
    Connection(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.post { "POST" } else { "GET" };
        write!(f, "{method} {} due at {:.3?} took {:.3?}: ", self.id, self.due, self.took)?;
        match &self.failure {
            None => write!(f, "fine"),
            Some(Failure::Status(status, body)) => write!(f, "status {status}: {body:?}"),
            Some(Failure::Body(body)) => write!(f, "wrong body {body:?}"),
            Some(Failure::Connection(error)) => write!(f, "{error}"),
        }
    }
}

/// What became of all of them.
pub(crate) struct Report {
    pub(crate) outcomes: Vec<Outcome>,
}

impl Load {
    /// Starts it: `rate` requests per second, each 5 ms in the application, one in four a POST.
    pub(crate) fn start(address: SocketAddr, rate: u32) -> Load {
        Load::begin(address, rate, 5, 0, None)
    }

    /// The same, each 2 ms in the application: for one that runs a single request at a time, and has to catch up.
    pub(crate) fn of_short_requests(address: SocketAddr, rate: u32) -> Load {
        Load::begin(address, rate, 2, 0, None)
    }

    /// The same, with POSTs that carry a body of this length and count as executed as soon as they begin.
    pub(crate) fn with_bodies(address: SocketAddr, rate: u32, body: usize) -> Load {
        Load::begin(address, rate, 5, body, None)
    }

    /// Requests of `takes` milliseconds each over HTTP/2 and TLS, by a client of these settings.
    pub(crate) fn over_http_2(
        address: SocketAddr,
        rate: u32,
        takes: u32,
        settings: Arc<ClientConfig>,
    ) -> Load {
        Load::begin(address, rate, takes, 0, Some(Multiplexed::new(address, settings)))
    }

    fn begin(
        address: SocketAddr,
        rate: u32,
        takes: u32,
        body: usize,
        multiplexed: Option<Multiplexed>,
    ) -> Load {
        let shared = Arc::new(Shared {
            address,
            takes,
            body,
            stop: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            issued: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            idle: Mutex::default(),
            multiplexed,
            outcomes: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let generator = std::thread::spawn(move || generate(&theirs, rate));
        Load { shared, generator }
    }

    /// Requests answered well so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests are answered well.
    pub(crate) fn wait_for(&self, count: usize) {
        let goal = self.answered() + count;
        until_true(&format!("{count} more good answers"), seconds(60), || self.answered() >= goal);
    }

    /// Waits until what was held is answered, and only the requests of the moment are open. Nobody else comes meanwhile: a machine
    /// with much else to do may take in no more than comes, and would never catch up.
    pub(crate) fn wait_until_caught_up(&self) {
        let open = || {
            let ended = self.shared.ended.load(Ordering::Relaxed);
            self.shared.issued.load(Ordering::Relaxed) - ended
        };
        self.shared.is_paused.store(true, Ordering::Relaxed);
        until_true("the backlog of requests is answered", seconds(60), || open() < 10);
        self.shared.is_paused.store(false, Ordering::Relaxed);
        let goal = self.shared.issued.load(Ordering::Relaxed) + 5;
        until_true("the load goes on", seconds(30), || self.shared.issued.load(Ordering::Relaxed) >= goal);
    }

    /// Stops it, waits for what is still open, and returns what became of each.
    pub(crate) fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.generator.join().expect("the load's thread");
        Report { outcomes: std::mem::take(&mut *self.shared.outcomes.lock().expect("outcomes")) }
    }
}

fn generate(shared: &Arc<Shared>, rate: u32) {
    let start = Instant::now();
    let mut open = Vec::new();
    let mut paused = Duration::ZERO;
    for index in 0.. {
        if shared.is_paused.load(Ordering::Relaxed) {
            let since = Instant::now();
            while shared.is_paused.load(Ordering::Relaxed) && !shared.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            paused += since.elapsed();
        }
        let due = Duration::from_secs(1) * index / rate + paused;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        shared.issued.fetch_add(1, Ordering::Relaxed);
        let theirs = Arc::clone(shared);
        // A held request holds its thread: there may be a thousand, so their stacks are small.
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        open.push(thread.spawn(move || request(&theirs, index as usize, start, due)).expect("a thread"));
        if index % 256 == 0 {
            open.retain(|thread| !thread.is_finished());
        }
    }
    for thread in open {
        thread.join().expect("a request's thread");
    }
}

fn request(shared: &Shared, index: usize, start: Instant, due: Duration) {
    let post = index % POST_EVERY == POST_EVERY - 1;
    let id = format!("request-{index}");
    let failure = attempt(shared, index, post, &id).err();
    if failure.is_none() {
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    let took = start.elapsed() - due;
    shared.outcomes.lock().expect("outcomes").push(Outcome { id, post, due, took, failure });
    shared.ended.fetch_add(1, Ordering::Relaxed);
}

fn attempt(shared: &Shared, index: usize, post: bool, id: &str) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::Connection(error.to_string());
    if let Some(client) = &shared.multiplexed {
        let takes = shared.takes;
        let answer = if post {
            client.request("POST", &format!("/once?ms={takes}"), id.as_bytes())
        } else {
            client.request("GET", &format!("/sleep?ms={takes}&token={id}"), b"")
        };
        let answer = answer.map_err(broken)?;
        return match (answer.status(), answer.text()) {
            (200, text) if text == id => Ok(()),
            (200, text) => Err(Failure::Body(text)),
            (status, text) => Err(Failure::Status(status, text.chars().take(200).collect())),
        };
    }
    let kept = if index.is_multiple_of(NEW_EVERY) { None } else { shared.idle.lock().expect("idle").pop() };
    let mut client = kept.map_or_else(|| Client::connect(shared.address), Ok).map_err(broken)?;
    let takes = shared.takes;
    let answer = if post && shared.body > 0 {
        let length = shared.body;
        let head = format!(
            "POST /begun?ms={takes} HTTP/1.1\r\nHost: a\r\nX-Post-Id: {id}\r\nContent-Length: {length}\r\n\r\n"
        );
        client.send([head.as_bytes(), &vec![b'x'; length]].concat()).and_then(|()| client.response())
    } else if post {
        client.post(&format!("/once?ms={takes}"), id.as_bytes())
    } else {
        client.get(&format!("/sleep?ms={takes}&token={id}"))
    };
    let answer = answer.map_err(broken)?;
    if answer.status != 200 {
        return Err(Failure::Status(answer.status, answer.text().chars().take(200).collect()));
    }
    if answer.text() != id {
        return Err(Failure::Body(answer.text()));
    }
    let mut idle = shared.idle.lock().expect("idle");
    if !answer.closes() && idle.len() < KEPT {
        idle.push(client);
    }
    Ok(())
}

impl Report {
    /// The requests that failed.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// Not one failed.
    pub(crate) fn assert_all_answered(&self, ledger: Option<&Ledger>) {
        let failed: Vec<_> = self.failed().collect();
        assert!(
            failed.is_empty(),
            "{} of {} failed; the first:\n{}",
            failed.len(),
            self.outcomes.len(),
            head(&failed, ledger)
        );
    }

    /// Not one failed, and every POST was executed exactly once.
    pub(crate) fn assert_nothing_failed(&self, ledger: &Ledger) {
        self.assert_all_answered(Some(ledger));
        self.assert_executed(ledger);
    }

    /// What failed are POSTs that the application had read, answered with 502; no more than `most` of them.
    /// Nothing was executed twice, and what was answered with 200 exactly once. Returns how many failed.
    pub(crate) fn assert_only_read_posts_failed(&self, ledger: &Ledger, most: usize) -> usize {
        self.assert_lost(ledger, most, |outcome| outcome.post)
    }

    /// The same for kills in quick succession, where a GET may be lost too: it is repeated once, and lost once more.
    pub(crate) fn assert_only_read_requests_failed(&self, ledger: &Ledger, most: usize) -> usize {
        self.assert_lost(ledger, most, |_| true)
    }

    /// What failed was refused with 503 within this time, and not executed; nothing was executed twice. Returns when the first
    /// that was refused had been due, and when the last was told so, both since the load began; `None` when none was refused.
    pub(crate) fn assert_only_refused(
        &self,
        ledger: &Ledger,
        within: Duration,
    ) -> Option<(Duration, Duration)> {
        let executions = ledger.executions();
        let is_refused = |outcome: &Outcome| {
            matches!(outcome.failure, Some(Failure::Status(503, _)))
                && outcome.took < within
                && !executions.contains_key(&outcome.id)
        };
        let wrong: Vec<_> = self.failed().filter(|outcome| !is_refused(outcome)).collect();
        assert!(
            wrong.is_empty(),
            "{} failed, and were not refused at once; the first:\n{}",
            wrong.len(),
            head(&wrong, Some(ledger))
        );
        self.assert_executed(ledger);
        let first = self.failed().map(|outcome| outcome.due).min()?;
        let last = self.failed().map(|outcome| outcome.due + outcome.took).max()?;
        Some((first, last))
    }

    fn assert_lost(&self, ledger: &Ledger, most: usize, may: impl Fn(&Outcome) -> bool) -> usize {
        let allowed =
            |outcome: &Outcome| may(outcome) && matches!(outcome.failure, Some(Failure::Status(502, _)));
        let wrong: Vec<_> = self.failed().filter(|outcome| !allowed(outcome)).collect();
        assert!(
            wrong.is_empty(),
            "{} failed that may not; the first:\n{}",
            wrong.len(),
            head(&wrong, Some(ledger))
        );
        self.assert_executed(ledger);
        let failed = self.failed().count();
        assert!(
            failed <= most,
            "{failed} failed, more than the application can have had in its hands ({most})"
        );
        failed
    }

    fn assert_executed(&self, ledger: &Ledger) {
        assert_eq!(ledger.repeated(), Vec::<String>::new(), "executed more than once");
        let executions = ledger.executions();
        let posts = self.outcomes.iter().filter(|outcome| outcome.post && outcome.failure.is_none());
        let missing: Vec<_> = posts
            .filter(|outcome| !executions.contains_key(&outcome.id))
            .map(|outcome| &outcome.id)
            .collect();
        assert!(missing.is_empty(), "answered but never executed: {missing:?}");
    }

    /// The longest that a request took.
    pub(crate) fn longest(&self) -> Duration {
        self.outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default()
    }

    /// One line for the test's output.
    pub(crate) fn summary(&self) -> String {
        let last = self.outcomes.iter().map(|outcome| outcome.due).max().unwrap_or_default();
        format!(
            "{} requests in {last:.1?}, {} failed, longest {:.1?}",
            self.outcomes.len(),
            self.failed().count(),
            self.longest()
        )
    }
}

/// The first of them, and how often the application executed each.
fn head(outcomes: &[&Outcome], ledger: Option<&Ledger>) -> String {
    let executions = ledger.map(Ledger::executions).unwrap_or_default();
    let line = |outcome: &&Outcome| match executions.get(&outcome.id) {
        Some(times) => format!("{outcome} (executed: {times})"),
        None => outcome.to_string(),
    };
    outcomes.iter().take(10).map(line).collect::<Vec<_>>().join("\n")
}
