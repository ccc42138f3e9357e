//! When to try next. Decides by what is known, without a clock or I/O.

use crate::attempts::{Attempts, HOUR, Seconds};

/// Validations of one name that may fail within an hour. Let's Encrypt allows five
/// (<https://letsencrypt.org/docs/rate-limits/>); one less, as its clock is not ours. So with the others.
const FAILED_VALIDATIONS: usize = 4;
/// Certificates for the same names within a week. Let's Encrypt allows five.
const DUPLICATES: usize = 4;
/// Orders within three hours, of all certificates at one directory. Let's Encrypt allows 300; an order that is repeated
/// because the authority did not know what it replaces counts twice with them.
const ORDERS: usize = 100;
/// Accounts within three hours. Let's Encrypt allows ten.
const ACCOUNTS: usize = 3;

/// How the time between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure, in seconds. It doubles with each.
    pub first: Seconds,
    /// It grows no longer than this.
    pub most: Seconds,
    /// How often to look at everything anew at the least: the clock may jump, another Vestibule may have renewed.
    pub look: Seconds,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first: 60, most: 6 * HOUR, look: 60 }
    }
}

/// What is known when the question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The time.
    pub now: Seconds,
    /// The certificate that we have for just these names; `None` without one.
    pub held: Option<Held>,
    /// What was tried.
    pub attempts: &'a Attempts,
    /// What it is called in there.
    pub certificate: &'a str,
    /// Its names, in order.
    pub names: &'a [String],
    /// Whether there is an account.
    pub has_account: bool,
    /// How the time between attempts grows.
    pub pace: Pace,
    /// Thousandths, always the same for one certificate: spreads renewals of many machines.
    pub jitter: u16,
}

/// A certificate that we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// From when on it counts.
    pub not_before: Seconds,
    /// Until when it counts.
    pub not_after: Seconds,
    /// The window in which the authority wants it renewed, if it says so.
    pub window: Option<(Seconds, Seconds)>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try now.
    Try,
    /// Not before `until`.
    Wait {
        /// When to ask again.
        until: Seconds,
        /// What for.
        why: Why,
    },
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The certificate is good for long enough.
    Good,
    /// The last attempt failed.
    Failed,
    /// The authority said when.
    Told,
    /// Too many failed validations of one name.
    Validations,
    /// Too many certificates for the same names.
    Duplicates,
    /// Too many orders.
    Orders,
    /// Too many accounts.
    Accounts,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Good => "the certificate is good until then",
            Why::Failed => "the last attempt failed",
            Why::Told => "the authority said so",
            Why::Validations => "the same name failed 4 times within an hour, and authorities allow few more",
            Why::Duplicates => {
                "4 certificates for the same names were issued lately, and authorities allow few more"
            }
            Why::Orders => "100 orders within three hours are enough",
            Why::Accounts => "3 accounts within three hours are enough",
        })
    }
}

/// Whether to try now, and if not, when.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    let now = situation.now;
    if let Some(held) = situation.held {
        let due = renewal(held, situation.jitter);
        if due > now {
            return Decision::Wait { until: due, why: Why::Good };
        }
    }
    let latest = gates(situation).into_iter().max_by_key(|(until, _)| *until);
    match latest {
        Some((until, why)) if until > now => Decision::Wait { until, why },
        _ => Decision::Try,
    }
}

/// When a certificate is to be renewed: in the authority's window, if it gave one (RFC 9773 4.2), or else when a third of its
/// life is left. In any case before its last sixth, whatever the window says.
#[must_use]
pub fn renewal(held: Held, jitter: u16) -> Seconds {
    let life = held.not_after.saturating_sub(held.not_before);
    let latest = held.not_after.saturating_sub(life / 6);
    match held.window {
        Some((opens, closes)) if closes > opens => {
            opens.saturating_add(share(closes - opens, jitter)).min(latest)
        }
        // Later by up to a fiftieth: what was issued together is not all renewed together.
        _ => held.not_after.saturating_sub(life / 3).saturating_add(share(life / 50, jitter)).min(latest),
    }
}

/// Each bound, and until when it stands in the way.
fn gates(situation: &Situation<'_>) -> [(Seconds, Why); 7] {
    let attempts = situation.attempts;
    let history = attempts.history(situation.certificate);
    let validations = situation
        .names
        .iter()
        .map(|name| {
            opens(FAILED_VALIDATIONS, attempts.failed_validations(name).map(|at| at.saturating_add(HOUR)))
        })
        .max()
        .unwrap_or(0);
    let duplicates =
        opens(DUPLICATES, attempts.duplicates(situation.names).map(|(at, stands)| at.saturating_add(stands)));
    let orders = opens(ORDERS, attempts.orders().map(|at| at.saturating_add(3 * HOUR)));
    let accounts = if situation.has_account {
        0
    } else {
        opens(ACCOUNTS, attempts.accounts().map(|at| at.saturating_add(3 * HOUR)))
    };
    [
        (back_off(history.failures, history.last, situation.pace, situation.jitter), Why::Failed),
        (history.not_before, Why::Told),
        (attempts.not_before(), Why::Told),
        (validations, Why::Validations),
        (duplicates, Why::Duplicates),
        (orders, Why::Orders),
        (accounts, Why::Accounts),
    ]
}

/// The end of the pause after so many failures.
fn back_off(failures: u32, last: Seconds, pace: Pace, jitter: u16) -> Seconds {
    if failures == 0 {
        return 0;
    }
    let doubled = pace.first.saturating_mul(1_u64.checked_shl(failures - 1).unwrap_or(Seconds::MAX));
    let pause = doubled.min(pace.most);
    // Never sooner than told, later by up to a fifth.
    last.saturating_add(pause).saturating_add(share(pause / 5, jitter))
}

/// When fewer than `most` of those that end at `ends` are left.
fn opens(most: usize, ends: impl Iterator<Item = Seconds>) -> Seconds {
    let mut ends: Vec<Seconds> = ends.collect();
    if ends.len() < most {
        return 0;
    }
    ends.sort_unstable();
    let index = ends.len() - most;
    ends.get(index).copied().unwrap_or(0)
}

/// `jitter` thousandths of `whole`.
fn share(whole: Seconds, jitter: u16) -> Seconds {
    let share = u128::from(whole) * u128::from(jitter.min(1000)) / 1000;
    Seconds::try_from(share).unwrap_or(whole)
}

#[cfg(test)]
mod tests;
