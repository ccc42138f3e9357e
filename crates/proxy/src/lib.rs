//! One request: route, buffer, forward, respond.
//!
//! [`stack()`] is the way of a request, whatever door it came through.

mod accept;
mod access;
mod access_log;
mod asked;
mod auth;
mod body;
mod changes;
mod compress;
mod cors;
mod expand;
mod files;
mod forward;
mod forwarded;
mod key;
mod log_file;
mod max_forwards;
mod page;
mod rate;
mod recent;
mod request;
mod request_id;
mod respond;
mod sendfile;
mod shared;
mod split;
mod stack;
#[cfg(test)]
mod testing;
mod worker;

pub use access_log::{AccessLog, Entry, Outcome, timestamp};
pub use changes::{Changed, Changes, Reworked};
pub use compress::{Compression, Treated};
pub use expand::Filled;
pub use forward::is_of_this_hop;
// For the micro benches alone, which stand outside of the crate: everything else goes through `stack`.
#[doc(hidden)]
pub use forward::{About, write_head};
pub use log_file::{LogError, LogFile};
pub use page::{Body, explanation};
pub use request::{Door, Peer, Request, Rules};
pub use request_id::RequestId;
pub use respond::{CLIENT_LEFT, NO_ANSWER, Own, bad_head, bad_start, not_tls, slow_head};
pub use shared::Shared;
pub use stack::{Record, Response, stack};
pub use worker::{Plan, Scratch, Worker};
