use proptest::prelude::*;
use vestibule_config::Times;

use super::*;

const MB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn memory(bad: u32, of: u32) -> Memory {
    Memory::new(&MemoryCheck { above: 1024 * MB, every: 10 * SECOND, times: Times { bad, of } })
}

/// What was seen of an application whose memory is `bytes(seconds)`.
#[derive(Debug, Default)]
struct Seen {
    glances: u32,
    readings: u32,
    /// Seconds and bytes at the first verdict.
    verdict: Option<(f64, u64)>,
}

fn watch(mut memory: Memory, seconds: u64, bytes: impl Fn(f64) -> u64) -> Seen {
    let start = Instant::now();
    let (mut now, mut seen) = (start, Seen::default());
    while now < start + SECOND * u32::try_from(seconds).unwrap() {
        let at = (now - start).as_secs_f64();
        let bytes = bytes(at);
        seen.glances += 1;
        // Half as much again is shared, and counted twice in RSS.
        let resident = bytes + 300 * MB;
        if memory.glance(now, resident) == Glance::ReadAll {
            seen.readings += 1;
            let reading = Reading { bytes, resident, took: Duration::from_millis(20) };
            if memory.sample(now, reading) == Verdict::Above {
                seen.verdict = Some((at, bytes));
                break;
            }
        }
        let next = memory.next(now);
        assert!(next >= LEAST && next <= 10 * SECOND, "{next:?}");
        now += next;
    }
    seen
}

fn leak(from: u64, per_second: u64) -> impl Fn(f64) -> u64 {
    move |at| from * MB + ((per_second * MB) as f64 * at) as u64
}

#[test]
fn a_small_application_costs_a_reading_every_so_often() {
    let seen = watch(memory(3, 5), 3600, leak(100, 0));
    assert!(seen.verdict.is_none());
    assert!((360..=361).contains(&seen.readings), "{seen:?}");
    assert!(seen.glances < 3600, "{seen:?}");
}

#[test]
fn one_that_is_calm_below_its_bound_is_not_read_more_often() {
    let seen = watch(memory(3, 5), 600, leak(1020, 0));
    assert!(seen.verdict.is_none());
    assert!((60..=61).contains(&seen.readings), "{seen:?}");
}

#[test]
fn exactly_the_bound_is_not_above() {
    assert!(watch(memory(1, 1), 100, leak(1024, 0)).verdict.is_none());
}

#[test]
fn one_that_jumped_has_the_time_that_was_configured() {
    let jump = |at: f64| if at < 33.0 { 200 * MB } else { 1100 * MB };
    let (at, _) = watch(memory(3, 5), 200, jump).verdict.expect("it is above");
    assert!((50.0..=70.0).contains(&at), "{at}");
}

#[test]
fn a_peak_shorter_than_three_samples_is_forgiven() {
    let peak = |at: f64| if (35.0..50.0).contains(&at) { 1100 * MB } else { 200 * MB };
    assert!(watch(memory(3, 5), 600, peak).verdict.is_none());
}

#[test]
fn a_slow_leak_is_judged_at_its_bound() {
    let (at, bytes) = watch(memory(1, 1), 3600, leak(200, 1)).verdict.expect("it leaks");
    assert!((1024 * MB..1050 * MB).contains(&bytes), "{} MB at {at} s", bytes / MB);
}

#[test]
fn a_fast_leak_is_judged_in_time_though_it_takes_three_samples() {
    for bad in [1, 3] {
        let (_, bytes) = watch(memory(bad, 5), 60, leak(100, 200)).verdict.expect("it leaks");
        // It leaks on for the time that a reaction takes.
        assert!((800 * MB..=1024 * MB).contains(&bytes), "{} MB with {bad} of 5", bytes / MB);
    }
}

#[test]
fn a_leak_that_begins_at_any_moment_is_seen_in_time() {
    for begin in 0..200 {
        let begin = 100.0 + f64::from(begin) * 0.05;
        let leak = |at: f64| 700 * MB + ((200 * MB) as f64 * (at - begin).max(0.0)) as u64;
        let (_, bytes) = watch(memory(3, 5), 200, leak).verdict.expect("it leaks");
        assert!(bytes < 1100 * MB, "{} MB, begun at {begin}", bytes / MB);
    }
}

