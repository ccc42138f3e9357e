//! How an application is started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::getrlimit;
use rustix::thread::{CapabilitySet, capabilities};
use vestibule_config::{Placeholder, Process, ProcessLimits};

use crate::error::Error;
use crate::open_files::open_files;
use crate::output::Output;
use crate::settings::{Limit, Limited, Settings};
use crate::{identity, program};

/// Variables by which whoever started us speaks with us alone: with them a Puma would tell systemd that it is the service,
/// and take our sockets for its own.
const NOT_PASSED_ON: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];

/// A command, to be started as often as wanted. Its environment is ours with what is added, its directory and user are ours, and
/// its output goes where ours goes, unless something else is said.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    user: Option<String>,
    group: Option<String>,
    limits: ProcessLimits,
    output: Option<Output>,
    has_lifeline: bool,
    launcher: Vec<OsString>,
}

/// Where an application is found, for `{socket}` and its like in a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `{name}`
    pub name: String,
    /// `{socket}`
    pub socket: Option<PathBuf>,
    /// `{pid_file}`
    pub pid_file: Option<PathBuf>,
}

/// A launch that only has to be made: everything has been looked up, and is passed on. Good for one start.
#[derive(Debug)]
pub struct Prepared {
    /// What to spawn. The process becomes the application; its status is 127 when there is no such program and 126 when the
    /// application could not be started for another reason, which is the last line of its output.
    pub command: Command,
    /// To be kept for as long as the application is to have a standard input, if it was asked for ([`Launch::lifeline`]).
    pub lifeline: Option<OwnedFd>,
}

