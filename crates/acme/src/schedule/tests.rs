use proptest::prelude::*;

use super::*;
use crate::attempts::{Advice, DAY, Reached};

const NOW: Seconds = 2_000_000_000;
const YEAR: Seconds = 365 * DAY;

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|&name| name.to_owned()).collect()
}

struct Case {
    attempts: Attempts,
    names: Vec<String>,
    held: Option<Held>,
    has_account: bool,
    jitter: u16,
}

impl Case {
    fn new() -> Self {
        Case { attempts: Attempts::default(), names: names(&["a"]), held: None, has_account: true, jitter: 0 }
    }

    fn at(&self, now: Seconds) -> Decision {
        decide(&Situation {
            now,
            held: self.held,
            attempts: &self.attempts,
            certificate: "a",
            names: &self.names,
            has_account: self.has_account,
            pace: Pace::default(),
            jitter: self.jitter,
        })
    }

    /// An attempt at `now` that comes so far.
    fn attempt(&mut self, now: Seconds, reached: Reached) {
        self.attempts.begin(now, "a", &self.names);
        self.attempts.reach(now, "a", reached);
    }

    fn held(days: Seconds) -> Held {
        Held { not_before: NOW, not_after: NOW + days * DAY, window: None }
    }
}

fn wait(until: Seconds, why: Why) -> Decision {
    Decision::Wait { until, why }
}

#[test]
fn without_a_certificate_it_tries_at_once() {
    assert_eq!(Case::new().at(NOW), Decision::Try);
}

#[test]
fn renews_when_a_third_of_the_life_is_left() {
    let mut case = Case::new();
    case.held = Some(Case::held(90));
    let due = NOW + 60 * DAY;
    assert_eq!(case.at(NOW), wait(due, Why::Good));
    assert_eq!(case.at(due - 1), wait(due, Why::Good));
    assert_eq!(case.at(due), Decision::Try);
    case.jitter = 1000;
    let later = due + 90 * DAY / 50;
    assert_eq!(case.at(due), wait(later, Why::Good), "not all at the same moment");
    assert_eq!(case.at(later), Decision::Try);
}

#[test]
fn renews_within_the_window_of_the_authority() {
    let mut case = Case::new();
    let (opens, closes) = (NOW + 10 * DAY, NOW + 12 * DAY);
    case.held = Some(Held { window: Some((opens, closes)), ..Case::held(90) });
    for (jitter, due) in [(0, opens), (500, NOW + 11 * DAY), (1000, closes)] {
        case.jitter = jitter;
        assert_eq!(case.at(NOW), wait(due, Why::Good));
        assert_eq!(case.at(due), Decision::Try);
    }
    case.held = Some(Held { window: Some((NOW - 2 * DAY, NOW - DAY)), ..Case::held(90) });
    assert_eq!(case.at(NOW), Decision::Try, "it was revoked: at once");
}

#[test]
fn a_window_that_makes_no_sense_lets_no_certificate_expire() {
    let mut case = Case::new();
    let latest = NOW + 75 * DAY;
    case.held = Some(Held { window: Some((NOW + YEAR, NOW + 2 * YEAR)), ..Case::held(90) });
    assert_eq!(case.at(NOW), wait(latest, Why::Good));
    case.held = Some(Held { window: Some((NOW + 20 * DAY, NOW + 10 * DAY)), ..Case::held(90) });
    assert_eq!(case.at(NOW), wait(NOW + 60 * DAY, Why::Good), "closed before it opens");
}

#[test]
fn pauses_double_from_a_minute_to_six_hours() {
    let mut case = Case::new();
    let mut now = NOW;
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360].map(|minutes| minutes * 60) {
        assert_eq!(case.at(now), Decision::Try);
        case.attempt(now, Reached::Begun);
        assert_eq!(case.at(now), wait(now + pause, Why::Failed));
        case.jitter = 1000;
        assert_eq!(case.at(now), wait(now + pause + pause / 5, Why::Failed));
        case.jitter = 0;
        now += pause;
    }
    case.attempt(now, Reached::Issued(90 * DAY));
    assert_eq!(case.at(now), Decision::Try, "a success ends it");
}

#[test]
fn never_comes_back_sooner_than_told() {
    let mut case = Case::new();
    case.attempt(NOW, Reached::Ordered);
    case.attempts.wait(Some("a"), NOW + DAY);
    assert_eq!(case.at(NOW), wait(NOW + DAY, Why::Told));
    case.attempts.wait(Some("a"), NOW + HOUR);
    assert_eq!(case.at(NOW), wait(NOW + DAY, Why::Told), "the later counts");
    case.attempts.wait(None, NOW + 2 * DAY);
    assert_eq!(case.at(NOW + DAY), wait(NOW + 2 * DAY, Why::Told));
    assert_eq!(case.at(NOW + 2 * DAY), Decision::Try);
}

