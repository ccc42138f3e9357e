//! A Vestibule and an application of different users: what it may do, and what it says where it may not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::kept::{Kept, command, configuration};
use crate::support::load::Load;
use crate::support::process;
use crate::support::turn;
use crate::support::vestibule::config;
use crate::support::wait::{seconds, until, until_true};

/// Whom Vestibule runs as: nobody, as Debian has it.
const OURS: &str = "65534";
/// Whom the application runs as: daemon.
const THEIRS: &str = "1";

/// The same command as another user, with these capabilities (`+kill,+sys_ptrace`) and no other.
fn as_user(command: &Command, user: &str, capabilities: &str) -> Command {
    assert!(rustix::process::geteuid().is_root(), "this test changes users: run it as root");
    let mut other = Command::new("setpriv");
    other.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    if !capabilities.is_empty() {
        other.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
    }
    other.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.current_dir(command.get_current_dir().unwrap_or("/".as_ref()));
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

/// Vestibule with these capabilities, and the configuration that `config` makes.
fn start(
    kind: Kind,
    user: &'static str,
    capabilities: &str,
    config: impl FnOnce(&mut App, &Dir) -> String,
) -> Kept {
    Kept::configured_as(
        kind,
        |app, dir| {
            // Both have to be able to bind, and to write, there.
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).expect("mode");
            let paths = [app.home().to_owned(), dir.join("registry")];
            let given = Command::new("chown").args(["-R", THEIRS]).args(paths).status();
            assert!(given.expect("chown").success());
            config(app, dir)
        },
        |vestibule| {
            let config = PathBuf::from(vestibule.get_args().last().expect("its configuration"));
            let own = config.with_file_name("vestibule");
            process::copy_program(Path::new(vestibule.get_program()), &own);
            *vestibule = as_user(&of_the_copy(vestibule), user, capabilities);
        },
    )
    .asks_as(match user {
        THEIRS => |command| as_user(&of_the_copy(&command), THEIRS, ""),
        _ => |command| as_user(&of_the_copy(&command), OURS, ""),
    })
}

/// The same with the Vestibule that lies beside the control socket: where it was built may be closed to others.
fn of_the_copy(command: &Command) -> Command {
    let control = command.get_envs().find(|(name, _)| *name == "VESTIBULE_CONTROL");
    let control = Path::new(control.and_then(|(_, path)| path).expect("the control socket"));
    let mut copy = Command::new(control.with_file_name("vestibule"));
    copy.args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        copy.current_dir(directory);
    }
    copy
}

/// One in front of a Puma of another user, that somebody else started.
fn adopts(kind: Kind, user: &'static str, capabilities: &str) -> Kept {
    let kept = start(kind, user, capabilities, |app, dir| {
        let places = [("{socket}", dir.socket()), ("{pid_file}", dir.join("web_server.pid"))];
        let words: Vec<String> = command(kind)
            .iter()
            .map(|word| {
                places.iter().fold((*word).to_owned(), |word, (name, path)| {
                    word.replace(name, path.to_str().expect("text"))
                })
            })
            .collect();
        let mut puma = Command::new(&words[0]);
        puma.args(&words[1..]).current_dir(app.home());
        app.surround(&mut puma);
        puma.env("CUSTOM_WEB_SOCKET_FILE", dir.socket())
            .env("CUSTOM_WEB_PID_FILE", dir.join("web_server.pid"));
        let log = fs::File::create(dir.join("app.log")).expect("the log");
        let mut puma = as_user(&puma, THEIRS, "");
        let puma = puma.stdout(log.try_clone().expect("the log")).stderr(log).spawn();
        app.is_started_as(puma.expect("it starts"));
        app.wait_until_answers();
        format!(
            "{}\n[limits]\nconnections_per_address = 16384\n",
            config(dir, &format!("pid_file = {:?}", dir.join("web_server.pid")))
        )
    });
    kept.wait_for("up", seconds(20));
    kept
}

fn get(kept: &Kept, path: &str) -> u16 {
    let mut client = Client::connect(kept.vestibule.address()).expect("a connection").patience(seconds(20));
    client.get(path).expect("an answer").status
}

fn memory(kept: &Kept) -> Value {
    until("its memory is known", seconds(30), || {
        let status = kept.status();
        status["memory"].is_u64().then_some(status)
    })
}