impl Launch {
    /// A program without arguments: a path, from its directory on if it is relative, or a name that is looked for in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Launch {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            directory: None,
            user: None,
            group: None,
            limits: ProcessLimits::default(),
            output: None,
            has_lifeline: false,
            launcher: launcher(),
        }
    }

    /// A command of `process`, with `places` put in: the one that starts it, or another that has to run as it does.
    /// `None` when the command is empty.
    ///
    /// Its environment tells CUSTOM_WEB_SOCKET_FILE and CUSTOM_WEB_PID_FILE, unless the operator wrote them.
    pub fn of(process: &Process, command: &[String], places: &Places) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        let directory = process.directory.as_deref();
        let mut launch = Launch::new(places.put_into(program, directory));
        launch.arguments = arguments.iter().map(|argument| places.put_into(argument, directory)).collect();
        let told = [("CUSTOM_WEB_SOCKET_FILE", &places.socket), ("CUSTOM_WEB_PID_FILE", &places.pid_file)];
        launch.environment = told
            .into_iter()
            .filter_map(|(name, path)| Some((name.into(), path.as_ref()?.clone().into())))
            .chain(
                process
                    .environment
                    .iter()
                    .map(|(name, value)| (name.into(), places.put_into(value, directory))),
            )
            .collect();
        launch.directory = directory.map(Path::to_owned);
        launch.user.clone_from(&process.user);
        launch.group.clone_from(&process.group);
        launch.limits = process.limits;
        Some(launch)
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Where it runs. Links are followed anew at each start, and `PWD` has them as they are written, so that a server which starts
    /// itself anew (Puma's and Unicorn's USR2) finds the release that is there then.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Whom it runs as, by name or number, with that user's groups and HOME, USER, LOGNAME and SHELL.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The group that it runs as, by name or number.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// What it may use.
    #[must_use]
    pub fn limits(mut self, limits: ProcessLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Where its output goes.
    #[must_use]
    pub fn output(mut self, output: &Output) -> Self {
        self.output = Some(output.clone());
        self
    }

    /// Gives the application a standard input that ends when we do, even by SIGKILL, so that it can end then too.
    /// Without this its standard input is empty.
    #[must_use]
    pub fn lifeline(mut self) -> Self {
        self.has_lifeline = true;
        self
    }

    /// Has `command` turn into the application, in place of ourselves: a program with arguments that calls
    /// [`become_application`](crate::become_application).
    #[must_use]
    pub fn through(mut self, command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.launcher = command.into_iter().map(Into::into).collect();
        self
    }

    /// Its program, as it was written.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Looks up everything that a start needs, so that what is missing is said before anything is started. May wait for the
    /// disk and for the name service: not to be called where requests are waited for.
    ///
    /// # Errors
    /// One that names what is wrong: the directory, the user, the group, a limit, the program, too long an environment.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let settings = self.settings()?;
        let too_long = |source| Error::TooLong { program: self.program.clone(), source };
        let (reader, writer) = settings.into_pipe().map_err(too_long)?;

        let mut words = self.launcher.iter();
        let mut command = Command::new(words.next().map_or(OsStr::new(OURSELVES), OsString::as_os_str));
        command.args(words).arg0("vestibule");
        // What the application gets is in the pipe. Its LD_PRELOAD, for one, is nothing that may run before the user is changed.
        command.env_clear();
        command.stdin(reader);
        if let Some(output) = &self.output {
            let (stdout, stderr) = output.begin()?;
            command.stdout(stdout).stderr(stderr);
        } else {
            command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        }
        // A group of its own: Ctrl-C at our terminal is for us, and we end the application when its time comes.
        command.process_group(0);
        Ok(Prepared { command, lifeline: self.has_lifeline.then_some(writer) })
    }

    /// What the launcher is told.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let directory = self.directory.as_deref().map(checked_directory).transpose()?;
        let resolved = identity::resolve(self.user.as_deref(), self.group.as_deref())?;
        let limits = self.checked_limits()?;
        let environment = self.whole_environment(resolved.environment, directory.as_deref());
        let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
        program::check(&self.program, path, directory.as_deref())?;

        Ok(Settings {
            program: self.program.clone().into(),
            arguments: self.arguments.clone(),
            environment: environment.into_iter().collect(),
            directory,
            identity: resolved.identity,
            limits,
            output: self.output.as_ref().and_then(Output::own_file),
            has_lifeline: self.has_lifeline,
        })
    }

    /// Ours; what login sets; what belongs to the place; what was asked for: the later wins.
    fn whole_environment(
        &self,
        login: Vec<(OsString, OsString)>,
        directory: Option<&Path>,
    ) -> BTreeMap<OsString, OsString> {
        let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        environment.retain(|name, _| !NOT_PASSED_ON.iter().any(|other| name == other));
        environment.extend(login);
        environment.extend(directory.map(|directory| ("PWD".into(), directory.into())));
        environment.extend(self.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        environment
    }

    fn checked_limits(&self) -> Result<Vec<Limit>, Error> {
        let ProcessLimits { open_files: files, processes, memory, core } = self.limits;
        let wanted = [
            (Limited::OpenFiles, files),
            (Limited::Processes, processes),
            (Limited::Memory, memory),
            (Limited::Core, core),
        ];
        let may_raise =
            capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
        let mut limits = Vec::new();
        for (what, wanted) in wanted {
            let Some(wanted) = wanted else { continue };
            if let Some(most) = getrlimit(what.resource()).maximum
                && wanted > most
                && !may_raise
            {
                return Err(Error::Limit { name: what.name(), wanted, most });
            }
            limits.push(Limit { what, soft: Some(wanted), hard: Some(wanted) });
        }
        if files.is_none() {
            let given = open_files();
            limits.push(Limit { what: Limited::OpenFiles, soft: given.current, hard: given.maximum });
        }
        Ok(limits)
    }
}

/// Our own program, even when another has taken its place on the disk.
const OURSELVES: &str = "/proc/self/exe";

#[cfg(not(test))]
fn launcher() -> Vec<OsString> {
    vec![OURSELVES.into(), "launch".into()]
}

/// The tests of this crate are a program too, which has one test that does it.
#[cfg(test)]
pub(crate) fn launcher() -> Vec<OsString> {
    [OURSELVES, "--exact", "launcher::tests::becomes_the_application", "--nocapture", "--test-threads=2"]
        .map(Into::into)
        .into()
}

/// The directory with all its links as written, checked to be one as far as we may look.
fn checked_directory(directory: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Directory { directory: directory.to_owned(), source };
    let absolute = std::path::absolute(directory).map_err(failed)?;
    match fs::metadata(&absolute) {
        Ok(found) if !found.is_dir() => Err(failed(io::ErrorKind::NotADirectory.into())),
        // Its user may look where we may not.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(failed(error)),
        _ => Ok(absolute),
    }
}

