//! Who is chosen, and how often.

use std::collections::HashMap;
use std::time::Duration;

use vestibule_config::{Balance, UpstreamAddress};

use super::*;
use crate::member::{Common, Manner, Place};
use crate::upstream::Upstream;

fn upstream() -> Common {
    let member =
        |port: u16| vestibule_config::Member::at(UpstreamAddress::Tcp(([127, 0, 0, 1], port).into()));
    let config = vestibule_config::Upstream {
        members: vec![member(1), member(2)],
        ..vestibule_config::Upstream::default()
    };
    let (upstream, _) = Upstream::new(config, 1).unwrap();
    Common {
        config: std::sync::Arc::clone(&upstream.common.config),
        line: crate::gate::Line::new(10, 10),
        tally: std::sync::Arc::default(),
        sampled: std::sync::Arc::default(),
        is_retired: std::sync::Arc::default(),
        workers: 1,
    }
}

/// Members with these weights, on ports from 1.
fn roster(weights: &[u32]) -> Roster {
    let common = upstream();
    let member = |(index, &weight): (usize, &u32)| {
        let address = UpstreamAddress::Tcp(([10, 0, 0, 1], index as u16 + 1).into());
        let place = Place { address, weight, tier: 0, slow_start: Duration::ZERO };
        Member::new(place, &common, Manner::Among).unwrap()
    };
    Roster::of(weights.iter().enumerate().map(member).collect())
}

/// How often each is chosen when one request comes after the other.
fn shares(roster: &Roster, balance: &Balance, times: u64) -> Vec<f64> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for key in 1..=times {
        let (member, _permit) = roster.choose(0, balance, key).expect("room");
        *counts.entry(member.gate.id()).or_default() += 1;
    }
    let count = |member: &Arc<Member>| counts.get(&member.gate.id()).copied().unwrap_or_default();
    roster.members().iter().map(|member| count(member) as f64 / times as f64).collect()
}

#[test]
fn each_gets_its_share_by_weight_whatever_the_way() {
    let roster = roster(&[1, 3, 6]);
    for balance in [Balance::Least, Balance::Random, Balance::Path] {
        let shares = shares(&roster, &balance, 40_000);
        for (share, wanted) in shares.iter().zip([0.1, 0.3, 0.6]) {
            assert!((share - wanted).abs() < 0.02, "{balance:?}: {shares:?}");
        }
    }
}

#[test]
fn of_two_the_one_with_less_in_flight_for_its_weight_is_chosen() {
    let pair = roster(&[1, 3]);
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(pair.choose(0, &Balance::Least, 0).expect("room").1);
    }
    let [light, heavy] = [0, 1].map(|index: usize| pair.members()[index].gate.in_flight());
    assert!(light.abs_diff(10) <= 1 && heavy.abs_diff(30) <= 1, "{light} and {heavy}");
}

#[test]
fn two_choices_leave_no_member_far_behind() {
    let roster = roster(&[1; 20]);
    let spread = |balance: &Balance| {
        let permits: Vec<_> = (0..2_000).map(|_| roster.choose(0, balance, 0).expect("room").1).collect();
        let loads = roster.members().iter().map(|member| member.gate.in_flight());
        let spread = loads.clone().max().unwrap_or_default() - loads.min().unwrap_or_default();
        drop(permits);
        spread
    };
    let (least, random) = (spread(&Balance::Least), spread(&Balance::Random));
    assert!(least <= 8 && least < random, "{least}, at random {random}");
}

#[test]
fn hashing_finds_the_same_member_and_moves_only_what_one_had() {
    let roster = roster(&[1; 5]);
    let chosen = |key| roster.choose(0, &Balance::Path, key).expect("room").0.gate.id();
    let before: Vec<u32> = (1..=5_000).map(chosen).collect();
    assert!((1..=5_000).map(chosen).eq(before.iter().copied()), "the same again");
    let gone = &roster.members()[2].gate;
    gone.set_closed(true);
    let after: Vec<u32> = (1..=5_000).map(chosen).collect();
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    let had = before.iter().filter(|&&id| id == gone.id()).count();
    assert_eq!(moved, had, "only its own");
    assert!((900..1_100).contains(&had), "{had} of 5,000");
    let heirs: std::collections::HashSet<u32> = before
        .iter()
        .zip(&after)
        .filter(|(before, _)| **before == gone.id())
        .map(|(_, after)| *after)
        .collect();
    assert_eq!(heirs.len(), 4, "to all others");
    gone.set_closed(false);
    assert!((1..=5_000).map(chosen).eq(before), "and back");
}

#[test]
fn hashing_goes_on_to_the_next_when_one_is_full_and_to_the_less_busy_without_a_key() {
    let roster = roster(&[1, 1, 1]);
    let (first, _permit) = roster.choose(0, &Balance::Client, 7).expect("room");
    first.gate.set_cap(1);
    let (second, _other) = roster.choose(0, &Balance::Client, 7).expect("room elsewhere");
    assert!(!Arc::ptr_eq(&first, &second));
    let (third, _) = roster.choose(0, &Balance::Client, 7).expect("room elsewhere");
    assert!(Arc::ptr_eq(&second, &third), "the second choice is always the same");
    let keyless: std::collections::HashSet<u32> =
        (0..100).map(|_| roster.choose(0, &Balance::Client, 0).expect("room").0.gate.id()).collect();
    assert_eq!(keyless.len(), 2);
}

#[test]
fn in_a_slow_start_a_member_gets_a_part_of_its_weight() {
    let pair = roster(&[1, 1]);
    for (weight, low, high) in
        [(FULL_WEIGHT / 50, 0.005, 0.06), (FULL_WEIGHT / 3, 0.2, 0.3), (FULL_WEIGHT, 0.47, 0.53)]
    {
        pair.members()[1].gate.set_weight(weight);
        for balance in [Balance::Least, Balance::Path] {
            let share = shares(&pair, &balance, 20_000)[1];
            assert!((low..high).contains(&share), "{balance:?} at {weight}: {share}");
        }
    }
}

#[test]
fn who_is_alone_in_service_gets_everything_however_small_its_part() {
    let roster = roster(&[1000, 1]);
    roster.members()[0].gate.set_closed(true);
    roster.members()[1].gate.set_weight(1);
    assert_eq!(shares(&roster, &Balance::Least, 100), [0.0, 1.0]);
}
