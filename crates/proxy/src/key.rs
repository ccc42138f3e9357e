//! What decides which member of an upstream gets a request, where it is not the load: `balance = "hash:…"`.

use std::net::IpAddr;

use vestibule_config::Balance;
use vestibule_http1::Name;

use crate::request::Request;

/// The number that is the same for requests that belong to one member; 0 where nothing is hashed, because the upstream does not or
/// because the request has nothing of that name.
pub(crate) fn key(balance: &Balance, request: &Request<'_>, client: IpAddr) -> u64 {
    let head = request.head;
    match balance {
        Balance::Least | Balance::Random => 0,
        Balance::Client => match client {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        },
        Balance::Path => hash(head.path(request.bytes)),
        Balance::Field(name) => {
            let mut named = head
                .fields
                .iter()
                .filter(|field| field.name.of(request.bytes).eq_ignore_ascii_case(name.as_bytes()));
            named.next().map_or(0, |field| hash(field.value.of(request.bytes)))
        }
        Balance::Cookie(name) => {
            let lines = head.fields.iter().filter(|field| field.kind == Name::Cookie);
            let mut values = lines.filter_map(|line| cookie(line.value.of(request.bytes), name.as_bytes()));
            values.next().map_or(0, hash)
        }
    }
}

/// The value of the cookie with this name in one `Cookie` field (RFC 6265 4.2.1).
fn cookie<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    field.split(|&byte| byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

/// FNV-1a, and never 0.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_cookie_among_others() {
        let field = b"a=1; session=xyz;b=; sessions=no";
        assert_eq!(cookie(field, b"session"), Some(&b"xyz"[..]));
        assert_eq!(cookie(field, b"a"), Some(&b"1"[..]));
        for missing in [&b"b"[..], b"sess", b"c", b"xyz"] {
            assert_eq!(cookie(field, missing), None);
        }
    }

    #[test]
    fn different_values_have_different_keys_and_none_is_nothing() {
        let keys: std::collections::HashSet<u64> = (0..10_000).map(|n: u32| hash(&n.to_le_bytes())).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(!keys.contains(&0) && hash(b"") != 0);
    }
}
