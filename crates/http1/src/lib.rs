//! The bytes of HTTP/1: heads, fields, framing, chunks.
