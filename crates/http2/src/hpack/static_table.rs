//! The table that both sides have from the beginning (RFC 7541 appendix A).

/// A field: its name and its value.
pub(super) type Entry = (&'static [u8], &'static [u8]);

/// Appendix A. The first of them has index 1.
pub(super) static ENTRIES: [Entry; 61] = TABLE;

const TABLE: [Entry; 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// The first index with this name, in any case.
#[inline]
pub(super) fn find(name: &[u8]) -> Option<usize> {
    let index = usize::from(SLOTS[slot(name)]);
    let (found, _) = ENTRIES.get(index.checked_sub(1)?)?;
    found.eq_ignore_ascii_case(name).then_some(index)
}

/// The index of the whole field, given the first one with its name.
#[inline]
pub(super) fn find_whole(first: usize, value: &[u8]) -> Option<usize> {
    let (name, _) = ENTRIES.get(first.checked_sub(1)?)?;
    let same =
        ENTRIES[first - 1..].iter().take_while(|(other, _)| other.len() == name.len() && other == name);
    same.zip(first..).find(|((_, other), _)| *other == value).map(|(_, index)| index)
}

/// Whether values of the name with this index are secrets: `authorization`, `cookie`, `proxy-authorization`, `set-cookie`.
#[inline]
pub(super) fn is_secret(index: usize) -> bool {
    matches!(index, 23 | 32 | 49 | 55)
}

const SLOT_COUNT: usize = 128;

/// For each slot the index of the name that belongs there, or 0. No two names have the same.
static SLOTS: [u8; SLOT_COUNT] = slots();

/// The slot of a name: length, first and last byte tell all names of the table apart.
#[inline]
const fn slot(name: &[u8]) -> usize {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    // Names of the table are in lower case, which this bit makes of letters and which `:` has.
    let (first, last) = (*first as usize | 0x20, *last as usize | 0x20);
    name.len().wrapping_mul(LENGTH_FACTOR).wrapping_add(first * FIRST_FACTOR).wrapping_add(last * LAST_FACTOR)
        % SLOT_COUNT
}

// Found by trying; `slots` sees to it that they still do.
const LENGTH_FACTOR: usize = 3;
const FIRST_FACTOR: usize = 54;
const LAST_FACTOR: usize = 59;

const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [0; SLOT_COUNT];
    let mut at = 0;
    while at < TABLE.len() {
        // Of the same names, which stand together, the first.
        if at == 0 || !is_same(TABLE[at].0, TABLE[at - 1].0) {
            let slot = slot(TABLE[at].0);
            assert!(slots[slot] == 0, "two names have the same slot");
            slots[slot] = at as u8 + 1;
        }
        at += 1;
    }
    slots
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
