//! Single values: what a key's text, number or list means by itself.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::problem::Problem;
use crate::suggestion;

/// Longest duration that can be written where nothing else is said; more is a mistake, and would overflow clocks.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Units of durations, and their milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("y", 365 * 24 * 3_600_000),
];

/// A value in a few words, for messages.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What is written is of the wrong kind.
fn expected(what: &str, value: &DeValue<'_>, instead: impl Into<String>) -> Problem {
    Problem::new(format!("expected {what}, found {}", describe(value))).instead(instead)
}

/// Text between quotes.
pub(crate) fn text<'v>(value: &'v DeValue<'_>, example: &str) -> Result<&'v str, Problem> {
    value
        .as_str()
        .ok_or_else(|| expected("text", value, format!("write it between quotes, such as \"{example}\"")))
}

/// `true` or `false`.
pub(crate) fn boolean(value: &DeValue<'_>) -> Result<bool, Problem> {
    value.as_bool().ok_or_else(|| expected("true or false", value, "write true or false, without quotes"))
}

/// A whole number within bounds.
pub(crate) fn integer<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, Problem> {
    move |value| {
        let instead = format!("write a number from {} to {}", bounds.start(), bounds.end());
        if !value.is_integer() {
            let unquoted = value.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
            let instead = if unquoted { format!("{instead}, without quotes") } else { instead };
            return Err(expected("a whole number", value, instead));
        }
        let number = plain(value).filter(|number| bounds.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Problem::new(format!("{} is out of bounds", describe(value))).instead(instead))
    }
}

/// The value of a TOML integer that is not negative.
fn plain(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A duration that may be zero, up to a year: `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"90d"`.
pub(crate) fn duration_or_zero(value: &DeValue<'_>) -> Result<Duration, Problem> {
    milliseconds(value)?.filter(|&duration| duration <= LONGEST).ok_or_else(|| {
        Problem::new(format!("{} is longer than a year", quoted(value))).instead("write at most \"8760h\"")
    })
}

/// A duration that may be zero, up to `longest`, which `written` is.
pub(crate) fn duration_up_to(
    longest: Duration,
    written: &'static str,
) -> impl FnOnce(&DeValue<'_>) -> Result<Duration, Problem> {
    move |value| {
        milliseconds(value)?.filter(|&duration| duration <= longest).ok_or_else(|| {
            Problem::new(format!("{} is too long", quoted(value)))
                .instead(format!("write at most \"{written}\""))
        })
    }
}

/// The text of a value as it is written.
fn quoted(value: &DeValue<'_>) -> String {
    format!("{:?}", value.as_str().unwrap_or_default())
}

/// Any duration; `None` when it is too long to count.
fn milliseconds(value: &DeValue<'_>) -> Result<Option<Duration>, Problem> {
    let DeValue::String(text) = value else {
        let instead = match plain(value) {
            Some(number) => format!("write its unit too: \"{number}s\" or \"{number}ms\""),
            None => "write a number and ms, s, m, h, d, w or y, such as \"30s\"".to_owned(),
        };
        return Err(expected("a duration", value, instead));
    };
    let (digits, unit) = number_and_unit(text);
    let wrong = |instead: String| {
        Err(Problem::new(format!("{text:?} is not a duration")).instead(format!("write {instead}")))
    };
    if unit.starts_with('.') {
        return wrong("a whole number, in a smaller unit: \"1500ms\" for one and a half seconds".to_owned());
    }
    if digits.is_empty() {
        return wrong("a number and ms, s, m, h, d, w or y, such as \"30s\"".to_owned());
    }
    if let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) {
        let number = digits.parse::<u64>().ok();
        return Ok(number.and_then(|number| number.checked_mul(*milliseconds)).map(Duration::from_millis));
    }
    if unit.is_empty() {
        return wrong(format!("its unit too: \"{digits}s\" or \"{digits}ms\""));
    }
    if unit.contains(|c: char| c.is_ascii_digit()) {
        return wrong("it in one unit: \"90s\" for one minute and a half".to_owned());
    }
    wrong(match unit_meant(unit) {
        Some(unit) => format!("\"{digits}{unit}\""),
        None => format!("\"{digits}\" followed by ms, s, m, h, d (days), w (weeks) or y (365 days)"),
    })
}

/// The unit that a foreign spelling stands for.
fn unit_meant(written: &str) -> Option<&'static str> {
    match written.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => Some("ms"),
        "s" | "sec" | "secs" | "second" | "seconds" => Some("s"),
        "m" | "min" | "mins" | "minute" | "minutes" => Some("m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some("h"),
        "d" | "day" | "days" => Some("d"),
        "w" | "wk" | "week" | "weeks" => Some("w"),
        "y" | "yr" | "yrs" | "year" | "years" | "a" => Some("y"),
        _ => None,
    }
}

/// A duration longer than zero.
pub(crate) fn duration(value: &DeValue<'_>) -> Result<Duration, Problem> {
    let duration = duration_or_zero(value)?;
    if duration.is_zero() {
        return Err(Problem::new("a duration of zero makes no sense here").instead("write at least \"1ms\""));
    }
    Ok(duration)
}

