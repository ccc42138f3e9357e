//! Following a file of output: what comes goes to our log, and what has been read goes from the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use crate::output::Line;
use crate::status::now;
use crate::tail::{LONGEST_LINE, MOST, as_text};

/// Bytes and lines that one turn passes on: with 20 ms between two, 3 MB and 25,000 lines per second.
const TURN: usize = 64 << 10;
const LINES: usize = 500;
/// Further behind than that, it skips to the end.
const BEHIND: u64 = 1 << 20;
/// What has been read goes from the disk in pieces of this size.
const PIECE: u64 = 1 << 20;
/// Where the disk cannot give back a part of a file, it is emptied, at the latest at this size, though not all was read.
const FULL: u64 = 4 << 20;
/// A file of which only the end is on the disk still has a length, and no file may be endless.
const LONGEST_FILE: u64 = 1 << 30;
/// A line that does not end is passed on after so long: a prompt, or the last words of somebody.
const UNFINISHED: Duration = Duration::from_secs(1);

/// The reader of one application's output.
#[derive(Debug)]
pub(crate) struct Follower {
    name: String,
    file: Option<File>,
    /// How far it has been read.
    offset: u64,
    /// How far it is gone from the disk.
    freed: u64,
    /// Whether the file system gives back parts of files.
    can_free: bool,
    /// A line whose end has not come, and since when.
    partial: Vec<u8>,
    since: Instant,
    /// Whether what comes next is the rest of a line that was left out.
    is_in_gap: bool,
    recent: VecDeque<Line>,
    recent_bytes: usize,
    /// The number of the last line.
    count: u64,
    lost: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

impl Follower {
    /// Follows `file` from its present end on. What cannot be passed on is counted in `lost`, in bytes.
    pub(crate) fn new(name: &str, file: Option<File>, lost: Arc<AtomicU64>) -> Self {
        let mut follower = Follower {
            name: name.to_owned(),
            file: None,
            offset: 0,
            freed: 0,
            can_free: true,
            partial: Vec::new(),
            since: Instant::now(),
            is_in_gap: false,
            recent: VecDeque::new(),
            recent_bytes: 0,
            count: 0,
            lost,
            buffer: vec![0; TURN],
        };
        follower.begin(file);
        follower
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Forgets the lines so far. If the file was opened anew, it is followed from its present end on.
    pub(crate) fn begin(&mut self, file: Option<File>) {
        self.finish_line();
        self.recent.clear();
        self.recent_bytes = 0;
        if let Some(file) = file {
            let length = file.metadata().map_or(0, |found| found.len());
            if !self.file.as_ref().is_some_and(|old| is_same(old, &file)) {
                (self.offset, self.freed, self.is_in_gap) = (length, 0, false);
            }
            self.file = Some(file);
        }
    }

    /// The last lines since [`Follower::begin`], the unfinished one too.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let unfinished = self.line(as_text(&self.partial));
        self.recent.iter().cloned().chain(Some(unfinished).filter(|line| !line.text.is_empty())).collect()
    }

    /// What the next line is, if it ends now.
    fn line(&self, text: String) -> Line {
        Line { number: self.count + 1, when: now(), text }
    }

    /// Reads what there is, for a bounded number of turns.
    pub(crate) fn catch_up(&mut self) {
        for _ in 0..(2 * BEHIND as usize / TURN) {
            if !self.turn() {
                return;
            }
        }
    }

    /// Passes on some of what has come; whether anything had.
    pub(crate) fn turn(&mut self) -> bool {
        // A disk that fails now may be read later, and there is nobody to tell but the log that it would fill.
        self.try_turn().unwrap_or(false)
    }

    fn try_turn(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let length = file.metadata()?.len();
        if length < self.offset {
            // Somebody else emptied it.
            (self.offset, self.freed) = (0, 0);
        }
        if length - self.offset > BEHIND {
            self.skip_to(length - TURN as u64);
        }
        let Some(file) = &self.file else { return Ok(false) };
        let count = file.read_at(&mut self.buffer, self.offset)?;
        if count == 0 {
            if !self.partial.is_empty() && self.since.elapsed() >= UNFINISHED {
                self.finish_line();
            }
            return Ok(false);
        }
        self.take(count);
        self.free()?;
        Ok(true)
    }

    fn skip_to(&mut self, offset: u64) {
        let skipped = offset - self.offset + self.partial.len() as u64;
        self.lost.fetch_add(skipped, Ordering::Relaxed);
        self.partial.clear();
        (self.offset, self.is_in_gap) = (offset, true);
    }

