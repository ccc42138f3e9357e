//! The process behind an upstream's socket: which server it is, which life of it, and what it can run at once.

use std::fs;

use rustix::process::Pid;
use vestibule_config::Server;

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

/// One life of a process: the PID, when it started, and where its stack begins, which a program that replaces
/// itself (Puma's USR2 calls exec) changes while PID and start stay. From proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) pid: u32,
    started: u64,
    stack: u64,
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) life: Life,
    /// What its command line or title shows.
    pub(crate) server: Server,
}

impl Life {
    /// The life of the process with this PID now; `None` when there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Life::parse(pid, &stat)
    }

    /// The command name, in parentheses, may hold anything, parentheses too: fields are counted behind the last.
    fn parse(pid: u32, stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3).and_then(|value| value.parse().ok());
        Some(Life { pid, started: number(22)?, stack: number(28)? })
    }
}

impl Peer {
    /// Looks at the process with this PID; `None` when it is gone or belongs to a place that we cannot see.
    pub(crate) fn of(pid: Option<Pid>) -> Option<Self> {
        let pid = u32::try_from(pid?.as_raw_nonzero().get()).ok()?;
        let life = Life::of(pid)?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        if command.is_empty() {
            // Its memory is gone and its sockets are not yet: it is dying.
            return None;
        }
        Some(Peer { life, server: recognise(&command) })
    }

    /// What the application can run at once, taken as `server`.
    pub(crate) fn capacity(&self, server: Server) -> Capacity {
        let pid = self.life.pid;
        match server {
            Server::Puma => puma(pid),
            // One more for each worker, so that a worker that is done finds the next in its accept queue at once.
            Server::Unicorn => exactly((2 * children(pid).len() as u32).max(2)),
            Server::Thin => {
                let threaded = fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|command| words(&command).any(|word| word == b"--threaded"));
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
        children(pid).into_iter().filter(|&child| command_contains(child, b"cluster worker")).collect();
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
        if command_contains(pid, b"RubyApp") {
            applications += 1;
        } else if command_contains(pid, b"AppPreloader") {
            below.extend(children(pid));
        }
    }
    applications
}

fn command_contains(pid: u32, part: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|command| command.windows(part.len()).any(|window| window == part))
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}

fn threads_named(pid: u32, name: &str) -> u32 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count() as u32
}

fn words(command: &[u8]) -> impl Iterator<Item = &[u8]> {
    command.split(|&byte| byte == 0 || byte == b' ').filter(|word| !word.is_empty())
}

/// The server that a command line, or the title that the server wrote over it, names.
fn recognise(command: &[u8]) -> Server {
    let mut titles = words(command);
    // `ruby /usr/bin/puma …` before the title is set; the title's first word afterwards.
    let mut names =
        titles.by_ref().take(4).map(|word| word.rsplit(|&byte| byte == b'/').next().unwrap_or(word));
    names
        .find_map(|name| match name.strip_suffix(b":").unwrap_or(name) {
            b"puma" | b"pumactl" => Some(Server::Puma),
            b"unicorn" | b"unicorn_rails" => Some(Server::Unicorn),
            b"thin" => Some(Server::Thin),
            b"Passenger" | b"PassengerAgent" => Some(Server::Passenger),
            _ => None,
        })
        .unwrap_or(Server::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_the_servers_by_title_and_by_command() {
        let cases: [(&[u8], Server); 9] = [
            (b"puma 5.6.5 (unix:///tmp/web_server.sock) [app]\0\0\0", Server::Puma),
            (b"puma: cluster worker 0: 77 [app]", Server::Puma),
            (b"/usr/bin/ruby\0/usr/bin/puma\0-b\0unix:///tmp/s\0", Server::Puma),
            (b"unicorn master -c unicorn.rb -E production config.ru", Server::Unicorn),
            (b"thin server (/tmp/web_server.sock)", Server::Thin),
            (b"Passenger core", Server::Passenger),
            (b"/usr/lib/PassengerAgent\0core\0", Server::Passenger),
            (b"falcon host", Server::Auto),
            (b"", Server::Auto),
        ];
        for (command, server) in cases {
            assert_eq!(recognise(command), server, "{}", String::from_utf8_lossy(command));
        }
    }

    #[test]
    fn a_life_is_told_by_its_start_whatever_the_name() {
        let stat = format!("7 (a ) b) S 1 {} 500 0 0 0 0 0 140722 0", ["0"; 17].join(" "));
        let life = Life::parse(7, &stat).unwrap();
        assert_eq!((life.started, life.stack), (500, 140_722));
        assert_eq!(Life::parse(7, "7 (cut"), None);
        let ours = Life::of(std::process::id()).unwrap();
        assert_eq!(Some(ours), Life::of(std::process::id()));
        assert!(ours.started > 0);
    }
}
