//! Who is taken for the application, and who is not.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::Semaphore;
use vestibule_config::{Config, Process, Start, UpstreamId};

use super::*;
use crate::keeper::Surroundings;
use crate::testing::{Kept, LONG, until};

/// Finding asks nothing of the traffic.
#[derive(Clone)]
struct NoTraffic;

impl Traffic for NoTraffic {
    async fn hold(&self) {}

    async fn refuse(&self) {}

    async fn release(&self) {}

    fn has_upstream(&self) -> bool {
        false
    }

    fn in_flight(&self) -> u64 {
        0
    }

    fn waiting(&self) -> u64 {
        0
    }

    fn answers(&self) -> u64 {
        0
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    async fn probe(&self, _: Option<&Path>, _: Duration) -> Result<u16, String> {
        Err("nobody".to_owned())
    }

    fn is_good(&self, _: u16) -> bool {
        false
    }
}

/// The directory of an application with a socket `s`, a PID file `p` and a record.
struct Scene {
    dir: tempfile::TempDir,
    is_owned: bool,
}

impl Scene {
    fn owned() -> Self {
        Scene { dir: tempfile::tempdir().expect("a directory"), is_owned: true }
    }

    fn adopted() -> Self {
        Scene { is_owned: false, ..Scene::owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(self.path("s")).expect("bound")
    }

    fn record(&self, pid: u32) {
        Record::new(self.dir.path(), "app").write(&life(pid), &[], None).expect("written");
    }

    fn name(&self, pid: u32) {
        fs::write(self.path("p"), format!("{pid}\n")).expect("written");
    }

    /// Who a keeper finds. On a thread of its own, so that one who waits for ever is noticed.
    fn find(&self) -> Found {
        let config = Config::default();
        let usual = config.upstreams.first().expect("the usual one");
        let command = vec!["puma".to_owned()];
        let mut process = Process::owned(UpstreamId(0), usual, command);
        process.name = "app".to_owned();
        process.pid_file = Some(self.path("p"));
        if !self.is_owned {
            process.start = Start::Adopted { command: None };
        }
        let around = Surroundings {
            socket: Some(self.path("s")),
            directory: self.dir.path().to_owned(),
            turn: Arc::new(Semaphore::new(1)),
        };
        let (found, finds) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let _inside = runtime.enter();
            let (keeper, _handle) = Keeper::new(process, around, NoTraffic).expect("a keeper");
            found.send(keeper.find()).expect("somebody waits");
        });
        finds.recv_timeout(LONG).expect("it waits for somebody")
    }
}

fn life(pid: u32) -> Life {
    Life::of(pid).expect("it lives")
}

/// A process that shows this as its command line, with this as its standard input.
fn titled(title: &str, input: impl Into<Stdio>) -> Kept {
    use std::os::unix::process::CommandExt as _;
    let kept = Kept::new(Command::new("sleep").arg0(title).arg("600").stdin(input));
    until("it never took its title", || {
        Tree::of(kept.pid()).root().is_some_and(|root| root.title.starts_with(title))
    });
    kept
}

fn shared(listener: &UnixListener) -> Stdio {
    listener.as_fd().try_clone_to_owned().expect("a descriptor").into()
}

fn fill(listener: &UnixListener, scene: &Scene) {
    rustix::net::listen(listener, 0).expect("a shorter queue");
    until("its queue was never full", || Knock::at(&scene.path("s")).is_ok_and(|knock| knock == Knock::Full));
}

#[test]
fn a_full_queue_is_not_waited_for_and_hides_nobody() {
    let scene = Scene::owned();
    let listener = scene.listen();
    fill(&listener, &scene);
    assert_eq!(scene.find(), Found::Nobody, "somebody listens, and nobody is named");
    let (heir, other) = (titled("heir", shared(&listener)), titled("other", Stdio::null()));
    scene.record(other.pid());
    assert_eq!(scene.find(), Found::Nobody, "it is another who listens");
    scene.name(heir.pid());
    assert_eq!(scene.find(), Found::It(life(heir.pid())), "the PID file names who listens");
    scene.record(heir.pid());
    fs::remove_file(scene.path("p")).expect("removed");
    assert_eq!(scene.find(), Found::It(life(heir.pid())), "the record names who listens");
}

#[test]
fn nobody_above_us_is_the_application() {
    let us = life(std::process::id());
    let above = [us.pid, us.parent().expect("somebody started us").pid, 1];
    for scene in [Scene::owned(), Scene::adopted()] {
        for pid in above {
            scene.name(pid);
            assert_eq!(scene.find(), Found::Foreign { pid }, "nobody listens");
            scene.record(pid);
            assert_eq!(scene.find(), Found::Foreign { pid }, "nor is it so because we wrote it down");
        }
        // The trees of all of them hold it, through us.
        let _listener = scene.listen();
        for pid in above {
            scene.name(pid);
            scene.record(pid);
            assert_eq!(scene.find(), Found::Nobody, "{pid}");
            assert_eq!(named_in(&scene.path("p")), None, "{pid}");
        }
    }
}

#[test]
fn a_file_of_another_user_names_only_processes_of_that_user() {
    let us = geteuid().as_raw();
    assert!(is_believed(0, || Some(77)) && is_believed(us, || None));
    assert!(is_believed(4711, || Some(4711)));
    assert!(!is_believed(4711, || Some(0)) && !is_believed(4711, || Some(us)) && !is_believed(4711, || None));
}

#[test]
fn a_user_cannot_point_at_a_process_of_root() {
    let scene = Scene::adopted();
    let puma = titled("puma 5.6.5 (unix:///tmp/s) [app]", Stdio::null());
    scene.name(puma.pid());
    assert_eq!(scene.find(), Found::It(life(puma.pid())), "it may still boot");
    if geteuid().is_root() {
        std::os::unix::fs::chown(scene.path("p"), Some(65_534), None).expect("it is nobody's");
        assert_eq!(scene.find(), Found::Foreign { pid: puma.pid() });
    }
}

/// A program of this name that listens at the scene's socket.
fn listening(name: &str, scene: &Scene) -> Kept {
    let (program, path) = (scene.path(name), scene.path("s"));
    let script = "import socket, sys, time\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\ntime.sleep(600)";
    fs::write(&program, script).expect("written");
    let kept = Kept::new(Command::new("python3").args([&program, &path]).stdin(Stdio::null()));
    until("it never listened", || Knock::at(&path).is_ok_and(|knock| knock == Knock::Open(Some(kept.pid()))));
    kept
}

#[test]
fn of_those_that_only_listen_a_rack_server_alone_is_taken_for_an_application_that_others_start() {
    let scene = Scene::adopted();
    let tunnel = listening("tunnel", &scene);
    assert_eq!(scene.find(), Found::Nobody);
    scene.name(tunnel.pid());
    assert_eq!(scene.find(), Found::It(life(tunnel.pid())), "its PID file says what it is");
    let scene = Scene::adopted();
    let puma = listening("puma", &scene);
    assert_eq!(scene.find(), Found::It(life(puma.pid())));
}
