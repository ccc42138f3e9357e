use std::fs;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::testing::LONG;

fn hook(script: &str) -> Hook {
    let command = ["bash", "-c", script].map(String::from);
    Hook::new("app", &command).expect("a command")
}

fn message(text: &str) -> Message {
    let facts = vec![("next_try", "30".to_owned())];
    Message {
        occasion: Occasion { event: "flapping", message: text.to_owned(), facts },
        when: 1_700_000_000,
        lost: 2,
    }
}

fn occasion(text: &str) -> Occasion {
    message(text).occasion
}

async fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{otherwise}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether the process with the PID in this file runs.
fn runs(file: &Path) -> bool {
    lines(file)
        .first()
        .and_then(|pid| pid.parse().ok())
        .is_some_and(|pid| crate::Running::find(pid).is_some())
}

#[tokio::test]
async fn the_command_has_the_facts_in_its_environment_and_on_its_input() {
    let dir = tempfile::tempdir().expect("a directory");
    let (environment, input) = (dir.path().join("environment"), dir.path().join("input"));
    let script = format!(
        "echo \"$VESTIBULE_PROCESS|$VESTIBULE_EVENT|$VESTIBULE_MESSAGE|$VESTIBULE_NEXT_TRY|$VESTIBULE_TIME|$VESTIBULE_LOST\" > {}; cat > {}",
        environment.display(),
        input.display()
    );
    hook(&script).run(&message("it \"died\"\0 5 times")).await.expect("it runs");
    let message = "it \"died\"\u{fffd} 5 times";
    assert_eq!(lines(&environment), [format!("app|flapping|{message}|30|1700000000|2")]);
    let json: Value = serde_json::from_str(&lines(&input)[0]).expect("JSON");
    let expected = serde_json::json!({
        "process": "app", "event": "flapping", "message": message, "next_try": "30", "time": 1_700_000_000, "lost": 2,
    });
    assert_eq!(json, expected);
}

#[tokio::test]
async fn a_fact_cannot_pass_for_the_process() {
    let mut forged = message("x");
    forged.occasion.facts.push(("process", "other".to_owned()));
    hook("test \"$VESTIBULE_PROCESS\" = app && grep -q '\"process\":\"app\"'")
        .run(&forged)
        .await
        .expect("ours");
}

#[tokio::test]
async fn need_not_read_its_input_and_may_get_a_long_one() {
    let long = message(&"ä".repeat(1 << 20));
    hook("exit 0").run(&long).await.expect("it runs");
    let script = format!("read -r line; test ${{#VESTIBULE_MESSAGE}} -ge {}", TEXT / 2 - 1);
    hook(&script).run(&long).await.expect("the beginning of it");
}

#[tokio::test]
async fn a_failure_is_told_with_the_beginning_of_the_output() {
    let script = "echo first; echo second >&2; head -c 1000000 /dev/zero | tr '\\0' x; exit 3";
    let error = hook(script).run(&message("x")).await.expect_err("it fails");
    let words = error.to_string();
    assert!(
        words.starts_with("the alert command bash failed (exit status: 3): first\nsecond\nxxx"),
        "{words}"
    );
    assert!(words.len() < OUTPUT + 100, "{} bytes", words.len());
}

