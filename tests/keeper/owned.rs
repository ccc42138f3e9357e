//! What an application that Vestibule starts gets from it: directory, environment, limits, output, a user of its own; and how it is
//! found when it puts itself into the background.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::kept::{Kept, command, configuration};
use crate::support::process;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// Tells what it got; `/say` writes a line to standard output and one to standard error.
const TELLS: &str = r#"
require "json"
require "etc"
run(lambda do |env|
  if env["PATH_INFO"] == "/say"
    $stdout.puts "said on stdout"
    $stdout.flush
    warn "said on stderr"
  end
  told = { env: ENV.to_h, directory: Dir.pwd, uid: Process.uid, gid: Process.gid,
           groups: Process.groups, files: Process.getrlimit(:NOFILE), core: Process.getrlimit(:CORE) }
  [200, { "content-type" => "application/json" }, [JSON.generate(told)]]
end)
"#;

fn tell(app: &App) {
    fs::write(app.home().join("config.ru"), TELLS).expect("written");
}

/// What the application tells of itself.
fn ask(kept: &Kept, path: &str) -> Value {
    let mut client = Client::connect(kept.vestibule.address()).expect("a connection").patience(seconds(20));
    let answer = client.get(path).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// The words with which the same server puts itself into the background, behind a shell.
fn daemon(kind: Kind, option: &str, dir: &Dir, app: &App) -> String {
    let words = command(kind).join(" ");
    let log = dir.join("app.log");
    let more = match kind {
        Kind::Thin => format!("{option} -P {{pid_file}} -l {} -c {}", log.display(), app.home().display()),
        _ => option.to_owned(),
    };
    format!("{words} {more}")
}

#[test]
fn directory_environment_limits_and_output_reach_it() {
    let kept = Kept::configured(Kind::Puma, |app, dir| {
        tell(app);
        let release = dir.join("release-7");
        fs::rename(app.home(), &release).expect("renamed");
        // As a deploy has it: `current` leads to a release.
        std::os::unix::fs::symlink("release-7", app.home()).expect("a link");
        let more =
            format!("output = {:?}\nlimits = {{ open_files = 1234, core = \"0 B\" }}", dir.join("own.log"));
        configuration(Kind::Puma, app, dir, &more)
            .replace("BOOT_SLEEP = \"0\"", "RAILS_ENV = \"production\", WHERE = \"{socket}\"")
    });
    kept.wait_for("up", seconds(30));
    let told = ask(&kept, "/say");
    let (home, env) = (kept.app.home().to_str().expect("text").to_owned(), &told["env"]);
    // The link is what a server goes by that starts itself anew.
    assert_eq!(env["PWD"], home, "{told:#}");
    assert_eq!(told["directory"], kept.dir.join("release-7").to_str().expect("text"));
    assert_eq!(env["RAILS_ENV"], "production");
    let socket = kept.dir.socket();
    assert_eq!(
        (&env["WHERE"], &env["CUSTOM_WEB_SOCKET_FILE"]),
        (&socket.to_str().into(), &socket.to_str().into())
    );
    assert_eq!(env["CUSTOM_WEB_PID_FILE"], kept.dir.join("web_server.pid").to_str().expect("text"));
    assert_eq!(told["files"], serde_json::json!([1234, 1234]));
    assert_eq!(told["core"], serde_json::json!([0, 0]));
    assert!(kept.status()["release"]["directory"].as_str().is_some_and(|it| it.ends_with("release-7")));

    let log = kept.dir.join("own.log");
    until_true("its lines are in its file", seconds(30), || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("Puma starting")
            && text.contains("said on stdout\n")
            && text.contains("said on stderr\n")
    });
    assert!(!kept.vestibule.stderr().contains("said on"), "it is in our log, too");
}

#[test]
fn output_goes_to_our_log_line_by_line_unless_something_else_is_said() {
    let kept = Kept::start_prepared(Kind::Puma, "", |app| tell(app));
    ask(&kept, "/say");
    until_true("its lines are in our log", seconds(30), || {
        let events = kept.vestibule.events();
        ["said on stdout", "said on stderr"].iter().all(|said| {
            events.iter().any(|event| {
                event["message"] == *said && event["target"] == "app" && event["process"] == "app"
            })
        })
    });
}

