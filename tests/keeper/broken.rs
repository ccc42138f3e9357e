//! New code that does not boot: the old goes on where the server can do that, else the release before it is started again; who
//! asked is told which release it was and what it said; a release that is in order is taken afterwards, by itself if need be.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::turn;
use crate::support::wait::{seconds, until, until_true};

/// Requests per second.
const RATE: u32 = 200;
/// Whoever waits longer would be refused soon.
const HELD: Duration = Duration::from_secs(29);

/// It is no Ruby any more.
fn broken(code: String) -> String {
    format!("secret = = 1\n{code}")
}

fn sound(code: String) -> String {
    code
}

/// The same, which shows only after a while: after that the new workers were taken for ready, in any case.
fn broken_late(code: String) -> String {
    format!("sleep 1.5\nraise SyntaxError, \"syntax error\"\n{code}")
}

/// What becomes of the old code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    /// Its processes go on.
    GoesOn,
    /// It is started again.
    IsStartedAgain,
    /// It is gone, and the new answers errors.
    IsGone,
}

/// Of its configuration, without preloading and without the hook that sends the old master home.
fn without_preload(app: &App, hook: bool) {
    let path = app.release(1).join("unicorn.rb");
    let text = fs::read_to_string(&path).expect("unicorn.rb");
    let text = text.replace("preload_app true", "preload_app false");
    let text = if hook { text } else { text.replace(".oldbin\"", ".never\"") };
    fs::write(path, text).expect("written");
}

/// The release that answers.
fn release(kept: &Kept) -> String {
    until("it answers", seconds(20), || kept.app.ask("/release"))
}

/// Which release its keeper says that runs.
fn shown(kept: &Kept) -> String {
    kept.status()["release"]["directory"].as_str().unwrap_or_default().to_owned()
}

/// What is told of the failure names the release, and has what the code itself said.
#[track_caller]
fn assert_told(failure: &Value, number: u32) {
    let (words, directory) = (failure["words"].as_str(), failure["release"]["directory"].as_str());
    let named = format!("releases/{number}");
    assert!(directory.is_some_and(|directory| directory.ends_with(&named)), "{failure:#}");
    assert_eq!(failure["release"]["revision"], format!("revision-{number}"), "{failure:#}");
    assert!(words.is_some_and(|words| words.contains(&named)), "{failure:#}");
    let output = failure["output"].as_array().cloned().unwrap_or_default();
    // Of what a worker of a cluster dies Puma tells only where that was.
    let has_error = |line: &Value| {
        line.as_str()
            .is_some_and(|line| line.contains("syntax error") || line.contains("! Unable to start worker"))
    };
    assert!(output.iter().any(has_error), "{failure:#}");
    assert!(output.len() <= 20, "{failure:#}");
}

/// The second release does not boot, the third does. `words` are told of the second.
fn survives(kind: Kind, more: &str, old: Old, words: &str, prepare: impl FnOnce(&mut App)) {
    survives_what_is(broken, kind, more, old, words, prepare);
}

fn survives_what_is(
    broken: fn(String) -> String,
    kind: Kind,
    more: &str,
    old: Old,
    words: &str,
    prepare: impl FnOnce(&mut App),
) {
    let _turn = turn::heavy();
    let kept = Kept::start_prepared(kind, more, |app| {
        app.lay_out_releases();
        prepare(app);
    });
    assert_eq!(release(&kept), "1");
    let pid = kept.assert_right_pid();
    let load = match kind {
        Kind::Thin => Load::of_short_requests(kept.vestibule.address(), RATE),
        _ => Load::start(kept.vestibule.address(), RATE),
    };
    load.wait_for(100);
    kept.app.deploy(2, broken);
    let told = kept.tell(&["restart"]);
    println!("{kind:?}: {}", told.stderr);
    assert_eq!(told.status, Some(1), "{told:?}");
    for word in ["releases/2 (revision-2)", words] {
        assert!(told.stderr.contains(word), "no {word:?} in {told:?}");
    }
    assert_told(&kept.status()["last_failure"], 2);
    let details = kept.told(&["status", "app"]);
    assert!(details.contains("| ") && details.contains("releases/2 (revision-2)"), "{details}");
    if old == Old::IsGone {
        // Nothing was lost that had not been answered: it answers errors.
        drop(load.stop());
        fix(&kept);
        return;
    }
    kept.wait_for("up", seconds(30));
    assert_eq!(release(&kept), "1");
    assert!(shown(&kept).ends_with("releases/1"), "{:#}", kept.status());
    assert_eq!(kept.assert_right_pid() == pid, old == Old::GoesOn, "{pid} before");
    load.wait_for(100);
    fix(&kept);
    load.wait_for(100);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    assert!(report.longest() < HELD, "{}", report.summary());
}