#[tokio::test]
async fn says_which_program_cannot_be_started() {
    let hook = Hook::new("app", &["/nowhere/at-all".to_owned()]).expect("a command");
    let error = hook.run(&message("x")).await.expect_err("there is none");
    assert_eq!(error.to_string(), "cannot start /nowhere/at-all");
    assert!(matches!(Hook::new("app", &[]), Err(Error::NoAlert)));
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended_with_its_children() {
    let dir = tempfile::tempdir().expect("a directory");
    let child = dir.path().join("child");
    let mut slow =
        hook(&format!("trap '' TERM; sleep 600 & echo $! > {}; echo working; wait", child.display()));
    slow.patience = Duration::from_millis(500);
    // Under load it may be killed before it has done anything.
    while !child.exists() {
        slow.patience *= 2;
        assert!(slow.patience < LONG, "it never started");
        let error = slow.run(&message("x")).await.expect_err("it takes too long");
        assert!(matches!(error, Error::AlertTime { .. }), "{error}");
    }
    until("its child lives on", || !runs(&child)).await;
}

#[tokio::test]
async fn does_not_wait_for_what_it_leaves_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let child = dir.path().join("child");
    let start = Instant::now();
    // It holds the output open.
    hook(&format!("sleep 60 & echo $! > {}; exit 0", child.display()))
        .run(&message("x"))
        .await
        .expect("it runs");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(runs(&child), "what it left behind was ended");
    let pid = lines(&child)[0].parse().ok().and_then(Pid::from_raw).expect("a PID");
    rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
}

#[tokio::test]
async fn runs_once_for_each_in_order_and_one_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let (told, lock) = (dir.path().join("told"), dir.path().join("lock"));
    let script = format!(
        "mkdir {lock} || echo two >> {told}; echo $VESTIBULE_MESSAGE >> {told}; sleep 0.02; rmdir {lock}",
        lock = lock.display(),
        told = told.display()
    );
    let alert = Alert::with(hook(&script));
    (0..10).for_each(|turn| alert.tell(occasion(&turn.to_string())));
    alert.finish(LONG).await;
    assert_eq!(lines(&told), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn what_exceeds_the_queue_is_counted_and_the_next_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (told, gate) = (dir.path().join("told"), dir.path().join("gate"));
    let script = format!(
        "echo $VESTIBULE_MESSAGE $VESTIBULE_LOST >> {}; until test -e {}; do sleep 0.01; done",
        told.display(),
        gate.display()
    );
    let alert = Alert::with(hook(&script));
    alert.tell(occasion("first"));
    until("it never ran", || !lines(&told).is_empty()).await;
    (0..WAITING + 5).for_each(|_| alert.tell(occasion("more")));
    assert_eq!(alert.lost(), 5);
    fs::write(&gate, "").expect("written");
    until("they are never told", || lines(&told).len() == WAITING + 1).await;
    alert.tell(occasion("last"));
    alert.finish(LONG).await;
    assert_eq!(lines(&told).last().map(String::as_str), Some("last 5"));
}

#[tokio::test]
async fn a_failure_hurts_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = dir.path().join("told");
    let script = format!("echo $VESTIBULE_MESSAGE >> {}; kill -9 $$", told.display());
    let alert = Alert::with(hook(&script));
    alert.tell(occasion("one"));
    alert.tell(occasion("two"));
    alert.finish(LONG).await;
    assert_eq!(lines(&told), ["one", "two"]);
}

#[tokio::test]
async fn dropping_it_ends_what_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (own, child) = (dir.path().join("own"), dir.path().join("child"));
    let script = format!("echo $$ > {}; sleep 600 & echo $! > {}; wait", own.display(), child.display());
    let alert = Alert::with(hook(&script));
    alert.tell(occasion("x"));
    until("it never ran", || runs(&own) && runs(&child)).await;
    drop(alert);
    until("it lives on", || !runs(&own) && !runs(&child)).await;
}

#[tokio::test]
async fn finishing_takes_no_longer_than_it_may() {
    let alert = Alert::with(hook("sleep 600"));
    alert.tell(occasion("x"));
    let start = Instant::now();
    alert.finish(Duration::from_millis(50)).await;
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn runs_on_the_control_threads_kind_of_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let told = dir.path().join("told");
    runtime.block_on(async {
        let command = ["sh".to_owned(), "-c".to_owned(), format!("echo ran > {}", told.display())];
        let alert = Alert::start("app", &command).expect("a command");
        alert.tell(occasion("x"));
        alert.finish(LONG).await;
    });
    assert_eq!(lines(&told), ["ran"]);
}
