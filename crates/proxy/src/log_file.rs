//! The thread that writes the access log, so that no worker waits for a disk or a slow reader of our output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use vestibule_config::{AccessFormat, Log, LogOutput};

use crate::access_log::AccessLog;

/// Pieces under way to the thread at once, of up to 32 KiB each.
const UNDER_WAY: usize = 256;

/// Why the access log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its file cannot be opened.
    #[error("cannot open the access log {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its thread cannot be started.
    #[error("cannot start the access log's thread")]
    Thread(#[source] io::Error),
}

/// Longest that our end waits for the log's output to take the last lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

enum Piece {
    Lines(Vec<u8>),
    /// Only to wake the thread: there is something in the marks.
    Look,
}

/// The way of a worker's lines to the thread.
#[derive(Debug, Clone)]
pub(crate) struct LogSender {
    pieces: SyncSender<Piece>,
    lost: Arc<AtomicU64>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Piece::Lines(_) => "Lines",
            Piece::Look => "Look",
        })
    }
}

impl LogSender {
    /// Hands lines over. When the thread cannot keep up they are dropped and counted: traffic goes first.
    pub(crate) fn lines(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(Piece::Lines(lines))) = self.pieces.try_send(Piece::Lines(lines)) {
            let count = lines.iter().filter(|&&byte| byte == b'\n').count();
            self.lost.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

/// What the control thread wants of the log's thread. Marks and not pieces, because it must never wait for a stalled
/// output.
#[derive(Debug, Default)]
struct Marks {
    reopen: AtomicBool,
    end: AtomicBool,
}

/// The access log's thread.
#[derive(Debug)]
pub struct LogFile {
    format: AccessFormat,
    sender: LogSender,
    marks: Arc<Marks>,
    ended: Receiver<()>,
}

impl LogFile {
    /// Opens the log that `log` asks for; `None` when it asks for none.
    ///
    /// # Errors
    /// [`LogError`] when its file cannot be opened.
    pub fn open(log: &Log) -> Result<Option<Self>, LogError> {
        let format = match log.access {
            AccessFormat::Off => return Ok(None),
            AccessFormat::Auto => match &log.output {
                LogOutput::Stdout if io::IsTerminal::is_terminal(&io::stdout()) => AccessFormat::Line,
                _ => AccessFormat::Json,
            },
            decided => decided,
        };
        let output = Output::open(&log.output)?;
        let (pieces, received) = sync_channel(UNDER_WAY);
        let lost = Arc::new(AtomicU64::new(0));
        let sender = LogSender { pieces, lost: Arc::clone(&lost) };
        let marks = Arc::new(Marks::default());
        let seen = Arc::clone(&marks);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                write_all(&received, output, &lost, &seen);
                let _ = end.send(());
            })
            .map_err(LogError::Thread)?;
        Ok(Some(LogFile { format, sender, marks, ended }))
    }

    /// The log of one worker.
    pub fn log(&self) -> AccessLog {
        AccessLog::new(self.format, self.sender.clone())
    }

    /// Opens the file anew, for log rotation.
    pub fn reopen(&self) {
        self.marks.reopen.store(true, Ordering::Release);
        let _ = self.sender.pieces.try_send(Piece::Look);
    }

    /// Writes what is under way, unless its output takes nothing, and ends the thread.
    pub fn close(self) {
        self.marks.end.store(true, Ordering::Release);
        let _ = self.sender.pieces.try_send(Piece::Look);
        if self.ended.recv_timeout(LAST_WAIT).is_err() {
            tracing::warn!("the last access log lines were dropped: its output takes nothing");
        }
    }
}

enum Output {
    Stdout,
    File(PathBuf, File),
}

impl Output {
    fn open(output: &LogOutput) -> Result<Self, LogError> {
        match output {
            LogOutput::Stdout => Ok(Output::Stdout),
            LogOutput::File(path) => match append(path) {
                Ok(file) => Ok(Output::File(path.clone(), file)),
                Err(source) => Err(LogError::Open { path: path.clone(), source }),
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Output::File(_, file) => file.write_all(bytes),
        }
    }

    fn reopen(&mut self) {
        if let Output::File(path, file) = self {
            match append(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "cannot open the access log anew; the old file stays");
                }
            }
        }
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    // To open a named pipe for writing waits until somebody reads from it, for ever if nobody comes. For both it is open at once, and
    // what is written while nobody reads is as with any output that takes nothing.
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        options.read(true);
    }
    options.open(path)
}

fn write_all(pieces: &Receiver<Piece>, mut output: Output, lost: &AtomicU64, marks: &Marks) {
    let mut has_failed = false;
    loop {
        if marks.reopen.swap(false, Ordering::AcqRel) {
            output.reopen();
        }
        let piece =
            if marks.end.load(Ordering::Acquire) { pieces.try_recv().ok() } else { pieces.recv().ok() };
        let Some(piece) = piece else { return };
        match piece {
            Piece::Lines(lines) => match output.write(&lines) {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::error!(%error, "cannot write the access log");
                }
                Err(_) => {}
            },
            Piece::Look => {}
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(lines = count, "access log lines were dropped: its output is too slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_is_open_at_once() {
        let path = std::env::temp_dir().join(format!("vestibule-log-{}.pipe", std::process::id()));
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let (sender, opened) = sync_channel(1);
        let named = path.clone();
        std::thread::spawn(move || sender.send(append(&named)));
        let opened = opened.recv_timeout(Duration::from_secs(60));
        // Whoever reads later has what was written before.
        let lines = opened.map(|output| {
            let mut output = output.expect("open");
            output.write_all(b"a line").expect("written");
            let mut reader = File::open(&path).expect("open");
            drop(output);
            let mut lines = String::new();
            reader.read_to_string(&mut lines).expect("read");
            lines
        });
        let _ = fs::remove_file(&path);
        assert_eq!(lines.expect("it waits for a reader"), "a line");
    }
}
