//! What becomes of an application when Vestibule ends.

use std::time::Instant;

use crate::support::app::Kind;
use crate::support::client::{Client, get};
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until_true};

/// Vestibule ends after a SIGTERM; whether the application lives on, with what it was.
fn lives_on(kept: &mut Kept) -> bool {
    let (all, boot) = (kept.processes(), kept.app.ask("/boot"));
    assert!(boot.is_some());
    kept.vestibule.signal(Signal::TERM);
    assert!(kept.vestibule.exit(seconds(30)).success(), "{}", kept.vestibule.stderr());
    let alive = all.iter().filter(|pid| process::alive(**pid)).count();
    assert!(alive == 0 || alive == all.len(), "{alive} of {all:?}");
    assert_eq!(alive > 0, kept.app.ask("/boot") == boot);
    alive > 0
}

#[test]
fn what_it_started_is_stopped_and_nothing_is_left() {
    for kind in [Kind::Puma, Kind::Unicorn] {
        let mut kept = Kept::start(kind, "");
        assert!(!lives_on(&mut kept));
        assert_eq!((kept.processes(), kept.pid_in_file()), (vec![], None));
        assert!(!kept.dir.socket().exists(), "the socket is cleared away");
    }
}

#[test]
fn what_it_started_is_left_where_that_is_wanted_and_adopted_by_the_next() {
    let mut kept = Kept::start(Kind::Puma, "on_exit = \"leave\"");
    let pid = kept.assert_right_pid();
    assert!(lives_on(&mut kept));
    kept.start_again();
    assert_eq!(kept.assert_alone(), pid);
    assert_eq!(kept.status()["starts"], 0);
}

#[test]
fn what_it_adopted_is_left() {
    let mut kept = Kept::adopt(Kind::Puma, |_, _| "[process.app]".to_owned());
    assert!(lives_on(&mut kept));
}

#[test]
fn what_it_adopted_is_stopped_where_that_is_wanted() {
    let mut kept = Kept::adopt(Kind::Puma, |_, _| "[process.app]\non_exit = \"stop\"".to_owned());
    assert!(!lives_on(&mut kept));
}

#[test]
fn quit_leaves_it_whatever_is_configured() {
    let mut kept = Kept::start(Kind::Puma, "on_exit = \"stop\"");
    let (pid, boot) = (kept.assert_right_pid(), kept.app.ask("/boot"));
    kept.told(&["quit"]);
    assert!(kept.vestibule.exit(seconds(30)).success());
    assert!(process::alive(pid) && boot.is_some() && kept.app.ask("/boot") == boot);
    kept.start_again();
    assert_eq!(kept.assert_alone(), pid);
}

#[test]
fn what_is_not_watched_is_left() {
    let mut kept = Kept::start(Kind::Puma, "");
    kept.told(&["unmonitor"]);
    assert!(lives_on(&mut kept));
}

/// With a request that runs for longer than anybody waits.
#[test]
fn a_second_signal_kills_it_at_once_and_nothing_is_left() {
    for kind in [Kind::Puma, Kind::PumaCluster { preload: false }, Kind::Unicorn] {
        let mut kept = Kept::start(kind, "");
        let all = kept.processes();
        let mut client = Client::connect(kept.vestibule.address()).expect("a connection");
        client.send("GET /sleep?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        until_true("it runs", seconds(30), || kept.status()["in_flight"] == 1);
        kept.vestibule.signal(Signal::TERM);
        until_true("it drains", seconds(30), || kept.vestibule.stderr().contains("draining"));
        let began = Instant::now();
        kept.vestibule.signal(Signal::TERM);
        // The second cuts the requests; the application, which still runs one, is asked to stop.
        until_true("the request is cut", seconds(30), || kept.vestibule.stderr().contains("requests_cut"));
        kept.vestibule.signal(Signal::TERM);
        kept.vestibule.exit(seconds(30));
        assert!(began.elapsed() < seconds(10), "{:?}", began.elapsed());
        until_true("nothing is left", seconds(30), || {
            all.iter().all(|pid| !process::alive(*pid)) && kept.processes().is_empty()
        });
    }
}

#[test]
fn a_request_in_flight_ends_before_its_application_does() {
    let mut kept = Kept::start(Kind::Puma, "");
    let address = kept.vestibule.address();
    let client = std::thread::spawn(move || get(address, "/sleep?ms=2000&token=finished"));
    until_true("it runs", seconds(30), || kept.status()["in_flight"] == 1);
    assert!(!lives_on_busy(&mut kept));
    assert_eq!(client.join().expect("a client").text(), "finished");
}

fn lives_on_busy(kept: &mut Kept) -> bool {
    let all = kept.processes();
    kept.vestibule.signal(Signal::TERM);
    assert!(kept.vestibule.exit(seconds(30)).success(), "{}", kept.vestibule.stderr());
    all.iter().any(|pid| process::alive(*pid))
}
