//! Reading gunicorn's corpus: a request in a file, and beside it, in Python, what its tests expect of it.

use std::fs;

use serde_json::Value;

use crate::support::python;

/// One request of the corpus, or several on one connection.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection begins with a PROXY header, or gunicorn is set to look for one.
    pub(crate) proxy: bool,
    /// What a parser should make of it; nothing when it is invalid.
    pub(crate) requests: Vec<Expected>,
}

/// A request as gunicorn's tests expect it.
pub(crate) struct Expected {
    pub(crate) method: String,
    /// As it stands in the request line.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// All cases of a folder: `valid` or `invalid`.
pub(crate) fn all(folder: &str) -> Vec<Case> {
    let folder = python::corpus().join("tests/requests").join(folder);
    let expected = python::run("corpus/expected.py", &[folder.to_str().expect("a path in UTF-8")]);
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let case = |(name, of): (&String, &Value)| Case {
        name: name.clone(),
        bytes: unescape(&fs::read(folder.join(format!("{name}.http"))).expect("the request is there")),
        proxy: of["settings"]["proxy_protocol"] == true,
        requests: of["requests"].as_array().expect("requests").iter().map(request).collect(),
    };
    expected.as_object().expect("cases").iter().map(case).collect()
}

fn request(value: &Value) -> Expected {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let fields = value["fields"].as_array().expect("fields");
    Expected {
        method: text(&value["method"]),
        target: text(&value["target"]),
        fields: fields.iter().map(|field| (text(&field[0]).to_lowercase(), text(&field[1]))).collect(),
        body: text(&value["body"]).chars().map(|byte| u8::try_from(byte).expect("a byte")).collect(),
    }
}

/// The bytes that a file stands for: its line ends are nothing, and what counts is written out, as `\r\n`, `\n`, `\t`, `\0` or
/// `\xHH`. A line end of the file between two characters of such a word is nothing too.
fn unescape(file: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = file.iter().copied().filter(|byte| *byte != b'\n').collect();
    let mut bytes = Vec::new();
    let mut rest = text.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (byte, length) = match after {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                (u8::from_str_radix(digits, 16).expect("hexadecimal digits"), 3)
            }
            other => panic!("an escape that is not known: {:?}", String::from_utf8_lossy(&other[..1])),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes
}

impl Case {
    /// The same with a Host wherever one is missing: most of the corpus is older than the rule that it must be there, and
    /// would be refused for that alone.
    pub(crate) fn with_host(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let heads: Vec<String> = self
            .requests
            .iter()
            .map(|request| format!("{} {} HTTP/1.", request.method, request.target))
            .collect();
        let mut from = 0;
        // What is invalid has no expected heads; its first line is the one.
        for head in if heads.is_empty() { vec![String::new()] } else { heads } {
            let method = head.split(' ').next().unwrap_or_default().to_owned();
            let found = find(&bytes[from..], head.as_bytes());
            // A method whose case gunicorn is set to change stands there as it came.
            let found = found
                .or_else(|| find(&bytes[from..], head.replace(&method, &method.to_lowercase()).as_bytes()));
            let start = from + found.expect("the head is there");
            let Some(line_end) = find(&bytes[start..], b"\r\n").map(|end| start + end + 2) else { break };
            let head_end =
                find(&bytes[line_end - 2..], b"\r\n\r\n").map_or(bytes.len(), |end| line_end + end);
            let fields = bytes[line_end - 2..head_end].to_ascii_lowercase();
            if find(&fields, b"\nhost:").is_none() && line_end > 2 {
                bytes.splice(line_end..line_end, *b"Host: corpus.example\r\n");
            }
            from = line_end;
        }
        bytes
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn unescapes_what_is_written_out_and_nothing_else() {
        assert_eq!(
            unescape(b"GET / HTTP/1.1\\r\\n\nHost: a\\r\\n\n\\r\\n\n"),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        assert_eq!(unescape(b"a\\tb\\0c\\n\\x0D\\xff"), b"a\tb\0c\n\x0d\xff");
    }
}
