//! One request: route, buffer, forward, respond.
//!
//! [`stack()`] is the way of a request, whatever door it came through.

mod accept;
mod access_log;
mod body;
mod forward;
mod forwarded;
mod log_file;
mod max_forwards;
mod page;
mod request;
mod request_id;
mod respond;
mod stack;
mod worker;

pub use access_log::{AccessLog, Entry, Outcome, timestamp};
pub use forward::is_of_this_hop;
// For the micro benches alone, which stand outside of the crate: everything else goes through `stack`.
#[doc(hidden)]
pub use forward::{About, write_head};
pub use log_file::{LogError, LogFile};
pub use page::{Body, explanation};
pub use request::{Door, Peer, Request, Rules};
pub use request_id::RequestId;
pub use respond::{CLIENT_LEFT, Own, bad_head, bad_start, not_tls, slow_head};
pub use stack::{Record, Response, stack};
pub use worker::{Plan, Scratch, Worker};
