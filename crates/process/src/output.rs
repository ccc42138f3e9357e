//! What an application writes: to a file and never to a pipe, which would break with us while the application lives on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use tokio::sync::oneshot;
use vestibule_config::Output as Destination;

use crate::error::Error;
use crate::follower::Follower;
use crate::tail;

/// Between two looks at a file that grows, and the longest between two at one that does not.
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(100);
/// Longest that anybody waits for the thread, which may wait for the disk or for our log.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions under way to the thread.
const ASKS: usize = 16;
/// Bytes of the disk that are taken for the output before a start.
const ROOM: u64 = 64 << 10;
/// Between two complaints about lost output.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// A line that an application wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which one it is, counted from 1 since we follow its output; 0 where nobody counts, in a file of the operator's.
    pub number: u64,
    /// When it came, in seconds since 1970; in a file of the operator's, when that was last written.
    pub when: u64,
    /// The line, without its end.
    pub text: String,
}

/// The output of one application, over all of its starts. A thread of its own follows the file, because the disk and our log may
/// each make it wait; it ends with the last clone.
#[derive(Debug, Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The file that is followed: NAME.out.
    followed: PathBuf,
    /// The operator's file, from the next start on.
    own: Mutex<Option<PathBuf>>,
    asks: SyncSender<Ask>,
    lost: Arc<AtomicU64>,
}

/// What the thread is asked.
enum Ask {
    /// The application is about to start: what comes from here on is its. The file, if it was opened anew.
    Start(Option<File>, SyncSender<()>),
    /// What starts from here on writes to this file of the operator's, or to ours.
    Own(Option<PathBuf>),
    /// The last lines since the start.
    Lines(usize, oneshot::Sender<Vec<Line>>),
}

