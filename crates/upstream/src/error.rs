//! What can go wrong with one request at its upstream.

use std::io;
use std::time::Duration;

use vestibule_http1::ResponseError;

use crate::client::ClientError;
use crate::gate::Refused;
use crate::spool::SpoolError;

/// Why the upstream gave no answer. Every variant says whose side it is on; none is a status yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The line before the upstream takes no more.
    #[error("not held")]
    NotHeld(#[source] Refused),
    /// It waited as long as a request may, and the upstream did not come back.
    #[error("the application did not come back within {} s", .0.as_secs_f32())]
    HeldTooLong(Duration),
    /// The connection could not be made, for a reason that waiting does not mend.
    #[error("cannot connect to the application")]
    Connect(#[source] io::Error),
    /// The connection died after the application may have seen the request, which must not run twice.
    #[error("the application closed the connection without an answer")]
    Died(#[source] io::Error),
    /// No first byte of an answer in time.
    #[error("the application did not answer within {} s", .0.as_secs_f32())]
    NoAnswer(Duration),
    /// What it answered is not HTTP/1.1 as it must be.
    #[error("the application's answer is not valid HTTP")]
    Invalid(#[source] ResponseError),
    /// It sends interim answers without an end.
    #[error("the application sent more than {0} interim answers")]
    EndlessInterim(u32),
    /// It switched protocols without being asked to, or before it had the whole request (RFC 9110 7.8).
    #[error("the application switched to a protocol that was not asked for, or before the request's end")]
    Unasked,
    /// Its body cannot be kept on disk, or read from there.
    #[error("no room for the request's body")]
    Spool(#[source] SpoolError),
    /// The client left, or what it sent was wrong.
    #[error("the client did not finish its request")]
    Client(#[source] ClientError),
}

impl Error {
    /// Whether it speaks against the server that was asked.
    pub(crate) fn is_of_the_member(&self) -> bool {
        matches!(self, Error::NoAnswer(_) | Error::Invalid(_) | Error::EndlessInterim(_))
    }
}

/// Why an answer that had begun could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection ended or broke inside the answer.
    #[error("the application's answer ended early")]
    Broken(#[source] io::Error),
    /// The chunks were wrong.
    #[error("the application's chunks are not valid HTTP")]
    Chunks(#[source] vestibule_http1::ChunkError),
    /// Silence for longer than an answer may pause.
    #[error("the application paused its answer for more than {} s", .0.as_secs_f32())]
    Idle(Duration),
}
