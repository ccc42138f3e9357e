//! Which fields of a head a route may change.
//!
//! What frames a message, what belongs to one connection, and what tells the application who its client is are ours to say: a
//! route that could change them could break the one canonical form that everything behind us relies on.

use crate::problem::Problem;

/// Whose fields are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The client's, as the application gets them.
    Request,
    /// An answer's, as the client gets them.
    Response,
}

/// What is done to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It takes the place of those of its name.
    Set,
    /// It stands beside those of its name.
    Add,
    /// All of its name go.
    Remove,
}

/// The framing, and what belongs to one connection (RFC 9110 7.6.1).
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What says who the client is, or which request this is: written anew for each request.
const OF_THE_CLIENT: &[&str] = &[
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "forwarded",
    "via",
    "x-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
];

/// Steers what the application does with files or with its own proxy, or the opening of a WebSocket.
const STEERING: &[&str] = &[
    "expect",
    "max-forwards",
    "proxy",
    "sec-websocket-key",
    "version",
    "x-accel-mapping",
    "x-sendfile-type",
];

/// What may be set to another value, not taken away and not doubled.
const SET_ONLY: &[&str] =
    &["host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-scheme", "x-forwarded-ssl"];

/// Checks that a route may do this to the field `name`, which is one, in any case.
pub(super) fn may_change(side: Side, change: Change, name: &str) -> Result<(), Problem> {
    let wrong = |message: String, instead: &str| Err(Problem::new(message).instead(instead));
    let lower = name.to_ascii_lowercase();
    let is_in = |names: &[&str]| names.contains(&lower.as_str());
    if is_in(OF_THE_CONNECTION) {
        return wrong(
            format!("`{name}` belongs to the connection, and Vestibule writes it itself"),
            "leave it out",
        );
    }
    match side {
        Side::Response if is_in(&["date", "sec-websocket-accept"]) => {
            wrong(format!("`{name}` of an answer stays as it is"), "leave it out")
        }
        Side::Response
            if lower == "content-range" || (lower == "content-encoding" && change == Change::Remove) =>
        {
            wrong(
                format!("without `{name}` as it is, nobody can read the body"),
                "leave it out; `compress = false` sends it as it is",
            )
        }
        Side::Response => Ok(()),
        Side::Request if name.contains('_') => wrong(
            format!("`{name}` has an underscore, which a Rack application cannot tell from a hyphen"),
            &format!("write \"{}\"", name.replace('_', "-")),
        ),
        Side::Request if is_in(SET_ONLY) => match change {
            Change::Set => Ok(()),
            _ => wrong(format!("`{name}` can only be set"), "write it below `set`, or leave it out"),
        },
        Side::Request
            if is_in(OF_THE_CLIENT)
                || lower.starts_with("x-ssl-client-")
                || lower.starts_with("x-forwarded-") =>
        {
            wrong(
                format!("`{name}` tells the application who its client is, which Vestibule says itself"),
                "leave it out; whom else to believe says `trusted_proxies`",
            )
        }
        Side::Request if is_in(STEERING) => {
            wrong(format!("`{name}` steers the application or the forwarding"), "leave it out")
        }
        Side::Request => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(side: Side, change: Change, name: &str) -> bool {
        may_change(side, change, name).is_err()
    }

    #[test]
    fn leaves_framing_and_connections_alone_on_both_sides() {
        for name in
            ["Content-Length", "TRANSFER-ENCODING", "connection", "Upgrade", "Keep-Alive", "Trailer", "TE"]
        {
            for side in [Side::Request, Side::Response] {
                for change in [Change::Set, Change::Add, Change::Remove] {
                    assert!(refused(side, change, name), "{name}");
                }
            }
        }
    }

    #[test]
    fn leaves_what_a_body_is_read_by() {
        assert!(refused(Side::Response, Change::Remove, "Content-Encoding"));
        assert!(refused(Side::Response, Change::Set, "Content-Range"));
        assert!(!refused(Side::Response, Change::Add, "Content-Encoding"), "of files that lie there coded");
    }

    #[test]
    fn leaves_what_is_said_of_the_client_alone() {
        for name in [
            "X-Forwarded-For",
            "x-forwarded-proto",
            "X-Forwarded-Anything",
            "X-Real-IP",
            "Forwarded",
            "Client-Cert",
            "X-SSL-Client-Verify",
            "X-Request-Id",
            "Proxy",
            "X-Accel-Mapping",
        ] {
            assert!(refused(Side::Request, Change::Set, name), "{name}");
            assert!(refused(Side::Request, Change::Remove, name), "{name}");
        }
    }

    #[test]
    fn some_may_be_set_and_not_taken_away() {
        for name in ["Host", "X-Forwarded-Ssl", "X-Forwarded-Port", "X-Forwarded-Prefix"] {
            assert!(!refused(Side::Request, Change::Set, name), "{name}");
            assert!(refused(Side::Request, Change::Remove, name), "{name}");
            assert!(refused(Side::Request, Change::Add, name), "{name}");
        }
    }

    #[test]
    fn what_an_application_says_is_free() {
        assert!(refused(Side::Request, Change::Set, "X_Forwarded_For"));
        for name in ["X-Robots-Tag", "Server", "Strict-Transport-Security", "Cache-Control", "Set-Cookie"] {
            assert!(!refused(Side::Response, Change::Set, name), "{name}");
            assert!(!refused(Side::Response, Change::Remove, name), "{name}");
        }
        for name in ["Authorization", "Cookie", "X-Api-Key", "Accept-Encoding"] {
            assert!(!refused(Side::Request, Change::Set, name), "{name}");
            assert!(!refused(Side::Request, Change::Remove, name), "{name}");
        }
    }
}
