//! What was tried at one directory: the record that keeps us below the authority's limits, over restarts too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vestibule_config::Challenge;

/// Seconds since 1970. Whole seconds are fine enough for what is counted in hours.
pub type Seconds = u64;

pub(crate) const HOUR: Seconds = 3600;
pub(crate) const DAY: Seconds = 24 * HOUR;
/// The longest time over which anything is counted.
const WEEK: Seconds = 7 * DAY;
/// Nobody tells us to wait for longer; what says so is a clock that was wrong. [`crate::transport`] takes no more either.
pub(crate) const LONGEST_WAIT: Seconds = 31 * DAY;

/// What was tried at one directory, by all certificates of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Attempts of the last week.
    #[serde(default)]
    attempts: Vec<Attempt>,
    /// When accounts were asked for, in the last week.
    #[serde(default)]
    accounts: Vec<Seconds>,
    /// Nothing is tried before: the directory said so.
    #[serde(default)]
    not_before: Seconds,
    /// What is known of each certificate, by the name of its file.
    #[serde(default)]
    certificates: BTreeMap<String, History>,
}

/// One attempt to get a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    at: Seconds,
    certificate: String,
    /// In order, so that two sets are compared as they stand.
    names: Vec<String>,
    reached: Reached,
}

/// How far an attempt came. Written down before each step: an attempt that ends without a word, because we do, counts as
/// the worst that the step may have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// The directory and the account.
    Begun,
    /// An order may have been made.
    Ordered,
    /// The authority may have tried to validate the names, and failed.
    Validating,
    /// There may be a certificate.
    Finalizing,
    /// There is one, which counts for so many seconds.
    Issued(Seconds),
}

/// What is known of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Attempts since the last certificate; the one under way is among them.
    #[serde(default)]
    pub failures: u32,
    /// When the last of them began.
    #[serde(default)]
    pub last: Seconds,
    /// Not again before: the authority said so.
    #[serde(default)]
    pub not_before: Seconds,
    /// How often a challenge failed: each time it is the next one's turn.
    #[serde(default)]
    pub challenges_failed: u32,
    /// When the authority wants it renewed.
    #[serde(default)]
    pub advice: Option<Advice>,
}

/// When the authority wants a certificate renewed (RFC 9773 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Which certificate it is about (RFC 9773 4.1).
    pub certificate: String,
    /// The window: when it opens and when it closes. `None` when there is no answer yet.
    pub window: Option<(Seconds, Seconds)>,
    /// When to ask again.
    pub ask_again: Seconds,
}

impl Attempts {
    /// The record of a directory about which nothing is known because what was written is gone: nothing is tried before
    /// `not_before`.
    #[must_use]
    pub fn unknown(not_before: Seconds) -> Self {
        Attempts { not_before, ..Self::default() }
    }

    /// Forgets what counts no more, and takes what lies in the future for the work of a clock that was wrong: it counts as
    /// if it were now. Gives whether that changed anything.
    pub fn tidy(&mut self, now: Seconds) -> bool {
        let before = self.clone();
        self.attempts.retain(|attempt| attempt.at.saturating_add(WEEK) > now);
        self.accounts.retain(|at| at.saturating_add(WEEK) > now);
        let latest = now.saturating_add(LONGEST_WAIT);
        for attempt in &mut self.attempts {
            attempt.at = attempt.at.min(now);
        }
        for at in &mut self.accounts {
            *at = (*at).min(now);
        }
        self.not_before = self.not_before.min(latest);
        for history in self.certificates.values_mut() {
            history.last = history.last.min(now);
            history.not_before = history.not_before.min(latest);
            if let Some(advice) = &mut history.advice {
                advice.ask_again = advice.ask_again.min(now.saturating_add(DAY));
            }
        }
        // Certificates that nobody has asked for in a long time.
        self.certificates.retain(|_, history| history.last.saturating_add(400 * DAY) > now);
        *self != before
    }

    /// Nothing is tried before.
    #[must_use]
    pub fn not_before(&self) -> Seconds {
        self.not_before
    }

