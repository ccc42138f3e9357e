//! `Accept-Encoding` (RFC 9110 12.5.3).

use vestibule_config::Coding;

/// The coding among `offered`, the preferred first, that a client with this `Accept-Encoding` wants most. `None` where the answer is to be
/// left as it is: it takes none of them, or says that it would rather have it so.
///
/// A weight that is not well-formed refuses: no coding is what everybody can read.
#[must_use]
pub fn choose(accept_encoding: &[u8], offered: &[Coding]) -> Option<Coding> {
    Accepted::default().and(accept_encoding).choose(offered)
}

/// The weights that a client gives, in thousandths; of a name that stands twice the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    brotli: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Accepted {
    /// With the value of one more `Accept-Encoding` line.
    #[must_use]
    pub fn and(mut self, value: &[u8]) -> Self {
        for element in value.split(|&byte| byte == b',') {
            let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
            let place = if is(b"gzip") || is(b"x-gzip") {
                // Another name of the same (RFC 9110 8.4.1.3).
                &mut self.gzip
            } else if is(b"br") {
                &mut self.brotli
            } else if is(b"zstd") {
                &mut self.zstd
            } else if is(b"identity") {
                &mut self.identity
            } else if name == b"*" {
                &mut self.others
            } else {
                continue;
            };
            let weight = match (parts.next(), parts.next()) {
                (None, _) => 1000,
                (Some(part), None) => weight(part),
                _ => 0,
            };
            *place = Some(place.map_or(weight, |before| before.min(weight)));
        }
        self
    }

    /// See [`choose`].
    #[must_use]
    pub fn choose(&self, offered: &[Coding]) -> Option<Coding> {
        let mut best = None;
        // Who names the plain form with a weight wants nothing that weighs less.
        let mut least = self.identity.unwrap_or(0).max(1);
        for &coding in offered {
            let weight = self.weight(coding);
            if weight >= least {
                best = Some(coding);
                least = weight + 1;
            }
        }
        best
    }

    fn weight(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// A weight in thousandths (RFC 9110 12.4.2: `q=` and 0 to 1 with at most three digits); 0 for any other parameter.
fn weight(part: &[u8]) -> u16 {
    let [b'q' | b'Q', b'=', number @ ..] = part else { return 0 };
    let (whole, digits) = match number {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return 0,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |&digit| u16::from(digit - b'0'));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => thousandths,
        _ if thousandths == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    const ALL: &[Coding] = &[Zstd, Gzip, Brotli];

    #[track_caller]
    fn is(value: &str, coding: Option<Coding>) {
        assert_eq!(choose(value.as_bytes(), ALL), coding, "{value}");
    }

    #[test]
    fn of_what_a_client_wants_as_much_takes_the_first_that_is_offered() {
        is("gzip, deflate, br, zstd", Some(Zstd));
        is("gzip, deflate, br", Some(Gzip));
        is("br", Some(Brotli));
        assert_eq!(choose(b"gzip, br", &[Brotli, Gzip]), Some(Brotli));
        assert_eq!(choose(b"gzip, br", &[Zstd]), None);
        assert_eq!(choose(b"gzip, br", &[]), None);
    }

    #[test]
    fn the_weight_goes_before_the_order() {
        is("gzip;q=0.5, br;q=0.8, zstd;q=0.799", Some(Brotli));
        is("zstd;q=0.001, gzip;q=0.01", Some(Gzip));
        is("gzip ; q=1.000 , zstd; Q=0.9", Some(Gzip));
    }

    #[test]
    fn a_weight_of_nothing_refuses() {
        is("gzip;q=0", None);
        is("gzip;q=0.000, br;q=0.", None);
        is("*;q=0", None);
        is("gzip, *;q=0", Some(Gzip));
        is("*, zstd;q=0", Some(Gzip));
        is("zstd;q=0, gzip;q=0, br;q=0, *", None);
    }

    #[test]
    fn a_star_stands_for_all_that_is_not_named() {
        is("*", Some(Zstd));
        is("gzip;q=0.2, *;q=0.1", Some(Gzip));
        is("gzip;q=0.1, *;q=0.2", Some(Zstd));
    }

    #[test]
    fn leaves_the_answer_alone_where_the_client_would_rather_have_it_so() {
        is("", None);
        is("identity", None);
        is("deflate", None);
        is("identity;q=1, gzip;q=0.5", None);
        is("identity;q=0.5, gzip;q=0.5", Some(Gzip));
        is("identity;q=0.5, gzip;q=1.0", Some(Gzip));
        is("identity;q=0, gzip;q=0.1", Some(Gzip));
    }

    #[test]
    fn refuses_what_is_malformed_and_hears_the_rest() {
        for value in [
            "gzip;q=2",
            "gzip;q=",
            "gzip;q",
            "gzip;q=-1",
            "gzip;q=0.1234",
            "gzip;q=1.001",
            "gzip;q=.5",
            "gzip;q=0,5x",
            "gzip;q=a",
            "gzip;level=9",
            "gzip;q=1;q=1",
            "gzip;",
            "g zip",
            "gzi",
            "gzipp",
            "\"gzip\"",
            "gzip\u{b}",
        ] {
            is(value, None);
            is(&format!("{value}, br"), Some(Brotli));
        }
        is(",, ;q=1,\tgzip\t,", Some(Gzip));
        is("X-GZIP", Some(Gzip));
    }

    #[test]
    fn what_stands_twice_counts_by_its_lower_weight() {
        is("gzip, gzip;q=0", None);
        is("gzip;q=0, gzip", None);
        is("x-gzip;q=0, gzip", None);
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(Accepted::default().and(b"gzip").and(b"br;q=0.5").choose(ALL), Some(Gzip));
        assert_eq!(Accepted::default().and(b"gzip;q=0.1").and(b"br;q=0.5").choose(ALL), Some(Brotli));
        assert_eq!(Accepted::default().choose(ALL), None);
    }
}
