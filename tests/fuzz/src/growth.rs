//! Heads that come in pieces: however a text is cut, it is read the same.

use std::fmt::Debug;

use super::cuts::cuts;

/// A head that is parsed while it grows.
pub(crate) trait Head: Default + PartialEq + Debug {
    type Error: PartialEq + Debug;

    /// Parses `text`, of which `scanned` bytes were looked at before; `true` when the head is whole.
    fn read(&mut self, text: &[u8], scanned: &mut usize) -> Result<bool, Self::Error>;

    /// Its bytes.
    fn length(&self) -> usize;
}

pub(crate) type Parsed<H> = Result<Option<H>, <H as Head>::Error>;

/// Parses a text at once.
pub(crate) fn whole<H: Head>(text: &[u8]) -> Parsed<H> {
    let mut head = H::default();
    Ok(head.read(text, &mut 0)?.then_some(head))
}

/// Feeds the text up to each of `ends` in turn, as a connection does.
fn in_pieces<H: Head>(text: &[u8], ends: impl IntoIterator<Item = usize>) -> Parsed<H> {
    let (mut head, mut scanned) = (H::default(), 0);
    for end in ends {
        if head.read(&text[..end], &mut scanned)? {
            assert_eq!(scanned, 0, "an offset is left for the next head");
            return Ok(Some(head));
        }
        assert!(scanned <= end, "{scanned} bytes of {end} were looked at");
    }
    Ok(None)
}

/// Each longer beginning of a text is first waited for, then a head or refused, and stays what it became.
pub(crate) fn grows_to_one_result<H: Head>(text: &[u8]) {
    let mut last: Parsed<H> = Ok(None);
    let mut len = None;
    for end in cuts(text).into_iter().chain([text.len()]) {
        let parsed = whole::<H>(&text[..end]);
        let is_change = !matches!((&last, &parsed), (Ok(None), _) | (Err(_), Err(_)));
        assert!(!is_change || last == parsed, "{last:?} becomes {parsed:?} with {:?}", show(&text[..end]));
        if let Ok(Some(head)) = &parsed {
            assert!(head.length() <= end, "{} bytes of {end}", head.length());
            len = Some(head.length());
        }
        last = parsed;
    }
    if let Some(len) = len {
        let (at, before) = (whole::<H>(&text[..len]), whole::<H>(&text[..len - 1]));
        assert!(matches!(at, Ok(Some(_))), "not whole where it ends: {:?}", show(text));
        assert!(matches!(before, Ok(None)), "whole before it ends: {:?}", show(text));
    }
}

/// Whole, in two pieces cut anywhere, and byte by byte the result is one. What is refused (a request for something after
/// its first line) may in pieces be refused at its end only, so the end is supplied.
pub(crate) fn is_the_same_in_pieces<H: Head>(text: &[u8]) {
    let ended = [text, b"\r\n\r\n"].concat();
    let expected = whole::<H>(&ended);
    let agrees = |ends: &mut dyn Iterator<Item = usize>| {
        let parsed = in_pieces::<H>(&ended, ends);
        let both_refuse = expected.is_err() && parsed.is_err();
        assert!(both_refuse || expected == parsed, "{:?}: {expected:?}, in pieces {parsed:?}", show(&ended));
    };
    for at in cuts(&ended) {
        // The end of the text is a piece's end too, where it is waited for.
        agrees(&mut [at, text.len().max(at), ended.len()].into_iter());
    }
    agrees(&mut [text.len() / 2, ended.len()].into_iter());
    agrees(&mut (0..=ended.len()));
}

/// A text as it is shown when something does not hold.
pub(crate) fn show(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}
