//! Restarts of real servers under the load of a client of HTTP/2 over TLS, whose requests share a few connections: nothing fails,
//! and every POST is executed exactly once.

use rustls::ProtocolVersion;

use crate::support::app::{App, Kind};
use crate::support::certificates;
use crate::support::dir::Dir;
use crate::support::load::Load;
use crate::support::process::Signal;
use crate::support::tls::{Speaker, certified, with_tls};
use crate::support::turn;
use crate::support::vestibule::{Vestibule, config_for_a_load};

/// Requests per second.
const RATE: u32 = 200;
/// Good answers wanted between two restarts, so that each one meets running traffic.
const BETWEEN: usize = 60;

/// Restarts in a row; `VESTIBULE_RESTARTS` says how many (`make test-slow`: 20).
fn restarts() -> usize {
    std::env::var("VESTIBULE_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Restarts it again and again; `restart` is told the number of each, from 0.
fn loses_nothing(kind: Kind, mut restart: impl FnMut(&mut App, usize)) {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let authority = certified(&dir, certificates::Kind::Ecdsa);
    let mut app = App::start(kind, &dir);
    let vestibule = Vestibule::start(&dir, &with_tls(&dir, &config_for_a_load(&dir), ""));
    let speaker = Speaker::new(&authority).version(ProtocolVersion::TLSv1_3).protocols(&["h2"]);
    // It runs one request at a time: with those of 5 ms it would never catch up.
    let takes = if kind == Kind::Thin { 2 } else { 5 };
    let load = Load::over_http_2(vestibule.address(), RATE, takes, speaker.settings());
    for number in 0..restarts() {
        load.wait_for(BETWEEN);
        load.wait_until_caught_up();
        restart(&mut app, number);
    }
    load.wait_for(BETWEEN);
    let report = load.stop();
    println!("{kind:?} over HTTP/2 and TLS: {}", report.summary());
    report.assert_nothing_failed(&app.ledger());
    let log = vestibule.access_log();
    let others = log.iter().filter(|line| line["protocol"] != "HTTP/2.0").count();
    assert!(!log.is_empty() && others == 0, "{others} of {} lines", log.len());
}

#[test]
fn loses_nothing_over_usr2_and_stop_and_start_of_puma() {
    loses_nothing(Kind::Puma, |app, number| match number % 2 {
        0 => app.restart_puma(Signal::USR2),
        _ => app.stop_and_start(),
    });
}

#[test]
fn loses_nothing_over_a_phased_restart_and_stop_and_start_of_a_puma_cluster() {
    loses_nothing(Kind::PumaCluster { preload: false }, |app, number| match number % 2 {
        0 => app.restart_puma(Signal::USR1),
        _ => app.stop_and_start(),
    });
}

#[test]
fn loses_nothing_over_usr2_and_stop_and_start_of_unicorn() {
    loses_nothing(Kind::Unicorn, |app, number| match number % 2 {
        0 => app.restart_unicorn(),
        _ => app.stop_and_start(),
    });
}

#[test]
fn loses_nothing_over_stop_and_start_of_thin() {
    loses_nothing(Kind::Thin, |app, _| app.stop_and_start());
}

#[test]
fn loses_nothing_over_restart_app_of_passenger() {
    loses_nothing(Kind::Passenger, |app, _| app.restart_passenger_app());
}
