//! An open-loop load: requests leave on time whatever becomes of the ones before, as visitors do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

/// What is sent, and how long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// What is asked for.
    pub(crate) path: &'static str,
    /// Requests per second, each on a connection of its own.
    pub(crate) rate: u32,
    /// One in so many is a POST; `None` sends GETs only.
    pub(crate) posts: Option<u64>,
    /// Longest that an answer may take before it counts as failed.
    pub(crate) patience: Duration,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// All that were sent.
    pub(crate) sent: u64,
    /// Those without a whole 200, by what came instead.
    pub(crate) failed: BTreeMap<String, u64>,
    /// The times to whole answers, from when the request was due.
    pub(crate) times: Vec<Duration>,
    /// The POSTs answered with 200.
    pub(crate) posts: Vec<String>,
}

/// A load that runs on a thread of its own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Tally>>,
}

impl Load {
    /// Begins to send.
    pub(crate) fn start(plan: Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(LocalSet::new().block_on(&runtime, generate(plan, told)))
        });
        Self { stop, thread }
    }

    /// Sends no more, waits for the answers that are due, and counts.
    pub(crate) fn finish(self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the load generator panicked"))?
    }
}

async fn generate(plan: Plan, stop: Arc<AtomicBool>) -> Tally {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / plan.rate);
    let mut requests = Vec::new();
    for number in 0u64.. {
        let due = ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let tally = Rc::clone(&tally);
        tally.borrow_mut().sent += 1;
        requests.push(spawn_local(async move {
            let is_post = plan.posts.is_some_and(|every| number.is_multiple_of(every));
            let id = is_post.then(|| format!("post-{number}"));
            let answer = ask(plan.address, plan.path, id.as_deref());
            let answer = tokio::time::timeout_at(due + plan.patience, answer).await;
            let mut tally = tally.borrow_mut();
            match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(()) => {
                    tally.times.push(due.elapsed());
                    tally.posts.extend(id);
                }
                Err(reason) => *tally.failed.entry(reason).or_default() += 1,
            }
        }));
    }
    for request in requests {
        // A task that panicked was not counted as answered; the rest still is right.
        let _ended = request.await;
    }
    tally.take()
}

/// One request on a new connection; the error says in a word what came instead of a whole 200.
async fn ask(address: SocketAddr, path: &str, id: Option<&str>) -> Result<(), String> {
    let request = match id {
        Some(id) => {
            let length = id.len();
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{id}"
            )
        }
        None => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    };
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = answer.await.map_err(|error| error.kind().to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or("empty answer");
    let whole = answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains("ok\n"));
    match status {
        "200" if whole => Ok(()),
        "200" => Err("cut off".to_owned()),
        _ => Err(status.to_owned()),
    }
}

impl Tally {
    /// The longest time to a whole answer.
    pub(crate) fn slowest(&self) -> Duration {
        self.times.iter().copied().max().unwrap_or_default()
    }

    /// How many failed in all.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The failures by kind, most first: `502 ×12, cut off ×1`.
    pub(crate) fn reasons(&self) -> String {
        let mut kinds: Vec<_> = self.failed.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{kind} ×{count}")).collect();
        kinds.join(", ")
    }

    /// How many POSTs `ran` twice or more, and how many were answered with 200 and never ran.
    pub(crate) fn check_posts(&self, ran: &[String]) -> Result<(usize, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for id in ran {
            *counts.entry(id.as_str()).or_default() += 1;
        }
        let twice = counts.values().filter(|count| **count > 1).count();
        let lost = self.posts.iter().filter(|id| !counts.contains_key(id.as_str())).count();
        if self.posts.is_empty() {
            return Err(anyhow!("no POST was answered")).context("the load never worked");
        }
        Ok((twice, lost))
    }
}
