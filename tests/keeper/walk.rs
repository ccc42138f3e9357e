//! A random walk: commands of operators and faults, several at once, against a model of what the keeper promises.
//!
//! A walk is a list of turns, made from a seed. In each turn some commands are given and some faults happen, without waiting for
//! one before the next; then the keeper comes to rest, and everything is compared with the model: its status, the
//! processes, the files, the traffic, and the outcome of each command. A walk that ends in a wrong state is shortened, and
//! told with its seed: `VESTIBULE_WALK_SEED` walks it again, `VESTIBULE_WALK_STEPS` makes it longer or shorter.

mod model;
pub(super) mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::support::app::Kind;
use crate::support::turn;
use crate::support::wait::seconds;

use model::Model;
use world::Ground;

/// What an operator, or fate, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A command, and whether somebody waits for its end.
    Give(Verb, bool),
    /// SIGKILL to the application's first process.
    Kill,
    /// SIGSTOP to it, and so many milliseconds later SIGCONT.
    Freeze(u64),
    /// SIGSTOP to it until the end of the turn.
    FreezeOn,
    RemovePidFile,
    RemoveSocket,
    /// The PID file names a process that is somebody else's.
    ForeignPid,
    /// SIGKILL to Vestibule, and then another.
    KillVestibule,
    /// From now on the release does not boot.
    Break,
    /// From now on it does again.
    Mend,
    /// So many milliseconds in which nothing happens.
    Wait(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Monitor,
    Unmonitor,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Monitor => "monitor",
            Verb::Unmonitor => "unmonitor",
        }
    }
}

type Turn = Vec<Step>;

/// A walk of this many steps; pauses do not count.
fn story(rng: &mut Rng, steps: usize) -> Vec<Turn> {
    let (mut turns, mut count, mut is_broken) = (Vec::new(), 0, false);
    while count < steps {
        let mut turn = Turn::new();
        if is_broken && rng.u8(..10) < 6 {
            turn.push(Step::Mend);
        }
        for number in 0..rng.usize(1..=5) {
            if number > 0 && rng.bool() {
                turn.push(Step::Wait(rng.u64(1..150)));
            }
            turn.push(step(rng));
        }
        for step in &turn {
            match step {
                Step::Break => is_broken = true,
                Step::Mend => is_broken = false,
                _ => {}
            }
        }
        count += turn.iter().filter(|step| !matches!(step, Step::Wait(_))).count();
        turns.push(turn);
    }
    turns
}

fn step(rng: &mut Rng) -> Step {
    let waits = rng.u8(..4) > 0;
    match rng.u8(..100) {
        0..=14 => Step::Give(Verb::Start, waits),
        15..=28 => Step::Give(Verb::Stop, waits),
        29..=48 => Step::Give(Verb::Restart, waits),
        49..=56 => Step::Give(Verb::Monitor, waits),
        57..=63 => Step::Give(Verb::Unmonitor, waits),
        64..=71 => Step::Kill,
        72..=77 => Step::Freeze(rng.u64(1..300)),
        78..=79 => Step::FreezeOn,
        80..=84 => Step::RemovePidFile,
        85..=86 => Step::RemoveSocket,
        87..=91 => Step::ForeignPid,
        92..=95 => Step::KillVestibule,
        96..=97 => Step::Break,
        _ => Step::Mend,
    }
}

/// Walks it; what was wrong, and in which turn.
fn walk(ground: Ground, story: &[Turn]) -> Result<(), (usize, String)> {
    let mut number = 0;
    let walked = catch_unwind(AssertUnwindSafe(|| {
        let mut model = Model::new(ground);
        for turn in story {
            model.take(turn);
            number += 1;
        }
        model.end();
    }));
    walked.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        (number, words.unwrap_or_default())
    })
}

/// Leaves out halves, quarters, … of a walk, as long as what is left goes wrong, too.
fn shorten(ground: Ground, mut story: Vec<Turn>, limit: Duration) -> Vec<Turn> {
    let start = Instant::now();
    let mut size = story.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < story.len() {
            if start.elapsed() > limit {
                return story;
            }
            let mut shorter = story.clone();
            shorter.drain(at..(at + size).min(story.len()));
            match walk(ground, &shorter) {
                Err((number, _)) => {
                    shorter.truncate(number + 1);
                    story = shorter;
                }
                Ok(()) => at += size,
            }
        }
        size /= 2;
    }
    story
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn ends_in_no_wrong_state(ground: Ground, steps: usize) {
    let _turn = turn::heavy();
    let seed = number("VESTIBULE_WALK_SEED").unwrap_or_else(|| fastrand::u64(..));
    let steps =
        number("VESTIBULE_WALK_STEPS").map_or(steps, |steps| usize::try_from(steps).expect("a number"));
    let mut story = story(&mut Rng::with_seed(seed), steps);
    println!("{ground:?}: VESTIBULE_WALK_SEED={seed}, {steps} steps in {} turns", story.len());
    let began = Instant::now();
    let Err((number, wrong)) = walk(ground, &story) else {
        println!("{ground:?}: walked in {:.1} s", began.elapsed().as_secs_f32());
        return;
    };
    story.truncate(number + 1);
    let limit = self::number("VESTIBULE_WALK_SHORTEN").map_or(seconds(60), seconds);
    let story = shorten(ground, story, limit);
    panic!(
        "VESTIBULE_WALK_SEED={seed} VESTIBULE_WALK_STEPS={steps}: turn {number}: {wrong}\nshortened to {story:#?}"
    );
}

#[test]
fn with_an_application_of_our_own_ends_in_no_wrong_state() {
    ends_in_no_wrong_state(Ground::StopStart, 500);
}

#[test]
fn with_two_that_replace_each_other_ends_in_no_wrong_state() {
    ends_in_no_wrong_state(Ground::Replace, 60);
}

#[test]
fn with_puma_ends_in_no_wrong_state() {
    ends_in_no_wrong_state(Ground::Real(Kind::Puma), 40);
}

#[test]
fn with_unicorn_ends_in_no_wrong_state() {
    ends_in_no_wrong_state(Ground::Real(Kind::Unicorn), 40);
}
