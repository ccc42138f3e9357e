//! A field of a head, and the names that a front-end has to know.

use crate::Span;

/// The field names that decide something on the way through; all others are [`Name::Other`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the field of that name
pub enum Name {
    /// Any name that is not below.
    #[default]
    Other,
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Accept,
    Date,
    Server,
    Via,
    UserAgent,
    Referer,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XForwardedSsl,
    XForwardedScheme,
    /// Any other that begins with `X-Forwarded-`, or tells of the client as these do: `Client-IP`, `X-Client-IP`.
    XForwardedOther,
    XRealIp,
    XRequestId,
    XRequestStart,
    Proxy,
    ProxyAuthorization,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    XSendfileType,
    XAccelMapping,
    XAccelBuffering,
    /// `X-Accel-Charset`, `-Expires`, `-Limit-Rate` or `-Redirect`: in an answer, an instruction to Nginx.
    XAccel,
    XSendfile,
    RetryAfter,
    ContentType,
    Http2Settings,
    MaxForwards,
    Version,
    Cookie,
    StrictTransportSecurity,
    /// `Client-Cert`, `Client-Cert-Chain` (RFC 9440), or any that begins with `X-SSL-Client-`: what a certificate says of the
    /// client.
    ClientCertificate,
}

impl Name {
    /// Which name `name` is, whatever its case.
    #[inline]
    pub fn classify(name: &[u8]) -> Name {
        // The length alone, or with the first letter, leaves few to compare with, mostly none.
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let kind = match (name.len(), first) {
            (2, _) => pick(name, [(b"te", Name::Te)]),
            (3, _) => pick(name, [(b"via", Name::Via)]),
            (4, _) => pick(name, [(b"host", Name::Host), (b"date", Name::Date)]),
            (5, _) => pick(name, [(b"proxy", Name::Proxy)]),
            (6, _) => pick(
                name,
                [
                    (b"accept", Name::Accept),
                    (b"server", Name::Server),
                    (b"expect", Name::Expect),
                    (b"cookie", Name::Cookie),
                ],
            ),
            (7, _) => pick(
                name,
                [
                    (b"referer", Name::Referer),
                    (b"upgrade", Name::Upgrade),
                    (b"trailer", Name::Trailer),
                    (b"version", Name::Version),
                ],
            ),
            (9, _) => pick(
                name,
                [
                    (b"x-real-ip", Name::XRealIp),
                    (b"forwarded", Name::Forwarded),
                    (b"client-ip", Name::XForwardedOther),
                ],
            ),
            (10, b'c') => pick(name, [(b"connection", Name::Connection)]),
            (10, b'u') => pick(name, [(b"user-agent", Name::UserAgent)]),
            (10, b'k') => pick(name, [(b"keep-alive", Name::KeepAlive)]),
            (10, b'x') => pick(name, [(b"x-sendfile", Name::XSendfile)]),
            (11, _) => pick(
                name,
                [
                    (b"retry-after", Name::RetryAfter),
                    (b"x-client-ip", Name::XForwardedOther),
                    (b"client-cert", Name::ClientCertificate),
                ],
            ),
            (12, _) => pick(
                name,
                [
                    (b"content-type", Name::ContentType),
                    (b"x-request-id", Name::XRequestId),
                    (b"max-forwards", Name::MaxForwards),
                ],
            ),
            (14, _) => pick(
                name,
                [(b"content-length", Name::ContentLength), (b"http2-settings", Name::Http2Settings)],
            ),
            (15, b'x') => pick(
                name,
                [
                    (b"x-forwarded-for", Name::XForwardedFor),
                    (b"x-forwarded-ssl", Name::XForwardedSsl),
                    (b"x-request-start", Name::XRequestStart),
                    (b"x-accel-mapping", Name::XAccelMapping),
                    (b"x-sendfile-type", Name::XSendfileType),
                    (b"x-accel-charset", Name::XAccel),
                    (b"x-accel-expires", Name::XAccel),
                ],
            ),
            (16, b'x') => pick(
                name,
                [
                    (b"x-forwarded-host", Name::XForwardedHost),
                    (b"x-forwarded-port", Name::XForwardedPort),
                    (b"x-accel-redirect", Name::XAccel),
                ],
            ),
            (16, b'p') => pick(name, [(b"proxy-connection", Name::ProxyConnection)]),
            (17, b'c') => pick(name, [(b"client-cert-chain", Name::ClientCertificate)]),
            (17, b't') => pick(name, [(b"transfer-encoding", Name::TransferEncoding)]),
            (17, b'x') => pick(
                name,
                [
                    (b"x-forwarded-proto", Name::XForwardedProto),
                    (b"x-accel-buffering", Name::XAccelBuffering),
                ],
            ),
            (18, b'x') => pick(
                name,
                [(b"x-forwarded-scheme", Name::XForwardedScheme), (b"x-accel-limit-rate", Name::XAccel)],
            ),
            (18, b'p') => pick(name, [(b"proxy-authenticate", Name::ProxyAuthenticate)]),
            (19, _) => pick(name, [(b"proxy-authorization", Name::ProxyAuthorization)]),
            (25, b'p') => pick(name, [(b"proxy-authentication-info", Name::ProxyAuthenticationInfo)]),
            (25, b's') => pick(name, [(b"strict-transport-security", Name::StrictTransportSecurity)]),
            _ => Name::Other,
        };
        if kind == Name::Other && first == b'x' { by_beginning(name) } else { kind }
    }
}

