//! Times, sizes and foreign words, for a person at a terminal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule_proxy::timestamp;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment, given in seconds since 1970, in UTC as the access log has it.
pub(super) fn stamp(when: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(when)).unwrap_or(UNIX_EPOCH);
    timestamp(time).replacen(".000000", "", 1)
}

/// A number of seconds in its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// How long a command took, or was waited for.
pub(super) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(100) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} s", duration.as_secs())
    }
}

/// A number of bytes in the unit that fits.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB => format!("{} KiB", bytes.div_ceil(1024)),
        MIB..10_485_760 => format!("{:.1} MiB", bytes as f64 / MIB as f64),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes / MIB),
        _ => format!("{:.1} GiB", bytes as f64 / (MIB << 10) as f64),
    }
}

/// Words of others in one line that cannot write to the operator's terminal.
pub(super) fn clean(words: &str) -> String {
    words.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The same for words that may have several lines.
pub(super) fn clean_lines(words: &str) -> String {
    words.trim_end().split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// Reads a duration such as `90s`, `500ms`, `2m`, `1h`; a number alone means seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a number and ms, s, m or h, such as 90s".to_owned()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "write a number and ms, s, m or h, such as 90s".to_owned())?;
    // Longer than a year would overflow clocks, and is a mistake.
    let most = Duration::from_secs(365 * 86_400);
    let duration = number.checked_mul(unit).map(Duration::from_millis).filter(|duration| *duration <= most);
    duration.ok_or_else(|| "write at most 8760h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_two_largest_units() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3660, "1 h 1 min"),
            (90_000, "1 d 1 h"),
            (864_000, "10 d 0 h"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }

    #[test]
    fn a_size_has_the_unit_that_fits() {
        for (bytes, told) in [
            (0, "0 KiB"),
            (1025, "2 KiB"),
            (3 << 19, "1.5 MiB"),
            (200 << 20, "200 MiB"),
            (3 << 30, "3072 MiB"),
            (12 << 30, "12.0 GiB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, milliseconds) in
            [("90s", 90_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("7", 7000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for wrong in ["", "s", "1.5s", "-1s", "1 s", "1s1", "9000h", "99999999999999999999s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn foreign_words_cannot_write_to_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\n\tc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\tc\u{fffd}");
        assert_eq!(clean_lines("a\x07\nb\n"), "a\u{fffd}\nb");
    }

    #[test]
    fn a_moment_is_told_as_in_the_access_log() {
        assert_eq!(stamp(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