#[test]
fn without_the_right_to_signal_it_says_so_at_once_and_the_application_goes_on() {
    let kept = adopts(Kind::Puma, OURS, "");
    let (pid, boot) = (kept.app.pid(), kept.app.ask("/boot"));
    assert_eq!((kept.pid(), &kept.status()["server"]), (Some(pid), &"puma".into()));
    assert_eq!(memory(&kept)["memory_is_pss"], false, "it may not look, and says so");
    let words = format!(
        "process {pid} runs as user daemon (1), and Vestibule as user nobody (65534) may not send it signals: run Vestibule as the same \
         user or as root, or give it the capability CAP_KILL"
    );
    for verb in ["restart", "stop"] {
        let began = Instant::now();
        let told = kept.tell(&[verb]);
        assert_eq!(told.status, Some(2), "{told:?}");
        assert!(told.stderr.contains(&words), "{verb}: {told:?}");
        assert!(began.elapsed() < seconds(10), "{verb} took {:?}", began.elapsed());
        assert_eq!((kept.phase().as_str(), get(&kept, "/")), ("up", 200), "after {verb}");
    }
    assert_eq!((kept.app.pid(), kept.app.ask("/boot")), (pid, boot));
    assert_eq!(kept.status()["wish"], "alone");
    // Its end is noticed all the same.
    process::signal(pid, process::Signal::TERM);
    until_true("its end is noticed", seconds(20), || kept.phase() == "down");
}

/// Whether it may look or not, it restarts it under load without a loss.
fn restarts(kind: Kind, user: &'static str, capabilities: &str, sees: bool) {
    let _turn = turn::heavy();
    let kept = adopts(kind, user, capabilities);
    assert_eq!(memory(&kept)["memory_is_pss"], sees);
    let (pid, boot) = (kept.app.pid(), kept.app.ask("/boot"));
    let load = Load::start(kept.vestibule.address(), 200);
    load.wait_for(100);
    let began = Instant::now();
    let said = kept.told(&["restart"]);
    assert!(said.contains("restarted") && began.elapsed() < seconds(20), "{said} {:?}", began.elapsed());
    load.wait_for(100);
    let report = load.stop();
    println!("{kind:?}, {capabilities}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    assert!(!kept.events().iter().any(|event| event.contains("took no notice")), "{:?}", kept.events());
    assert_ne!(kept.app.ask("/boot"), boot, "the old code runs");
    assert_eq!(kept.assert_right_pid() != pid, kind == Kind::Unicorn);
    kept.told(&["stop"]);
    assert_eq!((kept.phase().as_str(), kept.processes()), ("down", Vec::new()));
    assert_eq!(get(&kept, "/"), 503);
}

#[test]
fn with_cap_kill_puma_is_restarted_and_stopped() {
    restarts(Kind::Puma, OURS, "+kill", false);
}

#[test]
fn with_cap_kill_a_puma_cluster_is_restarted_and_stopped() {
    restarts(Kind::PumaCluster { preload: false }, OURS, "+kill", false);
}

#[test]
fn with_cap_kill_unicorn_is_restarted_and_stopped() {
    restarts(Kind::Unicorn, OURS, "+kill", false);
}

#[test]
fn with_cap_sys_ptrace_too_memory_is_counted_rightly() {
    restarts(Kind::Puma, OURS, "+kill,+sys_ptrace", true);
}

#[test]
fn as_the_same_user_it_needs_no_capability() {
    restarts(Kind::Puma, THEIRS, "+net_bind_service", true);
}

fn owned(app: &App, dir: &Dir) -> String {
    configuration(Kind::Puma, app, dir, "user = \"daemon\"\nflapping = { times = 100 }")
}

#[test]
fn a_user_that_it_may_not_become_is_named_with_what_it_would_need() {
    let dir = Dir::new();
    let app = App::stopped(Kind::Puma, &dir);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let file = dir.join("vestibule.toml");
    fs::write(&file, owned(&app, &dir)).expect("written");
    let own = dir.join("vestibule");
    process::copy_program(Path::new(env!("CARGO_BIN_EXE_vestibule")), &own);
    let mut check = Command::new(own);
    check.arg("check").arg("--config").arg(file);
    let said = as_user(&check, OURS, "+kill").output().expect("it runs");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(2), "{words}");
    assert!(words.contains("only root can start a process as another user, and this is daemon"), "{words}");
    assert!(words.contains("CAP_SETUID and CAP_SETGID"), "{words}");
    let allowed = as_user(&check, OURS, "+setuid,+setgid").output().expect("it runs");
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
}

#[test]
fn with_the_capabilities_of_the_unit_it_starts_restarts_and_stops_as_another_user() {
    let kept = start(Kind::Puma, OURS, "+net_bind_service,+setuid,+setgid,+kill,+sys_ptrace", |app, dir| {
        owned(app, dir)
    });
    kept.wait_for("up", seconds(30));
    let pid = kept.assert_right_pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_ascii_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), [THEIRS; 4]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set} was passed on to the application");
    }
    assert_eq!(memory(&kept)["memory_is_pss"], true);
    kept.told(&["restart"]);
    kept.assert_right_pid();
    assert_eq!(get(&kept, "/"), 200);
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), [0; 0]);
}
