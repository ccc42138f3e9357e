//! Both ends of the control socket, with keepers that a test plays.

use std::cell::RefCell;
use std::rc::Rc;

use clap::Parser as _;
use vestibule_process::{Command, Outcome};

use super::*;
use crate::command::{Command as Line, CommandLine};
use crate::control::tests::{Keeper, Stand, run};

/// What came of a command line.
struct Told {
    exit: Exit,
    out: String,
    err: String,
}

fn action(line: &str) -> Action {
    let words = ["vestibule", "app"].into_iter().chain(line.split(' '));
    match CommandLine::try_parse_from(words) {
        Ok(CommandLine { command: Line::App(options) }) => options.action,
        other => panic!("{line}: {other:?}"),
    }
}

async fn told(stand: &Stand, line: &str) -> Told {
    told_at(&stand.path, line).await
}

async fn told_at(path: &Path, line: &str) -> Told {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut voice = Voice { out: &mut out, err: &mut err };
    let done = perform(&action(line), &[path.to_owned()], &mut voice).await;
    let exit = exit_of(done, &mut voice);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Told { exit, out: text(out), err: text(err) }
}

/// Answers the next command with this outcome, in the background.
fn answers(mut keeper: Keeper, outcome: Outcome) -> Rc<RefCell<Vec<Command>>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&asked);
    tokio::task::spawn_local(async move {
        let ask = keeper.asked().await;
        into.borrow_mut().push(ask.command);
        let _ = ask.reply.send(outcome);
        // The application goes on.
        std::future::pending::<()>().await;
        drop(keeper);
    });
    asked
}

#[test]
fn each_outcome_has_its_words_and_its_exit_status() {
    run(async {
        for (outcome, exit, out, err) in [
            (
                Outcome::Done("restarted, pid 4711".to_owned()),
                Exit::Done,
                "app: restarted, pid 4711 (0.0 s)\n",
                "",
            ),
            (Outcome::Already("it is up".to_owned()), Exit::Done, "app: it is up\n", ""),
            (
                Outcome::Failed("it died\nhere".to_owned()),
                Exit::Failed,
                "",
                "vestibule: app: it died\nhere\n",
            ),
            (Outcome::Refused("not so".to_owned()), Exit::Refused, "", "vestibule: app: not so\n"),
            (Outcome::Superseded("stop came".to_owned()), Exit::Failed, "", "vestibule: app: stop came\n"),
        ] {
            let (keeper, handle) = Keeper::new("app");
            let asked = answers(keeper, outcome);
            let stand = Stand::new(vec![handle]).await;
            let told = told(&stand, "restart app").await;
            assert_eq!((told.exit, told.out.as_str(), told.err.as_str()), (exit, out, err));
            assert_eq!(*asked.borrow(), [Command::Restart]);
        }
    });
}

#[test]
fn every_verb_reaches_every_process() {
    run(async {
        for (verb, command) in [
            ("start", Command::Start),
            ("stop", Command::Stop),
            ("restart", Command::Restart),
            ("monitor", Command::Monitor),
            ("unmonitor", Command::Unmonitor),
        ] {
            let (one, first) = Keeper::new("one");
            let (two, second) = Keeper::new("two");
            let (one, two) = (
                answers(one, Outcome::Done("so".to_owned())),
                answers(two, Outcome::Failed("no".to_owned())),
            );
            let stand = Stand::new(vec![first, second]).await;
            let told = told(&stand, verb).await;
            assert_eq!((told.exit, told.out.as_str()), (Exit::Failed, "one: so (0.0 s)\n"));
            assert_eq!(told.err, "vestibule: two: no\n");
            assert_eq!((&*one.borrow(), &*two.borrow()), (&vec![command], &vec![command]));
        }
    });
}

#[test]
fn when_the_time_is_over_it_says_that_the_command_goes_on() {
    run(async {
        let (mut keeper, handle) = Keeper::new("app");
        let stand = Stand::new(vec![handle]).await;
        let late = told(&stand, "restart --wait=50ms").await;
        assert_eq!((late.exit, late.out.as_str()), (Exit::Late, ""));
        assert_eq!(late.err, "vestibule: app: restart is not done after 0.1 s; it goes on\n");
        assert_eq!(keeper.asked().await.command, Command::Restart);
        let late = told(&stand, "restart --wait=50ms --json").await;
        assert_eq!(late.exit, Exit::Late);
        let json: serde_json::Value = serde_json::from_str(&late.out).expect("JSON");
        assert_eq!((&json[0]["name"], &json[0]["outcome"]), (&"app".into(), &"waiting".into()));
    });
}

#[test]
fn without_waiting_it_says_that_the_command_was_accepted() {
    run(async {
        let (mut keeper, handle) = Keeper::new("app");
        let stand = Stand::new(vec![handle]).await;
        let accepted = told(&stand, "stop app --no-wait").await;
        assert_eq!((accepted.exit, accepted.out.as_str()), (Exit::Done, "app: stop accepted\n"));
        assert_eq!(keeper.asked().await.command, Command::Stop);
    });
}

