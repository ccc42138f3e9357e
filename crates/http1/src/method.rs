//! The request methods.

/// A request's method. Names are case-sensitive (RFC 9110 9.1): `get` is [`Method::Other`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the method of that name
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
    Connect,
    /// Any other token.
    #[default]
    Other,
}

impl Method {
    /// The method that `name` is.
    #[inline]
    pub fn classify(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// Whether doing it twice is as good as once (RFC 9110 9.2.2), so that a replay may be tried. What is not
    /// known is not idempotent.
    #[inline]
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace => {
                true
            }
            Method::Post | Method::Patch | Method::Connect | Method::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_rfc_calls_idempotent_is() {
        for name in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert!(Method::classify(name.as_bytes()).is_idempotent(), "{name}");
        }
        for name in ["POST", "PATCH", "CONNECT", "PROPFIND", "get", ""] {
            assert!(!Method::classify(name.as_bytes()).is_idempotent(), "{name}");
        }
    }

    #[test]
    fn case_matters() {
        assert_eq!(Method::classify(b"GET"), Method::Get);
        assert_eq!(Method::classify(b"get"), Method::Other);
        assert_eq!(Method::classify(b"Head"), Method::Other);
    }
}
