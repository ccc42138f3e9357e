//! The server configurations in `config/`, in the real servers, behind the real Vestibule.

use std::fs;
use std::process::Command;

use super::{blocks, file, text};
use crate::support::app::{App, Kind};
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::process::{self, Signal};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until, until_true};

/// A server with a configuration of `config/`, and Vestibule in front of it.
struct Stage {
    vestibule: Vestibule,
    app: App,
    _dir: Dir,
}

impl Stage {
    /// Starts the server by `line`, in a directory that has `example` where an application has it; and Vestibule, once it is
    /// `whole`: what Vestibule then finds is all of it.
    fn start(
        kind: Kind,
        example: Option<&str>,
        line: &[&str],
        ends: bool,
        change: impl FnOnce(&mut Command),
        whole: impl Fn(&App) -> bool,
    ) -> Stage {
        let dir = Dir::new();
        let mut app = App::stopped(kind, &dir);
        for directory in ["config", "log"] {
            fs::create_dir(app.home().join(directory)).expect("a directory");
        }
        if let Some(example) = example {
            fs::copy(file(example), app.home().join(example)).expect("the example is copied");
        }
        app.run_by(line, ends, change);
        app.wait_until_answers();
        until_true("the server has what is configured", seconds(30), || whole(&app));
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let stage = Stage { vestibule, app, _dir: dir };
        assert_eq!(stage.ask("/sleep?token=fine"), "fine");
        stage
    }

    fn ask(&self, path: &str) -> String {
        let answer = get(self.vestibule.address(), path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// What Vestibule takes it for, and how many requests it lets in.
    fn found(&self) -> (String, u64) {
        let event = until("Vestibule finds the application", seconds(20), || {
            self.vestibule.events().into_iter().find(|event| event["message"] == "found the application")
        });
        (
            event["server"].as_str().expect("a server").to_owned(),
            event["in_flight"].as_u64().expect("a number"),
        )
    }

    /// The process that the PID file names has to be this one.
    fn assert_pid(&self, title: &str) {
        let pid = self.app.pid();
        until_true(&format!("{pid} is a {title}"), seconds(30), || process::title(pid).contains(title));
        assert!(process::alive(pid), "{pid} is gone");
    }

    /// Restarts it: afterwards another boot answers, through the same Vestibule.
    fn assert_restarts(&mut self, restart: impl FnOnce(&mut App)) {
        let before = self.ask("/boot");
        restart(&mut self.app);
        until_true("another boot answers", seconds(30), || self.ask("/boot") != before);
    }
}

/// How many threads that answer requests each process of a Puma has, those without any left out.
fn threads(app: &App) -> Vec<usize> {
    let each = app.titled("puma").into_iter().map(|pid| process::threads(pid, "puma srv tp"));
    each.filter(|count| *count > 0).collect()
}

const PUMA: &[&str] = &["puma", "-C", "config/puma.rb"];

#[test]
fn puma_runs_by_ours_as_a_single_process() {
    let mut stage =
        Stage::start(Kind::Puma, Some("config/puma.rb"), PUMA, false, |_| {}, |app| threads(app) == [5]);
    assert_eq!(stage.found(), ("Puma".to_owned(), 5));
    stage.assert_pid("puma 5");
    let pid = stage.app.pid();
    stage.assert_restarts(|app| app.restart_puma(Signal::USR2));
    assert_eq!(stage.app.pid(), pid, "USR2 replaces the program, not the process");
    stage.app.stop_gently();
}

#[test]
fn puma_runs_by_ours_as_a_cluster() {
    let kind = Kind::PumaCluster { preload: false };
    let change = |command: &mut Command| {
        command.env("WEB_CONCURRENCY", "2").env("RAILS_MAX_THREADS", "7");
    };
    let whole = |app: &App| threads(app) == [7, 7] && app.titled("cluster worker").len() == 2;
    let mut stage = Stage::start(kind, Some("config/puma.rb"), PUMA, false, change, whole);
    assert_eq!(stage.found(), ("Puma".to_owned(), 14));
    stage.assert_pid("[app]");
    let workers = stage.app.titled("cluster worker");
    stage.assert_restarts(|app| app.restart_puma(Signal::USR1));
    until_true("both workers are new ones", seconds(30), || {
        let now = stage.app.titled("cluster worker");
        now.len() == 2 && now.is_disjoint(&workers)
    });
    stage.app.stop_gently();
}

#[test]
fn unicorn_runs_by_ours() {
    let line = ["unicorn", "-c", "config/unicorn.rb", "-E", "production"];
    let change = |command: &mut Command| {
        command.env("WEB_CONCURRENCY", "3");
    };
    let whole = |app: &App| app.titled("unicorn worker[").len() == 3;
    let mut stage = Stage::start(Kind::Unicorn, Some("config/unicorn.rb"), &line, false, change, whole);
    assert_eq!(stage.found(), ("Unicorn".to_owned(), 6));
    stage.assert_pid("unicorn master");
    stage.assert_restarts(App::restart_unicorn);
    stage.assert_pid("unicorn master");
    stage.app.stop_gently();
}

#[test]
fn thin_runs_by_ours() {
    let line = ["thin", "start", "-C", "config/thin.yml"];
    let mut stage = Stage::start(Kind::Thin, Some("config/thin.yml"), &line, true, |_| {}, |_| true);
    assert_eq!(stage.found(), ("Thin".to_owned(), 16));
    stage.assert_pid("thin server");
    stage.assert_restarts(|app| {
        app.stop_gently();
        app.run_by(&line, true, |_| {});
        app.wait_until_answers();
    });
    stage.assert_pid("thin server");
    stage.app.stop_gently();
}

#[test]
fn passenger_runs_by_the_command_in_our_notes() {
    let script = blocks(&text("config/passenger.md"), "sh").concat();
    let line = ["sh", "-c", &script];
    let whole = |app: &App| app.titled("RubyApp").len() == 2;
    let mut stage = Stage::start(Kind::Passenger, None, &line, false, |_| {}, whole);
    assert_eq!(stage.found(), ("Passenger".to_owned(), 3));
    stage.assert_pid("watchdog");
    stage.assert_restarts(App::restart_passenger_app);
    stage.app.stop_gently();
}
