//! Starting an application: the real binary is the launcher that turns into it.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use vestibule_process::Launch;

use crate::support::dir::Dir;
use crate::support::process;
use crate::support::wait::{seconds, until};

fn binary() -> PathBuf {
    std::env::var_os("VESTIBULE").map_or_else(|| env!("CARGO_BIN_EXE_vestibule").into(), PathBuf::from)
}

fn launch(program: &str) -> Launch {
    Launch::new(program).through([OsString::from(binary()), "launch".into()])
}

/// What an application writes that is started as `launch` says, and its status.
fn run(launch: &Launch) -> (Option<i32>, String) {
    let mut prepared = launch.prepare().expect("all is there");
    let output = prepared.command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn shell(script: &str) -> Launch {
    launch("sh").argument("-c").argument(script)
}

/// The allocator of the binary turns huge pages off for itself, and Rust ignores SIGPIPE in every program of its own.
#[test]
fn leaves_huge_pages_and_signals_as_they_are_by_default() {
    let (_, said) = run(&launch("cat").argument("/proc/self/status"));
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).expect("its status");
        line.trim().to_owned()
    };
    assert_eq!(value("THP_enabled:"), "1");
    for mask in ["SigIgn:", "SigBlk:", "SigCgt:"] {
        // But for the two that are the C library's own, which it lets nobody change.
        let set = u64::from_str_radix(&value(mask), 16).expect("a mask") & !(0b11 << 31);
        assert_eq!(set, 0, "{said}");
    }
}

#[test]
fn is_nothing_but_the_application_afterwards() {
    let dir = Dir::new();
    let seen = dir.join("seen");
    let script = format!(
        "tr '\\0' ' ' < /proc/$$/cmdline > {0}; tr '\\0' '\\n' < /proc/$$/environ >> {0}",
        seen.display()
    );
    let (status, _) = run(&shell(&script).variable("SECRET", "key").variable("LD_PRELOAD", ""));
    assert_eq!(status, Some(0));
    let seen = fs::read_to_string(seen).expect("read");
    assert!(seen.starts_with("sh -c tr "), "{seen}");
    assert!(seen.lines().any(|line| line == "SECRET=key"), "{seen}");
    let mut names: Vec<&str> =
        seen.lines().skip(1).filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["SECRET", "LD_PRELOAD"].contains(name));
    for name in names {
        assert!(std::env::var_os(name).is_some(), "{name} is neither ours nor asked for: {seen}");
    }
}

/// While it is the launcher, nothing of the application's environment is in its own.
#[test]
fn the_launcher_itself_has_no_environment() {
    let prepared = launch("sh").variable("LD_PRELOAD", "/srv/app/evil.so").prepare().expect("all is there");
    assert_eq!(prepared.command.get_envs().count(), 0);
    // Nor inherited: a launcher without settings waits for them, and can be looked at.
    let mut prepared = launch("sleep").argument("600").prepare().expect("all is there");
    let mut child = prepared.command.stdin(Stdio::piped()).spawn().expect("it starts");
    let environment = until("its environment", seconds(20), || {
        let path = format!("/proc/{}", child.id());
        let is_launcher =
            fs::read(format!("{path}/cmdline")).is_ok_and(|line| line == b"vestibule\0launch\0");
        is_launcher.then(|| fs::read(format!("{path}/environ")).expect("read"))
    });
    drop(child.stdin.take());
    let status = child.wait().expect("its status");
    assert_eq!(String::from_utf8_lossy(&environment), "");
    assert_eq!(status.code(), Some(126), "there were no settings");
}

#[test]
fn says_that_it_is_nothing_to_be_called_by_hand() {
    let output = Command::new(binary()).arg("launch").stdin(Stdio::null()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(126));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing to be called by hand"), "{said}");
    let help = Command::new(binary()).arg("--help").output().expect("it starts");
    assert!(!String::from_utf8_lossy(&help.stdout).contains("launch"), "it is hidden");
}

/// 127 as from a shell: found when we looked, gone when it starts.
#[test]
fn ends_with_127_when_the_program_is_gone() {
    let dir = Dir::new();
    let program = dir.join("app");
    fs::copy("/bin/true", &program).expect("copied");
    let mut prepared = launch(program.to_str().expect("text")).prepare().expect("it is there");
    fs::remove_file(&program).expect("removed");
    let output = prepared.command.stderr(Stdio::piped()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(127));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, format!("vestibule: cannot start {}: there is no such program\n", program.display()));
}

/// Settings and launcher are gone by then.
#[test]
fn needs_nothing_of_ours_once_it_runs() {
    let dir = Dir::new();
    let (seen, go) = (dir.join("seen"), dir.join("go"));
    let script =
        format!("while [ ! -e {} ]; do sleep 0.02; done; echo on > {}", go.display(), seen.display());
    let mut prepared = shell(&script).prepare().expect("all is there");
    let mut child = prepared.command.spawn().expect("it starts");
    drop(prepared);
    assert!(process::alive(child.id()));
    fs::write(&go, "").expect("written");
    assert!(child.wait().expect("its status").success());
    assert_eq!(fs::read_to_string(seen).expect("read"), "on\n");
}
