//! Medians over rounds: the machine is shared and noisy, and a mean would follow its worst moment.

use std::time::Duration;

/// The median; of an even number, the mean of the middle two. 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(value)) => f64::midpoint(values[middle - 1], *value),
    }
}

/// The median of times.
pub(crate) fn median_time(values: impl IntoIterator<Item = Duration>) -> Duration {
    Duration::from_secs_f64(median(values.into_iter().map(|time| time.as_secs_f64())))
}

/// The time below which `share` of `times` lie; 0 of none.
pub(crate) fn percentile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Ratios `ours / theirs`, round by round: what disturbs a round disturbs both, and cancels out.
pub(crate) struct Ratios(Vec<f64>);

impl Ratios {
    /// Divides each round of `ours` by the same round of `theirs`.
    pub(crate) fn new(ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>) -> Self {
        let mut ratios: Vec<f64> = ours.zip(theirs).map(|(our, their)| our / their).collect();
        ratios.sort_by(f64::total_cmp);
        Self(ratios)
    }

    /// The median.
    pub(crate) fn median(&self) -> f64 {
        median(self.0.iter().copied())
    }

    /// Between which values the middle half of the rounds lies: two proxies whose ranges overlap are not
    /// told apart by this run.
    pub(crate) fn middle_half(&self) -> (f64, f64) {
        let quarter = self.0.len() / 4;
        let middle = &self.0[quarter..self.0.len() - quarter];
        (middle.first().copied().unwrap_or(0.0), middle.last().copied().unwrap_or(0.0))
    }
}
