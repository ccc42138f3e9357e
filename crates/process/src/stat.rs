//! The line in which `/proc/PID/stat` tells of a process (proc_pid_stat(5)).
//!
//! Read here and not by the procfs crate: that parses all 52 fields into owned ones, and what we need beside it
//! (titles, `/proc/net/unix`) it takes for UTF-8 without white space, so that one process with an odd title, or one socket
//! with an odd name, would blind us for all others.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::io::Errno;

/// The longest such line: 52 numbers of 20 digits, and a name of 64 bytes.
const LONGEST: usize = 2048;

/// What we use of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    /// PID of its parent.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Its session.
    pub(crate) session: u32,
    /// Processor time of its own and of those children that it waited for, in clock ticks.
    pub(crate) ticks: u64,
    pub(crate) threads: u32,
    /// When it started, in clock ticks since the system did.
    pub(crate) started: u64,
    /// Pages in memory, shared ones too.
    pub(crate) pages: u64,
    /// Where its stack begins; 0 when we may not know, or it has none any more.
    pub(crate) stack: u64,
}

impl Stat {
    /// That of the process with this PID now, a zombie too; `None` when there is none, and when we have no descriptors left to
    /// look ([`Stat::look`] tells the two apart).
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Stat::look(pid).ok().flatten()
    }

    /// That of the process with this PID now; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be looked at, so that nothing is known.
    pub(crate) fn look(pid: u32) -> io::Result<Option<Self>> {
        let mut line = [0; LONGEST];
        // The kernel gives the line in one piece, of one moment, to who asks for enough.
        match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line)) {
            Ok(length) => Ok(line.get(..length).and_then(Stat::parse)),
            // It ended before the opening, or between opening and reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The command name, in parentheses, may hold anything, parentheses too: fields are counted behind the last.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let name_end = line.iter().rposition(|&byte| byte == b')')?;
        let mut stat = Stat {
            state: 0,
            parent: 0,
            group: 0,
            session: 0,
            ticks: 0,
            threads: 0,
            started: 0,
            pages: 0,
            stack: 0,
        };
        let fields = std::str::from_utf8(line.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
        let mut last = 0;
        for (number, field) in (3..).zip(fields) {
            // A process that is just going has -1 for its group and session: that is none.
            let value = || field.parse::<u64>().unwrap_or(0);
            let id = || field.parse::<u32>().unwrap_or(0);
            match number {
                3 => stat.state = field.bytes().next()?,
                4 => stat.parent = id(),
                5 => stat.group = id(),
                6 => stat.session = id(),
                14..=17 => stat.ticks = stat.ticks.saturating_add(value()),
                20 => stat.threads = id(),
                22 => stat.started = field.parse().ok()?,
                24 => stat.pages = value(),
                28 => stat.stack = value(),
                _ => {}
            }
            last = number;
        }
        (last >= 28).then_some(stat)
    }

    /// Whether it still runs something. A zombie does not, unless only its first thread has ended.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X') || self.threads > 1
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A line of one process, with what matters in it.
    pub(crate) fn line(name: &str, state: char, threads: u32, started: u64, stack: u64) -> String {
        format!(
            "7 ({name}) {state} 1 2 3 0 -1 0 0 0 0 0 10 20 3 4 20 0 {threads} 0 {started} 0 50 0 0 0 {stack} 0 0"
        )
    }

    #[test]
    fn takes_each_field_from_its_place_whatever_the_name() {
        for name in ["sh", "a ) b", ") S 9 9 9", "", "(((", "two words"] {
            let stat = Stat::parse(line(name, 'S', 1, 500, 140_722).as_bytes()).expect(name);
            let wanted = Stat {
                state: b'S',
                parent: 1,
                group: 2,
                session: 3,
                ticks: 37,
                threads: 1,
                started: 500,
                pages: 50,
                stack: 140_722,
            };
            assert_eq!(stat, wanted, "{name:?}");
        }
        let mut odd = b"7 (\xff\xfe)".to_vec();
        odd.extend_from_slice(&line("x", 'S', 1, 500, 1).as_bytes()[5..]);
        assert_eq!(Stat::parse(&odd).map(|stat| stat.started), Some(500), "a name that is no UTF-8");
    }

    #[test]
    fn refuses_what_is_cut_short() {
        let whole = line("sh", 'S', 1, 500, 1);
        let enough = whole.len() - " 1 0 0".len();
        for length in 0..enough {
            assert_eq!(Stat::parse(&whole.as_bytes()[..length]), None, "{:?}", &whole[..length]);
        }
    }

    #[test]
    fn a_zombie_with_threads_left_is_alive() {
        let alive =
            |state, threads| Stat::parse(line("sh", state, threads, 5, 1).as_bytes()).unwrap().is_alive();
        assert!(alive('S', 1) && alive('R', 3) && alive('T', 1) && alive('D', 1));
        assert!(!alive('Z', 1) && !alive('X', 1) && !alive('Z', 0));
        assert!(alive('Z', 2), "its first thread has ended, the others run");
    }

    #[test]
    fn nobody_has_a_pid_that_cannot_be() {
        assert_eq!(Stat::of(u32::MAX), None);
        assert_eq!(Stat::of(0), None);
    }
}
