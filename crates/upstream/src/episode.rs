//! One restart as the traffic saw it, from the moment it was noticed until everybody who waited was let in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::member::Member;
use crate::signals::Reason;

/// A restart is over at the latest this long after the first answer, even if the line never empties.
const LONGEST_TAIL: Duration = Duration::from_secs(5);

/// A restart that is being watched.
#[derive(Debug)]
pub(crate) struct Episode {
    began: Instant,
    from: SystemTime,
    why: &'static str,
    failures: [u64; Reason::ALL.len()],
    first_answer: Option<Instant>,
}

impl Episode {
    pub(crate) fn begin(member: &Member, why: &'static str) -> Self {
        member.gate.take_holds();
        Episode {
            began: Instant::now(),
            from: SystemTime::now(),
            why,
            failures: member.signals.tally.failures(),
            first_answer: None,
        }
    }

    /// Whether it answers again and nobody is left who waited for it.
    pub(crate) fn is_over(&mut self, member: &Member) -> bool {
        let answered = *self.first_answer.get_or_insert_with(Instant::now);
        !member.gate.is_waited_for() || answered.elapsed() >= LONGEST_TAIL
    }

    /// Writes the one event of this restart.
    pub(crate) fn report(self, member: &Member) {
        let holds = member.gate.take_holds();
        let now = member.signals.tally.failures();
        let failed: Vec<(&str, u64)> = Reason::ALL
            .iter()
            .zip(now.iter().zip(self.failures))
            .map(|(reason, (after, before))| (reason.as_str(), after - before))
            .filter(|(_, count)| *count > 0)
            .collect();
        let answering = self.first_answer.map_or(Duration::ZERO, |time| time.duration_since(self.began));
        tracing::info!(
            upstream = member.config.name,
            member = member.label.as_deref(),
            why = self.why,
            from_ms = self.from.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            to_ms = (self.from + answering).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            generation = member.generation(),
            held = holds.released,
            longest_hold_ms = holds.longest.as_millis() as u64,
            failed = failed.iter().map(|(_, count)| count).sum::<u64>(),
            failed_why = ?failed,
            "restart"
        );
    }
}
