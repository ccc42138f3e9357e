//! A Rack server that Vestibule itself starts, stops and restarts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::app::{App, Kind};
use super::client::get;
use super::dir::Dir;
use super::process;
use super::vestibule::{Told, Vestibule, app_command, config, told};
use super::wait::{seconds, until, until_true};

/// A Vestibule with an application of its own, in a directory.
pub(crate) struct Kept {
    pub(crate) vestibule: Vestibule,
    pub(crate) app: App,
    kind: Kind,
    /// The whole configuration.
    config: String,
    pub(crate) dir: Dir,
    /// Turns a command into one of the user who asks, where that is another than the one of the tests.
    asks_as: fn(Command) -> Command,
}

/// The command that starts a server of this kind in the foreground.
pub(crate) fn command(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Puma => "puma -e production -t 5:5 -b unix://{socket} --pidfile {pid_file} config.ru",
        Kind::PumaCluster { preload: false } => {
            "puma -e production -t 5:5 -w 2 -b unix://{socket} --pidfile {pid_file} config.ru"
        }
        Kind::PumaCluster { preload: true } => {
            "puma -e production -t 5:5 -w 2 --preload -b unix://{socket} --pidfile {pid_file} config.ru"
        }
        Kind::Unicorn => "unicorn -c unicorn.rb -E production config.ru",
        Kind::Thin => "thin start -e production -S {socket} -R config.ru",
        Kind::Passenger => {
            "passenger start --engine builtin -e production --socket {socket} --pid-file {pid_file} \
             --log-file passenger.log --min-instances 2 --max-pool-size 2 --max-request-queue-size 0 \
             --disable-security-update-check --disable-anonymous-telemetry"
        }
    }
    .split_ascii_whitespace()
    .collect()
}

/// The whole configuration: one worker, many clients from one address, and `[process.app]` with `more` in it.
pub(crate) fn configuration(kind: Kind, app: &App, dir: &Dir, more: &str) -> String {
    let mut surroundings = Command::new("true");
    app.surround(&mut surroundings);
    let environment: BTreeMap<String, String> = surroundings
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    let environment: Vec<String> =
        environment.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    format!(
        "{}\n[limits]\nconnections_per_address = 16384\n\n[process.app]\ncommand = {:?}\ndirectory = {:?}\n\
         environment = {{ {} }}\n{more}\n",
        config(dir, &format!("pid_file = {:?}", dir.join("web_server.pid"))),
        command(kind),
        app.code(),
        environment.join(", "),
    )
}

impl Kept {
    /// Starts Vestibule, which starts the application, and waits until that is up.
    pub(crate) fn start(kind: Kind, more: &str) -> Kept {
        Kept::start_prepared(kind, more, |_| {})
    }

    /// The same; `prepare` may change the application before.
    pub(crate) fn start_prepared(kind: Kind, more: &str, prepare: impl FnOnce(&mut App)) -> Kept {
        let kept = Kept::begin(kind, more, |app, _| prepare(app));
        kept.wait_for("up", seconds(60));
        kept
    }

    /// The same, without waiting for anything but Vestibule.
    pub(crate) fn begin(kind: Kind, more: &str, prepare: impl FnOnce(&mut App, &Dir)) -> Kept {
        Kept::begin_with(kind, |_| more.to_owned(), prepare)
    }

    /// The same; `more` is told the directory.
    pub(crate) fn begin_with(
        kind: Kind,
        more: impl FnOnce(&Path) -> String,
        prepare: impl FnOnce(&mut App, &Dir),
    ) -> Kept {
        Kept::configured(kind, |app, dir| {
            prepare(app, dir);
            configuration(kind, app, dir, &more(dir.path()))
        })
    }

    /// Starts Vestibule with this configuration, and waits for nothing.
    pub(crate) fn configured(kind: Kind, config: impl FnOnce(&mut App, &Dir) -> String) -> Kept {
        Kept::configured_as(kind, config, |_| {})
    }

    /// The same, with the command that starts Vestibule changed as `change` does.
    pub(crate) fn configured_as(
        kind: Kind,
        config: impl FnOnce(&mut App, &Dir) -> String,
        change: impl FnOnce(&mut Command),
    ) -> Kept {
        let dir = Dir::new();
        let mut app = App::stopped(kind, &dir);
        let config = config(&mut app, &dir);
        // Where Passenger's own commands look for it; no other server minds.
        let registry = dir.join("registry");
        let vestibule = Vestibule::start_with(&dir, &config, |command| {
            command.env("PASSENGER_INSTANCE_REGISTRY_DIR", registry);
            change(command);
        });
        Kept { vestibule, app, kind, config, dir, asks_as: |command| command }
    }

    /// Starts the application past Vestibule, and then a Vestibule that is told where its PID file is; `section` follows.
    pub(crate) fn adopt(kind: Kind, section: impl FnOnce(&App, &Dir) -> String) -> Kept {
        Kept::adopt_with(kind, |app, dir| {
            app.run();
            app.wait_until_answers();
            section(app, dir)
        })
    }

