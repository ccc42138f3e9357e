//! What `[process.NAME]` and `[control]` mean: applications that Vestibule keeps, and how it is told what to do with them.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Server, Upstream, UpstreamId};

mod command;
mod fitness;
mod placeholder;
mod restart;
mod stop_sequence;
mod variables;
mod watch;
mod written;

pub use placeholder::Placeholder;
pub(crate) use written::{ProcessPlaces, read_all};

/// One `[process.NAME]`: an application as the operating system sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// The NAME.
    pub name: String,
    /// Whose requests it answers: the upstream of the same name, or the one that `upstream` names. `None` for a process
    /// in the background.
    pub upstream: Option<UpstreamId>,
    /// Which Rack server it is: what its upstream says. Default: found by itself.
    pub server: Server,
    /// Who starts it.
    pub start: Start,
    /// Where it runs. Default: where Vestibule does. Looked up anew at each start, so that a link to the present release is followed.
    pub directory: Option<PathBuf>,
    /// The user that it runs as, by name or number. Default: ours.
    pub user: Option<String>,
    /// The group that it runs as, by name or number. Default: that of `user`, or ours.
    pub group: Option<String>,
    /// Variables added to our environment, in the order of their names; [`Placeholder`]s in their values are to be filled in.
    pub environment: Vec<(String, String)>,
    /// Where its standard output and error go. Default: our log.
    pub output: Output,
    /// What it may use.
    pub limits: ProcessLimits,
    /// How many of it run; more than one only without an upstream. Default 1.
    pub instances: u32,
    /// Where its PID is found. Default: the upstream's `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// Whether it is started with Vestibule, if it does not run. Default true. (`start = false`)
    pub is_started: bool,
    /// What becomes of it when Vestibule ends. Default: stopped if it is ours, left alone if it was adopted.
    pub on_exit: OnExit,
    /// Longest from its start to its first answer. Default 60 s.
    pub start_timeout: Duration,
    /// How it is stopped; `None`: as suits the server. Begins with a signal, and ends with KILL or with a wait: what is alive after that
    /// is killed all the same.
    pub stop_sequence: Option<Vec<StopStep>>,
    /// How it is restarted. Default: as suits the server.
    pub restart: Restart,
    /// Its memory is watched.
    pub memory: Option<MemoryCheck>,
    /// Its use of the processors is watched.
    pub cpu: Option<CpuCheck>,
    /// It is asked for an answer every so often. Default: 10 s, every 5 s, 3 of 5, for an application that Vestibule starts and that has an
    /// upstream.
    pub answer: Option<AnswerCheck>,
    /// It is restarted every so often.
    pub cycle: Option<Cycle>,
    /// When its deaths are too many.
    pub flapping: Flapping,
    /// A command to be run when something happens that somebody should know.
    pub alert: Option<Vec<String>>,
}

/// Who starts an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// `command`: Vestibule does, in the foreground, as its child.
    Owned(Vec<String>),
    /// Somebody else does: it is adopted by its PID file.
    Adopted {
        /// `start_command`: what makes that somebody start it, and ends by itself.
        command: Option<Vec<String>>,
    },
}

/// Where the output of an application goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Into our log, line by line.
    Log,
    /// To the end of this file, opened anew at each start.
    File(PathBuf),
}

/// `limits = { open_files = 65536, processes = 4096, memory = "4 GiB", core = "0 B" }`: setrlimit(2), each `None` as ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC.
    pub processes: Option<u64>,
    /// RLIMIT_AS, in bytes: each process's address space.
    pub memory: Option<u64>,
    /// RLIMIT_CORE, in bytes.
    pub core: Option<u64>,
}

/// What becomes of an application when Vestibule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// It is stopped, after its last request.
    Stop,
    /// It goes on, and the next Vestibule adopts it.
    Leave,
}

/// A signal that an application may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGHUP
    Hup,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGTERM
    Term,
    /// SIGKILL
    Kill,
    /// SIGWINCH
    Winch,
    /// SIGTTIN
    Ttin,
    /// SIGTTOU
    Ttou,
    /// SIGALRM
    Alrm,
    /// SIGCONT
    Cont,
}

impl Signal {
    /// All of them, for the reader and its error.
    pub const ALL: [Signal; 12] = [
        Signal::Hup,
        Signal::Int,
        Signal::Quit,
        Signal::Usr1,
        Signal::Usr2,
        Signal::Term,
        Signal::Kill,
        Signal::Winch,
        Signal::Ttin,
        Signal::Ttou,
        Signal::Alrm,
        Signal::Cont,
    ];