    /// What is known of `certificate`.
    #[must_use]
    pub fn history(&self, certificate: &str) -> History {
        self.certificates.get(certificate).cloned().unwrap_or_default()
    }

    /// Writes down that an attempt begins.
    pub fn begin(&mut self, now: Seconds, certificate: &str, names: &[String]) {
        let mut names = names.to_vec();
        names.sort_unstable();
        self.attempts.push(Attempt {
            at: now,
            certificate: certificate.to_owned(),
            names,
            reached: Reached::Begun,
        });
        let history = self.certificates.entry(certificate.to_owned()).or_default();
        // Until it succeeds it has failed: we may be ended at any moment.
        history.failures = history.failures.saturating_add(1);
        history.last = now;
    }

    /// Writes down how far the last attempt for `certificate` has come.
    pub fn reach(&mut self, now: Seconds, certificate: &str, reached: Reached) {
        if let Some(attempt) = self.attempts.iter_mut().rev().find(|one| one.certificate == certificate) {
            attempt.reached = reached;
            // What is counted happens at this moment, not when the attempt began.
            attempt.at = now;
        }
        if let Reached::Issued(_) = reached {
            let history = self.certificates.entry(certificate.to_owned()).or_default();
            history.failures = 0;
            history.not_before = 0;
            history.advice = None;
        }
    }

    /// Writes down that a challenge failed: the next attempt takes the other.
    pub fn challenge_failed(&mut self, certificate: &str) {
        let history = self.certificates.entry(certificate.to_owned()).or_default();
        history.challenges_failed = history.challenges_failed.wrapping_add(1);
    }

    /// Writes down that the authority wants to hear no more about `certificate`, or of us at all, before `until`.
    pub fn wait(&mut self, certificate: Option<&str>, until: Seconds) {
        let not_before = match certificate {
            Some(certificate) => &mut self.certificates.entry(certificate.to_owned()).or_default().not_before,
            None => &mut self.not_before,
        };
        *not_before = (*not_before).max(until);
    }

    /// Writes down when the authority wants `certificate` renewed.
    pub fn advise(&mut self, certificate: &str, advice: Advice) {
        self.certificates.entry(certificate.to_owned()).or_default().advice = Some(advice);
    }

    /// Writes down that an account is asked for.
    pub fn ask_for_account(&mut self, now: Seconds) {
        self.accounts.push(now);
    }

    /// When accounts were asked for.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = Seconds> {
        self.accounts.iter().copied()
    }

    /// When orders were made.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Seconds> {
        self.attempts.iter().filter(|one| one.reached >= Reached::Ordered).map(|one| one.at)
    }

    /// When `name` was to be validated, and may not have been.
    pub(crate) fn failed_validations<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Seconds> + 'a {
        self.attempts
            .iter()
            .filter(move |one| {
                one.reached == Reached::Validating && one.names.iter().any(|other| other == name)
            })
            .map(|one| one.at)
    }

    /// When certificates for just these names, which are in order, were or may have been issued, and for how long each
    /// stands in the way of the next.
    pub(crate) fn duplicates<'a>(
        &'a self,
        names: &'a [String],
    ) -> impl Iterator<Item = (Seconds, Seconds)> + 'a {
        self.attempts.iter().filter(move |one| one.names == names).filter_map(|one| match one.reached {
            Reached::Finalizing => Some((one.at, WEEK)),
            // One that lives for a day is renewed more often than five times in a week, and its authority knows that.
            Reached::Issued(life) => Some((one.at, WEEK.min(life.saturating_mul(2)))),
            _ => None,
        })
    }
}

/// The challenges in the order in which to try them, after `failed` failed ones.
#[must_use]
pub fn turn(challenges: &[Challenge], failed: u32) -> Vec<Challenge> {
    let mut turned = challenges.to_vec();
    if !turned.is_empty() {
        let by = failed as usize % turned.len();
        turned.rotate_left(by);
    }
    turned
}