    /// The same, where `start` starts what is adopted, in the application's directory.
    pub(crate) fn adopt_with(kind: Kind, start: impl FnOnce(&mut App, &Dir) -> String) -> Kept {
        let kept = Kept::begin_adopting(kind, start);
        kept.wait_for("up", seconds(20));
        kept
    }

    /// The same, without waiting for anything but Vestibule.
    pub(crate) fn begin_adopting(kind: Kind, start: impl FnOnce(&mut App, &Dir) -> String) -> Kept {
        Kept::configured(kind, |app, dir| {
            let section = start(app, dir);
            let pid_file = format!("pid_file = {:?}", dir.join("web_server.pid"));
            format!("{}\n[limits]\nconnections_per_address = 16384\n\n{section}\n", config(dir, &pid_file))
        })
    }

    /// Starts another Vestibule with the same configuration, after the one before it has ended.
    pub(crate) fn start_again(&mut self) {
        self.vestibule = Vestibule::start(&self.dir, &self.config);
    }

    /// From now on `vestibule app` is run as this makes it.
    pub(crate) fn asks_as(mut self, other: fn(Command) -> Command) -> Kept {
        self.asks_as = other;
        self
    }

    /// `vestibule app` with these words.
    pub(crate) fn tell(&self, words: &[&str]) -> Told {
        told((self.asks_as)(app_command(&self.dir, words)))
    }

    /// The same, which has to go well; what it said.
    #[track_caller]
    pub(crate) fn told(&self, words: &[&str]) -> String {
        let told = self.tell(words);
        assert_eq!(
            told.status,
            Some(0),
            "{words:?}: {} {}\n{}",
            told.stdout,
            told.stderr,
            self.vestibule.stderr()
        );
        told.stdout
    }

    /// What `vestibule app status --json` says of it.
    pub(crate) fn status(&self) -> Value {
        let told = self.tell(&["status", "app", "--json"]);
        let all: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| {
            panic!("{error}: {} {}", told.stdout, told.stderr);
        });
        all[0].clone()
    }

    /// The phase that it is in.
    pub(crate) fn phase(&self) -> String {
        self.status()["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until it is in this phase.
    #[track_caller]
    pub(crate) fn wait_for(&self, phase: &str, limit: Duration) {
        until_true(&format!("{:?} is {phase}", self.kind), limit, || self.phase() == phase);
    }

    /// The PID that its keeper knows.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.status()["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// What happened to it, in words, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let status = self.status();
        let events = status["events"].as_array().cloned().unwrap_or_default();
        events.iter().filter_map(|event| event["words"].as_str().map(str::to_owned)).collect()
    }

    /// The PID in its PID file, if there is one.
    pub(crate) fn pid_in_file(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join("web_server.pid")).ok()?.trim().parse().ok()
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        process::of_home(self.app.home())
    }

    /// Asserts that the keeper and the PID file name one living process.
    #[track_caller]
    pub(crate) fn assert_right_pid(&self) -> u32 {
        until_true("the PID file names the process that the keeper knows", seconds(30), || {
            self.pid_in_file().is_some() && self.pid_in_file() == self.pid()
        });
        let pid = self.pid_in_file().expect("a PID");
        assert!(process::alive(pid), "{pid} lives");
        pid
    }

    /// Ends Vestibule on the spot, as the kernel would for want of memory; the application is left as it is.
    pub(crate) fn kill_vestibule(&mut self) {
        self.vestibule.signal(process::Signal::KILL);
        self.vestibule.exit(seconds(30));
    }

    /// Waits until something like this has happened to it; all words of that event.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, words: &str, limit: Duration) -> String {
        until(&format!("an event: {words}"), limit, || {
            self.events().into_iter().find(|event| event.contains(words))
        })
    }

    /// Asserts that there is one living instance, the one whose PID is known, that it answers, and that nothing is
    /// left of another.
    #[track_caller]
    pub(crate) fn assert_alone(&self) -> u32 {
        self.wait_for("up", seconds(30));
        let pid = self.assert_right_pid();
        let others = || -> Vec<u32> {
            // Passenger's own: they stay beside its watchdog, and go with it.
            let is_beside = |title: String| {
                ["temp-dir-toucher", "passenger start", "tail -f"].iter().any(|one| title.contains(one))
            };
            let is_other = |one: &u32| {
                *one != pid && !process::ancestors_of(*one).contains(&pid) && !is_beside(process::title(*one))
            };
            self.processes().into_iter().filter(is_other).collect()
        };
        let start = std::time::Instant::now();
        while !others().is_empty() {
            let titles = || others().into_iter().map(process::title).collect::<Vec<_>>();
            assert!(start.elapsed() < seconds(20), "beside {pid} there is still {:?}", titles());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(get(self.vestibule.address(), "/sleep?token=alone").text(), "alone");
        pid
    }
}