#[test]
fn what_daemonises_on_an_option_is_refused_by_the_configuration() {
    for (kind, option) in [(Kind::Thin, "-d"), (Kind::Unicorn, "-D"), (Kind::Passenger, "--daemonize")] {
        let dir = Dir::new();
        let app = App::stopped(kind, &dir);
        let words = command(kind);
        let daemonised = [&words[..], &[option]].concat();
        let config =
            configuration(kind, &app, &dir, "").replace(&format!("{words:?}"), &format!("{daemonised:?}"));
        let ended = Vestibule::refused(&dir, &config);
        assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        let words = format!("\"{option}\" sends the application into the background");
        assert!(ended.stderr.contains(&words), "{kind:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("leave it out: what Vestibule starts stays in the foreground"));
    }
}

/// A server that leaves the shell that started it is found, restarted and stopped as if it had stayed.
fn is_found_as_a_daemon(kind: Kind, option: &str) {
    let kept = Kept::configured(kind, |app, dir| {
        let line = daemon(kind, option, dir, app);
        configuration(kind, app, dir, "")
            .replace(&format!("{:?}", command(kind)), &format!("{:?}", ["sh", "-c", &line]))
    });
    kept.wait_for("up", seconds(30));
    let first = kept.assert_right_pid();
    assert_eq!(kept.app.pid(), first);
    let title = process::title(first);
    assert!(title.contains("thin server") || title.contains("unicorn master"), "{title}");
    kept.told(&["restart"]);
    let second = kept.assert_right_pid();
    assert_ne!(first, second);
    until_true("the first is gone", seconds(30), || !process::alive(first));

    // It died: it is started again, the same way.
    process::signal(second, process::Signal::KILL);
    until_true("there is another", seconds(30), || {
        kept.phase() == "up" && kept.pid().is_some_and(|pid| pid != second)
    });
    kept.assert_right_pid();
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), [0; 0]);
    assert_eq!((kept.phase().as_str(), kept.pid_in_file()), ("down", None));
}

#[test]
fn a_thin_that_goes_into_the_background_is_found() {
    is_found_as_a_daemon(Kind::Thin, "-d");
}

#[test]
fn a_unicorn_that_goes_into_the_background_is_found() {
    is_found_as_a_daemon(Kind::Unicorn, "-D");
}

/// A script that starts its server without `exec` stays in front of it: what is meant for the server is sent to that.
#[test]
fn a_shell_that_stays_in_front_of_its_server_gets_none_of_its_signals() {
    let kept = Kept::configured(Kind::Puma, |app, dir| {
        let line = format!("{}; status=$?; echo over; exit $status", command(Kind::Puma).join(" "));
        let wrapped = format!("{:?}", ["sh", "-c", &line]);
        configuration(Kind::Puma, app, dir, "").replace(&format!("{:?}", command(Kind::Puma)), &wrapped)
    });
    kept.wait_for("up", seconds(30));
    let pid = kept.assert_right_pid();
    assert!(process::title(pid).starts_with("puma"), "{}", process::title(pid));
    let boot = kept.app.ask("/boot");
    let before = kept.processes();
    kept.told(&["restart"]);
    assert_eq!(kept.assert_right_pid(), pid, "Puma restarts itself under its PID");
    assert_ne!(kept.app.ask("/boot"), boot);
    assert_eq!(kept.processes(), before, "the shell went");

    process::signal(pid, process::Signal::KILL);
    until_true("there is another", seconds(30), || {
        kept.phase() == "up" && kept.pid().is_some_and(|new| new != pid)
    });
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), [0; 0]);
}