    /// Takes the lines of the first `count` bytes in the buffer, as many as a turn may.
    fn take(&mut self, count: usize) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.get(..count).unwrap_or_default();
        for _ in 0..LINES {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (piece, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = behind;
            self.take_piece(piece.strip_suffix(b"\n").unwrap_or(piece), end.is_some());
            if rest.is_empty() {
                break;
            }
        }
        self.offset += (count - rest.len()) as u64;
        self.buffer = buffer;
    }

    fn take_piece(&mut self, mut piece: &[u8], ends: bool) {
        if self.is_in_gap {
            self.lost.fetch_add(piece.len() as u64, Ordering::Relaxed);
            self.is_in_gap = !ends;
            return;
        }
        while self.partial.len() + piece.len() > LONGEST_LINE {
            let (first, behind) = piece.split_at(LONGEST_LINE - self.partial.len());
            self.partial.extend_from_slice(first);
            self.finish_line();
            piece = behind;
        }
        self.partial.extend_from_slice(piece);
        self.since = Instant::now();
        if ends {
            self.finish_line();
        }
    }

    fn finish_line(&mut self) {
        let line = self.line(as_text(&self.partial));
        self.partial.clear();
        if line.text.is_empty() {
            return;
        }
        tracing::info!(target: "app", process = %self.name, "{}", line.text);
        self.recent_bytes += line.text.len();
        self.count = line.number;
        self.recent.push_back(line);
        while self.recent_bytes > MOST
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.text.len();
        }
    }

    /// Gives back to the disk what has been read. The file keeps its length, so that nothing can be lost that is written at this
    /// moment; only where that is not possible, or when it has become very long, is it emptied.
    fn free(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.can_free && self.offset - self.freed >= PIECE {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            self.can_free = fallocate(file, flags, self.freed, self.offset - self.freed).is_ok();
            self.freed = self.offset;
        }
        let most = if self.can_free { LONGEST_FILE } else { PIECE };
        if self.offset < most {
            return Ok(());
        }
        let unread = file.metadata()?.len().saturating_sub(self.offset);
        if unread == 0 || self.offset >= most + FULL {
            file.set_len(0)?;
            self.lost.fetch_add(unread, Ordering::Relaxed);
            (self.offset, self.freed, self.is_in_gap) = (0, 0, self.is_in_gap || unread > 0);
        }
        Ok(())
    }
}

