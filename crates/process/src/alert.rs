//! Runs the operator's command when something happens that somebody should know.

use std::ffi::OsString;
use std::io::{self, pipe};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Error;

/// How long the command may take. Then it is ended, with everything in its process group.
const PATIENCE: Duration = Duration::from_secs(10);

/// After SIGKILL a process is gone at once, unless it hangs in the kernel.
const KILLED: Duration = Duration::from_secs(1);

/// Occasions that wait while the command runs for another.
const WAITING: usize = 16;

/// What is kept of the command's output, in bytes, in case that it fails.
const OUTPUT: usize = 4 << 10;

/// The longest text in an occasion, in bytes. The kernel takes 128 KiB in one variable.
const TEXT: usize = 16 << 10;

/// Something that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// What kind of thing, in one word: `VESTIBULE_EVENT`, and `event` in the JSON.
    pub event: &'static str,
    /// What happened, for a person: `VESTIBULE_MESSAGE`, `message`.
    pub message: String,
    /// What else there is to say: `("next_try", "30")` is `VESTIBULE_NEXT_TRY`, and `next_try` in the JSON, always a text.
    pub facts: Vec<(&'static str, String)>,
}

/// The hook command of one application. It gets the occasion in its environment and as one JSON object on its standard
/// input, which it need not read. It runs as we do, once for each occasion, one at a time, for at most 10 s. 16 occasions
/// wait; what exceeds that is lost and counted: `VESTIBULE_LOST`, `lost` says how many until then. A command that cannot be started,
/// fails or takes too long is reported in our log, with the first 4 KiB of its output, and hurts nothing.
///
/// Dropping it ends a command that runs, and forgets what waits.
#[derive(Debug)]
pub struct Alert {
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
    runner: Runner,
}

/// Ended with its owner.
#[derive(Debug)]
struct Runner(JoinHandle<()>);

/// An occasion on its way.
#[derive(Debug)]
struct Message {
    occasion: Occasion,
    /// Seconds since 1970.
    when: u64,
    lost: u64,
}

/// What is run.
#[derive(Debug)]
struct Hook {
    process: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    patience: Duration,
}

impl Alert {
    /// For the application of that name. `command` is the program, a path or a name that is looked for in `PATH`, and its
    /// arguments. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::NoAlert`] when `command` is empty.
    pub fn start(process: &str, command: &[String]) -> Result<Self, Error> {
        Ok(Alert::with(Hook::new(process, command)?))
    }

