//! Which other sites' scripts may read an answer (CORS, fetch.spec.whatwg.org).

use std::ops::ControlFlow;

use vestibule_config::Cors;
use vestibule_http1::{Method, field, number_field};

use crate::changes::Changes;
use crate::request::Request;
use crate::respond::{self, Own};

/// Methods that need no leave of ours to be sent, and are always given it.
const ALWAYS: &str = "GET, HEAD, POST";

/// Adds to the answer what says who may read it, and answers a preflight: whether a script may send a request at all. No credentials
/// come with one, and no application need see it.
pub(crate) fn apply(cors: &Cors, request: &Request<'_>, changes: &mut Changes) -> ControlFlow<Own> {
    let out = &mut changes.lines;
    let origin = request.field(b"origin");
    if cors.origins.is_empty() && !cors.credentials {
        field(out, b"Access-Control-Allow-Origin", b"*");
    } else {
        // To another origin it would be another answer (RFC 9110 12.5.5).
        field(out, b"Vary", b"Origin");
        let allowed = origin.filter(|&origin| cors.origins.iter().any(|known| known.as_bytes() == origin));
        if let Some(origin) = allowed {
            field(out, b"Access-Control-Allow-Origin", origin);
            if cors.credentials {
                field(out, b"Access-Control-Allow-Credentials", b"true");
            }
        }
    }
    if preflight_for(request).is_none() {
        if !cors.expose.is_empty() {
            field(out, b"Access-Control-Expose-Headers", cors.expose.join(", ").as_bytes());
        }
        return ControlFlow::Continue(());
    }
    let methods = cors.methods.iter().map(String::as_str);
    let methods: Vec<&str> = std::iter::once(ALWAYS).chain(methods).collect();
    field(out, b"Access-Control-Allow-Methods", methods.join(", ").as_bytes());
    if cors.fields.is_empty() {
        let asked = request.field(b"access-control-request-headers").filter(|names| is_list_of_names(names));
        field(out, b"Vary", b"Access-Control-Request-Headers");
        if let Some(names) = asked {
            field(out, b"Access-Control-Allow-Headers", names);
        }
    } else {
        field(out, b"Access-Control-Allow-Headers", cors.fields.join(", ").as_bytes());
    }
    number_field(out, b"Access-Control-Max-Age", cors.age.as_secs());
    ControlFlow::Break(respond::preflight())
}

/// The method that a script wants to use, where this is its question whether it may (Fetch 3.2.2).
pub(crate) fn preflight_for<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    if request.head.method_kind != Method::Options || request.field(b"origin").is_none() {
        return None;
    }
    request.field(b"access-control-request-method")
}

fn is_list_of_names(names: &[u8]) -> bool {
    let may_stand = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte);
    !names.is_empty() && names.iter().all(may_stand)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Asked;

    fn cors(origins: &[&str]) -> Cors {
        Cors {
            origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            methods: vec!["PUT".to_owned(), "DELETE".to_owned()],
            fields: Vec::new(),
            expose: vec!["X-Total".to_owned()],
            credentials: !origins.is_empty(),
            age: Duration::from_secs(600),
        }
    }

    fn applied(cors: &Cors, method: &str, fields: &str) -> (Option<u16>, String) {
        let asked = Asked::new(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let mut changes = Changes::default();
        let flow = apply(cors, &asked.request(), &mut changes);
        (flow.break_value().map(|own| own.status), String::from_utf8(changes.lines).unwrap())
    }

    #[test]
    fn any_origin_may_read_and_is_told_so_always() {
        let any = cors(&[]);
        let expected = "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-Total\r\n";
        assert_eq!(applied(&any, "GET", ""), (None, expected.to_owned()));
        assert_eq!(applied(&any, "GET", "Origin: https://b\r\n"), (None, expected.to_owned()));
    }

    #[test]
    fn a_named_origin_is_told_its_own_name_and_no_other() {
        let named = cors(&["https://a", "https://b"]);
        let (_, lines) = applied(&named, "GET", "Origin: https://b\r\n");
        assert!(lines.starts_with("Vary: Origin\r\nAccess-Control-Allow-Origin: https://b\r\nAccess-Control-Allow-Credentials: true\r\n"), "{lines}");
        for origin in ["https://bb", "HTTPS://B", "null", "https://a, https://b", ""] {
            let (_, lines) = applied(&named, "GET", &format!("Origin: {origin}\r\n"));
            assert!(lines.contains("Vary: Origin") && !lines.contains("Allow-Origin"), "{origin}: {lines}");
        }
    }

    #[test]
    fn answers_a_preflight_and_no_other_options() {
        let named = cors(&["https://a"]);
        let preflight = "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-one, x-two\r\n";
        let (status, lines) = applied(&named, "OPTIONS", preflight);
        assert_eq!(status, Some(204));
        for line in [
            "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE\r\n",
            "Access-Control-Allow-Headers: x-one, x-two\r\n",
            "Access-Control-Max-Age: 600\r\n",
        ] {
            assert!(lines.contains(line), "{lines}");
        }
        assert!(!lines.contains("Expose"), "{lines}");
        assert_eq!(applied(&named, "OPTIONS", "Origin: https://a\r\n").0, None);
        assert_eq!(applied(&named, "OPTIONS", "Access-Control-Request-Method: PUT\r\n").0, None);
        assert_eq!(applied(&named, "GET", preflight).0, None);
    }

    #[test]
    fn what_is_asked_for_is_only_repeated_where_it_is_a_list_of_names() {
        let named = cors(&["https://a"]);
        let odd = "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x<y>\r\n";
        assert!(!applied(&named, "OPTIONS", odd).1.contains("Allow-Headers"));
        let listed = Cors { fields: vec!["Authorization".to_owned()], ..named };
        assert!(applied(&listed, "OPTIONS", odd).1.contains("Allow-Headers: Authorization\r\n"));
    }
}