/// A release that is in order is deployed, and taken by the next restart.
fn fix(kept: &Kept) {
    kept.app.deploy(3, sound);
    let said = kept.told(&["restart"]);
    assert!(said.contains("restarted"), "{said}");
    for _ in 0..10 {
        assert_eq!(release(kept), "3");
    }
    assert!(shown(kept).ends_with("releases/3"), "{:#}", kept.status());
    assert_eq!(kept.status()["release"]["revision"], "revision-3");
    kept.assert_right_pid();
}

#[test]
fn puma_is_rolled_back() {
    survives(Kind::Puma, "", Old::IsStartedAgain, "rolled back to release", |_| {});
}

#[test]
fn the_old_workers_of_a_puma_cluster_go_on() {
    let words = "workers with the old code go on";
    survives(Kind::PumaCluster { preload: false }, "", Old::GoesOn, words, |_| {});
}

#[test]
fn a_preloading_puma_cluster_is_rolled_back() {
    let kind = Kind::PumaCluster { preload: true };
    survives(kind, "", Old::IsStartedAgain, "rolled back to release", |_| {});
}

#[test]
fn the_old_unicorn_goes_on() {
    survives(Kind::Unicorn, "", Old::GoesOn, "the old code goes on", |_| {});
}

#[test]
fn the_old_unicorn_goes_on_without_preloading_where_nothing_sends_it_home() {
    survives(Kind::Unicorn, "", Old::GoesOn, "the old code goes on", |app| without_preload(app, false));
}

#[test]
fn unicorn_is_rolled_back_where_the_hook_sends_the_old_one_home_too_early() {
    let words = "rolled back to release";
    survives(Kind::Unicorn, "", Old::IsStartedAgain, words, |app| without_preload(app, true));
}

#[test]
fn unicorn_without_preloading_survives_what_crashes_late() {
    for (hook, old, words) in
        [(false, Old::GoesOn, "the old code goes on"), (true, Old::IsStartedAgain, "rolled back to release")]
    {
        let prepare = |app: &mut App| without_preload(app, hook);
        survives_what_is(broken_late, Kind::Unicorn, "", old, words, prepare);
    }
}

#[test]
fn thin_is_rolled_back() {
    survives(Kind::Thin, "", Old::IsStartedAgain, "rolled back to release", |_| {});
}

#[test]
fn passenger_answers_errors_which_is_told() {
    survives(Kind::Passenger, "", Old::IsGone, "answers only errors: status 500", |_| {});
}

#[test]
fn one_that_was_to_be_replaced_goes_on() {
    for kind in [Kind::Puma, Kind::Thin] {
        survives(kind, "restart = \"replace\"", Old::GoesOn, "the old one goes on", |_| {});
    }
}

/// Nothing ran before. It is tried again and again, what comes is held, and who mends it need not tell anybody.
fn is_tried_again(kind: Kind, prepare: impl FnOnce(&mut App)) {
    let more = "start_timeout = \"4s\"\nflapping = { times = 2, within = \"60s\", most = \"2s\" }";
    let kept = Kept::begin(kind, more, |app, _| {
        app.lay_out_releases();
        prepare(app);
        app.deploy(2, broken);
    });
    until_true("it was tried three times", seconds(30), || {
        kept.status()["starts"].as_u64().is_some_and(|starts| starts >= 3)
    });
    assert_told(&kept.status()["last_failure"], 2);
    assert!(kept.events().iter().any(|words| words.contains("flapping: started again in 1 s")));
    let address = kept.vestibule.address();
    let held = std::thread::spawn(move || {
        Client::connect(address).and_then(|client| client.patience(seconds(40)).get("/release"))
    });
    until_true("it waits for the next try", seconds(30), || kept.phase() == "waiting");
    let status = kept.tell(&["status"]);
    assert_eq!(status.status, Some(1), "{status:?}");
    kept.app.deploy(3, sound);
    kept.wait_for("up", seconds(20));
    assert_eq!(held.join().expect("its thread").expect("an answer").text(), "3");
    assert!(shown(&kept).ends_with("releases/3"), "{:#}", kept.status());
    assert_eq!(kept.tell(&["status"]).status, Some(0));
    kept.assert_right_pid();
}

#[test]
fn puma_is_started_when_it_is_mended() {
    is_tried_again(Kind::Puma, |_| {});
}

#[test]
fn a_puma_cluster_whose_workers_crash_is_started_when_it_is_mended() {
    is_tried_again(Kind::PumaCluster { preload: false }, |_| {});
}

#[test]
fn unicorn_is_started_when_it_is_mended() {
    is_tried_again(Kind::Unicorn, |_| {});
}

