//! Killed servers: nothing is lost but what the application had read and may not be repeated, and no POST runs twice.

use std::time::Duration;

use crate::restart::under_load;
use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::load::{Load, Report};
use crate::support::turn;
use crate::support::vestibule::{Vestibule, config_for_a_load};
use crate::support::wait::{seconds, until_true};

/// Kills in a row, each under load.
const KILLS: usize = 3;

fn loses_only_what_was_read(kind: Kind, restart: impl FnMut(&mut App)) {
    let _turn = turn::heavy();
    let outcome = under_load(kind, KILLS, restart);
    outcome.report.assert_only_read_posts_failed(&outcome.app.ledger(), KILLS * read_at_once(kind));
}

/// Requests that the server may have read without having answered: it runs some, and two of the four read ahead
/// from every connection that they have accepted (Thin in its event loop, Passenger in its core).
fn read_at_once(kind: Kind) -> usize {
    match kind {
        Kind::Thin | Kind::Passenger => 16,
        _ => kind.at_once(),
    }
}

#[test]
fn loses_only_read_posts_when_puma_is_killed() {
    loses_only_what_was_read(Kind::Puma, App::kill_and_start);
}

#[test]
fn loses_only_read_posts_when_a_puma_cluster_is_killed() {
    loses_only_what_was_read(Kind::PumaCluster { preload: true }, App::kill_and_start);
}

#[test]
fn loses_only_read_posts_when_unicorn_is_killed() {
    loses_only_what_was_read(Kind::Unicorn, App::kill_and_start);
}

#[test]
fn loses_only_read_posts_when_thin_is_killed() {
    loses_only_what_was_read(Kind::Thin, App::kill_and_start);
}

#[test]
fn loses_only_read_posts_when_passenger_is_killed() {
    loses_only_what_was_read(Kind::Passenger, App::kill_and_start);
}

/// `thin restart` cuts what runs.
#[test]
fn loses_only_read_posts_over_thin_restart() {
    loses_only_what_was_read(Kind::Thin, App::restart_thin);
}

/// Kills the application so often under `load`, each time at any moment, and gives what came of the load.
fn killed_at_random(app: &mut App, load: Load, kills: usize) -> Report {
    for _ in 0..kills {
        load.wait_for(20);
        load.wait_until_caught_up();
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..50_000)));
        app.kill9();
        app.run();
    }
    app.wait_until_answers();
    load.stop()
}

/// `make test-kills` sets VESTIBULE_KILLS to 1000.
#[test]
fn executes_no_post_twice_over_random_kills() {
    let _turn = turn::heavy();
    let kills: usize = std::env::var("VESTIBULE_KILLS")
        .map_or(20, |count| count.parse().expect("VESTIBULE_KILLS is a number"));
    let kinds = [Kind::Puma, Kind::PumaCluster { preload: true }, Kind::Unicorn, Kind::Thin, Kind::Passenger];
    let mut failed = 0;
    for (index, kind) in kinds.into_iter().enumerate() {
        let dir = Dir::new();
        let mut app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config_for_a_load(&dir));
        let load = Load::start(vestibule.address(), 100);
        let share = kills / kinds.len() + usize::from(index < kills % kinds.len());
        let report = killed_at_random(&mut app, load, share);
        println!("{share} kills of {kind:?}: {}", report.summary());
        failed += report.assert_only_read_requests_failed(&app.ledger(), share * read_at_once(kind));
    }
    println!("{kills} kills: no POST was executed twice, {failed} were read and lost");
}

/// Longer than memory, what the kernel takes, and what a server reads at once.
const LONG_BODY: usize = 300_000;

#[test]
fn executes_no_post_twice_whose_body_is_on_disk() {
    let _turn = turn::heavy();
    for kind in [Kind::Puma, Kind::PumaCluster { preload: true }, Kind::Unicorn, Kind::Thin, Kind::Passenger]
    {
        let dir = Dir::new();
        let mut app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config_for_a_load(&dir));
        let load = Load::with_bodies(vestibule.address(), 60, LONG_BODY);
        let report = killed_at_random(&mut app, load, KILLS_WITH_BODIES);
        println!("{KILLS_WITH_BODIES} kills of {kind:?}: {}", report.summary());
        report.assert_only_read_requests_failed(&app.ledger(), KILLS_WITH_BODIES * 16);
    }
}

/// Kills of each server while it is sent long bodies.
const KILLS_WITH_BODIES: usize = 5;

#[test]
fn executes_no_post_twice_when_another_kind_of_server_has_taken_the_socket() {
    let (dir, other) = (Dir::new(), Dir::new());
    let mut unicorn = App::start(Kind::Unicorn, &dir);
    let vestibule = Vestibule::start(&dir, &config_for_a_load(&dir));
    let address = vestibule.address();
    let found = |server: &str| {
        until_true("the server is recognised", seconds(20), || {
            vestibule.events().iter().any(|event| event["server"] == server)
        });
    };
    found("Unicorn");
    let posting = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("a connection");
        let head = "POST /begun?ms=20000 HTTP/1.1\r\nHost: a\r\nX-Post-Id: only-once\r\n";
        client.send(format!("{head}Content-Length: {LONG_BODY}\r\n\r\n")).expect("sent");
        client.send(vec![b'x'; LONG_BODY]).expect("sent");
        client.response().expect("an answer").status
    });
    until_true("Unicorn runs it, and has not read its body", seconds(20), || {
        unicorn.ledger().executions().contains_key("only-once")
    });
    // A deploy that changes the server: Puma, which reads a body before it runs the application, takes the socket over.
    let puma = App::start(Kind::Puma, &other);
    std::fs::rename(other.socket(), dir.socket()).expect("the socket is moved");
    found("Puma");
    unicorn.kill9();
    assert_eq!(posting.join().expect("a thread"), 502);
    assert!(puma.ledger().executions().is_empty(), "Unicorn had run it");
}
