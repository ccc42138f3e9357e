//! The members of an upstream at one moment, and the choice among them.

use std::ops::Range;
use std::sync::Arc;

use vestibule_config::Balance;

use crate::gate::{FULL_WEIGHT, Permit};
use crate::member::Member;

/// How often it is drawn again, when the one that was drawn takes nothing now, before all are looked at.
const DRAWS: usize = 4;

/// The members, those of lower tiers first.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: Vec<Arc<Member>>,
    tiers: Vec<Tier>,
}

/// Members that stand in for each other.
#[derive(Debug)]
struct Tier {
    number: u32,
    range: Range<usize>,
    /// The weight of each and all before it, in this tier.
    sums: Vec<u64>,
}

impl Roster {
    pub(crate) fn of(mut members: Vec<Arc<Member>>) -> Self {
        members.sort_by_key(|member| member.tier);
        let mut tiers: Vec<Tier> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let weight = u64::from(member.weight());
            match tiers.last_mut() {
                Some(tier) if tier.number == member.tier => {
                    tier.range.end = index + 1;
                    tier.sums.push(tier.sums.last().copied().unwrap_or(0) + weight);
                }
                _ => tiers.push(Tier { number: member.tier, range: index..index + 1, sums: vec![weight] }),
            }
        }
        Roster { members, tiers }
    }

    /// All of them.
    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Whether the operator stopped all of them, and there are some.
    pub(crate) fn is_refusing(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(|member| member.gate.is_refusing())
    }

    /// The member for a request, and its permit. `tier` is the one whose turn it is; `key` is what is hashed, 0 for nothing.
    /// `None` when nobody has room, or somebody waits who comes first.
    pub(crate) fn choose(&self, tier: u32, balance: &Balance, key: u64) -> Option<(Arc<Member>, Permit)> {
        let tier = self.tiers.iter().find(|known| known.number == tier)?;
        let members = self.members.get(tier.range.clone())?;
        let chosen = match balance {
            Balance::Random => tier.draw(members).and_then(enter),
            Balance::Least => tier.less_busy_of_two(members),
            _ if key == 0 => tier.less_busy_of_two(members),
            _ => hashed(members, key),
        };
        // Whoever has room, beginning anywhere, so that the first of the list does not get what all others refuse.
        chosen.or_else(|| {
            let start = fastrand::usize(..members.len());
            let (after, before) = (members.iter().skip(start), members.iter().take(start));
            after.chain(before).find_map(enter)
        })
    }
}

impl Tier {
    /// One that takes requests now, drawn by weight.
    fn draw<'m>(&self, members: &'m [Arc<Member>]) -> Option<&'m Arc<Member>> {
        let total = self.sums.last().copied().filter(|&total| total > 0)?;
        for _ in 0..DRAWS {
            let drawn = fastrand::u64(..total);
            let member = members.get(self.sums.partition_point(|&sum| sum <= drawn))?;
            // In a slow start it gets a part of its weight: of its draws, so many count.
            let full = member.weight().saturating_mul(FULL_WEIGHT);
            let weight = member.gate.weight();
            if member.gate.is_in_service() && (weight >= full || fastrand::u32(..full) < weight) {
                return Some(member);
            }
        }
        None
    }

    /// The one of two drawn that has less in flight for its weight; the first, if both have as much.
    fn less_busy_of_two(&self, members: &[Arc<Member>]) -> Option<(Arc<Member>, Permit)> {
        let one = self.draw(members)?;
        let other = (0..DRAWS).find_map(|_| self.draw(members).filter(|other| !Arc::ptr_eq(one, other)));
        let Some(other) = other else { return enter(one) };
        let (better, worse) = if load(other, one) < load(one, other) { (other, one) } else { (one, other) };
        enter(better).or_else(|| enter(worse))
    }
}

/// What a member has in flight, in a measure that is the same for both: beside `other`.
fn load(member: &Member, other: &Member) -> u64 {
    u64::from(member.gate.in_flight()) * u64::from(other.gate.weight())
}

fn enter(member: &Arc<Member>) -> Option<(Arc<Member>, Permit)> {
    member.gate.try_enter().map(|permit| (Arc::clone(member), permit))
}

/// Rendezvous hashing, by weight: each member has a score for the key, and the highest of those that take requests now gets it.
/// With one member gone, only its own keys go elsewhere; with one full, only what it has no room for.
fn hashed(members: &[Arc<Member>], key: u64) -> Option<(Arc<Member>, Permit)> {
    let mut below = f64::INFINITY;
    for _ in 0..DRAWS {
        let scored = members.iter().filter(|member| member.gate.is_in_service());
        let scored = scored.map(|member| (score(member.identity, key, member.gate.weight()), member));
        let (best, member) =
            scored.filter(|(score, _)| *score < below).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        if let Some(entered) = enter(member) {
            return Some(entered);
        }
        below = best;
    }
    None
}

/// The score of a member for a key: of `weight` in so many the highest (weighted rendezvous hashing).
fn score(member: u64, key: u64, weight: u32) -> f64 {
    // 53 bits are what a number between 0 and 1 can have; neither end is reached.
    let unit = ((mix(member ^ mix(key)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / unit.ln()
}

/// Spreads the bits of a number over all of it (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
