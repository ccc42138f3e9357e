//! What runs in the new process before the application: a safe program of its own instead of unsafe code between fork and exec.

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setuid};
use rustix::process::{Rlimit, chdir, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    disable_transparent_huge_pages, set_capabilities,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::identity::Identity;
use crate::settings::Settings;

/// There is no such program, as shells say it.
const NOT_FOUND: u8 = 127;
/// It could not be started for another reason.
const NOT_STARTED: u8 = 126;

/// Why there is no application: the status to end with, and what to say.
struct Failure {
    status: u8,
    words: String,
}

/// Becomes the application that our standard input describes ([`Launch`](crate::Launch)): sets its limits, its user, its directory, and
/// replaces this program by it. Returns only if that fails, after a line on standard error: 127 when there is no such program,
/// 126 otherwise.
///
/// To be called as the first thing in a process, with no other thread in it.
pub fn become_application() -> ExitCode {
    ExitCode::from(fail_to_become())
}

fn fail_to_become() -> u8 {
    let Err(Failure { status, words }) = launch();
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "vestibule: {words}");
    status
}

fn launch() -> Result<Infallible, Failure> {
    let settings = Settings::read(stdin()).map_err(|_| {
        failure("this command is how Vestibule starts an application, and nothing to be called by hand")
    })?;
    if !settings.has_lifeline {
        let null = File::open("/dev/null").map_err(|error| cannot("open /dev/null", &error))?;
        dup2_stdin(null).map_err(|error| cannot("give it an empty input", &error))?;
    }
    // Ours are all closed by exec; those that whoever started us left open are not.
    close_fds::set_fds_cloexec(3, &[]);
    hear_what_was_ignored().map_err(|error| cannot("reset its signals", &error))?;
    // std passes the mask on as it is.
    SigSet::empty().thread_set_mask().map_err(|error| cannot("reset its signals", &error))?;

    let mut command = Command::new(&settings.program);
    command
        .args(&settings.arguments)
        .env_clear()
        .envs(settings.environment.iter().map(|(name, value)| (name, value)));
    // While we may still raise them.
    for limit in &settings.limits {
        let wanted = Rlimit { current: limit.soft, maximum: limit.hard };
        setrlimit(limit.what.resource(), wanted)
            .map_err(|error| cannot(&format!("set the limit {}", limit.what.name()), &error))?;
    }
    drop_rights(settings.identity.as_ref())?;
    // Everything from here on happens with the rights of the application: what its user may not do, we do not do for it.
    if let Some(output) = &settings.output {
        open_output(output).map_err(|error| {
            cannot(&format!("write to the output {}{}", output.display(), by(&settings)), &error)
        })?;
    }
    if let Some(directory) = &settings.directory {
        chdir(directory).map_err(|error| {
            cannot(&format!("enter the directory {}{}", directory.display(), by(&settings)), &error)
        })?;
    }
    // Our allocator has them turned off for us, which outlives exec; they are the application's own matter. A kernel that
    // refuses has not turned them off either.
    let _refused = disable_transparent_huge_pages(false);
    // This also gives SIGPIPE its default, as std has it for every process that it starts.
    let error = command.exec();
    Err(not_started(&settings, &error))
}

/// Signals that are ignored stay so through exec, and whoever started us may have had us ignore some (nohup, a shell's `&`). One that
/// is caught gets its default back: so catch them until then.
fn hear_what_was_ignored() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let numbers: Vec<i32> = (1..=64).filter(|number| ignored >> (number - 1) & 1 == 1).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for number in numbers {
        // Refused for SIGSEGV and its like, which nobody ignores.
        let _refused = signal(SignalKind::from_raw(number));
    }
    Ok(())
}

/// Becomes the user that it is to run as, for good.
fn drop_rights(identity: Option<&Identity>) -> Result<(), Failure> {
    // What we were given to open ports, or to become somebody, is not meant for an application. Where there are no such things,
    // there is nothing to clear.
    let _unknown = clear_ambient_capability_set();
    let Some(Identity { name, uid, gid, groups }) = identity else { return Ok(()) };
    let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
    let failed =
        |error: &dyn Display| failure(&format!("cannot become user {name} ({uid}, group {gid}): {error}"));
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(|error| failed(&error))?;
    setresgid(group, group, group).map_err(|error| failed(&error))?;
    setresuid(user, user, user).map_err(|error| failed(&error))?;
    if user.is_root() {
        return Ok(());
    }
    // Gone already if we were root; not if we were another user with capabilities.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|error| failed(&error))?;
    let left = capabilities(None).map_err(|error| failed(&error))?;
    if setuid(Uid::from_raw(0)).is_ok() || !(left.effective | left.permitted).is_empty() {
        return Err(failed(&"it could become root again"));
    }
    Ok(())
}

