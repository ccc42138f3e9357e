//! One connection to the control socket: one request, and its answer.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::timeout;
use vestibule_process::{Command, Handle, Outcome};

use super::Server;
use super::journal::Journal;
use super::protocol::{Kind, LONGEST_REQUEST, MOST_LINES, Reply, Request, Verb};

/// How long a request line, a line of an answer, and a keeper that takes a command, may take each.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a log that is followed is looked at.
const BEAT: Duration = Duration::from_millis(250);

/// What there is to be done where no application is kept.
pub(super) const NO_PROCESS: &str =
    "add a [process.NAME] with a command, or a pid_file to an [upstream.NAME], to the configuration";

/// The peer has gone, or does not take its answer.
struct Left;

/// One connection.
pub(super) struct Session {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    server: Rc<Server>,
}

impl Session {
    pub(super) fn new(stream: UnixStream, server: Rc<Server>) -> Self {
        let (reader, writer) = stream.into_split();
        Session { reader, writer, server }
    }

    /// Answers, and hangs up. `heard` is called once the request is there.
    pub(super) async fn run(mut self, heard: impl FnOnce()) {
        let request = match timeout(PATIENCE, self.request()).await {
            Ok(request) => request,
            Err(_) => Some(Err(Reply::error(
                Kind::Malformed,
                format!("no request within {} s", PATIENCE.as_secs()),
            ))),
        };
        heard();
        let last = match request {
            None => return,
            Some(Err(error)) => error,
            Some(Ok(request)) => match self.answer(request).await {
                Ok(last) => last,
                Err(Left) => return,
            },
        };
        let _ = self.send(&last).await;
    }

    /// The request; `None` if the peer left without one.
    async fn request(&mut self) -> Option<Result<Request, Reply>> {
        let mut line = Vec::with_capacity(512);
        loop {
            let seen = line.len();
            match (&mut self.reader).take((LONGEST_REQUEST - seen) as u64).read_buf(&mut line).await {
                Ok(0) | Err(_) if line.is_empty() => return None,
                Ok(0) | Err(_) => {
                    let words = format!(
                        "a request is one line of at most {LONGEST_REQUEST} bytes, ended by a newline"
                    );
                    return Some(Err(Reply::error(Kind::Malformed, words)));
                }
                Ok(_) => {
                    if let Some(end) = line.iter().skip(seen).position(|byte| *byte == b'\n') {
                        line.truncate(seen + end);
                        return Some(Request::parse(&line));
                    }
                }
            }
        }
    }

    /// Answers all but the last line, and returns that.
    async fn answer(&mut self, request: Request) -> Result<Reply, Left> {
        if request.verb == Verb::Quit {
            return self.quit().await;
        }
        if request.verb == Verb::Reload {
            return self.reload(request.config).await;
        }
        let chosen = match self.server.choose(request.name.as_deref()) {
            Ok(chosen) => chosen,
            Err(error) => return Ok(error),
        };
        match (request.verb.command(), request.verb) {
            (Some(command), _) => self.command(command, chosen, request.wait).await,
            (None, Verb::Log) => self.log(&chosen, &request).await,
            (None, _) => {
                for handle in chosen {
                    self.send(&Reply::Status { status: Box::new(handle.status()) }).await?;
                }
                Ok(Reply::End)
            }
        }
    }

    /// Asks for the end of Vestibule. The connection ends with it, which is how the peer gets to know.
    async fn quit(&mut self) -> Result<Reply, Left> {
        let is_first = self.server.quit.ask();
        tracing::info!(is_first, "asked to quit over the control socket");
        self.send(&Reply::Accepted { name: String::new() }).await?;
        self.left().await;
        Err(Left)
    }

    /// Has the configuration read anew, whether the peer waits for that or not, and tells what came of it.
    async fn reload(&mut self, file: Option<PathBuf>) -> Result<Reply, Left> {
        self.send(&Reply::Accepted { name: String::new() }).await?;
        let answer = self.server.reloads.ask(file);
        let answer = tokio::select! {
            answer = answer => answer,
            () = left(&mut self.reader) => return Err(Left),
        };
        match answer {
            Ok(reloaded) => {
                self.send(&Reply::Reloaded(reloaded)).await?;
                Ok(Reply::End)
            }
            Err(refusal) => Ok(Reply::error(refusal.kind(), refusal.to_string())),
        }
    }

    /// Gives a command to each of these, all at once, and tells how each ended as soon as it has.
    async fn command(
        &mut self,
        command: Command,
        chosen: Vec<Handle>,
        is_waiting: bool,
    ) -> Result<Reply, Left> {
        if chosen.is_empty() {
            return Ok(Reply::error(Kind::Unknown, format!("there is no process: {NO_PROCESS}")));
        }
        let mut running = JoinSet::new();
        for handle in chosen {
            let name = handle.status().name;
            let began = Instant::now();
            // Once a keeper has the command, nobody need wait for it any more.
            let given = timeout(PATIENCE, handle.give(command)).await.unwrap_or_else(|_| {
                Err(Outcome::Refused("it has too many commands before this one".to_owned()))
            });
            match given {
                Ok(answer) => {
                    self.send(&Reply::Accepted { name: name.clone() }).await?;
                    if is_waiting {
                        running.spawn_local(async move { ended(name, Handle::outcome(answer).await, began) });
                    }
                }
                Err(outcome) => self.send(&ended(name, outcome, began)).await?,
            }
        }
        loop {
            let next = tokio::select! {
                next = running.join_next() => next,
                () = left(&mut self.reader) => return Err(Left),
            };
            match next {
                Some(Ok(reply)) => self.send(&reply).await?,
                // It cannot have panicked where panics abort.
                Some(Err(error)) => tracing::error!(%error, "control socket"),
                None => return Ok(Reply::End),
            }
        }
    }

    /// What was, and, where that is wanted, what comes, as long as the peer listens.
    async fn log(&mut self, chosen: &[Handle], request: &Request) -> Result<Reply, Left> {
        let mut journal = Journal::new(chosen);
        for entry in journal.past(request.lines.min(MOST_LINES) as usize).await {
            self.send(&Reply::Line(entry)).await?;
        }
        if !request.follow {
            return Ok(Reply::End);
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = left(&mut self.reader) => return Err(Left),
            }
            for entry in journal.news().await {
                self.send(&Reply::Line(entry)).await?;
            }
        }
    }

    async fn send(&mut self, reply: &Reply) -> Result<(), Left> {
        match timeout(PATIENCE, self.writer.write_all(&reply.to_line())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Left),
        }
    }

    async fn left(&mut self) {
        left(&mut self.reader).await;
    }
}

/// Waits until the peer has closed its side. What it may send before that is nothing to us.
async fn left(reader: &mut OwnedReadHalf) {
    let mut ignored = [0; 512];
    while !matches!(reader.read(&mut ignored).await, Ok(0) | Err(_)) {}
}

fn ended(name: String, outcome: Outcome, began: Instant) -> Reply {
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Reply::Ended { name, outcome, milliseconds }
}
