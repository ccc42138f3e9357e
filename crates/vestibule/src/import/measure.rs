//! nginx's sizes and times, and how they are written here.

use std::time::Duration;

use super::directive::Directive;

/// Bytes of `512`, `10k`, `10m`, `1g`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, shift) = match text.chars().last()?.to_ascii_lowercase() {
        'k' => (&text[..text.len() - 1], 10),
        'm' => (&text[..text.len() - 1], 20),
        'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes that `large_client_header_buffers 4 8k` lets a head have.
pub(super) fn head(directive: &Directive) -> Option<u64> {
    size(directive.argument(1))?.checked_mul(directive.argument(0).parse().ok()?)
}

/// `"10 MiB"`
pub(super) fn written_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|&(unit, _)| bytes >= unit && bytes.is_multiple_of(unit));
    let (number, unit) = unit.map_or((bytes, "B"), |(unit, name)| (bytes / unit, name));
    format!("\"{number} {unit}\"")
}

/// `60`, `60s`, `1h 30m`, `500ms`, `1d`, `1M`, `1y`. Without a unit it is in seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[end..].trim_start();
    }
    Some(Duration::from_millis(total))
}

/// `"90s"`, in the largest unit that is whole, and at most the year that a duration may be.
pub(super) fn written_time(time: Duration) -> String {
    let most = 365 * 86_400_000;
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(most).min(most);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.into_iter().find(|&(unit, _)| milliseconds >= unit && milliseconds.is_multiple_of(unit));
    let (number, unit) = match unit {
        Some((unit, name)) => (milliseconds / unit, name),
        None if milliseconds == 0 => (0, "s"),
        None => (milliseconds, "ms"),
    };
    format!("\"{number}{unit}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_nginx_reads() {
        assert_eq!(size("10m"), Some(10 << 20));
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("m"), None);
        assert_eq!(size("99999999999999999g"), None);
        assert_eq!(time("60"), Some(Duration::from_secs(60)));
        assert_eq!(time("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(time("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(time("soon"), None);
        assert_eq!(time(""), None);
    }

    #[test]
    fn writes_the_largest_whole_unit() {
        assert_eq!(written_size(10 << 20), "\"10 MiB\"");
        assert_eq!(written_size(1500), "\"1500 B\"");
        assert_eq!(written_time(Duration::from_secs(90)), "\"90s\"");
        assert_eq!(written_time(Duration::from_secs(86400)), "\"1d\"");
        assert_eq!(written_time(Duration::ZERO), "\"0s\"");
        assert_eq!(written_time(Duration::from_secs(1 << 40)), "\"365d\"");
    }
}
