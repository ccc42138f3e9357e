//! What of a request decides its route.

use std::net::IpAddr;

use vestibule_config::routes::Asked;

use crate::cors;
use crate::request::Request;

/// A request, as the routes look at it.
#[derive(Debug)]
pub(crate) struct OfRequest<'a> {
    pub(crate) request: &'a Request<'a>,
    /// The address that it really came from.
    pub(crate) client: IpAddr,
}

impl Asked for OfRequest<'_> {
    fn host(&self) -> &[u8] {
        self.request.head.host.of(self.request.bytes)
    }

    fn path(&self) -> &[u8] {
        self.request.head.canonical_path(self.request.bytes)
    }

    fn query(&self) -> Option<&[u8]> {
        let whole = self.request.head.path_and_query.of(self.request.bytes);
        whole.iter().position(|&byte| byte == b'?').and_then(|mark| whole.get(mark + 1..))
    }

    fn method(&self) -> &[u8] {
        self.request.head.method.of(self.request.bytes)
    }

    fn preflight_for(&self) -> Option<&[u8]> {
        cors::preflight_for(self.request)
    }

    fn client(&self) -> IpAddr {
        self.client
    }

    fn any_field(&self, name: &[u8], test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let bytes = self.request.bytes;
        let named = |field: &&vestibule_http1::Field| field.name.of(bytes).eq_ignore_ascii_case(name);
        self.request.head.fields.iter().filter(named).any(|field| test(field.value.of(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::rc::Rc;
    use std::time::{Instant, SystemTime};

    use vestibule_http1::{HeadLimits, RequestHead};

    use super::*;
    use crate::request::{Door, Peer, Rules};

    #[test]
    fn shows_the_routes_what_was_sent() {
        for (target, path, query) in [
            ("/a/b", "/a/b", None),
            ("/a?b=1?c", "/a", Some("b=1?c")),
            ("/a?", "/a", Some("")),
            ("http://h.example", "/", None),
            ("http://h.example?x", "/", Some("x")),
            ("//%61/./b?%61", "/a/b", Some("%61")),
            ("http://h.example/c/../d", "/d", None),
        ] {
            let text =
                format!("GET {target} HTTP/1.1\r\nHost: h.example\r\nX-A: 1\r\nx-a: 2\r\nX-B:\r\n\r\n");
            let mut head = RequestHead::default();
            let limits = HeadLimits { bytes: 1 << 16, fields: 100 };
            assert!(head.parse(text.as_bytes(), &mut 0, &limits).expect("a head"));
            let door = Door::plain(Peer::new(None, &[]), Rc::new(Rules::default()));
            let request = Request {
                head: &head,
                bytes: text.as_bytes(),
                door: &door,
                arrived: Instant::now(),
                arrived_at: SystemTime::now(),
                serial: 1,
            };
            let asked = OfRequest { request: &request, client: Ipv4Addr::LOCALHOST.into() };
            assert_eq!((asked.host(), asked.method()), (&b"h.example"[..], &b"GET"[..]));
            assert_eq!(
                (asked.path(), asked.query()),
                (path.as_bytes(), query.map(str::as_bytes)),
                "{target}"
            );
            let mut seen = Vec::new();
            assert!(!asked.any_field(b"x-a", &mut |value| {
                seen.push(value.to_vec());
                false
            }));
            assert_eq!(seen, [b"1".to_vec(), b"2".to_vec()]);
            assert!(asked.any_field(b"x-b", &mut |value| value.is_empty()));
            assert!(!asked.any_field(b"x-c", &mut |_| true));
        }
    }
}
