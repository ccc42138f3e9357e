//! Orphans, zombies and all that belongs to an application, with real processes. In a process of its own, since being a
//! subreaper is a matter of the whole process.

// A test says what is wrong by panicking; clippy's exception for tests does not reach the functions around them.
#![allow(clippy::expect_used)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};
use vestibule_process::{Exit, Life, MEMBER_OF, Members, Reaper, Signal, Tree, spawn};

const LONG: Duration = Duration::from_secs(20);

/// Runs a test beside a reaper.
fn reaped(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(LocalSet::new().run_until(async {
        tokio::task::spawn_local(Reaper::new().expect("a subreaper").run());
        timeout(LONG * 2, test).await.expect("it ends");
    }));
}

async fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{otherwise}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// An application that is a script, in a group of its own, and the files in which its processes write their PIDs.
struct App {
    dir: TempDir,
    life: Life,
    exit: Exit,
    members: Members,
}

impl App {
    /// `$PIDS` is a directory, and `note NAME` writes the PID of the process that it runs in there.
    fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let note = "export PIDS; note() { echo $BASHPID > $PIDS/$1.new; mv $PIDS/$1.new $PIDS/$1; }; export -f note;";
        let name = dir.path().to_str().expect("a name").to_owned();
        let (life, exit) = spawn(
            std::os::unix::process::CommandExt::process_group(&mut Command::new("bash"), 0)
                .args(["-c", &format!("{note} {script}")])
                .env("PIDS", dir.path())
                .env(MEMBER_OF, &name)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
        .expect("it starts");
        App { members: Members::new(&name, life), dir, life, exit }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The life of the process that wrote its PID there.
    async fn noted(&self, name: &str) -> Life {
        let file = self.file(name);
        until(&format!("{name} never came"), || file.exists()).await;
        Life::of(pid_in(&file)).expect("it lives")
    }

    fn has(&self, life: &Life) -> bool {
        self.members.all().any(|member| member.is_same_process(life))
    }

    fn left_over(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.members.left_over().iter().map(|life| life.pid).collect();
        pids.sort_unstable();
        pids
    }

    async fn kill(&mut self) {
        self.life.signal(Signal::KILL).expect("it is sent");
        assert!(self.exit.ended().await.is_some(), "its status is ours");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _all_gone = self.members.signal_all(Signal::KILL);
    }
}

fn pid_in(file: &Path) -> u32 {
    std::fs::read_to_string(file).expect("read").trim().parse().expect("a PID")
}

fn parent_of(life: &Life) -> Option<u32> {
    Tree::of(life.pid).root().map(|root| root.parent)
}

fn sorted<const N: usize>(lives: [Life; N]) -> Vec<u32> {
    let mut pids = lives.map(|life| life.pid).to_vec();
    pids.sort_unstable();
    pids
}

async fn until_reaped(life: Life) {
    until("it is a zombie", || Life::of(life.pid).is_none_or(|now| !now.is_same_process(&life))).await;
}

#[test]
fn an_orphan_comes_to_us_and_leaves_no_zombie() {
    reaped(async {
        let mut app = App::start("(note orphan; exec sleep 600) & note root; wait");
        let orphan = app.noted("orphan").await;
        app.kill().await;
        until("it went to somebody else", || parent_of(&orphan) == Some(std::process::id())).await;
        orphan.signal(Signal::KILL).expect("it is sent");
        until_reaped(orphan).await;
    });
}

#[test]
fn an_orphan_gives_its_status_to_who_waits_for_it() {
    reaped(async {
        let mut app = App::start(
            "(note orphan; while ! [ -e $PIDS/go ]; do sleep 0.01; done; exit 9) & note root; wait",
        );
        let orphan = app.noted("orphan").await;
        let mut exit = Exit::of(orphan);
        app.kill().await;
        until("it went to somebody else", || parent_of(&orphan) == Some(std::process::id())).await;
        std::fs::write(app.file("go"), "").expect("written");
        assert_eq!(exit.ended().await.and_then(|status| status.code()), Some(9));
        until_reaped(orphan).await;
    });
}

#[test]
fn nobody_is_robbed_of_a_status() {
    reaped(async {
        let mut ours = Vec::new();
        let mut tokios = Vec::new();
        for code in 0..20 {
            let script = format!("exit {code}");
            ours.push((code, spawn(Command::new("sh").args(["-c", &script])).expect("it starts").1));
            tokios.push((
                code,
                tokio::process::Command::new("sh").args(["-c", &script]).spawn().expect("it starts"),
            ));
        }
        // Long enough for the reaper to meet them, and much less than it gives to others.
        sleep(Duration::from_millis(100)).await;
        for (code, exit) in &mut ours {
            assert_eq!(exit.ended().await.and_then(|status| status.code()), Some(*code));
        }
        for (code, child) in &mut tokios {
            assert_eq!(child.wait().await.expect("its status is there").code(), Some(*code));
        }
    });
}

#[test]
fn who_nobody_waits_for_any_more_leaves_no_zombie() {
    reaped(async {
        let (life, exit) = spawn(Command::new("sleep").arg("600")).expect("it starts");
        drop(exit);
        life.signal(Signal::KILL).expect("it is sent");
        until_reaped(life).await;
        let child = Command::new("true").spawn().expect("it starts");
        let life = Life::of(child.id()).expect("it is there");
        drop(child);
        until_reaped(life).await;
    });
}

#[test]
fn the_workers_of_a_killed_master_belong_to_it_still() {
    reaped(async {
        let mut app = App::start("for n in 1 2; do (note worker$n; exec sleep 600) & done; note root; wait");
        let workers = [app.noted("worker1").await, app.noted("worker2").await];
        app.members.update();
        assert!(app.left_over().is_empty(), "they hang below their master");
        app.kill().await;
        app.members.update();
        assert_eq!(app.left_over(), sorted(workers));
        assert_eq!(app.members.signal_all(Signal::TERM).expect("they are sent it"), 2);
        for worker in workers {
            until_reaped(worker).await;
        }
        app.members.update();
        assert!(app.left_over().is_empty());
    });
}

#[test]
fn workers_forked_after_the_last_look_are_known_by_their_group() {
    reaped(async {
        let mut app = App::start(
            "unset VESTIBULE_MEMBER_OF; note root; while ! [ -e $PIDS/go ]; do sleep 0.01; done; (note worker; exec sleep 600) & wait",
        );
        app.noted("root").await;
        app.members.update();
        std::fs::write(app.file("go"), "").expect("written");
        let worker = app.noted("worker").await;
        app.kill().await;
        app.members.update();
        assert_eq!(app.left_over(), sorted([worker]));
    });
}

#[test]
fn a_daemon_that_forks_twice_stays_a_member() {
    reaped(async {
        let mut app = App::start("( (note daemon; exec sleep 600) & ); note root; exec sleep 600");
        let daemon = app.noted("daemon").await;
        until("it went to somebody else", || parent_of(&daemon) == Some(std::process::id())).await;
        app.members.update();
        assert!(app.has(&daemon));
        assert_eq!(app.left_over(), sorted([daemon]), "it does not hang below the first process");
        app.kill().await;
        assert_eq!(app.members.signal_all(Signal::KILL).expect("it is sent"), 1);
        until_reaped(daemon).await;
    });
}

#[test]
fn a_session_of_its_own_is_no_way_out() {
    reaped(async {
        // Below it, then orphaned; in the session of that one, orphaned as well.
        let script = "setsid bash -c 'note leader; ( (note follower; exec sleep 600) & ); exec sleep 600' & note root; wait";
        let mut app = App::start(script);
        let (leader, follower) = (app.noted("leader").await, app.noted("follower").await);
        app.members.update();
        app.kill().await;
        app.members.update();
        assert_eq!(app.left_over(), sorted([leader, follower]));
        leader.signal(Signal::KILL).expect("it is sent");
        until_reaped(leader).await;
        app.members.update();
        assert_eq!(app.left_over(), sorted([follower]));
    });
}

#[test]
fn a_daemon_that_was_never_seen_below_its_application_is_known_by_its_environment() {
    reaped(async {
        let script = "note root; while ! [ -e $PIDS/go ]; do sleep 0.01; done; (setsid bash -c '(note daemon; exec sleep 600) &' &); exec sleep 600";
        let mut app = App::start(script);
        app.noted("root").await;
        app.members.update();
        let mut other = App::start("note root; exec sleep 600");
        std::fs::write(app.file("go"), "").expect("written");
        let daemon = app.noted("daemon").await;
        until("it went to somebody else", || parent_of(&daemon) == Some(std::process::id())).await;
        app.members.update();
        other.members.update();
        assert!(app.has(&daemon) && !other.has(&daemon));
        assert!(!app.has(&other.life) && !other.has(&app.life));
        app.kill().await;
        assert_eq!(app.members.signal_all(Signal::KILL).expect("it is sent"), 1);
        until_reaped(daemon).await;
        assert!(other.life.is_alive());
    });
}

#[test]
fn a_new_first_process_takes_its_tree_out_of_what_is_left_over() {
    reaped(async {
        let mut app = App::start(
            "bash -c 'note master; (note worker; exec sleep 600) & wait' & (note stray; exec sleep 600) & note root; wait",
        );
        let (master, worker) = (app.noted("master").await, app.noted("worker").await);
        let stray = app.noted("stray").await;
        app.members.update();
        app.kill().await;
        app.members.follow(master);
        assert_eq!(app.left_over(), sorted([stray]));
        assert!(app.has(&worker));
    });
}

#[test]
fn neither_we_nor_who_is_above_us_is_ever_a_member() {
    reaped(async {
        let bystander = App::start("note root; exec sleep 600");
        bystander.noted("root").await;
        let parent = Tree::of(std::process::id()).root().expect("we run").parent;
        for pid in [std::process::id(), parent, 1] {
            let members = Members::new("nobody", Life::of(pid).expect("it lives"));
            assert!(
                !members
                    .all()
                    .any(|life| [std::process::id(), parent, 1, bystander.life.pid].contains(&life.pid))
            );
        }
    });
}

#[test]
fn who_forks_while_it_is_killed_is_killed_all_the_same() {
    reaped(async {
        let mut app = App::start("note root; while :; do sleep 600 & sleep 0.001; done");
        app.noted("root").await;
        until("it never forked", || {
            app.members.update();
            app.members.all().count() > 5
        })
        .await;
        app.members.signal_all(Signal::KILL).expect("they are sent it");
        until("something lives on", || {
            app.members.update();
            app.members.all().count() == 0
        })
        .await;
    });
}

#[test]
fn who_has_ended_is_no_member() {
    reaped(async {
        let mut app = App::start("(note worker; exec sleep 600) & note root; wait; exec sleep 600");
        let worker = app.noted("worker").await;
        app.members.update();
        worker.signal(Signal::KILL).expect("it is sent");
        until("it never ended", || !worker.is_alive()).await;
        app.members.update();
        assert!(!app.has(&worker) && app.has(&app.life));
    });
}