fn open_output(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    dup2_stdout(&file)?;
    // From here on our own complaints go there too.
    dup2_stderr(&file)?;
    Ok(())
}

fn not_started(settings: &Settings, error: &io::Error) -> Failure {
    let program = Path::new(&settings.program);
    let what = format!("start {}{}", program.display(), by(settings));
    if error.kind() != io::ErrorKind::NotFound {
        return cannot(&what, error);
    }
    let has_slash = settings.program.as_encoded_bytes().contains(&b'/');
    if has_slash && program.exists() {
        return failure(&format!("cannot {what}: there is no such interpreter as its first line names"));
    }
    let path = settings.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let place = match path {
        Some(path) if !has_slash => format!(" in PATH ({})", path.display()),
        _ => String::new(),
    };
    Failure { status: NOT_FOUND, words: format!("cannot {what}: there is no such program{place}") }
}

/// Whose rights were not enough, where that may be the reason.
fn by(settings: &Settings) -> String {
    settings.identity.as_ref().map(|identity| format!(" as user {}", identity.name)).unwrap_or_default()
}

fn failure(words: &str) -> Failure {
    Failure { status: NOT_STARTED, words: words.to_owned() }
}

fn cannot(what: &str, error: &dyn Display) -> Failure {
    failure(&format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::ExitStatus;
    use std::time::{Duration, Instant};

    use rustix::process::Signal;
    use vestibule_config::{Output as Destination, ProcessLimits};

    use super::*;
    use crate::launch::Launch;
    use crate::output::Output;

    /// This program is the launcher of this crate's tests: `Launch` has it called with this test's name.
    #[test]
    fn becomes_the_application() {
        if std::env::args_os().next().is_some_and(|name| name == "vestibule") {
            std::process::exit(fail_to_become().into());
        }
        let launch = shell("echo $0 $#-$1 $A; exit 3").argument("me").argument("").variable("A", "b");
        let (status, lines) = run(&launch);
        assert_eq!((status.code(), said(&lines)), (Some(3), "me 1- b"));
    }

    fn shell(script: &str) -> Launch {
        Launch::new("sh").argument("-c").argument(script)
    }

    /// The status, and the last lines of the output.
    fn run(launch: &Launch) -> (ExitStatus, Vec<String>) {
        run_into(launch, &Destination::Log)
    }

    fn run_into(launch: &Launch, destination: &Destination) -> (ExitStatus, Vec<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let output = Output::new("app", dir.path(), destination).expect("followed");
            let prepared = launch.clone().output(&output).prepare().expect("all is there");
            let mut child = tokio::process::Command::from(prepared.command).spawn().expect("it starts");
            let status = tokio::time::timeout(Duration::from_secs(60), child.wait()).await.expect("it ends");
            (status.expect("its status"), output.last_lines(100).await)
        })
    }

    /// The last line. Before it come those of the test harness that is the launcher here.
    fn said(lines: &[String]) -> &str {
        lines.last().map_or("", String::as_str)
    }

    fn failure_of(launch: &Launch) -> (Option<i32>, String) {
        let (status, lines) = run(launch);
        (status.code(), said(&lines).to_owned())
    }

    #[test]
    fn leaves_nothing_of_itself_in_the_environment_and_the_command_line() {
        let (_, lines) = run(&shell(
            "tr '\\0' ' ' < /proc/$$/cmdline; echo; tr '\\0' '\\n' < /proc/$$/environ | sort | cut -d= -f1 | tr '\\n' ' '",
        ));
        let command = lines.iter().find(|line| line.starts_with("sh -c tr ")).expect("its command line");
        assert!(!command.contains("vestibule"), "{command}");
        let mut ours: Vec<String> =
            std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        ours.retain(|name| !["INVOCATION_ID", "JOURNAL_STREAM"].contains(&name.as_str()));
        ours.sort();
        assert_eq!(said(&lines).split_whitespace().collect::<Vec<_>>(), ours);
    }

    /// A `sleep` that is killed when it goes.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        /// Waits until the application is there.
        fn new(command: &mut Command) -> Self {
            let sleeper = Sleeper(command.spawn().expect("it starts"));
            let begun = Instant::now();
            while sleeper.file("comm") != "sleep\n" {
                assert!(begun.elapsed() < Duration::from_secs(60), "it never became the application");
                std::thread::sleep(Duration::from_millis(2));
            }
            sleeper
        }

        fn file(&self, name: &str) -> String {
            fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap_or_default()
        }

        /// The numbers of its open files, once they are these: while it starts, its libraries are among them.
        fn has_open(&self, wanted: &[&str]) {
            let begun = Instant::now();
            loop {
                let files = fs::read_dir(format!("/proc/{}/fd", self.0.id())).expect("its files").flatten();
                let mut numbers: Vec<_> =
                    files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
                numbers.sort();
                if numbers == wanted {
                    return;
                }
                assert!(begun.elapsed() < Duration::from_secs(10), "it has {numbers:?} open");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn leaves_open_nothing_but_input_and_output() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let _ours = File::open("/dev/null").expect("opened");
        let mut prepared = Launch::new("sleep").argument("600").prepare().expect("all is there");
        let sleeper = Sleeper::new(&mut prepared.command);
        sleeper.has_open(&["0", "1", "2"]);
        let input = fs::read_link(format!("/proc/{}/fd/0", sleeper.0.id())).expect("its input");
        assert_eq!(input, Path::new("/dev/null"));
    }

    /// What whoever started us left open or had us ignore or block is not the application's.
    #[test]
    fn passes_on_no_open_files_and_no_deaf_signals_of_those_who_started_us() {
        let settings = Launch::new("sleep").argument("600").settings().expect("all is there");
        let (reader, _writer) = settings.into_pipe().expect("a pipe");
        let mut command = Command::new("env");
        command.args(["--block-signal=TERM,USR2,RTMAX", "bash", "-c", "exec 7</dev/null 9</etc/passwd; trap '' HUP INT QUIT USR1 USR2 TERM CHLD PIPE RTMAX; exec -a vestibule \"$@\"", "bash"]);
        command
            .arg(std::env::current_exe().expect("our program"))
            .args(crate::launch::launcher().into_iter().skip(1));
        command.stdin(reader);
        let sleeper = Sleeper::new(&mut command);
        sleeper.has_open(&["0", "1", "2"]);
        let status = sleeper.file("status");
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask").trim();
            // But for the two that are the C library's own, which it lets nobody change.
            u64::from_str_radix(line, 16).expect("a mask") & !(0b11 << 31)
        };
        assert_eq!((mask("SigIgn:"), mask("SigBlk:"), mask("SigCgt:")), (0, 0, 0), "{status}");
    }

    #[test]
    fn sets_the_limits() {
        let limits =
            ProcessLimits { open_files: Some(77), processes: Some(88), memory: Some(1 << 30), core: Some(0) };
        let (_, lines) = run(&shell("cat /proc/$$/limits").limits(limits));
        let of = |name: &str| {
            let line = lines.iter().find(|line| line.starts_with(name)).expect("the limit");
            line.trim_start_matches(name).split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("Max open files"), ["77", "77"]);
        assert_eq!(of("Max processes"), ["88", "88"]);
        assert_eq!(of("Max address space"), ["1073741824", "1073741824"]);
        assert_eq!(of("Max core file size"), ["0", "0"]);
    }

    #[test]
    fn follows_the_link_to_the_present_release_at_each_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path");
        let current = root.join("current");
        let launch = shell("echo $PWD $(pwd -P)").directory(&current);
        for release in ["1", "2"] {
            fs::create_dir(root.join(release)).expect("a release");
            let _ = fs::remove_file(&current);
            std::os::unix::fs::symlink(release, &current).expect("linked");
            let (_, lines) = run(&launch);
            assert_eq!(said(&lines), format!("{} {}", current.display(), root.join(release).display()));
        }
    }

    #[test]
    fn has_a_group_of_its_own() {
        let (_, lines) = run(&shell("cut -d' ' -f1,5 /proc/$$/stat"));
        let (pid, group) = said(&lines).split_once(' ').expect("two numbers");
        assert_eq!(pid, group);
    }

    #[test]
    fn writes_to_the_end_of_the_operators_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.log");
        fs::write(&path, "before\n").expect("written");
        let (_, lines) = run_into(&shell("echo out; echo err >&2"), &Destination::File(path.clone()));
        assert_eq!(fs::read_to_string(&path).expect("read"), "before\nout\nerr\n");
        assert!(lines.ends_with(&["out".to_owned(), "err".to_owned()]), "{lines:?}");
        assert!(!lines.contains(&"before".to_owned()), "{lines:?}");
    }

    #[test]
    fn says_in_one_line_what_kept_it_from_starting() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("app");
        fs::write(&script, "#!/nowhere/ruby\n").expect("written");
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("executable");
        let (status, line) = failure_of(&Launch::new(&script));
        assert_eq!(status, Some(126));
        let script = script.display();
        assert_eq!(
            line,
            format!("vestibule: cannot start {script}: there is no such interpreter as its first line names")
        );
        let nowhere = dir.path().join("none/app.log");
        let (status, lines) = run_into(&shell("true"), &Destination::File(nowhere.clone()));
        assert_eq!(status.code(), Some(126));
        let cause = "No such file or directory (os error 2)";
        assert_eq!(
            said(&lines),
            format!("vestibule: cannot write to the output {}: {cause}", nowhere.display())
        );
    }

    #[test]
    fn goes_on_though_there_is_no_room_for_its_output() {
        let (status, _) = run_into(&shell("echo lost; exit 5"), &Destination::File("/dev/full".into()));
        assert_eq!(status.code(), Some(5));
        let gone = tempfile::tempdir().expect("a directory").path().to_owned();
        let output = Output::new("app", &gone, &Destination::Log).expect("followed");
        let mut prepared = shell("echo lost; exit 6").output(&output).prepare().expect("it can start");
        assert_eq!(prepared.command.status().expect("it starts").code(), Some(6));
    }

    #[test]
    fn becomes_another_user_for_good_or_says_that_it_may_not() {
        // What `id` says, and whether it may go back: `setpriv` is in every Debian.
        let script = "cd /; id -u; id -g; id -G; echo $USER $LOGNAME $HOME; grep ^Cap /proc/self/status; \
            setpriv --reuid 0 true && echo back; true";
        let launch = shell(script).user("nobody");
        let nobody = nix::unistd::User::from_name("nobody").expect("looked up").expect("there is one");
        if !nix::unistd::geteuid().is_root() {
            let error = launch.prepare().expect_err("only root may");
            assert!(error.to_string().contains("may not start anything as user nobody"), "{error}");
            return;
        }
        // Those that we have beside, as a thread may have its own, are not the application's.
        let beside = rustix::process::Gid::from_raw(4);
        rustix::thread::set_thread_groups(&[beside]).expect("root may");
        let (status, lines) = run(&launch);
        assert!(status.success(), "{lines:?}");
        let said = lines.join("\n");
        let (uid, gid) = (nobody.uid, nobody.gid);
        assert!(
            said.contains(&format!("{uid}\n{gid}\n{gid}\nnobody nobody {}\n", nobody.dir.display())),
            "{said}"
        );
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(said.contains(&format!("{set}:\t0000000000000000")), "{said}");
        }
        assert!(!said.contains("back"), "{said}");
        let (_, lines) = run(&shell("id -g; id -G").group("nogroup"));
        let [.., gid, groups] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(gid, groups);
    }

    #[test]
    fn does_nothing_for_it_that_its_user_may_not() {
        if !nix::unistd::geteuid().is_root() {
            return assert!(shell("true").user("nobody").prepare().is_err());
        }
        let dir = tempfile::tempdir().expect("a directory");
        let ours = dir.path().join("ours");
        fs::write(&ours, "").expect("written");
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("closed");
        let (status, lines) = run(&shell("true").user("nobody").directory(dir.path()));
        assert_eq!(status.code(), Some(126));
        let place = dir.path().display();
        let cause = "Permission denied (os error 13)";
        assert_eq!(
            said(&lines),
            format!("vestibule: cannot enter the directory {place} as user nobody: {cause}")
        );
        // Not even into a directory that it may enter.
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("opened");
        let (status, lines) = run_into(&shell("echo out").user("nobody"), &Destination::File(ours.clone()));
        assert_eq!(status.code(), Some(126));
        let path = ours.display();
        assert_eq!(
            said(&lines),
            format!("vestibule: cannot write to the output {path} as user nobody: {cause}")
        );
        assert_eq!(fs::read_to_string(&ours).expect("read"), "");
    }

    #[test]
    fn ends_by_a_signal_as_by_default() {
        let mut prepared = shell("kill -TERM $$; sleep 60").prepare().expect("all is there");
        let status = prepared.command.status().expect("it starts");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::TERM.as_raw()));
    }
}
