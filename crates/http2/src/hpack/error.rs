//! What is wrong with a header block.

/// Why a header block cannot be decoded. Each is a connection error COMPRESSION_ERROR (RFC 9113 4.3): the tables of the two
/// sides are no longer the same, and nothing that follows could be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends inside of a field.
    #[error("the header block ends in the middle of a field")]
    Truncated,
    /// An integer is larger than 32 bits hold, or takes more bytes than that needs (RFC 7541 5.1).
    #[error("an integer in the header block is too large")]
    IntegerTooLarge,
    /// A field refers to index 0 (RFC 7541 6.1).
    #[error("a field refers to index 0, which no table has")]
    IndexZero,
    /// An index is beyond the end of both tables (RFC 7541 2.3.3).
    #[error("a field refers to index {0}, which is beyond the end of the table")]
    BeyondTable(u32),
    /// A change of the table's size after the first field (RFC 7541 4.2).
    #[error("the table's size is changed after the first field")]
    LateSizeUpdate,
    /// A third change of the table's size in one block, where two are all that may be needed (RFC 7541 4.2).
    #[error("the table's size is changed more than twice in one header block")]
    TooManySizeUpdates,
    /// The table is to be larger than our settings allow (RFC 7541 6.3).
    #[error("the table's size is to be {size}, which is more than the {most} that are allowed")]
    SizeUpdateTooLarge {
        /// What was asked for, in bytes.
        size: u32,
        /// What we allow.
        most: u32,
    },
    /// A Huffman-coded string contains the symbol for its end (RFC 7541 5.2).
    #[error("a string contains the Huffman code's end-of-string symbol")]
    EndOfString,
    /// A Huffman-coded string ends with more than 7 bits that are no symbol, or not all of them are 1 (RFC 7541 5.2).
    #[error("a string's Huffman code is wrongly padded")]
    Padding,
}
