//! The process behind an upstream's socket: which server it is, which life of it, and what it can run at once.

use std::fs;

use rustix::process::Pid;
use vestibule_config::Server;
use vestibule_process::{Life, Title, children, recognise};

use crate::capacity::Capacity;
use crate::gate::MAX_CAP;

/// Threads of a Puma whose threads cannot be counted: its own default on MRI.
const PUMA_THREADS: u32 = 5;
/// In flight at an application of which nothing is known.
const UNKNOWN: u32 = 64;
/// Thin runs one request at a time, but its reactor accepts, reads and writes for many in one turn: with 16 in flight it
/// answers twice as many per second as with 2 (measured, a handler of 0 ms), and waits no longer.
const THIN_BATCH: u32 = 16;
/// The threads that `thin --threaded` runs the application on: EventMachine's default.
const THIN_THREADS: u32 = 20;
/// In flight beside what the server runs, so that it need not wait for us between two requests.
const LOOKAHEAD: u32 = 1;

/// What `/proc` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) life: Life,
    /// What its command line or title shows.
    pub(crate) server: Server,
}

impl Peer {
    /// Looks at the process with this PID; `None` when it is gone or belongs to a place that we cannot see.
    pub(crate) fn of(pid: Option<Pid>) -> Option<Self> {
        let pid = u32::try_from(pid?.as_raw_nonzero().get()).ok()?;
        let life = Life::of(pid)?;
        let title = Title::of(pid)?;
        if title.is_empty() {
            // Its memory is gone and its sockets are not yet: it is dying.
            return None;
        }
        Some(Peer { life, server: recognise(&title) })
    }

    /// What the application can run at once, taken as `server`.
    pub(crate) fn capacity(&self, server: Server) -> Capacity {
        let pid = self.life.pid;
        match server {
            Server::Puma => puma(pid),
            // One more for each worker, so that a worker that is done finds the next in its accept queue at once.
            Server::Unicorn => exactly((2 * children(pid).len() as u32).max(2)),
            Server::Thin => {
                let threaded =
                    Title::of(pid).is_some_and(|title| title.words().any(|word| word == b"--threaded"));
                if threaded {
                    Capacity { guess: THIN_THREADS, floor: THIN_BATCH, ceiling: MAX_CAP }
                } else {
                    exactly(THIN_BATCH)
                }
            }
            Server::Passenger => exactly(passenger_processes(pid) + LOOKAHEAD),
            Server::Auto => unknown(),
        }
    }
}

/// The capacity where there is no process to look at.
pub(crate) fn capacity_without_peer(server: Server) -> Capacity {
    match server {
        Server::Puma => Capacity { guess: PUMA_THREADS, floor: 1, ceiling: MAX_CAP },
        _ => unknown(),
    }
}

fn unknown() -> Capacity {
    Capacity { guess: UNKNOWN, floor: 1, ceiling: MAX_CAP }
}

fn exactly(count: u32) -> Capacity {
    Capacity { guess: count, floor: count, ceiling: count }
}

/// Puma's threads call themselves "puma srv tp NNN" (also cluster workers'); there may be fewer than its maximum,
/// because it starts them on demand.
fn puma(pid: u32) -> Capacity {
    let workers: Vec<u32> =
        children(pid).into_iter().filter(|&child| calls_itself(child, "cluster worker")).collect();
    let processes = if workers.is_empty() { vec![pid] } else { workers };
    let threads: Vec<u32> = processes.iter().map(|&process| threads_named(process, "puma srv tp")).collect();
    Capacity {
        guess: threads.iter().map(|&count| count.max(PUMA_THREADS)).sum(),
        floor: threads.iter().sum::<u32>().max(1),
        ceiling: MAX_CAP,
    }
}

/// Passenger's watchdog and core listen; the application's processes hang below them, and below a preloader.
fn passenger_processes(core: u32) -> u32 {
    let mut applications = 0;
    let mut below = children(core);
    let mut looked_at = 0;
    while let Some(pid) = below.pop() {
        looked_at += 1;
        if looked_at > 10_000 {
            break;
        }
        if calls_itself(pid, "RubyApp") {
            applications += 1;
        } else if calls_itself(pid, "AppPreloader") {
            below.extend(children(pid));
        }
    }
    applications
}

fn calls_itself(pid: u32, part: &str) -> bool {
    Title::of(pid).is_some_and(|title| title.contains(part))
}

fn threads_named(pid: u32, name: &str) -> u32 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count() as u32
}
