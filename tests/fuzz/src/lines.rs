//! A head as the simplest reader there is sees it: lines, and what stands before and after the first colon.

/// A head taken apart, with nothing of `vestibule_http1` in it but the idea of a line.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    /// The request line or the status line.
    pub(crate) first: &'a [u8],
    /// Name and value of each field, the value without the blanks around it.
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Lines<'a> {
    /// Reads `text`, which must be one head to its empty line, and nothing but lines that end in CRLF and hold no
    /// control character but the tab.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let lines = text.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
        let shown = String::from_utf8_lossy(text);
        let mut lines = split_lines(lines).into_iter();
        let first = lines.next().expect("a first line");
        let fields = lines.map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
            let name = &line[..colon];
            assert!(!name.is_empty() && name.iter().all(|byte| is_token(*byte)), "a bad name in {shown:?}");
            let value = trim(&line[colon + 1..]);
            assert!(!value.iter().any(|byte| is_control(*byte)), "a control character in {shown:?}");
            (name, value)
        });
        let fields = fields.collect();
        assert!(
            !first.is_empty() && !first.iter().any(|byte| is_control(*byte)),
            "a bad first line in {shown:?}"
        );
        Lines { first, fields }
    }

    /// The values of the fields called `name`, in any case.
    pub(crate) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        let is_it = move |(found, _): &&(&'a [u8], &'a [u8])| found.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_it).map(|(_, value)| *value)
    }

    /// How many fields are called `name`.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.values(name).count()
    }
}

/// What stands between the CRLFs; a CR or LF alone stays in its line, where it is found to be a control character.
fn split_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    lines
}

/// Without the blanks around it; `trim_ascii` takes more away than HTTP does.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether no line of a head may hold it (RFC 9110 5.5).
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Whether a token may hold it (RFC 9110 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The number that `digits` writes, read by way of text.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}
