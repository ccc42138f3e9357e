//! What can go wrong with an application.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why something could not be done to an application.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its program cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is no such program.
    #[error("there is no program {}{place}", program.display())]
    NoProgram {
        /// As it was written.
        program: PathBuf,
        /// Where it was looked for, in words that follow.
        place: String,
    },
    /// What it names as its program is none.
    #[error("{} is not a program: it is no file that may be executed", program.display())]
    NotExecutable {
        /// The file.
        program: PathBuf,
    },
    /// It cannot run in its directory.
    #[error("cannot use the directory {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is no such user, or it cannot be looked up.
    #[error("there is no user {name}")]
    NoUser {
        /// The user.
        name: String,
        /// Why it could not be looked up, if that is the reason.
        source: Option<io::Error>,
    },
    /// There is no such group, or it cannot be looked up.
    #[error("there is no group {name}")]
    NoGroup {
        /// The group.
        name: String,
        /// Why it could not be looked up, if that is the reason.
        source: Option<io::Error>,
    },
    /// It is to run as somebody whom we may not become.
    #[error(
        "Vestibule may not start anything as {wanted}: it runs as {ours}, without the right to change that; start it as root \
         or with the capabilities CAP_SETUID and CAP_SETGID, or leave out `user` and `group`"
    )]
    MayNotChangeUser {
        /// User and group that it is to have.
        wanted: String,
        /// User and group that we have.
        ours: String,
    },
    /// A limit that is above what we may give.
    #[error(
        "the limit {name} = {wanted} is above the {most} that Vestibule may give: raise its own limit, or start it as root"
    )]
    Limit {
        /// As the configuration has it.
        name: &'static str,
        /// What is wanted.
        wanted: u64,
        /// What we may give.
        most: u64,
    },
    /// Arguments and environment are more than can be passed on.
    #[error("the arguments and the environment of {} are too long", program.display())]
    TooLong {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its output cannot be followed.
    #[error("cannot follow the output in {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It cannot be waited for.
    #[error("cannot wait for process {pid}")]
    Wait {
        /// Its PID.
        pid: u32,
        /// The reason.
        source: io::Error,
    },
    /// It cannot be sent a signal.
    #[error("cannot send a signal to process {pid}")]
    Signal {
        /// Its PID.
        pid: u32,
        /// The reason.
        source: io::Error,
    },
    /// It belongs to somebody whom we may not signal.
    #[error(
        "process {pid} runs as {theirs}, and Vestibule as {ours} may not send it signals: run Vestibule as the same user or as \
         root, or give it the capability CAP_KILL"
    )]
    MayNotSignal {
        /// Its PID.
        pid: u32,
        /// The user that it runs as.
        theirs: String,
        /// The user that we run as.
        ours: String,
    },
    /// It has ended, so that its PID may be another's by now.
    #[error("process {pid} has ended")]
    HasEnded {
        /// The PID that it had.
        pid: u32,
    },
    /// Its PID file cannot be read.
    #[error("cannot read the PID file {}", path.display())]
    ReadPidFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its PID file holds something else than a PID.
    #[error("the PID file {} does not hold a PID", path.display())]
    NoPid {
        /// The file.
        path: PathBuf,
    },
    /// Its PID file cannot be written.
    #[error("cannot write the PID file {}", path.display())]
    WritePidFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its PID file cannot be removed.
    #[error("cannot remove the PID file {}", path.display())]
    RemovePidFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Somebody listens where it is to listen.
    #[error("{} listens on {}", pid.map_or("somebody".to_owned(), |pid| format!("process {pid}")), path.display())]
    Occupied {
        /// The socket.
        path: PathBuf,
        /// Who listens, as far as it could be found out.
        pid: Option<u32>,
    },
    /// Something else is where its socket is to be.
    #[error("{} is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A socket that nobody listens on cannot be looked at or removed.
    #[error("cannot clear the way for a socket at {}", path.display())]
    Vacate {
        /// The socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The command to be run when something happens is empty.
    #[error("the alert command names no program")]
    NoAlert,
    /// The command that is run when something happens failed.
    #[error("the alert command {} failed ({status}): {output}", program.display())]
    Alert {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it said.
        output: String,
    },
    /// The command that is run when something happens was ended, because it took too long.
    #[error("the alert command {} took longer than {patience:?}: {output}", program.display())]
    AlertTime {
        /// The program.
        program: PathBuf,
        /// How long it may take.
        patience: Duration,
        /// The beginning of what it said.
        output: String,
    },
    /// We cannot be given the orphans of our descendants, or hear of their end.
    #[error("cannot look after orphaned processes")]
    Reap {
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    /// What happened, and why, in one line.
    pub(crate) fn in_full(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |words, cause| format!("{words}: {cause}"))
    }
}