    /// Its name without `SIG`, as kill(1) writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Usr1 => "USR1",
            Signal::Usr2 => "USR2",
            Signal::Term => "TERM",
            Signal::Kill => "KILL",
            Signal::Winch => "WINCH",
            Signal::Ttin => "TTIN",
            Signal::Ttou => "TTOU",
            Signal::Alrm => "ALRM",
            Signal::Cont => "CONT",
        }
    }
}

/// One step of a stop sequence such as `["QUIT", "30s", "TERM", "11s", "KILL"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopStep {
    /// Send it.
    Signal(Signal),
    /// Wait so long for the end.
    Wait(Duration),
}

/// How an application is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// As suits the server.
    Auto,
    /// `restart = "signal"` with `restart_signal`: the server restarts itself on this signal.
    Signal(Signal),
    /// `restart = "command"` with `restart_command`: it restarts the application, and ends when that is done or under way.
    Command(Vec<String>),
    /// `restart = "stop-start"`: requests wait meanwhile.
    StopStart,
    /// `restart = "replace"`: a second instance on a socket of its own takes over when it answers.
    Replace,
}

/// `times = [3, 5]`: as many bad samples of so many make it bad. `times = 3` is `[3, 3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From 1 to `of`.
    pub bad: u32,
    /// From 1 to 100.
    pub of: u32,
}

/// `memory = { above = "1 GiB", every = "10s", times = [3, 5] }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryCheck {
    /// Bytes, of all its processes together; shared pages count once.
    pub above: u64,
    /// Between two samples. Default 10 s; sooner while it grows.
    pub every: Duration,
    /// Default `[1, 1]`: memory does not come back by itself.
    pub times: Times,
}

/// `cpu = { above = 90, every = "10s", times = [3, 5] }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuCheck {
    /// Percent of one core, of all its processes together.
    pub above: u32,
    /// Between two samples. Default 10 s.
    pub every: Duration,
    /// Default `[3, 5]`.
    pub times: Times,
}

/// `answer = { within = "10s", every = "5s", times = [3, 5] }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerCheck {
    /// Longest that it may take. Default 10 s.
    pub within: Duration,
    /// Between two requests. Default 5 s.
    pub every: Duration,
    /// Default `[3, 5]`.
    pub times: Times,
}

/// `cycle = { age = "12h", requests = 100000, jitter = 10 }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// It is restarted at this age.
    pub age: Option<Duration>,
    /// It is restarted after so many answers.
    pub requests: Option<u64>,
    /// Percent by which each is lengthened at random, so that not all come at once. Default 10.
    pub jitter: u32,
}

/// `flapping = { times = 5, within = "60s", most = "5m" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// So many deaths or failed starts …
    pub times: u32,
    /// … in so long are flapping: the pauses before the next start grow.
    pub within: Duration,
    /// The longest pause.
    pub most: Duration,
}

/// `[control]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// The control socket; `None`: found by itself.
    pub socket: Option<PathBuf>,
}

impl Process {
    /// A process that nobody wrote anything about: adopted by the PID file of its upstream, and not watched.
    #[must_use]
    pub fn adopted(id: UpstreamId, upstream: &Upstream) -> Self {
        Process {
            name: upstream.name.clone(),
            upstream: Some(id),
            server: upstream.server,
            start: Start::Adopted { command: None },
            directory: None,
            user: None,
            group: None,
            environment: Vec::new(),
            output: Output::Log,
            limits: ProcessLimits::default(),
            instances: 1,
            pid_file: upstream.pid_file.clone(),
            is_started: false,
            on_exit: OnExit::Leave,
            start_timeout: Duration::from_secs(60),
            stop_sequence: None,
            restart: Restart::Auto,
            memory: None,
            cpu: None,
            answer: None,
            cycle: None,
            flapping: Flapping::default(),
            alert: None,
        }
    }

    /// A process that Vestibule starts by `command`, with everything else as by default.
    #[must_use]
    pub fn owned(id: UpstreamId, upstream: &Upstream, command: Vec<String>) -> Self {
        Process {
            start: Start::Owned(command),
            is_started: true,
            on_exit: OnExit::Stop,
            answer: Some(AnswerCheck::default()),
            ..Process::adopted(id, upstream)
        }
    }

    /// Whether Vestibule starts it as its child.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(self.start, Start::Owned(_))
    }
}

impl Default for Times {
    fn default() -> Self {
        Times { bad: 3, of: 5 }
    }
}

impl Default for AnswerCheck {
    fn default() -> Self {
        AnswerCheck {
            within: Duration::from_secs(10),
            every: Duration::from_secs(5),
            times: Times::default(),
        }
    }
}

impl Default for Flapping {
    fn default() -> Self {
        Flapping { times: 5, within: Duration::from_secs(60), most: Duration::from_secs(300) }
    }
}