#[test]
fn four_failed_validations_of_a_name_are_enough_for_an_hour() {
    let mut case = Case::new();
    // Others for the same name, that know nothing of our pauses.
    for minute in 0..4 {
        case.attempts.begin(NOW + 60 * minute, "other", &names(&["b", "a"]));
        case.attempts.reach(NOW + 60 * minute, "other", Reached::Validating);
    }
    assert_eq!(case.at(NOW + 300), wait(NOW + HOUR, Why::Validations));
    assert_eq!(case.at(NOW + HOUR), Decision::Try);
    case.names = names(&["c"]);
    assert_eq!(case.at(NOW + 300), Decision::Try, "another name");
}

#[test]
fn four_certificates_for_the_same_names_are_enough_for_a_week() {
    let mut case = Case::new();
    case.names = names(&["a", "b"]);
    for hour in 0..4 {
        let reached = if hour == 3 { Reached::Finalizing } else { Reached::Issued(90 * DAY) };
        case.attempt(NOW + hour * HOUR, reached);
    }
    assert_eq!(case.at(NOW + DAY), wait(NOW + 7 * DAY, Why::Duplicates));
    assert_eq!(case.at(NOW + 7 * DAY), Decision::Try);
    case.names = names(&["a"]);
    assert_eq!(case.at(NOW + DAY), Decision::Try, "other names");
}

#[test]
fn an_authority_of_short_lives_is_asked_as_often_as_they_need() {
    let mut case = Case::new();
    let mut now = NOW;
    for _ in 0..50 {
        assert_eq!(case.at(now), Decision::Try);
        case.attempt(now, Reached::Issued(DAY));
        case.held = Some(Held { not_before: now, not_after: now + DAY, window: None });
        now += DAY * 2 / 3;
    }
}

#[test]
fn accounts_and_orders_have_their_bounds() {
    let mut case = Case::new();
    case.has_account = false;
    for minute in 0..3 {
        case.attempts.ask_for_account(NOW + minute * 60);
    }
    assert_eq!(case.at(NOW + HOUR), wait(NOW + 3 * HOUR, Why::Accounts));
    case.has_account = true;
    assert_eq!(case.at(NOW + HOUR), Decision::Try);
    for number in 0..100 {
        let name = format!("n{number}");
        case.attempts.begin(NOW, &name, std::slice::from_ref(&name));
        case.attempts.reach(NOW, &name, Reached::Ordered);
    }
    assert_eq!(case.at(NOW + HOUR), wait(NOW + 3 * HOUR, Why::Orders));
}

#[test]
fn a_clock_that_was_wrong_holds_nothing_up_forever() {
    let mut case = Case::new();
    for _ in 0..4 {
        case.attempt(NOW + 10 * YEAR, Reached::Issued(90 * DAY));
    }
    case.attempts.wait(None, NOW + 10 * YEAR);
    case.attempts.ask_for_account(NOW + 10 * YEAR);
    assert!(case.attempts.tidy(NOW));
    assert!(!case.attempts.tidy(NOW), "once");
    let in_time = NOW + 32 * DAY;
    case.attempts.tidy(in_time);
    assert_eq!(case.at(in_time), Decision::Try);
}

/// One thing that happens to Vestibule, at some distance from the one before.
#[derive(Debug, Clone)]
enum Event {
    Pass(Seconds),
    /// As the schedule allows it, for one of the certificates, and it ends there: by an error, or because we are killed.
    Attempt {
        which: usize,
        reached: Reached,
        told: Option<Seconds>,
    },
    /// The certificate is lost with its file; the record is not.
    Lose(usize),
    /// The account too.
    LoseAccount,
}

fn event() -> impl Strategy<Value = Event> {
    let reached = prop_oneof![
        1 => Just(Reached::Begun),
        1 => Just(Reached::Ordered),
        3 => Just(Reached::Validating),
        1 => Just(Reached::Finalizing),
        // From Let's Encrypt's shortest to its longest.
        2 => (160 * HOUR..100 * DAY).prop_map(Reached::Issued),
    ];
    prop_oneof![
        4 => prop_oneof![0..120_u64, 0..4000_u64, 0..DAY].prop_map(Event::Pass),
        12 => (0..3_usize, reached, proptest::option::weighted(0.1, 0..DAY))
            .prop_map(|(which, reached, told)| Event::Attempt { which, reached, told }),
        2 => (0..3_usize).prop_map(Event::Lose),
        1 => Just(Event::LoseAccount),
    ]
}

