//! What can be wrong with a head or with a chunked body.

use thiserror::Error;

/// A fault in the fields of a head, whichever side it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A line feed without its carriage return (RFC 9112 2.2).
    #[error("a line ends in LF without CR")]
    BareLf,
    /// A carriage return that no line feed follows (RFC 9112 2.2).
    #[error("a CR stands without its LF")]
    BareCr,
    /// A line begins with a space or a tab: a folded line, or space before the first field (RFC 9112 5.2, 2.2).
    #[error("a field line begins with white space")]
    Folded,
    /// White space between a field's name and its colon (RFC 9112 5.1).
    #[error("white space stands before the colon of a field")]
    SpaceBeforeColon,
    /// A line with no colon.
    #[error("a field line has no colon")]
    NoColon,
    /// A colon with no name before it.
    #[error("a field has no name")]
    EmptyName,
    /// A byte in a field's name that no token may hold (RFC 9110 5.6.2).
    #[error("a field's name holds a character that is not allowed there")]
    BadName,
    /// A control character in a field's value (RFC 9110 5.5).
    #[error("a field's value holds a control character")]
    BadValue,
    /// More fields than [`HeadLimits::fields`](crate::HeadLimits::fields).
    #[error("there are too many fields")]
    TooMany,
}

/// Why a request is refused. The text is fit for the client to see; the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A fault in the fields, or in how a line ends.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// More Connection options than any honest head has.
    #[error("Connection has too many options")]
    TooManyOptions,
    /// More empty lines before the request line than are forgiven.
    #[error("empty lines stand before the request")]
    EmptyLines,
    /// The method is no token, or not followed by exactly one space.
    #[error("the method is malformed")]
    BadMethod,
    /// The method is longer than any that could be known (RFC 9112 3: 501).
    #[error("the method is too long")]
    MethodTooLong,
    /// CONNECT: this is no forward proxy.
    #[error("CONNECT is not served here")]
    Connect,
    /// The target holds what no target may, or has no form that fits its method (RFC 9112 3.2).
    #[error("the request target is malformed")]
    BadTarget,
    /// The request line alone is longer than a head may be (RFC 9112 3: 414).
    #[error("the request target is too long")]
    TargetTooLong,
    /// What stands after the target is not `HTTP/` digit `.` digit.
    #[error("the protocol version is malformed")]
    BadVersion,
    /// A well-formed version other than 1.0 and 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    UnsupportedVersion,
    /// HTTP/1.1 without Host (RFC 9112 3.2).
    #[error("the Host field is missing")]
    NoHost,
    /// More than one Host (RFC 9112 3.2).
    #[error("there is more than one Host field")]
    RepeatedHost,
    /// The host is not a name or address with an optional port.
    #[error("the host is malformed")]
    BadHost,
    /// A Content-Length that is not one decimal number.
    #[error("Content-Length is not a number")]
    BadContentLength,
    /// A Content-Length that 64 bits do not hold.
    #[error("Content-Length is too large")]
    ContentLengthTooLarge,
    /// Content-Length more than once, though it be the same.
    #[error("there is more than one Content-Length field")]
    RepeatedContentLength,
    /// Both ways of framing at once (RFC 9112 6.1): the mark of request smuggling.
    #[error("Content-Length and Transfer-Encoding stand together")]
    TwoFramings,
    /// Transfer-Encoding more than once.
    #[error("there is more than one Transfer-Encoding field")]
    RepeatedTransferEncoding,
    /// A Transfer-Encoding other than `chunked` (RFC 9112 6.1: 501).
    #[error("no transfer coding but chunked is known here")]
    UnknownTransferCoding,
    /// Transfer-Encoding in an HTTP/1.0 request (RFC 9112 6.1).
    #[error("Transfer-Encoding stands in an HTTP/1.0 request")]
    TransferEncodingIn10,
    /// The head is longer than [`HeadLimits::bytes`](crate::HeadLimits::bytes).
    #[error("the head of the request is too large")]
    HeadTooLarge,
}

impl RequestError {
    /// The status that tells the client: 400, 413, 414, 431, 501 or 505.
    pub fn status(&self) -> u16 {
        match self {
            RequestError::ContentLengthTooLarge => 413,
            RequestError::TargetTooLong => 414,
            RequestError::HeadTooLarge | RequestError::Field(FieldError::TooMany) => 431,
            RequestError::MethodTooLong | RequestError::Connect | RequestError::UnknownTransferCoding => 501,
            RequestError::UnsupportedVersion => 505,
            _ => 400,
        }
    }
}

/// Why an application's response is not passed on: the client gets a 502, the upstream connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// A fault in the fields, or in how a line ends.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The first line is not `HTTP/1.0` or `HTTP/1.1`, a space, a status of three digits from 100 on, a reason.
    #[error("the status line is malformed")]
    BadStatusLine,
    /// A Content-Length that is not one decimal number of 64 bits.
    #[error("Content-Length is not a number")]
    BadContentLength,
    /// Two Content-Lengths that differ.
    #[error("there are two Content-Length fields that differ")]
    ContentLengthsDiffer,
    /// Both ways of framing at once (RFC 9112 6.3).
    #[error("Content-Length and Transfer-Encoding stand together")]
    TwoFramings,
    /// A Transfer-Encoding other than one `chunked`.
    #[error("the transfer coding is not chunked")]
    UnknownTransferCoding,
    /// The head is longer than [`HeadLimits::bytes`](crate::HeadLimits::bytes).
    #[error("the head of the response is too large")]
    HeadTooLarge,
}

/// Why a chunked body is not what it should be. No byte after the fault can be trusted: close the connection,
/// and never write the last chunk on the other side (RFC 9112 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A size that is not 1 to 16 hexadecimal digits, ended by `;` or CRLF.
    #[error("a chunk's size is malformed")]
    BadSize,
    /// A line of the chunked coding that does not end in CRLF, or a control character within it.
    #[error("a line of the chunked body is malformed")]
    BadLine,
    /// Data not followed by CRLF where its size says that it ends.
    #[error("a chunk is not as long as its size says")]
    BadEnd,
    /// More bytes of chunk extensions than are forgiven in one message.
    #[error("the chunk extensions are too long")]
    ExtensionsTooLong,
    /// A trailer field that is no field.
    #[error("a trailer field is malformed")]
    BadTrailer,
    /// More bytes of trailer fields than are forgiven.
    #[error("the trailer fields are too long")]
    TrailersTooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_the_status_its_rfc_gives_it() {
        for (error, status) in [
            (RequestError::Field(FieldError::BareLf), 400),
            (RequestError::BadHost, 400),
            (RequestError::TwoFramings, 400),
            (RequestError::ContentLengthTooLarge, 413),
            (RequestError::TargetTooLong, 414),
            (RequestError::HeadTooLarge, 431),
            (RequestError::Field(FieldError::TooMany), 431),
            (RequestError::UnknownTransferCoding, 501),
            (RequestError::MethodTooLong, 501),
            (RequestError::Connect, 501),
            (RequestError::UnsupportedVersion, 505),
        ] {
            assert_eq!(error.status(), status, "{error}");
        }
    }
}
