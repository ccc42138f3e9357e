//! An application that leaks 10 MB with each request, under load: recycled at its bound, and nobody notices.
//!
//! What is promised, less than one worker above the bound, must be possible: while a worker ends and another boots, the application
//! grows on. So the load is such that it grows by much less than a worker in a second, and a worker is large: half the bound.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::app::Kind;
use crate::support::client::get;
use crate::support::kept::Kept;
use crate::support::process;
use crate::support::turn;
use crate::support::wait::{seconds, until_true};

/// Requests per second: it grows by 40 MB in each.
const RATE: u32 = 4;
/// Requests under way. On a machine that cannot keep up visitors wait for each other, instead of for longer than anybody is held.
const OPEN: usize = 8;
/// What it may take, in MiB.
const ABOVE: u64 = 300;

/// How long it leaks: 5 minutes with `VESTIBULE_SLOW` (`make test-slow`).
fn length() -> Duration {
    if std::env::var_os("VESTIBULE_SLOW").is_some() { seconds(300) } else { seconds(20) }
}

/// One look at all its processes.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    /// PSS of all of them, in bytes.
    all: u64,
    /// That of the largest.
    largest: u64,
}

/// Looks at the memory every 100 ms by itself, past Vestibule.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Watch {
    fn start(kept: &Kept) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, home) = (Arc::clone(&stop), kept.app.home().to_owned());
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !theirs.load(Ordering::Relaxed) {
                let start = Instant::now();
                let each: Vec<u64> = process::of_home(&home).into_iter().map(pss).collect();
                samples.push(Sample {
                    all: each.iter().sum(),
                    largest: each.iter().copied().max().unwrap_or_default(),
                });
                std::thread::sleep(Duration::from_millis(100).saturating_sub(start.elapsed()));
            }
            samples
        });
        Watch { stop, thread }
    }

    fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch")
    }
}

/// PSS of a process in bytes; 0 when it is gone.
fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Leaks for as long as [`length`] says; what came of each request that did not get its answer.
fn leaks(kept: &Kept) -> (usize, Vec<String>) {
    let (address, start) = (kept.vestibule.address(), Instant::now());
    let mut requests = Vec::new();
    for index in 0.. {
        let due = Duration::from_secs(1) * index / RATE;
        if due >= length() {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        if start.elapsed() >= length() {
            break;
        }
        let is_open = |request: &&JoinHandle<_>| !request.is_finished();
        while requests.iter().filter(is_open).count() >= OPEN {
            std::thread::sleep(Duration::from_millis(5));
        }
        let request = move || {
            let token = format!("leak-{index}");
            let answer = get(address, &format!("/leak?token={token}"));
            let is_good = answer.status == 200 && answer.text() == token;
            (!is_good).then(|| format!("{index}: {} {}", answer.status, answer.text()))
        };
        requests.push(std::thread::spawn(request));
    }
    let count = requests.len();
    let failed = requests
        .into_iter()
        .filter_map(|request| request.join().unwrap_or_else(|_| Some("no answer".into())));
    (count, failed.collect())
}

const MIB: u64 = 1 << 20;

fn is_kept_in_bounds(kind: Kind, what: &str, least: usize) {
    let _turn = turn::heavy();
    let kept = Kept::start(kind, &format!("memory = {{ above = \"{ABOVE} MiB\" }}"));
    let first = kept.assert_right_pid();
    let watch = Watch::start(&kept);
    let (count, failed) = leaks(&kept);
    let samples = watch.stop();
    let recycled = events_since_the_start(&kept, what);
    let most = samples.iter().map(|sample| sample.all).max().unwrap_or_default();
    let over = samples.iter().filter(|sample| sample.all > ABOVE * MIB).count();
    println!(
        "{kind:?}: {count} requests, {} failed; {} samples, {over} above the bound of {ABOVE} MiB, at most {} MiB; {recycled} times {what}",
        failed.len(),
        samples.len(),
        most / MIB
    );
    assert_eq!(failed, Vec::<String>::new());
    // Some seconds fill it: no test without something to do.
    assert!(most > ABOVE * MIB * 3 / 4, "{} MiB", most / MIB);
    assert!(recycled >= least, "{recycled} times {what}: {:?}", kept.events());
    for sample in &samples {
        let bound = ABOVE * MIB + sample.largest;
        assert!(sample.all <= bound, "{} MiB of {} MiB: {sample:?}", sample.all / MIB, bound / MIB);
    }
    if kind != Kind::Puma {
        assert_eq!(kept.assert_alone(), first, "its first process is still the same");
        let events = kept.events();
        assert!(!events.iter().any(|event| event.contains("is restarted")), "{events:?}");
    }
    kept.assert_alone();
}

/// How often something was done, as our log has it: the status forgets.
fn events_since_the_start(kept: &Kept, what: &str) -> usize {
    let events = kept.vestibule.events();
    let words: Vec<&str> = events.iter().filter_map(|event| event["message"].as_str()).collect();
    words.iter().filter(|words| words.contains(what)).count()
}

#[test]
fn a_leaking_puma_cluster_has_its_workers_recycled_below_its_bound() {
    is_kept_in_bounds(Kind::PumaCluster { preload: false }, "is recycled", 2);
}

#[test]
fn a_leaking_unicorn_has_its_workers_recycled_below_its_bound() {
    is_kept_in_bounds(Kind::Unicorn, "is recycled", 2);
}

#[test]
fn a_leaking_puma_is_restarted_at_its_bound() {
    is_kept_in_bounds(Kind::Puma, "is restarted: takes", 1);
}

#[test]
fn an_application_below_its_bound_is_left_alone() {
    let kept =
        Kept::start(Kind::PumaCluster { preload: false }, "memory = { above = \"400 MiB\", every = \"1s\" }");
    let workers = |kept: &Kept| -> HashSet<u64> {
        let status = kept.status();
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.iter().filter_map(|worker| worker["pid"].as_u64()).collect()
    };
    let before = workers(&kept);
    for _ in 0..10 {
        assert_eq!(get(kept.vestibule.address(), "/leak").text(), "leaked");
    }
    let sum = || process::of_home(kept.app.home()).into_iter().map(pss).sum::<u64>();
    // What it says is what we see.
    until_true("the status says how much it is", seconds(15), || {
        let said = kept.status()["memory"].as_u64().unwrap_or_default();
        said > 100 * MIB && said.abs_diff(sum()) < sum() / 10
    });
    assert_eq!((before.len(), workers(&kept)), (2, before));
}
