//! The client's end of the control socket.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Problem, SILENCE};
use crate::control::protocol::{Kind, LONGEST_REPLY, Reply, Request};

/// How long a busy Vestibule is tried.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(100);

/// How often the end of a process is looked for.
const BEAT: Duration = Duration::from_millis(10);

/// A connection on which a request was sent.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// The PID of the Vestibule at the other end.
    pub(super) pid: Option<i32>,
    /// That process, to see when it has ended.
    process: Option<OwnedFd>,
    /// The first reply, which was waited for to see whether there is room for us.
    first: Option<Reply>,
}

impl Connection {
    /// Sends `request` to the first Vestibule that is found at `places`, and waits for the first line of its answer. One that
    /// has no room now is tried again.
    ///
    /// # Errors
    /// When there is none, or it cannot be trusted, or it refuses.
    pub(crate) async fn ask(places: &[PathBuf], request: &Request) -> Result<Self, Problem> {
        let late = Instant::now() + PATIENCE;
        loop {
            match Connection::try_ask(places, request).await {
                Err(Busy::Busy(_)) if Instant::now() < late => sleep(PAUSE).await,
                Err(Busy::Busy(problem) | Busy::Not(problem)) => return Err(problem),
                Ok(connection) => return Ok(connection),
            }
        }
    }

    async fn try_ask(places: &[PathBuf], request: &Request) -> Result<Self, Busy> {
        let mut connection = Connection::open(places).await?;
        let mut line = serde_json::to_vec(request)
            .map_err(|error| Problem::Failed(format!("cannot write the request: {error}")))?;
        line.push(b'\n');
        // Whoever refuses us may hang up before; then there is an answer all the same.
        let sent = timeout(SILENCE, connection.stream.get_mut().write_all(&line)).await;
        if sent.is_err() {
            return Err(connection.silent(SILENCE).into());
        }
        match connection.any_reply(Some(SILENCE)).await? {
            Reply::Error { kind: Kind::Busy, words } => Err(Busy::Busy(Problem::Failed(words))),
            Reply::Error { words, .. } => Err(Problem::Refused(words).into()),
            reply => {
                connection.first = Some(reply);
                Ok(connection)
            }
        }
    }

    async fn open(places: &[PathBuf]) -> Result<Self, Busy> {
        let mut tried = Vec::new();
        let mut is_denied = false;
        for path in places {
            match UnixStream::connect(path).await {
                Ok(stream) => return Ok(Connection::trusted(stream, path)?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let words = format!("the Vestibule at {} is too busy to answer", path.display());
                    return Err(Busy::Busy(Problem::Failed(words)));
                }
                Err(error) => {
                    is_denied |= error.kind() == io::ErrorKind::PermissionDenied;
                    let why = match error.kind() {
                        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
                        io::ErrorKind::ConnectionRefused => "nobody listens there any more".to_owned(),
                        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                        _ => error.to_string(),
                    };
                    tried.push(format!("\n  {}: {why}", path.display()));
                }
            }
        }
        let tried = tried.concat();
        Err(Busy::Not(if is_denied {
            Problem::Refused(format!(
                "a Vestibule may be running there, but not for us to talk to:{tried}\n  be root, or the user that it runs as"
            ))
        } else {
            Problem::Nobody(format!(
                "no Vestibule is running there:{tried}\n  start it with `vestibule serve`; if it runs as another user, or with another \
                 configuration, be that user, or name its socket with --control or its configuration with --config"
            ))
        }))
    }

    /// Believes who listens there, or does not: orders are not given to a stranger who lay in wait.
    fn trusted(stream: UnixStream, path: &Path) -> Result<Self, Problem> {
        let peer = stream.peer_cred();
        let peer = peer.map_err(|error| {
            Problem::Refused(format!("cannot tell who listens at {}: {error}", path.display()))
        })?;
        if !is_trusted(peer.uid(), geteuid().as_raw(), owner_of_directory(path)) {
            return Err(Problem::Refused(format!(
                "it is user {} who listens at {}, neither root nor us: not asked",
                peer.uid(),
                path.display()
            )));
        }
        let process = peer.pid().and_then(Pid::from_raw);
        let process = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let stream = BufReader::new(stream);
        Ok(Connection { stream, path: path.to_owned(), pid: peer.pid(), process, first: None })
    }