/// A Vestibule that is killed while the script has not come to its server yet leaves word of the script alone.
#[test]
fn the_next_vestibule_passes_by_a_shell_that_had_not_started_its_server_yet() {
    let mut kept = Kept::configured(Kind::Puma, |app, dir| {
        let line = format!("sleep 4; {}; echo over", command(Kind::Puma).join(" "));
        let wrapped = format!("{:?}", ["sh", "-c", &line]);
        configuration(Kind::Puma, app, dir, "").replace(&format!("{:?}", command(Kind::Puma)), &wrapped)
    });
    until_true("the shell runs", seconds(30), || {
        kept.pid().is_some_and(|pid| process::title(pid).starts_with("sh "))
    });
    let shell = kept.pid().expect("the shell");
    kept.kill_vestibule();
    kept.start_again();
    kept.wait_for("up", seconds(30));
    let pid = kept.assert_right_pid();
    assert!(pid != shell && process::alive(shell), "pid {pid}, in front of it {shell}");
    assert_eq!(kept.status()["starts"], 0, "it is the one that was started before");
    let boot = kept.app.ask("/boot");
    kept.told(&["restart"]);
    assert_eq!(kept.assert_right_pid(), pid);
    assert_ne!(kept.app.ask("/boot"), boot);
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), [0; 0]);
}

/// The IDs that Debian gives to nobody and its group, nogroup.
const NOBODY: u32 = 65534;

/// Lets nobody read all of it, and write where the application does; `is_open`: in the directory of socket and PID file, too.
fn for_nobody(app: &App, dir: &Dir, is_open: bool) -> String {
    tell(app);
    for own in [app.home(), &dir.join("registry")] {
        let done = Command::new("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(own).status();
        assert!(done.expect("chown").success());
    }
    let mode = if is_open { "1777" } else { "755" };
    assert!(Command::new("chmod").arg(mode).arg(dir.path()).status().expect("chmod").success());
    configuration(Kind::Puma, app, dir, "user = \"nobody\"\nstart_timeout = \"20s\"")
}

fn assert_root() {
    let own = fs::metadata("/proc/self").expect("metadata").uid();
    assert_eq!(own, 0, "this test changes users: run it as root");
}

#[test]
fn runs_as_its_user_with_the_groups_and_the_home_of_that() {
    assert_root();
    let kept = Kept::configured(Kind::Puma, |app, dir| for_nobody(app, dir, true));
    kept.wait_for("up", seconds(30));
    let told = ask(&kept, "/");
    assert_eq!((&told["uid"], &told["gid"]), (&NOBODY.into(), &NOBODY.into()), "{told:#}");
    assert_eq!(told["groups"], serde_json::json!([NOBODY]), "root's groups stayed");
    assert_eq!((&told["env"]["USER"], &told["env"]["LOGNAME"]), (&"nobody".into(), &"nobody".into()));
    assert_eq!(told["env"]["HOME"], "/nonexistent");
    let pid = kept.assert_right_pid();
    let owner = |path: &Path| fs::metadata(path).expect("metadata").uid();
    assert_eq!(owner(&kept.dir.socket()), NOBODY);
    assert_eq!(kept.status()["server"], "puma");
    kept.told(&["restart"]);
    assert_eq!(kept.assert_right_pid(), pid, "Puma restarts itself under its PID");
    assert_eq!(ask(&kept, "/")["uid"], NOBODY);
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), [0; 0]);
}

#[test]
fn a_user_who_may_not_write_where_the_socket_belongs_is_told_so() {
    assert_root();
    let kept = Kept::configured(Kind::Puma, |app, dir| for_nobody(app, dir, false));
    let failure = || kept.status()["last_failure"].clone();
    until_true("it has failed", seconds(20), || failure().is_object());
    let failure = failure();
    let words = failure["words"].as_str().expect("words");
    let directory = kept.dir.path().display();
    assert!(words.contains("ended before it answered"), "{failure:#}");
    assert!(
        words.contains(&format!("user nobody may not write to {directory}")),
        "nothing says why: {failure:#}"
    );
    let output = failure["output"].to_string();
    assert!(output.contains("Permission denied"), "{failure:#}");
    // A directory that is put right is noticed at the next try.
    chown(kept.dir.path(), Some(NOBODY), None).expect("chown");
    until_true("it is up", seconds(40), || kept.phase() == "up");
    kept.assert_right_pid();
}
