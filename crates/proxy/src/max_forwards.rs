//! `Max-Forwards`: how far an OPTIONS may go (RFC 9110 7.6.2).

use vestibule_http1::{Name, number_field};

use crate::request::Request;

/// How many more times an OPTIONS may be forwarded (RFC 9110 7.6.2).
pub(crate) fn max_forwards(request: &Request<'_>) -> Result<Option<u64>, &'static str> {
    let mut fields = request.head.fields.iter().filter(|field| field.kind == Name::MaxForwards);
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err("more than one Max-Forwards");
    }
    let digits = field.value.of(request.bytes);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("Max-Forwards is not a number");
    }
    // More than a number holds is as good as no limit, and may be lowered.
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Ok(Some(number.unwrap_or(u64::MAX)))
}

/// Writes one less. Nothing is written for 0, which was answered before, nor for what is no number.
#[cold]
pub(crate) fn write_max_forwards(out: &mut Vec<u8>, request: &Request<'_>) {
    if let Ok(Some(left)) = max_forwards(request) {
        number_field(out, b"Max-Forwards", left.saturating_sub(1));
    }
}