/// How many of `times` lie within `window` of each other at the most.
fn most_within(times: &[Seconds], window: Seconds) -> usize {
    let count = |from: &Seconds| times.iter().filter(|at| **at >= *from && **at < from + window).count();
    times.iter().map(count).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever fails, whenever we are killed, and how often we are started again: what the authority counts stays below
    /// Let's Encrypt's limits. What it counts is kept here, apart from the record.
    #[test]
    fn no_course_of_events_reaches_the_limits_of_the_authority(events in proptest::collection::vec(event(), 1..400)) {
        // The second kind of key has the same names, and the third has one of them.
        let certificates = [("a-ecdsa", names(&["a", "b"])), ("a-rsa", names(&["a", "b"])), ("b", names(&["b"]))];
        let mut held: [Option<Held>; 3] = [None; 3];
        let mut attempts = Attempts::default();
        let mut has_account = false;
        let mut now = NOW;
        let (mut failed_a, mut failed_b, mut orders, mut accounts) = (vec![], vec![], vec![], vec![]);
        let mut issued: [Vec<Seconds>; 2] = [vec![], vec![]];
        let mut told = 0;
        for event in events {
            // The record is all that a restart leaves.
            let text = serde_json::to_string(&attempts).unwrap();
            attempts = serde_json::from_str(&text).unwrap();
            attempts.tidy(now);
            match event {
                Event::Pass(seconds) => now += seconds,
                Event::Lose(which) => held[which] = None,
                Event::LoseAccount => has_account = false,
                Event::Attempt { which, reached, told: tells } => {
                    let (certificate, names) = &certificates[which];
                    let held_now = held[which];
                    let asked = |now, attempts: &Attempts| {
                        decide(&Situation {
                            now, held: held_now, attempts, certificate, names, has_account, pace: Pace::default(),
                            jitter: 0,
                        })
                    };
                    if let Decision::Wait { until, .. } = asked(now, &attempts) {
                        prop_assert!(until > now, "a wait that is over");
                        // To the very moment at which it may: that is where a bound breaks, if it does.
                        now = now.max(until);
                        attempts.tidy(now);
                        if asked(now, &attempts) != Decision::Try { continue; }
                    }
                    prop_assert!(now >= told, "sooner than told");
                    attempts.begin(now, certificate, names);
                    if !has_account {
                        attempts.ask_for_account(now);
                        accounts.push(now);
                        has_account = reached != Reached::Begun;
                    }
                    attempts.reach(now, certificate, reached);
                    if reached >= Reached::Ordered { orders.push(now); }
                    match reached {
                        Reached::Validating => {
                            failed_b.push(now);
                            if which < 2 { failed_a.push(now); }
                            attempts.challenge_failed(certificate);
                        }
                        Reached::Finalizing => issued[which / 2].push(now),
                        Reached::Issued(life) => {
                            issued[which / 2].push(now);
                            held[which] = Some(Held { not_before: now, not_after: now + life, window: None });
                        }
                        _ => {}
                    }
                    if let Some(tells) = tells {
                        attempts.wait(None, now + tells);
                        told = told.max(now + tells);
                    }
                }
            }
        }
        for failed in [failed_a, failed_b] {
            prop_assert!(most_within(&failed, HOUR) <= 5, "failed validations: {failed:?}");
        }
        for issued in issued {
            prop_assert!(most_within(&issued, 7 * DAY) <= 5, "duplicates: {issued:?}");
        }
        prop_assert!(most_within(&orders, 3 * HOUR) <= 300);
        prop_assert!(most_within(&accounts, 3 * HOUR) <= 10, "accounts: {accounts:?}");
    }

    /// Nothing in a record, however it came there, makes it fail; and who waits as told may try then.
    #[test]
    fn any_record_leads_to_a_try(
        now in 0..=Seconds::MAX / 2,
        times in proptest::collection::vec((any::<Seconds>(), any::<Seconds>()), 0..20),
        not_before in any::<Seconds>(),
        not_after in any::<Seconds>(),
        window in proptest::option::of((any::<Seconds>(), any::<Seconds>())),
        jitter in any::<u16>(),
    ) {
        let names = names(&["a"]);
        let mut attempts = Attempts::default();
        for (at, life) in times {
            attempts.begin(at, "a", &names);
            attempts.reach(at, "a", if life % 2 == 0 { Reached::Issued(life) } else { Reached::Validating });
            attempts.wait(Some("a"), life);
            attempts.ask_for_account(at);
            attempts.advise("a", Advice { certificate: "a".to_owned(), window, ask_again: life });
        }
        attempts.tidy(now);
        let held = Some(Held { not_before, not_after, window });
        let mut situation = Situation {
            now, held: None, attempts: &attempts, certificate: "a", names: &names, has_account: false,
            pace: Pace::default(), jitter,
        };
        if let Decision::Wait { until, .. } = decide(&situation) {
            prop_assert!(until > now && until <= now.saturating_add(32 * DAY));
            situation.now = until;
            prop_assert_eq!(decide(&situation), Decision::Try);
        }
        situation.held = held;
        if let Decision::Wait { why: Why::Good, until } = decide(&situation) {
            prop_assert!(until <= not_after, "later than it lasts");
        }
    }
}
