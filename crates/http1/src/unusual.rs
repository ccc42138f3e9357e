//! What the application's server may refuse though we do not.

use crate::{Method, RequestHead};

/// Longest target that every server takes. Puma's bounds: 12 KiB, the path 8 KiB (2 KiB once), the query 10 KiB.
const TARGET: usize = 1024;
/// The same of a name (Puma's bound), of a method (the same) and of the whole head (112 KiB there).
const NAME: usize = 256;
const METHOD: usize = 20;
const HEAD: usize = 64 * 1024;

impl RequestHead {
    /// Whether the parser that Puma, Unicorn and Thin have from Mongrel may refuse this head, which was parsed from `buf`:
    /// for a method that is not of capital letters, for bytes that stand in no URI (RFC 3986 2), for length.
    ///
    /// It errs on the side of yes.
    pub fn is_unusual(&self, buf: &[u8]) -> bool {
        let (method, target) = (self.method.of(buf), self.target.of(buf));
        let is_usual_method = self.method_kind != Method::Other
            || (method.len() <= METHOD && method.iter().all(u8::is_ascii_uppercase));
        let is_escape = |at: usize| {
            target.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        !is_usual_method
            || self.len > HEAD
            || target.len() > TARGET
            || memchr::memchr3(b'"', b'<', b'>', target).is_some()
            || memchr::memchr_iter(b'%', target).any(|at| !is_escape(at))
            || self.fields.iter().any(|field| field.name.len() > NAME)
    }
}

#[cfg(test)]
mod tests {
    use crate::{HeadLimits, RequestHead};

    fn is_unusual(line: &str, fields: &str) -> bool {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::default();
        let limits = HeadLimits { bytes: 200_000, fields: 100 };
        assert_eq!(head.parse(text.as_bytes(), &mut 0, &limits), Ok(true), "{line}");
        head.is_unusual(text.as_bytes())
    }

    #[test]
    fn knows_what_mongrels_parser_refuses() {
        let (target, name) = (format!("GET /{}", "a".repeat(1024)), format!("{}: v\r\n", "n".repeat(257)));
        for line in [
            "get /",
            "Get /",
            "GET_1 /",
            "ABCDEFGHIJKLMNOPQRSTU /",
            "GET /\"",
            "GET /?<b",
            "GET /a>",
            &target,
        ] {
            assert!(is_unusual(line, ""), "{line}");
        }
        for line in ["GET /%", "GET /%2", "GET /?%2g", "GET /%41%zz"] {
            assert!(is_unusual(line, ""), "{line}");
        }
        assert!(is_unusual("GET /", &name));
        assert!(is_unusual("GET /", &format!("A: {}\r\n", "v".repeat(64 * 1024))));
    }

    #[test]
    fn what_clients_send_every_day_is_usual() {
        for line in ["GET /", "PROPFIND /a/b?c=d", "GET /%41?%7e", "OPTIONS *", "GET /?a[]=1&b={}|c^`\\'"] {
            assert!(!is_unusual(line, ""), "{line}");
        }
        let target = format!("GET /{}", "a".repeat(1023));
        assert!(!is_unusual(&target, &format!("{}: {}\r\n", "n".repeat(256), "v".repeat(50_000))));
    }
}