    fn with(hook: Hook) -> Self {
        let (queue, mut messages) = mpsc::channel::<Message>(WAITING);
        let runner = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if let Err(error) = hook.run(&message).await {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    let (process, event) = (&hook.process, message.occasion.event);
                    tracing::warn!(process, event, "{error}{}", cause.unwrap_or_default());
                }
            }
        });
        Alert { queue, lost: Arc::default(), runner: Runner(runner) }
    }

    /// Has the command run for it, when its turn comes. Never waits.
    pub fn tell(&self, occasion: Occasion) {
        let when = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let message = Message { occasion, when, lost: self.lost() };
        if let Err(refused) = self.queue.try_send(message) {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            let event = refused.into_inner().occasion.event;
            tracing::warn!(event, lost, "the alert command cannot keep up: nobody was told");
        }
    }

    /// How many occasions were lost until now.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has the command run for what waits, but takes no longer than `patience` for all of it.
    pub async fn finish(self, patience: Duration) {
        let Alert { queue, mut runner, .. } = self;
        drop(queue);
        if timeout(patience, &mut runner.0).await.is_err() {
            tracing::warn!("the alert command takes too long: nobody was told of what happened last");
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Message {
    /// Names in small letters with `_`, as in the JSON.
    fn facts(&self, process: &str) -> Vec<(&str, Value)> {
        let mut facts: Vec<(&str, Value)> = Vec::new();
        facts.extend(self.occasion.facts.iter().map(|(name, text)| (*name, shortened(text).into())));
        // After the others, so that none of them can pass for one of these.
        facts.push(("process", process.into()));
        facts.push(("event", self.occasion.event.into()));
        facts.push(("message", shortened(&self.occasion.message).into()));
        facts.push(("time", self.when.into()));
        facts.push(("lost", self.lost.into()));
        facts
    }
}

/// Not longer than [`TEXT`], and without what no variable can hold.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT)].replace('\0', "\u{fffd}")
}

impl Hook {
    fn new(process: &str, command: &[String]) -> Result<Self, Error> {
        let (program, arguments) = command.split_first().ok_or(Error::NoAlert)?;
        let arguments = arguments.iter().map(OsString::from).collect();
        Ok(Hook { process: process.to_owned(), program: program.into(), arguments, patience: PATIENCE })
    }

    /// Runs the command, to its end.
    async fn run(&self, message: &Message) -> Result<(), Error> {
        let start = |source| Error::Start { program: self.program.clone(), source };
        let facts = message.facts(&self.process);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
        for (name, value) in &facts {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            command.env(format!("VESTIBULE_{}", name.to_ascii_uppercase()), text);
        }
        // One pipe for both, so that what it says stays in order.
        let (reader, writer) = pipe().map_err(start)?;
        command.stdout(writer.try_clone().map_err(start)?).stderr(writer);
        let mut output = Output::new(reader.into()).map_err(start)?;
        let mut running = Running(command.spawn().map_err(start)?);
        // The command holds our copies of the writing end.
        drop(command);
        let object: Map<String, Value> =
            facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut json = Value::Object(object).to_string();
        json.push('\n');
        let input = running.0.stdin.take();
        let feed = async {
            if let Some(mut input) = input {
                // It need not read it.
                let _is_closed = input.write_all(json.as_bytes()).await;
            }
        };
        let ended = tokio::select! {
            ended = timeout(self.patience, running.0.wait()) => ended,
            // Neither ends the command: what it leaves behind may hold its output open.
            () = async { tokio::join!(feed, output.follow()); std::future::pending().await } => return Ok(()),
        };
        let Ok(ended) = ended else {
            running.kill();
            let _hangs = timeout(KILLED, running.0.wait()).await;
            output.take();
            return Err(Error::AlertTime {
                program: self.program.clone(),
                patience: self.patience,
                output: output.text(),
            });
        };
        output.take();
        self.judge(ended, &output)
    }

    fn judge(&self, ended: io::Result<ExitStatus>, output: &Output) -> Result<(), Error> {
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Alert { program: self.program.clone(), status, output: output.text() }),
            // Somebody else took its status, and it has ended.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CHILD.raw_os_error()) => Ok(()),
            Err(source) => Err(Error::Start { program: self.program.clone(), source }),
        }
    }
}

/// The command while it runs; ended with its process group, at the latest when this is dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn kill(&self) {
        // There is a PID until its status was taken: so long the number of its group is no other's.
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _has_ended = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the command says.
#[derive(Debug)]
struct Output {
    pipe: Receiver,
    kept: Vec<u8>,
}

impl Output {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Output { pipe: Receiver::from_owned_fd(pipe)?, kept: Vec::new() })
    }

    /// Reads until everybody has closed it, so that nobody waits for room in it.
    async fn follow(&mut self) {
        while self.pipe.readable().await.is_ok() {
            if !self.read() {
                return;
            }
        }
    }

    /// Takes what is there after the end of the command, as long as there is room for it.
    fn take(&mut self) {
        while self.kept.len() < OUTPUT && self.read_some().is_ok_and(|read| read > 0) {}
    }

    /// Whether there may be more.
    fn read(&mut self) -> bool {
        match self.read_some() {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 1024];
        let read = self.pipe.try_read(&mut bytes)?;
        let room = OUTPUT - self.kept.len();
        self.kept.extend_from_slice(bytes.get(..read.min(room)).unwrap_or_default());
        Ok(read)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests;