fn is_same(one: &File, other: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let name = |file: &File| file.metadata().ok().map(|found| (found.dev(), found.ino()));
    name(one).is_some() && name(one) == name(other)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Once;

    use super::*;

    struct Stand {
        _dir: tempfile::TempDir,
        /// As the application has it.
        writer: File,
        follower: Follower,
    }

    fn stand() -> Stand {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.out");
        let writer = OpenOptions::new().append(true).create(true).open(&path).expect("opened");
        let reader = OpenOptions::new().read(true).write(true).open(&path).expect("opened");
        let follower = Follower::new("app", Some(reader), Arc::default());
        Stand { _dir: dir, writer, follower }
    }

    impl Stand {
        fn write(&mut self, text: impl AsRef<[u8]>) {
            self.writer.write_all(text.as_ref()).expect("written");
        }

        /// The last lines, without their numbers and times.
        fn lines(&self) -> Vec<String> {
            self.follower.lines().into_iter().map(|line| line.text).collect()
        }

        /// Bytes that the file takes on the disk.
        fn on_disk(&self) -> u64 {
            self.writer.metadata().expect("found").blocks() * 512
        }
    }

    thread_local! {
        /// What this thread logged. One subscriber for all threads: with one for each, what another thread does first decides
        /// whether an event is made at all.
        static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    struct Log;

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The messages that `run` logs.
    fn logged(run: impl FnOnce()) -> Vec<String> {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let format = tracing_subscriber::fmt().without_time().with_ansi(false).with_level(false);
            format.with_writer(|| Log).init();
        });
        LOGGED.take();
        run();
        String::from_utf8(LOGGED.take()).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn passes_on_each_line_once_and_whole() {
        let mut stand = stand();
        let lines = logged(|| {
            stand.write("one\ntw");
            stand.follower.catch_up();
            stand.write("o\n\nthree\r\n");
            stand.follower.catch_up();
            stand.follower.catch_up();
        });
        assert_eq!(lines, ["app: one process=app", "app: two process=app", "app: three process=app"]);
    }

    #[test]
    fn shows_what_is_no_text_as_such() {
        let mut stand = stand();
        stand.write(b"a\xffb\x1b\n");
        stand.follower.catch_up();
        assert_eq!(stand.lines(), ["a\u{fffd}b"]);
    }

    #[test]
    fn begins_at_the_end_of_what_is_there() {
        let mut stand = stand();
        stand.write("of a Vestibule before us\n");
        let file = stand.follower.file.take();
        stand.follower.begin(file);
        stand.write("ours\n");
        stand.follower.catch_up();
        assert_eq!(stand.lines(), ["ours"]);
    }

    #[test]
    fn knows_the_lines_since_the_last_start_and_the_one_that_has_not_ended() {
        let mut stand = stand();
        stand.write("old\n");
        stand.follower.catch_up();
        stand.follower.begin(None);
        stand.write("new\nand more");
        stand.follower.catch_up();
        assert_eq!(stand.lines(), ["new", "and more"]);
    }

    #[test]
    fn cuts_a_long_line_and_loses_nothing_of_it() {
        let mut stand = stand();
        stand.write("a".repeat(3 * LONGEST_LINE + 1));
        stand.write("\nb\n");
        stand.follower.catch_up();
        let lengths: Vec<usize> = stand.lines().iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, 1, 1]);
        assert_eq!(stand.follower.lost(), 0);
    }

    #[test]
    fn keeps_the_last_lines_only() {
        let mut stand = stand();
        for number in 0..20_000 {
            stand.write(format!("line {number}\n"));
        }
        stand.follower.catch_up();
        stand.follower.catch_up();
        let lines = stand.lines();
        assert_eq!(lines.last().map(String::as_str), Some("line 19999"));
        assert!(lines.iter().map(String::len).sum::<usize>() <= MOST);
        assert_eq!(stand.follower.lost(), 0);
    }

    #[test]
    fn gives_back_to_the_disk_what_it_has_read() {
        let mut stand = stand();
        for round in 0..64 {
            stand.write(format!("{round} {}\n", "x".repeat(1000)).repeat(256));
            stand.follower.catch_up();
            assert!(stand.on_disk() <= 2 * PIECE, "{} bytes after {round} rounds", stand.on_disk());
        }
        assert_eq!(stand.follower.lost(), 0);
        assert!(stand.lines().last().is_some_and(|line| line.starts_with("63 ")));
    }

    #[test]
    fn empties_the_file_where_the_disk_cannot_give_back_a_part() {
        let mut stand = stand();
        stand.follower.can_free = false;
        let mut longest = 0;
        for round in 0..64 {
            stand.write(format!("{round} {}\n", "x".repeat(1000)).repeat(256));
            stand.follower.catch_up();
            longest = longest.max(stand.writer.metadata().expect("found").len());
        }
        assert!(longest <= 2 * PIECE, "{longest}");
        assert_eq!(stand.follower.lost(), 0);
        assert!(stand.lines().last().is_some_and(|line| line.starts_with("63 ")));
    }

    /// Every byte of a flood is either passed on or counted, and the disk keeps little of it.
    #[test]
    fn skips_what_is_too_much_and_counts_it() {
        for can_free in [true, false] {
            let mut stand = stand();
            stand.follower.can_free = can_free;
            let mut written = 0;
            let lines = logged(|| {
                for round in 0..40 {
                    let text = format!("{round:02} {}\n", "y".repeat(96)).repeat(50_000);
                    written += text.len();
                    stand.write(text);
                    stand.follower.turn();
                }
                stand.follower.catch_up();
                stand.follower.catch_up();
            });
            assert!(lines.iter().all(|line| line.len() == "app:  process=app".len() + 99), "a broken line");
            let passed_on = lines.len() * 100;
            assert!(passed_on > 20 * TURN, "{passed_on}");
            // A newline is not counted where a line of which the beginning is lost ends.
            let all = passed_on as u64 + stand.follower.lost();
            assert!(all <= written as u64 && all + 100 > written as u64, "{all} of {written}");
            assert!(stand.on_disk() <= 8 << 20, "{}", stand.on_disk());
        }
    }

    #[test]
    fn goes_on_in_a_file_that_somebody_emptied() {
        let mut stand = stand();
        stand.write("a longer line\n");
        stand.follower.catch_up();
        stand.writer.set_len(0).expect("emptied");
        stand.write("b\n");
        stand.follower.catch_up();
        assert_eq!(stand.lines(), ["a longer line", "b"]);
    }

    #[test]
    fn passes_on_a_line_that_does_not_end_after_a_while() {
        let mut stand = stand();
        let lines = logged(|| {
            stand.write("password: ");
            stand.follower.catch_up();
            stand.follower.since -= UNFINISHED;
            stand.follower.turn();
        });
        assert_eq!(lines, ["app: password: process=app"]);
    }
}
