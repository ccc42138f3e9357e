//! Durations and sizes as a configuration writes them.

use std::time::Duration;

/// `"90s"`: the largest unit in which it is a whole number, up to hours.
pub(crate) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.into_iter().find(|(length, _)| milliseconds > 0 && milliseconds.is_multiple_of(*length));
    unit.map_or_else(
        || format!("{milliseconds}ms"),
        |(length, name)| format!("{}{name}", milliseconds / length),
    )
}

/// `"64 KiB"`: the largest unit in which it is a whole number.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|&(bits, _)| bytes > 0 && bytes.trailing_zeros() >= bits);
    unit.map_or_else(|| format!("{bytes} B"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_written_as_they_are_read() {
        let seconds = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(
            (seconds(30), seconds(90), seconds(300), seconds(7200)),
            ("30s".into(), "90s".into(), "5m".into(), "2h".into())
        );
        assert_eq!((duration(Duration::from_millis(1500)), seconds(0)), ("1500ms".into(), "0ms".into()));
        assert_eq!(
            (size(1 << 30), size(1536), size(500), size(0)),
            ("1 GiB".into(), "1536 B".into(), "500 B".into(), "0 B".into())
        );
    }
}
