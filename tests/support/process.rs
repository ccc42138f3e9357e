//! Processes as /proc shows them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, kill_process, setrlimit, waitpid};

/// Ticks per second in /proc: part of the kernel's interface, the same on every machine that this runs on.
const USER_HZ: u64 = 100;

/// Copies a program that is to be executed. Not in this process: what another test starts at that moment would inherit the file that is
/// being written, until it executes its own, and as long as that is open nobody can execute the copy (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp").success(), "{} is not copied", from.display());
}

/// Sends a signal; false when there is no such process any more.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).is_ok()
}

/// Whether the process exists and is not a zombie.
pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

/// Whether SIGSTOP has reached every thread of the process.
pub(crate) fn stopped(pid: u32) -> bool {
    let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there").flatten();
    tasks.all(|task| fields(&task.path().join("stat")).is_some_and(|fields| fields[0] == "T"))
}

/// Makes orphaned grandchildren (daemons) children of this process, so that [`reaped`] can end their zombies. Under an
/// init that is slow to do so, or does not, a server that starts again finds the PID of the old one still taken.
pub(crate) fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("PR_SET_CHILD_SUBREAPER");
}

/// Whether the process exists no more, not even as a zombie.
pub(crate) fn reaped(pid: u32) -> bool {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = waitpid(Some(id), WaitOptions::NOHANG);
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Its command line, or the title that it gave itself; empty when it is gone.
pub(crate) fn title(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// How many of its threads have a name that begins so.
pub(crate) fn threads(pid: u32, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name)))
        .count()
}

/// CPU time that the process has used, all threads, without its children.
pub(crate) fn cpu(pid: u32) -> Duration {
    let fields = stat(pid).expect("the process is there");
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 1000 / USER_HZ)
}

/// Resident memory in bytes.
pub(crate) fn rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("kilobytes") * 1024
}

/// Number of open files.
pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Its parent, the parent of that, and so on.
pub(crate) fn ancestors_of(pid: u32) -> Vec<u32> {
    let parents = parents();
    std::iter::successors(parents.get(&pid), |pid| parents.get(pid)).copied().collect()
}

/// The children of a process that have ended, and nobody has heard of that.
pub(crate) fn zombies_of(parent: u32) -> Vec<u32> {
    let children = parents().into_iter().filter(|(_, its)| *its == parent).map(|(pid, _)| pid);
    children.filter(|pid| stat(*pid).is_some_and(|fields| fields[0] == "Z")).collect()
}

/// Every process that was started in `home` or for it (its working directory lies there, or its environment
/// names it), and what descends from those. Daemons leave their parents and some servers overwrite their
/// environment with a title, so neither sign alone is enough.
pub(crate) fn of_home(home: &Path) -> Vec<u32> {
    let parents = parents();
    let mut found: HashSet<u32> = parents.keys().copied().filter(|pid| belongs(*pid, home)).collect();
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(*parent) && !found.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    let mut found: Vec<u32> =
        found.into_iter().filter(|pid| *pid != std::process::id() && alive(*pid)).collect();
    // Masters first: they must not have the time to replace their workers, or to answer for them.
    found.sort_by_key(|pid| (started(*pid), ancestors(&parents, *pid)));
    found
}

/// When the process was started, in ticks since the machine was.
fn started(pid: u32) -> Option<u64> {
    stat(pid)?[19].parse().ok()
}

fn ancestors(parents: &HashMap<u32, u32>, pid: u32) -> usize {
    std::iter::successors(Some(pid), |pid| parents.get(pid).copied()).count()
}

fn belongs(pid: u32, home: &Path) -> bool {
    let lives = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(home));
    let entry = [b"APP_HOME=", home.as_os_str().as_bytes()].concat();
    lives
        || fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == entry))
}

fn parents() -> HashMap<u32, u32> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?[1].parse().ok()?))).collect()
}

/// The fields of /proc/PID/stat from the third (the state) on: the second may hold spaces.
fn stat(pid: u32) -> Option<Vec<String>> {
    fields(Path::new(&format!("/proc/{pid}/stat")))
}

fn fields(stat: &Path) -> Option<Vec<String>> {
    let line = fs::read_to_string(stat).ok()?;
    Some(line[line.rfind(')')? + 2..].split(' ').map(str::to_owned).collect())
}

/// Lets this process, and those that it starts, open as many files as the system allows.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("RLIMIT_NOFILE");
    assert!(
        limit.maximum.is_none_or(|most| most >= 12_000),
        "the tests open 10,000 connections: ulimit -n is {limit:?}"
    );
}