/// A duration within bounds.
pub(crate) fn duration_within(
    bounds: RangeInclusive<Duration>,
) -> impl FnOnce(&DeValue<'_>) -> Result<Duration, Problem> {
    move |value| {
        let duration = duration_or_zero(value)?;
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let shown = |bound: &Duration| match bound.as_millis() {
            whole if whole % 3_600_000 == 0 => format!("\"{}h\"", whole / 3_600_000),
            whole if whole % 1000 == 0 => format!("\"{}s\"", whole / 1000),
            whole => format!("\"{whole}ms\""),
        };
        Err(Problem::new(format!("{} is out of bounds", describe(value))).instead(format!(
            "write a duration from {} to {}",
            shown(bounds.start()),
            shown(bounds.end())
        )))
    }
}

/// A number of bytes within bounds: `"64 MiB"`, `"64KiB"`, `"512 B"`, or a plain number.
pub(crate) fn size<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, Problem> {
    move |value| {
        let bytes = match value {
            DeValue::Integer(_) => plain(value),
            DeValue::String(text) => bytes(text)?,
            other => {
                return Err(expected(
                    "a size",
                    other,
                    "write it such as \"64 MiB\", or as a number of bytes",
                ));
            }
        };
        bytes.filter(|bytes| bounds.contains(bytes)).and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(
            || {
                let instead =
                    format!("write a size from {} to {}", shown(*bounds.start()), shown(*bounds.end()));
                Problem::new(format!("{} is out of bounds", describe(value))).instead(instead)
            },
        )
    }
}

/// The bytes that a size's text stands for; `None` when they are too many to count.
fn bytes(text: &str) -> Result<Option<u64>, Problem> {
    let (digits, unit) = number_and_unit(text);
    let wrong = |instead: String| {
        Err(Problem::new(format!("{text:?} is not a size")).instead(format!("write {instead}")))
    };
    if unit.starts_with('.') {
        return wrong("a whole number, in a smaller unit: \"1536 KiB\" for one and a half MiB".to_owned());
    }
    if digits.is_empty() {
        return wrong("a number and B, KiB, MiB, GiB or TiB, such as \"64 MiB\"".to_owned());
    }
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        other => {
            let meant = match other.to_ascii_lowercase().as_str() {
                "k" | "kb" | "kib" => "KiB",
                "m" | "mb" | "mib" => "MiB",
                "g" | "gb" | "gib" => "GiB",
                "t" | "tb" | "tib" => "TiB",
                "b" | "byte" | "bytes" => "B",
                _ => return wrong(format!("\"{digits}\" followed by B, KiB, MiB, GiB or TiB")),
            };
            return wrong(format!("\"{digits} {meant}\""));
        }
    };
    Ok(digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)))
}

/// A number of bytes as one would write it.
fn shown(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|&(bits, _)| bytes > 0 && bytes.trailing_zeros() >= bits);
    unit.map_or_else(|| format!("{bytes} B"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

/// Splits `"64 MiB"` into its digits and what follows them.
fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// One of a few names.
pub(crate) fn one_of<T: Copy>(
    names: &'static [(&'static str, T)],
) -> impl FnOnce(&DeValue<'_>) -> Result<T, Problem> {
    move |value| {
        let all = || names.iter().map(|(name, _)| *name);
        let list = all().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let Some(text) = value.as_str() else {
            return Err(expected("a name", value, format!("write one of {list}")));
        };
        if let Some((_, meaning)) = names.iter().find(|(name, _)| *name == text) {
            return Ok(*meaning);
        }
        let instead = match suggestion::nearest(text, all()) {
            Some(near) => format!("write \"{near}\" (of {list})"),
            None => format!("write one of {list}"),
        };
        Err(Problem::new(format!("{text:?} is not known here")).instead(instead))
    }
}

/// An absolute path of a file. `example` is one.
pub(crate) fn path(value: &DeValue<'_>, example: &str) -> Result<PathBuf, Problem> {
    let text = text(value, example)?;
    if !text.starts_with('/') {
        return Err(Problem::new(format!("the path {text:?} is not absolute"))
            .instead(format!("write it from the root, such as \"{example}\"")));
    }
    if text.contains('\0') {
        return Err(
            Problem::new("a path cannot have a NUL byte in it").instead(format!("write \"{example}\""))
        );
    }
    Ok(PathBuf::from(text))
}

/// A network (`10.0.0.0/8`) or a single address.
pub(crate) fn network(value: &DeValue<'_>) -> Result<IpNet, Problem> {
    let text = text(value, "10.0.0.0/8")?;
    let network = text.parse::<IpNet>().map(|network| network.trunc());
    network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        Problem::new(format!("{text:?} is neither a network nor an address"))
            .instead("write a network (\"10.0.0.0/8\", \"fd00::/8\") or an address (\"127.0.0.1\")")
    })
}