#[test]
fn a_long_reaction_is_learnt_and_reckoned_with() {
    let before = watch(memory(1, 1), 60, leak(100, 100)).verdict.expect("it leaks").1;
    let mut slow = memory(1, 1);
    slow.reacted(2 * SECOND);
    let after = watch(slow, 60, leak(100, 100)).verdict.expect("it leaks").1;
    assert!(after + 100 * MB < before, "{} MB, then {} MB", before / MB, after / MB);
}

#[test]
fn what_is_shared_does_not_count_twice() {
    let (mut memory, now) = (memory(1, 1), Instant::now());
    assert_eq!(memory.glance(now, 1500 * MB), Glance::ReadAll);
    let reading = Reading { bytes: 900 * MB, resident: 1500 * MB, took: Duration::ZERO };
    assert_eq!(memory.sample(now, reading), Verdict::Fine);
    assert_eq!(memory.bytes(), Some(900 * MB));
    assert_eq!(memory.glance(now + SECOND, 1510 * MB), Glance::Enough);
    assert_eq!(memory.bytes(), Some(910 * MB));
    // A worker is born, which shares 300 MB: that looks like growth, and is read before it is believed.
    let later = now + 2 * SECOND;
    assert_eq!(memory.glance(later, 1820 * MB), Glance::ReadAll);
    let reading = Reading { bytes: 920 * MB, resident: 1820 * MB, took: Duration::ZERO };
    assert_eq!(memory.sample(later, reading), Verdict::Fine);
    assert_eq!(memory.bytes(), Some(920 * MB));
    assert_eq!(memory.excess(104 * MB), 0, "the birth is no growth");
}

#[test]
fn reading_takes_no_more_than_its_share_of_the_time() {
    let (mut memory, start) = (memory(1, 1), Instant::now());
    let took = Duration::from_millis(300);
    let (mut now, mut readings) = (start, 0);
    // RSS says above, PSS says below, again and again.
    for turn in 0..1000 {
        let resident = if turn % 2 == 0 { 500 * MB } else { 3000 * MB };
        if memory.glance(now, resident) == Glance::ReadAll {
            readings += 1;
            memory.sample(now, Reading { bytes: 500 * MB, resident: 500 * MB, took });
        }
        now += LEAST;
    }
    assert!(readings > 1 && took * readings <= (now - start) / 9, "{readings} readings");
}

#[test]
fn says_how_far_above_it_is_with_a_worker_more() {
    let (mut memory, now) = (memory(1, 1), Instant::now());
    assert_eq!(memory.excess(u64::MAX / 2), 0, "nothing is known");
    memory.sample(now, Reading { bytes: 1000 * MB, resident: 1000 * MB, took: Duration::ZERO });
    assert_eq!(memory.excess(0), 0);
    assert_eq!(memory.excess(124 * MB), 100 * MB);
}

#[test]
fn another_life_begins_without_a_past() {
    let (mut memory, now) = (memory(1, 1), Instant::now());
    memory.sample(now, Reading { bytes: 900 * MB, resident: 900 * MB, took: Duration::ZERO });
    memory.forget();
    assert_eq!((memory.next(now), memory.bytes()), (Duration::ZERO, None));
    assert_eq!(memory.glance(now + SECOND / 10, 1000 * MB), Glance::ReadAll);
}

proptest! {
    #[test]
    fn whatever_stays_below_is_fine(sizes in prop::collection::vec(0u64..=600, 1..50), bad in 1u32..5) {
        // Noise below the bound by more than the most that is ever reckoned with.
        let bytes = |at: f64| sizes[at as usize % sizes.len()] * MB;
        prop_assert!(watch(memory(bad, 5), 300, bytes).verdict.is_none());
    }

    #[test]
    fn every_leak_is_found_before_it_is_an_eighth_above(
        from in 50u64..900, per_second in 1u64..=200, bad in 1u32..=3,
    ) {
        let seen = watch(memory(bad, 5), 2000, leak(from, per_second));
        let (at, bytes) = seen.verdict.expect("it leaks");
        prop_assert!(bytes <= 1024 * MB / 8 * 9, "{} MB at {} s", bytes / MB, at);
        prop_assert!(bytes >= 1024 * MB / 4 * 3, "{} MB at {} s", bytes / MB, at);
    }
}
