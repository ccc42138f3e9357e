//! Where an input is cut in two.

/// Inputs up to this length are cut everywhere.
const EVERYWHERE: usize = 128;
/// How often a longer one is cut.
const OFTEN: usize = 32;

/// The offsets at which to cut `data`, in order: all of them, or of a long one those around its line ends and some
/// between.
pub(crate) fn cuts(data: &[u8]) -> Vec<usize> {
    if data.len() <= EVERYWHERE {
        return (0..=data.len()).collect();
    }
    let is_chosen = |&at: &usize| {
        let around = &data[at.saturating_sub(1)..(at + 1).min(data.len())];
        at % (data.len() / (OFTEN / 2)) == 0 || around.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    };
    let chosen: Vec<_> = (0..=data.len()).filter(is_chosen).collect();
    chosen.iter().copied().step_by(chosen.len().div_ceil(OFTEN)).collect()
}
