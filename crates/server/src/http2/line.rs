//! The order in which streams get room on their connection.

use std::collections::VecDeque;

use vestibule_http2::StreamId;

/// How urgent an answer is, 0 most of all, 7 least (RFC 9218 4.1).
pub(super) type Urgency = u8;

/// What a client that says nothing means.
const USUAL: Urgency = 3;

/// Streams that wait, in the order in which they came. Each is in it once at most, so it is as long as there are streams.
///
/// Most connections never have one: it costs them a pointer.
#[derive(Debug, Default)]
pub(super) struct Line(Option<Box<Order>>);

#[derive(Debug, Default)]
struct Order {
    waiting: VecDeque<(StreamId, Urgency)>,
}

impl Line {
    /// Adds a stream at the end, if it is not in yet.
    pub(super) fn join(&mut self, stream: StreamId, urgency: Urgency) {
        if !self.contains(stream) {
            self.0.get_or_insert_default().waiting.push_back((stream, urgency));
        }
    }

    /// Takes the most urgent out that came first.
    pub(super) fn next(&mut self) -> Option<StreamId> {
        let waiting = &mut self.0.as_mut()?.waiting;
        // Of several equal ones the first.
        let index = waiting.iter().enumerate().min_by_key(|(_, (_, urgency))| *urgency)?.0;
        waiting.remove(index).map(|(stream, _)| stream)
    }

    /// Takes a stream out, if it is in; whether it was.
    pub(super) fn leave(&mut self, stream: StreamId) -> bool {
        let Some(order) = &mut self.0 else { return false };
        let index = order.waiting.iter().position(|(other, _)| *other == stream);
        index.and_then(|index| order.waiting.remove(index)).is_some()
    }

    /// Moves all to the end of another line.
    pub(super) fn move_to(&mut self, other: &mut Line) {
        for (stream, urgency) in self.0.iter_mut().flat_map(|order| order.waiting.drain(..)) {
            other.join(stream, urgency);
        }
    }

    pub(super) fn contains(&self, stream: StreamId) -> bool {
        self.0.iter().flat_map(|order| &order.waiting).any(|(other, _)| *other == stream)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|order| order.waiting.is_empty())
    }

    /// Gives back its memory, if nobody waits.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}

/// What a `priority` field says of the urgency; what it says beside, or not as RFC 9218 has it said, is ignored.
pub(super) fn urgency(value: Option<&[u8]>) -> Urgency {
    let items = value.unwrap_or_default().split(|&byte| byte == b',');
    // Of a key that comes twice the last counts (RFC 9651 3.2).
    let mut found = items.filter_map(|item| match item.trim_ascii() {
        [b'u', b'=', digit @ b'0'..=b'7'] | [b'u', b'=', digit @ b'0'..=b'7', b';', ..] => Some(digit - b'0'),
        _ => None,
    });
    found.next_back().unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_goes_first_and_equals_in_their_order() {
        let mut line = Line::default();
        for (stream, urgency) in [(1, 3), (3, 7), (5, 3), (7, 0), (5, 0)] {
            line.join(stream, urgency);
        }
        assert!(line.leave(1) && !line.leave(1));
        line.join(1, 3);
        let order: Vec<_> = std::iter::from_fn(|| line.next()).collect();
        assert_eq!(order, [7, 5, 1, 3]);
        assert!(line.is_empty());
    }

    #[test]
    fn reads_what_a_client_says_of_urgency() {
        let cases: [(&[u8], Urgency); 9] = [
            (b"u=0", 0),
            (b"u=7, i", 7),
            (b"i, u=1", 1),
            (b"u=5;x=1", 5),
            (b"u=1, u=2", 2),
            (b"u=8", USUAL),
            (b"u=-1", USUAL),
            (b"u", USUAL),
            (b"", USUAL),
        ];
        for (value, expected) in cases {
            assert_eq!(urgency(Some(value)), expected, "{:?}", String::from_utf8_lossy(value));
        }
        assert_eq!(urgency(None), USUAL);
    }
}
