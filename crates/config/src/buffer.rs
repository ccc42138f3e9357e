//! `[buffer]`, and `buffer` of a `[[route]]`

use crate::document::Section;
use crate::model::Buffer;
use crate::value;

/// Reads the keys that are written; the others are as in `default`.
pub(crate) fn read(section: Section<'_>, default: Buffer) -> Buffer {
    let buffer = Buffer {
        request: section.or("request", default.request, value::boolean),
        response: section.or("response", default.response, value::boolean),
        memory: section.or("memory", default.memory, value::size(0..=1 << 30)),
        disk: section.or("disk", default.disk, value::size(0..=1 << 50)),
    };
    section.finish();
    buffer
}