/// Which of the names that are known by their beginning `name` is.
fn by_beginning(name: &[u8]) -> Name {
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if begins(b"x-forwarded-") {
        Name::XForwardedOther
    } else if begins(b"x-ssl-client-") {
        Name::ClientCertificate
    } else {
        Name::Other
    }
}

/// The name among `candidates`, given in lower case, that `name` is.
#[inline(always)]
fn pick<const LEN: usize, const COUNT: usize>(name: &[u8], candidates: [(&[u8; LEN], Name); COUNT]) -> Name {
    for (text, kind) in candidates {
        if name.eq_ignore_ascii_case(text) {
            return kind;
        }
    }
    Name::Other
}

/// One field line of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The name, in the case it came in.
    pub name: Span,
    /// The value, without the white space around it; may be empty.
    pub value: Span,
    /// Which name it is.
    pub kind: Name,
    /// Whether the name holds an underscore: in a Rack environment it would then pass for the same name with
    /// hyphens, so it must not reach the application.
    pub underscore: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, Name); 51] = [
        ("Client-IP", Name::XForwardedOther),
        ("X-Client-IP", Name::XForwardedOther),
        ("X-Forwarded-Prefix", Name::XForwardedOther),
        ("Host", Name::Host),
        ("Connection", Name::Connection),
        ("Keep-Alive", Name::KeepAlive),
        ("Proxy-Connection", Name::ProxyConnection),
        ("Transfer-Encoding", Name::TransferEncoding),
        ("Content-Length", Name::ContentLength),
        ("TE", Name::Te),
        ("Trailer", Name::Trailer),
        ("Upgrade", Name::Upgrade),
        ("Expect", Name::Expect),
        ("Accept", Name::Accept),
        ("Date", Name::Date),
        ("Server", Name::Server),
        ("Via", Name::Via),
        ("User-Agent", Name::UserAgent),
        ("Referer", Name::Referer),
        ("Forwarded", Name::Forwarded),
        ("X-Forwarded-For", Name::XForwardedFor),
        ("X-Forwarded-Proto", Name::XForwardedProto),
        ("X-Forwarded-Host", Name::XForwardedHost),
        ("X-Forwarded-Port", Name::XForwardedPort),
        ("X-Forwarded-Ssl", Name::XForwardedSsl),
        ("X-Forwarded-Scheme", Name::XForwardedScheme),
        ("X-Real-IP", Name::XRealIp),
        ("X-Request-Id", Name::XRequestId),
        ("X-Request-Start", Name::XRequestStart),
        ("Proxy", Name::Proxy),
        ("Proxy-Authorization", Name::ProxyAuthorization),
        ("Proxy-Authenticate", Name::ProxyAuthenticate),
        ("Proxy-Authentication-Info", Name::ProxyAuthenticationInfo),
        ("X-Sendfile-Type", Name::XSendfileType),
        ("X-Accel-Mapping", Name::XAccelMapping),
        ("X-Accel-Buffering", Name::XAccelBuffering),
        ("X-Accel-Charset", Name::XAccel),
        ("X-Accel-Expires", Name::XAccel),
        ("X-Accel-Limit-Rate", Name::XAccel),
        ("X-Accel-Redirect", Name::XAccel),
        ("X-Sendfile", Name::XSendfile),
        ("Retry-After", Name::RetryAfter),
        ("Content-Type", Name::ContentType),
        ("HTTP2-Settings", Name::Http2Settings),
        ("Max-Forwards", Name::MaxForwards),
        ("Version", Name::Version),
        ("Cookie", Name::Cookie),
        ("Strict-Transport-Security", Name::StrictTransportSecurity),
        ("Client-Cert", Name::ClientCertificate),
        ("Client-Cert-Chain", Name::ClientCertificate),
        ("X-SSL-Client-S-DN", Name::ClientCertificate),
    ];

    #[test]
    fn knows_each_name_in_any_case() {
        for (text, name) in KNOWN {
            assert_eq!(Name::classify(text.as_bytes()), name, "{text}");
            assert_eq!(Name::classify(text.to_lowercase().as_bytes()), name, "{text}");
            assert_eq!(Name::classify(text.to_uppercase().as_bytes()), name, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_nearly_known_is_another() {
        for (text, _) in KNOWN {
            let (beginning, rest) = match text {
                _ if text.starts_with("X-Forwarded-") => ("X-Forwarded-", Name::XForwardedOther),
                _ if text.starts_with("X-SSL-Client-") => ("X-SSL-Client-", Name::ClientCertificate),
                _ => ("", Name::Other),
            };
            let longer = format!("{text}x");
            assert_eq!(Name::classify(longer.as_bytes()), rest, "{longer}");
            let mut changed = text.as_bytes().to_vec();
            for at in 0..changed.len() {
                let other = if at < beginning.len() { Name::Other } else { rest };
                let was = std::mem::replace(&mut changed[at], b'~');
                assert_eq!(Name::classify(&changed), other, "{text} with ~ at {at}");
                changed[at] = was;
            }
        }
        for other in ["", "X", "Cookies", "X_Forwarded_For", "Transfer_Encoding", "Content_Length"] {
            assert_eq!(Name::classify(other.as_bytes()), Name::Other, "{other}");
        }
    }
}