impl Output {
    /// Follows NAME.out in `directory`, from its present end on: each line becomes an event of our log (target `app`). With a
    /// file of the operator's the application's own output goes there, and only what keeps it from starting comes here.
    ///
    /// # Errors
    /// [`Error::Output`] when there is no thread to be had.
    pub fn new(name: &str, directory: &Path, to: &Destination) -> Result<Self, Error> {
        let followed = directory.join(format!("{}.out", name.replace('/', "_")));
        let own = own_of(to);
        let lost = Arc::new(AtomicU64::new(0));
        let (asks, asked) = sync_channel(ASKS);
        // It is there if a Vestibule before us started an application that lives.
        let file = open_for_reading(&followed).ok();
        let follower = Follower::new(name, file, Arc::clone(&lost));
        let own_of_thread = own.clone();
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || follow(follower, own_of_thread, &asked))
            .map_err(|source| Error::Output { path: followed.clone(), source })?;
        Ok(Output { shared: Arc::new(Shared { followed, own: Mutex::new(own), asks, lost }) })
    }

    /// Bytes that were left out of our log, because more came than can be passed on.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// The last `count` lines since the last start, oldest first: of the last 64 KiB, the unfinished one at the end too. Waits 1 s
    /// at most.
    pub async fn last_lines(&self, count: usize) -> Vec<String> {
        self.recent(count).await.into_iter().map(|line| line.text).collect()
    }

    /// The same lines, each with its number and its time.
    pub async fn recent(&self, count: usize) -> Vec<Line> {
        let (answer, lines) = oneshot::channel();
        if self.shared.asks.try_send(Ask::Lines(count, answer)).is_err() {
            return Vec::new();
        }
        tokio::time::timeout(PATIENCE, lines).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What comes from here on belongs to a new start, for [`Output::last_lines`]: for a server that starts itself anew.
    pub async fn mark(&self) {
        let (done, wait) = sync_channel(1);
        if self.shared.asks.try_send(Ask::Start(None, done)).is_ok() {
            let _ = tokio::task::spawn_blocking(move || wait.recv_timeout(PATIENCE)).await;
        }
    }

    /// Standard output and error for a start, after [`Output::mark`]ing it. When there is no room for the file, or in it,
    /// the application starts all the same, and its output is lost.
    ///
    /// # Errors
    /// [`Error::Output`] when there is not even `/dev/null`.
    pub(crate) fn begin(&self) -> Result<(Stdio, Stdio), Error> {
        let failed = |source| Error::Output { path: self.shared.followed.clone(), source };
        let opened = open_for_writing(&self.shared.followed).and_then(|file| {
            make_room(&file)?;
            Ok((file, open_for_reading(&self.shared.followed)?))
        });
        let (file, followed) = match opened {
            Ok((file, followed)) => (file, Some(followed)),
            Err(error) => {
                tracing::warn!(file = %self.shared.followed.display(), %error, "the application's output is lost");
                (OpenOptions::new().write(true).open("/dev/null").map_err(failed)?, None)
            }
        };
        let (done, wait) = sync_channel(1);
        let _ = self.shared.asks.try_send(Ask::Own(self.own_file()));
        if self.shared.asks.try_send(Ask::Start(followed, done)).is_ok() {
            // The thread may be stuck: then lines of the last start may count to this one.
            let _ = wait.recv_timeout(PATIENCE);
        }
        Ok((file.try_clone().map_err(failed)?.into(), file.into()))
    }

    /// The operator's file, for the launcher to open with the rights of the application.
    pub(crate) fn own_file(&self) -> Option<PathBuf> {
        self.shared.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From its next start on the application's output goes there.
    pub(crate) fn redirect(&self, to: &Destination) {
        *self.shared.own.lock().unwrap_or_else(PoisonError::into_inner) = own_of(to);
    }
}

fn own_of(to: &Destination) -> Option<PathBuf> {
    match to {
        Destination::Log => None,
        Destination::File(path) => Some(path.clone()),
    }
}

/// Append: it may be shortened in place, and several processes write to it. No link is followed: it is our own file.
fn open_for_writing(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

/// Room for what an application says while it boots. A server that cannot write what it has to say ends: better that nobody hears it.
fn make_room(file: &File) -> io::Result<()> {
    let end = file.metadata()?.len();
    match fallocate(file, FallocateFlags::KEEP_SIZE, end, ROOM) {
        Err(Errno::NOSPC | Errno::DQUOT) => Err(Errno::NOSPC.into()),
        // Not every file system can promise it.
        _ => Ok(()),
    }
}

fn open_for_reading(path: &Path) -> io::Result<File> {
    // Writing, because it is shortened too. Nothing is waited for, should it be a FIFO.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(file)
}

/// The last lines of the operator's file behind `start`.
fn lines_of_own(path: &Path, start: u64) -> Vec<Line> {
    let written = std::fs::metadata(path).and_then(|found| found.modified());
    let when = seconds(written.unwrap_or(SystemTime::UNIX_EPOCH));
    tail::lines(path, start).into_iter().map(|text| Line { number: 0, when, text }).collect()
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The thread: passes on what comes, until nobody asks any more.
fn follow(mut follower: Follower, mut own: Option<PathBuf>, asked: &Receiver<Ask>) {
    let mut pause = LONG;
    let mut start_of_own = own.as_deref().map_or(0, tail::length);
    let (mut complained, mut said) = (None::<Instant>, 0);
    loop {
        match asked.recv_timeout(pause) {
            Ok(Ask::Own(path)) => own = path,
            Ok(Ask::Start(file, done)) => {
                follower.catch_up();
                follower.begin(file);
                start_of_own = own.as_deref().map_or(0, tail::length);
                let _ = done.try_send(());
            }
            Ok(Ask::Lines(count, answer)) => {
                follower.catch_up();
                let mut lines = follower.lines();
                lines.extend(own.as_deref().map(|path| lines_of_own(path, start_of_own)).unwrap_or_default());
                lines.drain(..lines.len().saturating_sub(count));
                let _ = answer.send(lines);
            }
            Err(RecvTimeoutError::Timeout) => {
                pause = if follower.turn() { SHORT } else { (pause * 2).min(LONG) };
            }
            Err(RecvTimeoutError::Disconnected) => {
                follower.catch_up();
                return;
            }
        }
        let lost = follower.lost();
        if lost > said && complained.is_none_or(|at| at.elapsed() >= COMPLAINTS) {
            tracing::warn!(
                process = follower.name(),
                bytes = lost - said,
                "more output than can be passed on: some of it is left out"
            );
            (complained, said) = (Some(Instant::now()), lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn started(output: &Output) -> File {
        let path = &output.shared.followed;
        let _stdio = output.begin().expect("opened");
        open_for_writing(path).expect("opened")
    }

    #[tokio::test]
    async fn gives_the_last_lines_since_the_last_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        assert_eq!(output.last_lines(5).await, Vec::<String>::new());
        writeln!(started(&output), "the first start").expect("written");
        let mut second = started(&output);
        writeln!(second, "1\n2\n3").expect("written");
        assert_eq!(output.last_lines(5).await, ["1", "2", "3"]);
        assert_eq!(output.last_lines(2).await, ["2", "3"]);
        output.mark().await;
        assert_eq!(output.last_lines(5).await, Vec::<String>::new());
        writeln!(second, "4").expect("written");
        assert_eq!(output.last_lines(5).await, ["4"]);
    }

    /// A Vestibule that was killed leaves its application's file behind.
    #[tokio::test]
    async fn tells_new_lines_from_old_ones_over_all_starts() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        let before = seconds(SystemTime::now());
        writeln!(started(&output), "a\nb").expect("written");
        let first = output.recent(5).await;
        writeln!(started(&output), "a").expect("written");
        let second = output.recent(5).await;
        let numbers = |lines: &[Line]| lines.iter().map(|line| line.number).collect::<Vec<_>>();
        assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![3]));
        assert!(first.iter().all(|line| (before..=seconds(SystemTime::now())).contains(&line.when)));
        let own = dir.path().join("own.log");
        std::fs::write(&own, "from before\n").expect("written");
        let output = Output::new("own", dir.path(), &Destination::File(own.clone())).expect("followed");
        assert_eq!(output.recent(5).await, []);
        let mut file = OpenOptions::new().append(true).open(&own).expect("opened");
        writeln!(file, "since then").expect("written");
        let lines = output.recent(5).await;
        let told: Vec<_> = lines.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(told, [(0, "since then")]);
        // The clock of files is a little behind.
        assert!(lines.iter().all(|line| line.when + 1 >= before));
    }

    #[tokio::test]
    async fn goes_on_with_the_file_of_an_application_that_runs_already() {
        let dir = tempfile::tempdir().expect("a directory");
        let before = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        let mut file = started(&before);
        writeln!(file, "old").expect("written");
        drop(before);
        let output = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        writeln!(file, "new").expect("written");
        assert_eq!(output.last_lines(5).await, ["new"]);
    }

    #[tokio::test]
    async fn follows_no_link_that_lies_at_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "kept").expect("written");
        std::os::unix::fs::symlink(&precious, dir.path().join("app.out")).expect("linked");
        let output = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        output.begin().expect("it starts all the same");
        assert_eq!(output.last_lines(5).await, Vec::<String>::new());
        assert_eq!(std::fs::read_to_string(&precious).expect("read"), "kept");
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Output::new("../app", dir.path(), &Destination::Log).expect("followed");
        assert_eq!(output.shared.followed, dir.path().join(".._app.out"));
    }

    /// The bound is on time as well: whoever asks does not wait for a flood to end.
    #[tokio::test]
    async fn answers_while_the_application_writes_without_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Output::new("app", dir.path(), &Destination::Log).expect("followed");
        let mut file = started(&output);
        let has_ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ends = Arc::clone(&has_ended);
        let writer = std::thread::spawn(move || {
            let text = "flood ".repeat(10) + "\n";
            let text = text.repeat(1000);
            while !ends.load(Ordering::Relaxed) {
                file.write_all(text.as_bytes()).expect("written");
            }
        });
        let begun = Instant::now();
        while output.lost() < 8 << 20 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was left out");
            let asked = Instant::now();
            output.last_lines(10).await;
            assert!(asked.elapsed() < Duration::from_secs(10), "it waited for {:?}", asked.elapsed());
            tokio::time::sleep(SHORT).await;
        }
        has_ended.store(true, Ordering::Relaxed);
        writer.join().expect("it ends");
        let blocks =
            std::os::unix::fs::MetadataExt::blocks(&output.shared.followed.metadata().expect("found"));
        assert!(blocks * 512 < 64 << 20, "{} bytes on the disk", blocks * 512);
    }
}