#[test]
fn a_unicorn_whose_workers_crash_is_started_when_it_is_mended() {
    is_tried_again(Kind::Unicorn, |app| without_preload(app, true));
}

#[test]
fn thin_is_started_when_it_is_mended() {
    is_tried_again(Kind::Thin, |_| {});
}

#[test]
fn passenger_that_answers_errors_is_told_of_and_serves_when_it_is_mended() {
    let kept = Kept::begin(Kind::Passenger, "", |app, _| {
        app.lay_out_releases();
        app.deploy(2, broken);
    });
    kept.wait_for("up", seconds(40));
    let failure = &kept.status()["last_failure"];
    assert!(failure["words"].as_str().is_some_and(|words| words.contains("status 500")), "{failure:#}");
    assert_told(failure, 2);
    kept.app.deploy(3, sound);
    until_true("it is mended by itself", seconds(20), || kept.app.ask("/release").as_deref() == Some("3"));
}

#[test]
fn the_cause_is_told_though_a_long_trace_follows_it() {
    let kept = Kept::start_prepared(Kind::Puma, "", App::lay_out_releases);
    kept.app.deploy(2, |code| {
        format!("def deep(left) = left == 0 ? raise(\"no database\") : deep(left - 1)\ndeep(100)\n{code}")
    });
    let told = kept.tell(&["restart"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    let failure = &kept.status()["last_failure"];
    let output = failure["output"].as_array().cloned().unwrap_or_default();
    assert!(
        output.iter().filter_map(Value::as_str).any(|line| line.contains("no database (RuntimeError)")),
        "{failure:#}"
    );
    assert!(output.len() <= 20, "{failure:#}");
}

/// New code that answers only errors is told of as one that does not answer, and is nothing to go back to later.
#[test]
fn a_release_that_answers_only_errors_is_a_failure_and_none_to_go_back_to() {
    for more in ["", "restart = \"stop-start\""] {
        let kept = Kept::start_prepared(Kind::Puma, more, App::lay_out_releases);
        kept.app.deploy(2, |code| {
            let errs = "[500, { 'content-type' => 'text/plain' }, ['no']]";
            format!("use Class.new {{ define_method(:initialize) {{ |_| }}\ndef call(_) = {errs} }}\n{code}")
        });
        let told = kept.tell(&["restart"]);
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.stderr.contains("answers only errors: status 500"), "{told:?}");
        assert!(shown(&kept).ends_with("releases/2"), "{:#}", kept.status());
        kept.app.deploy(3, broken);
        let told = kept.tell(&["restart"]);
        assert!(told.stderr.contains("releases/1 (revision-1), which runs again"), "{told:?}");
        assert_eq!(release(&kept), "1");
        assert!(shown(&kept).ends_with("releases/1"), "{:#}", kept.status());
    }
}

/// Code that is changed in place leaves nothing to go back to, whatever its REVISION was.
#[test]
fn a_directory_is_no_release_before_itself() {
    let revise = |app: &App, revision: &str, change: fn(String) -> String| {
        let rackup = app.home().join("config.ru");
        let code = fs::read_to_string(&rackup).expect("config.ru");
        fs::write(rackup, change(code)).expect("written");
        fs::write(app.home().join("REVISION"), revision).expect("written");
    };
    let kept = Kept::start_prepared(Kind::Puma, "", |app| revise(app, "first", sound));
    revise(&kept.app, "second", broken);
    let told = kept.tell(&["restart"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("(second)") && !told.stderr.contains("rolled back"), "{told:?}");
    assert!(!kept.events().iter().any(|words| words.contains("rolling back")), "{:?}", kept.events());
}

/// Neither has a Vestibule that comes later forgotten that it runs in an earlier release, nor does the server run that again
/// because it was started there.
#[test]
fn what_was_rolled_back_takes_the_next_release_also_under_another_vestibule() {
    for more in
        ["on_exit = \"leave\"", "on_exit = \"leave\"\nrestart = \"signal\"\nrestart_signal = \"USR2\""]
    {
        let mut kept = Kept::start_prepared(Kind::Puma, more, App::lay_out_releases);
        kept.app.deploy(2, broken);
        assert!(kept.tell(&["restart"]).stderr.contains("which runs again"));
        assert_eq!(release(&kept), "1");
        kept.kill_vestibule();
        kept.start_again();
        kept.wait_for("up", seconds(20));
        let before = kept.assert_right_pid();
        kept.app.deploy(3, sound);
        kept.told(&["restart"]);
        assert_eq!(release(&kept), "3");
        assert!(shown(&kept).ends_with("releases/3"), "{:#}", kept.status());
        assert_ne!(kept.assert_right_pid(), before, "it was asked to restart itself");
        assert!(!kept.events().iter().any(|words| words.contains("still runs")), "{:?}", kept.events());
    }
}