impl Places {
    /// Puts the places into one word of a command, or into the value of a variable. What has no place stays as it is.
    pub fn put_into(&self, word: &str, directory: Option<&Path>) -> OsString {
        Placeholder::fill(word, |placeholder| match placeholder {
            Placeholder::Name => Some(self.name.clone().into()),
            Placeholder::Socket => self.socket.clone().map(Into::into),
            Placeholder::PidFile => self.pid_file.clone().map(Into::into),
            Placeholder::Directory => match directory {
                Some(directory) => std::path::absolute(directory).ok().map(Into::into),
                None => std::env::current_dir().ok().map(Into::into),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use vestibule_config::{Config, Process, UpstreamId};

    use super::*;

    fn places() -> Places {
        Places { name: "app".to_owned(), socket: Some("/s/{name}".into()), pid_file: Some("/p".into()) }
    }

    fn process() -> Process {
        let config = Config::default();
        let upstream = config.upstreams.first().expect("the usual one");
        Process { directory: Some("/".into()), ..Process::owned(UpstreamId(0), upstream, Vec::new()) }
    }

    #[test]
    fn puts_its_places_into_the_command_once() {
        let put = |word| places().put_into(word, Some(Path::new("/srv"))).into_string().expect("text");
        assert_eq!(put("unix://{socket}?umask={pid_file}"), "unix:///s/{name}?umask=/p");
        assert_eq!(put("{name}-{directory}"), "app-/srv");
        for other in ["{}", "{other}", "{socket", "a}{", "ä{ö}", "", "${name}", "{{name}}"] {
            assert_eq!(put(other), other);
        }
        let nowhere = Places { socket: None, ..places() };
        assert_eq!(nowhere.put_into("{socket}", None), "{socket}");
    }

    #[test]
    fn tells_the_application_its_places_unless_the_operator_did() {
        let mut process = process();
        process.environment =
            vec![("CUSTOM_WEB_PID_FILE".into(), "/mine".into()), ("A".into(), "${name} {name}".into())];
        let command = ["sh".to_owned(), "{pid_file}".to_owned()];
        let launch = Launch::of(&process, &command, &places()).expect("a command");
        let settings = launch.settings().expect("all is there");
        let value = |name: &str| {
            let found = settings.environment.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.to_str().expect("text"))
        };
        assert_eq!(value("CUSTOM_WEB_SOCKET_FILE"), Some("/s/{name}"));
        assert_eq!(value("CUSTOM_WEB_PID_FILE"), Some("/mine"));
        assert_eq!((value("A"), value("PWD")), (Some("${name} app"), Some("/")));
        assert_eq!(value("PATH"), std::env::var("PATH").ok().as_deref());
        assert_eq!(settings.arguments, ["/p"]);
        assert!(Launch::of(&process, &[], &places()).is_none());
    }

    #[test]
    fn names_what_is_missing_before_anything_is_started() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let said = |launch: Launch| {
            let error = launch.prepare().expect_err("it cannot start");
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        };
        let sh = || Launch::new("sh");
        let none = dir.path().join("none");
        assert_eq!(
            said(sh().directory(&none)),
            format!("cannot use the directory {}: No such file or directory (os error 2)", none.display())
        );
        assert!(said(sh().directory(&file)).ends_with("not a directory"));
        assert_eq!(said(sh().variable("PATH", "/nowhere")), "there is no program sh in PATH (/nowhere)");
        assert_eq!(said(sh().user("no-such-user")), "there is no user no-such-user");
        assert_eq!(said(sh().group("no-such-group")), "there is no group no-such-group");
        assert!(
            said(sh().variable("A", "a".repeat(2 << 20)))
                .starts_with("the arguments and the environment of sh")
        );
    }

    #[test]
    fn says_which_limit_is_above_what_it_may_give() {
        let limits = ProcessLimits { core: Some(1 << 40), ..ProcessLimits::default() };
        let tried = std::thread::spawn(move || {
            // Capabilities are a thread's own; limits are not: this test alone asks for this one.
            let mut sets = capabilities(None).expect("ours");
            sets.effective.remove(CapabilitySet::SYS_RESOURCE);
            rustix::thread::set_capabilities(None, sets).expect("dropped");
            let core = rustix::process::Rlimit { current: Some(0), maximum: Some(4096) };
            rustix::process::setrlimit(rustix::process::Resource::Core, core).expect("lowered");
            Launch::new("sh").limits(limits).prepare().expect_err("too much").to_string()
        });
        let said = tried.join().expect("it ends");
        assert!(said.starts_with("the limit core = 1099511627776 is above the 4096 "), "{said}");
    }

    #[test]
    fn does_not_pass_on_what_systemd_says_to_us() {
        let settings = Launch::new("sh").settings().expect("all is there");
        for (name, _) in settings.environment {
            assert!(!NOT_PASSED_ON.iter().any(|other| name == *other), "{name:?}");
        }
    }
}