#[test]
fn json_of_a_command_has_stable_keys() {
    run(async {
        let (keeper, handle) = Keeper::new("app");
        answers(keeper, Outcome::Failed("it died".to_owned()));
        let stand = Stand::new(vec![handle]).await;
        let told = told(&stand, "start --json").await;
        assert_eq!((told.exit, told.err.as_str()), (Exit::Failed, ""));
        let json: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
        let keys: Vec<_> = json[0].as_object().expect("an object").keys().cloned().collect();
        let mut wanted = ["name", "command", "outcome", "words", "milliseconds"].map(str::to_owned);
        wanted.sort();
        let mut keys_sorted = keys;
        keys_sorted.sort();
        assert_eq!(keys_sorted, wanted);
        assert_eq!((&json[0]["command"], &json[0]["outcome"]), (&"start".into(), &"failed".into()));
    });
}

#[test]
fn a_status_fails_when_something_is_down_that_should_be_up() {
    run(async {
        for (phase, wish, exit) in [
            (Phase::Up, Wish::Up, Exit::Done),
            (Phase::Starting, Wish::Up, Exit::Done),
            (Phase::Restarting, Wish::Up, Exit::Done),
            (Phase::Down, Wish::Down, Exit::Done),
            (Phase::Down, Wish::Alone, Exit::Done),
            (Phase::Down, Wish::Up, Exit::Failed),
            (Phase::Waiting, Wish::Up, Exit::Failed),
        ] {
            let (keeper, handle) = Keeper::new("app");
            keeper.status.send_modify(|status| (status.phase, status.wish) = (phase, wish));
            let stand = Stand::new(vec![handle]).await;
            for line in ["status", "status app", "status --json"] {
                let told = told(&stand, line).await;
                assert_eq!(told.exit, exit, "{line}: {phase:?} {wish:?}");
                assert!(told.out.contains("app"), "{}", told.out);
            }
        }
    });
}

#[test]
fn json_of_a_status_is_the_status_as_it_is() {
    run(async {
        let (keeper, handle) = Keeper::new("app");
        keeper.record(7, "started");
        let stand = Stand::new(vec![handle.clone()]).await;
        let told = told(&stand, "status --json").await;
        let statuses: Vec<Status> = serde_json::from_str(&told.out).expect("statuses");
        assert_eq!(statuses, [handle.status()]);
        let empty = Stand::new(Vec::new()).await;
        let none = self::told(&empty, "status --json").await;
        assert_eq!((none.exit, none.out.as_str()), (Exit::Done, "[]\n"));
    });
}

#[test]
fn a_log_is_shown_line_by_line() {
    run(async {
        let (keeper, handle) = Keeper::new("app");
        keeper.record(1_700_000_000, "started");
        keeper.record(1_700_000_001, "it answers");
        let stand = Stand::new(vec![handle]).await;
        let log = told(&stand, "log").await;
        assert_eq!(log.exit, Exit::Done);
        assert_eq!(log.out, "2023-11-14T22:13:20Z app: started\n2023-11-14T22:13:21Z app: it answers\n");
        let last = told(&stand, "log app -n 1 --json").await;
        let json: serde_json::Value = serde_json::from_str(&last.out).expect("JSON");
        assert_eq!((&json["words"], &json["source"]), (&"it answers".into(), &"event".into()));
    });
}

#[test]
fn an_unknown_name_is_refused() {
    run(async {
        let (_keeper, handle) = Keeper::new("app");
        let stand = Stand::new(vec![handle]).await;
        for line in ["restart web", "status web", "log web"] {
            let told = told(&stand, line).await;
            assert_eq!((told.exit, told.out.as_str()), (Exit::Refused, ""));
            assert!(told.err.contains("\"web\"") && told.err.contains("app"), "{}", told.err);
        }
    });
}

#[test]
fn quit_waits_for_the_end_and_says_so_when_it_does_not_come() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        let late = told(&stand, "quit --wait=50ms").await;
        assert_eq!(late.exit, Exit::Late, "{}", late.err);
        assert!(stand.quit.is_asked());
        let accepted = told(&stand, "quit --no-wait").await;
        assert_eq!(accepted.exit, Exit::Done);
        assert!(accepted.out.contains("leaves the applications running"), "{}", accepted.out);
    });
}

#[test]
fn where_nobody_is_it_says_what_was_tried() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let nobody = told_at(&path, "status").await;
        assert_eq!((nobody.exit, nobody.out.as_str()), (Exit::Nobody, ""));
        assert!(nobody.err.contains(&path.display().to_string()), "{}", nobody.err);
        assert!(nobody.err.contains("vestibule serve"), "{}", nobody.err);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert_eq!(told_at(&path, "status").await.exit, Exit::Nobody);
    });
}

#[test]
fn the_command_line_takes_waiting_in_every_form() {
    let wait = |line| match action(line) {
        Action::Restart(order) => (order.wait.most(), order.wait.no_wait),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait("restart"), (None, false));
    assert_eq!(wait("restart --wait app"), (None, false));
    assert_eq!(wait("restart --wait=90s app"), (Some(Duration::from_secs(90)), false));
    assert_eq!(wait("restart app --wait=5"), (Some(Duration::from_secs(5)), false));
    assert_eq!(wait("restart app --no-wait"), (None, true));
    for wrong in [
        "restart --wait=soon",
        "restart --wait --no-wait",
        "restart one two",
        "dance",
        "quit app",
        "log -n -1",
    ] {
        let words = ["vestibule", "app"].into_iter().chain(wrong.split(' '));
        assert!(CommandLine::try_parse_from(words).is_err(), "{wrong} was taken");
    }
}
