//! Patterns of paths with `*` and `**`.
//!
//! - `*` stands for any bytes but `/`, none too.
//! - `**` between two slashes stands for whole segments, none too: `/a/**/b` fits `/a/b`, `/a/x/b` and `/a/x/y/b`.
//! - A last `/*` or `/**` stands for everything below: `/a/*` fits `/a/`, `/a/x` and `/a/x/y`, not `/a`.
//!
//! A pattern is matched as it is written, in time that grows with the product of its length and the path's at worst: where a `*` or a
//! `**` took too little it takes more, and what stood before it never has to be asked again, since it could only give less to it.

use std::ops::Range;

/// Most `*` and `**` of a pattern.
pub(crate) const MOST: usize = 16;

/// What a pattern's `*` and `**` stand for in a path, in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stars {
    places: [(usize, usize); MOST],
    count: usize,
}

impl Stars {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.places.iter().take(self.count).map(|&(start, end)| start..end)
    }
}

/// A `*` or `**` that may take more.
#[derive(Clone, Copy)]
struct Star {
    /// What follows it in the pattern.
    pattern: usize,
    /// Where what it stands for begins in the path, and where it goes on.
    from: usize,
    path: usize,
    /// Its number.
    number: usize,
}

/// What begins at a place of a pattern.
enum Piece {
    Byte(u8),
    /// `*`
    Within,
    /// `**/` after a slash: whole segments.
    Segments,
    /// The last `*` or `**`, after a slash.
    Rest,
    End,
}

fn piece(pattern: &[u8], at: usize) -> Piece {
    let rest = pattern.get(at..).unwrap_or_default();
    let begins_segment = at.checked_sub(1).and_then(|before| pattern.get(before)) == Some(&b'/');
    match rest {
        [] => Piece::End,
        b"*" | b"**" if begins_segment => Piece::Rest,
        [b'*', b'*', b'/', ..] if begins_segment => Piece::Segments,
        [b'*', ..] => Piece::Within,
        [byte, ..] => Piece::Byte(*byte),
    }
}

/// Whether `pattern` fits the whole of `path`, and what its stars stand for then: each as little as it can. More than [`MOST`] stars
/// fit too; what the further ones stand for is not noted.
pub(crate) fn fit(pattern: &[u8], path: &[u8]) -> Option<Stars> {
    let mut stars = Stars::default();
    let mut note = |number: usize, from: usize, to: usize| {
        if let Some(place) = stars.places.get_mut(number) {
            *place = (from, to.max(from));
        }
    };
    let (mut within, mut segments): (Option<Star>, Option<Star>) = (None, None);
    let (mut at, mut path_at, mut number) = (0, 0, 0);
    loop {
        match piece(pattern, at) {
            Piece::End if path_at == path.len() => break,
            Piece::Byte(byte) if path.get(path_at) == Some(&byte) => {
                (at, path_at) = (at + 1, path_at + 1);
                continue;
            }
            Piece::Rest => {
                note(number, path_at, path.len());
                number += 1;
                break;
            }
            Piece::Within => {
                within = Some(Star { pattern: at + 1, from: path_at, path: path_at, number });
                note(number, path_at, path_at);
                (at, number) = (at + 1, number + 1);
                continue;
            }
            Piece::Segments => {
                segments = Some(Star { pattern: at + 3, from: path_at, path: path_at, number });
                within = None;
                note(number, path_at, path_at);
                (at, number) = (at + 3, number + 1);
                continue;
            }
            Piece::End | Piece::Byte(_) => {}
        }
        // It does not fit: the last star takes one byte more, or else the last double star one segment more.
        if let Some(star) =
            within.as_mut().filter(|star| path.get(star.path).is_some_and(|&byte| byte != b'/'))
        {
            star.path += 1;
            note(star.number, star.from, star.path);
            (at, path_at, number) = (star.pattern, star.path, star.number + 1);
            continue;
        }
        within = None;
        let star = segments.as_mut()?;
        let slash = path.get(star.path..)?.iter().position(|&byte| byte == b'/')?;
        star.path += slash + 1;
        note(star.number, star.from, star.path - 1);
        (at, path_at, number) = (star.pattern, star.path, star.number + 1);
    }
    stars.count = number.min(MOST);
    Some(stars)
}

/// How many `*` and `**` a pattern has.
pub(crate) fn stars(pattern: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    loop {
        at += match piece(pattern, at) {
            Piece::End => return count,
            Piece::Rest => return count + 1,
            Piece::Byte(_) => 1,
            Piece::Within => {
                count += 1;
                1
            }
            Piece::Segments => {
                count += 1;
                3
            }
        };
    }
}
