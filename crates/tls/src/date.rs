//! Moments, as certificates and logs write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::time::ASN1Time;

/// The moment that a certificate names.
pub(crate) fn moment(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    // A certificate may begin before 1970, and end in the year 9999: both are within what the clock can say.
    let moment =
        if time.timestamp() < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    moment.unwrap_or(UNIX_EPOCH)
}

/// As RFC 3339 writes it, in UTC, to the second.
pub(crate) fn written(moment: SystemTime) -> String {
    let seconds = match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    let Ok(time) = ASN1Time::from_timestamp(seconds) else { return format!("@{seconds}") };
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_moments_before_and_after_1970() {
        assert_eq!(written(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(written(UNIX_EPOCH - Duration::from_secs(1)), "1969-12-31T23:59:59Z");
        assert_eq!(written(UNIX_EPOCH + Duration::from_secs(951_827_696)), "2000-02-29T12:34:56Z");
        assert_eq!(written(UNIX_EPOCH + Duration::from_secs(1 << 60)), "@1152921504606846976");
    }

    #[test]
    fn knows_the_first_and_the_last_moment_of_certificates() {
        for (seconds, expected) in [(-1, "1969-12-31T23:59:59Z"), (253_402_300_799, "9999-12-31T23:59:59Z")] {
            assert_eq!(written(moment(ASN1Time::from_timestamp(seconds).unwrap())), expected);
        }
    }
}