    /// The next reply that is no error, within `patience`.
    ///
    /// # Errors
    /// What it complains of; its end, or its silence.
    pub(crate) async fn reply(&mut self, patience: Option<Duration>) -> Result<Reply, Problem> {
        match self.any_reply(patience).await? {
            Reply::Error { kind: Kind::Busy, words } => Err(Problem::Failed(words)),
            Reply::Error { words, .. } => Err(Problem::Refused(words)),
            reply => Ok(reply),
        }
    }

    async fn any_reply(&mut self, patience: Option<Duration>) -> Result<Reply, Problem> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LONGEST_REPLY as u64);
        let read = bounded.read_until(b'\n', &mut line);
        let read = match patience {
            None => read.await,
            Some(patience) => match timeout(patience, read).await {
                Ok(read) => read,
                Err(_) => return Err(self.silent(patience)),
            },
        };
        match read {
            Ok(_) if line.ends_with(b"\n") => {}
            // Its end, or a reset, or a line without an end.
            _ => return Err(Problem::Failed("Vestibule ended before it had answered".to_owned())),
        }
        serde_json::from_slice(&line).map_err(|error| {
            Problem::Failed(format!(
                "what listens at {} answers with something else: {error}",
                self.path.display()
            ))
        })
    }

    /// Waits until the Vestibule at the other end is no more.
    pub(super) async fn end(&mut self) {
        let mut ignored = [0; 512];
        while !matches!(self.stream.read(&mut ignored).await, Ok(0) | Err(_)) {}
        // It hangs up a moment before its process ends; whoever starts the next one may want its ports.
        while self.process.as_ref().is_some_and(runs) {
            sleep(BEAT).await;
        }
    }

    fn silent(&self, patience: Duration) -> Problem {
        Problem::Late(format!(
            "the Vestibule at {} has not answered for {} s{}",
            self.path.display(),
            patience.as_secs(),
            self.pid.map(|pid| format!(": look at process {pid}")).unwrap_or_default()
        ))
    }

    /// A reply that does not fit the request.
    pub(crate) fn not_understood(&self, reply: &Reply) -> Problem {
        let reply = String::from_utf8_lossy(&reply.to_line()).trim_end().to_owned();
        Problem::Failed(format!(
            "the Vestibule at {} answers with something else: {reply}",
            self.path.display()
        ))
    }
}

/// Whether a process, given by its pidfd, runs; a pidfd is readable from its end on.
fn runs(process: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
}

/// Why there is no connection, and whether there may be one later.
enum Busy {
    Busy(Problem),
    Not(Problem),
}

impl From<Problem> for Busy {
    fn from(problem: Problem) -> Self {
        Busy::Not(problem)
    }
}

/// The owner of the directory that the socket is in, if nobody else may write to it.
fn owner_of_directory(path: &Path) -> Option<u32> {
    let found = fs::metadata(path.parent()?).ok()?;
    (found.mode() & 0o022 == 0).then_some(found.uid())
}

/// Root and we ourselves are trusted. Root, who has no other way to ask a Vestibule that runs as a user of its own, also trusts whom it gave
/// the directory to.
fn is_trusted(peer: u32, own: u32, owner: Option<u32>) -> bool {
    peer == 0 || peer == own || (own == 0 && owner == Some(peer))
}

#[cfg(test)]
mod tests {
    use super::is_trusted;

    #[test]
    fn trusts_root_and_itself_and_as_root_the_owner_of_the_directory() {
        for (peer, own, owner, wanted) in [
            (0, 1000, Some(0), true),
            (1000, 1000, Some(1000), true),
            (0, 0, None, true),
            (1001, 1000, Some(1001), false),
            (1000, 0, Some(1000), true),
            (1001, 0, Some(1000), false),
            (1000, 0, None, false),
        ] {
            assert_eq!(is_trusted(peer, own, owner), wanted, "{peer} {own} {owner:?}");
        }
    }
}
