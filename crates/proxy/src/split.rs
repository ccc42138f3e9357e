//! One of several upstreams, by weight, and the same one again for who has its cookie.

use std::sync::Arc;

use vestibule_config::Split;
use vestibule_http1::Name;
use vestibule_upstream::Upstream;

use crate::forwarded;
use crate::request::Request;
use crate::worker::Plan;

/// The upstream of one request.
pub(crate) struct Chosen<'p> {
    /// Its index in the plan.
    pub(crate) index: usize,
    pub(crate) upstream: &'p Arc<Upstream>,
    /// Whether the client is to be told, for the next time.
    is_new: bool,
}

/// Chooses. Those that are stopped are left out as long as there are others. `None` when the plan has none of them.
pub(crate) fn choose<'p>(plan: &'p Plan, split: &Split, request: &Request<'_>) -> Option<Chosen<'p>> {
    let found = |index: usize| plan.upstreams.get(index);
    if let &[(upstream, _)] = split.shares.as_slice() {
        // Nothing to draw, nothing to remember.
        return Some(Chosen { index: upstream.0, upstream: found(upstream.0)?, is_new: false });
    }
    let takes = |index: usize| found(index).is_some_and(|upstream| !upstream.is_stopped());
    let known = split.sticky.as_ref().and_then(|sticky| {
        let value = cookie(request, sticky.cookie.as_bytes())?;
        let mut shares = split.shares.iter().map(|(upstream, _)| upstream.0);
        shares.find(|&index| {
            found(index).is_some_and(|upstream| upstream.config.name.as_bytes() == value) && takes(index)
        })
    });
    if let Some(index) = known {
        return Some(Chosen { index, upstream: found(index)?, is_new: false });
    }
    let open = || split.shares.iter().filter(|(upstream, _)| takes(upstream.0));
    let total: u64 = open().map(|&(_, weight)| u64::from(weight)).sum();
    let drawn = if total > 0 {
        let mut at = fastrand::u64(..total);
        open().find(|&&(_, weight)| match at.checked_sub(u64::from(weight)) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })
    } else {
        // All are stopped, or those that are not have no weight: these last are better than none.
        open().next().or(split.shares.first())
    };
    let (index, is_new) = (drawn?.0.0, split.sticky.is_some());
    Some(Chosen { index, upstream: found(index)?, is_new })
}

impl Chosen<'_> {
    /// Adds the cookie that brings the client here again, if it has none.
    pub(crate) fn write_cookie(&self, split: &Split, request: &Request<'_>, out: &mut Vec<u8>) {
        let Some(sticky) = split.sticky.as_ref().filter(|_| self.is_new) else { return };
        out.extend_from_slice(b"Set-Cookie: ");
        out.extend_from_slice(sticky.cookie.as_bytes());
        out.push(b'=');
        out.extend_from_slice(self.upstream.config.name.as_bytes());
        if let Some(age) = sticky.age {
            out.extend_from_slice(b"; Max-Age=");
            out.extend_from_slice(itoa::Buffer::new().format(age.as_secs()).as_bytes());
        }
        out.extend_from_slice(b"; Path=/; HttpOnly; SameSite=Lax");
        if forwarded::scheme(request) == b"https" {
            out.extend_from_slice(b"; Secure");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The value of the first cookie of that name (RFC 6265 5.4).
fn cookie<'a>(request: &Request<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let fields = request.head.fields.iter().filter(|field| field.kind == Name::Cookie);
    let pairs = fields.flat_map(|field| field.value.of(request.bytes).split(|&byte| byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_config::{Sticky, UpstreamId};

    use super::*;
    use crate::shared::Shared;
    use crate::testing::Asked;

    fn plan() -> Plan {
        let mut asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let model = asked.config.upstreams.remove(0);
        let upstreams = ["app", "canary", "third"].map(|name| {
            let named = vestibule_config::Upstream { name: name.to_owned(), ..model.clone() };
            Upstream::new(named, 1).unwrap().0
        });
        let config = Arc::new(vestibule_config::Config::default());
        Plan { shared: Arc::new(Shared::new(&config)), config, upstreams: upstreams.to_vec() }
    }

    fn split(weights: [u32; 3]) -> Split {
        let shares = weights.into_iter().enumerate().map(|(index, weight)| (UpstreamId(index), weight));
        let sticky = Sticky { cookie: "release".to_owned(), age: Some(Duration::from_secs(3600)) };
        Split { shares: shares.collect(), sticky: Some(sticky) }
    }

    #[tokio::test]
    async fn draws_by_weight_and_never_what_has_none() {
        let (plan, split) = (plan(), split([95, 5, 0]));
        let asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut drawn = [0; 3];
        for _ in 0..20_000 {
            drawn[choose(&plan, &split, &asked.request()).unwrap().index] += 1;
        }
        // Within six standard deviations (31 each) of 1,000.
        assert!((815..1185).contains(&drawn[1]), "{drawn:?}");
        assert_eq!(drawn[2], 0);
    }

    #[tokio::test]
    async fn the_cookie_decides_unless_it_names_nobody() {
        let (plan, split) = (plan(), split([1, 0, 0]));
        for (cookies, index) in [
            ("a=b; release=canary; c=d", 1),
            ("release=canary", 1),
            ("release=third;x", 2),
            ("release=nobody", 0),
            ("xrelease=canary", 0),
            ("release=", 0),
            ("release", 0),
        ] {
            let asked = Asked::new(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n"));
            let request = asked.request();
            let chosen = choose(&plan, &split, &request).unwrap();
            assert_eq!(chosen.index, index, "{cookies}");
            let mut out = Vec::new();
            chosen.write_cookie(&split, &request, &mut out);
            let expected = "Set-Cookie: release=app; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax\r\n";
            let expected = if index == 0 { expected } else { "" };
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cookies}");
        }
    }

    #[tokio::test]
    async fn the_cookie_is_secure_over_tls() {
        let (plan, split) = (plan(), split([1, 1, 1]));
        let mut asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        asked.door.is_tls = true;
        let request = asked.request();
        let mut out = Vec::new();
        choose(&plan, &split, &request).unwrap().write_cookie(&split, &request, &mut out);
        assert!(out.ends_with(b"; Path=/; HttpOnly; SameSite=Lax; Secure\r\n"));
    }
}
