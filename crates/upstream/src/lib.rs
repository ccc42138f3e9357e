//! One application as traffic sees it: connect, pool, state, hold, probe.
//!
//! [`Upstream::send`] takes one request to the application and brings its [`Answer`]; whatever that needs (a permit,
//! a wait in the line, a connection, a second attempt) happens behind it. [`Monitor`] runs beside it on the control
//! thread and alone decides what [`State`] the upstream is in.

mod answer;
mod attempt;
mod buffer;
mod capacity;
mod client;
mod connect;
mod connection;
pub mod deadline;
mod episode;
mod error;
mod gate;
mod interim;
mod ledger;
mod lookout;
mod maintenance;
mod member;
mod monitor;
mod names;
mod naming;
mod offer;
mod peer;
mod pool;
mod probe;
mod roster;
mod send;
mod signals;
mod spool;
mod state;
mod stream;
mod upload;
mod upstream;
mod watch;

pub use answer::Answer;
pub use buffer::Buffer;
pub use capacity::Capacity;
pub use client::{Client, ClientError};
pub use deadline::Deadline;
pub use error::{BodyError, Error};
pub use gate::{Refused, Ticket};
// For the micro benches alone, which stand outside of the crate: through `Upstream::send` they would measure a socket.
#[doc(hidden)]
pub use gate::{Gate, Line, Permit, Waiting};
pub use maintenance::MaintenancePage;
pub use monitor::Monitor;
pub use offer::Offer;
pub use send::{Outgoing, Rest, Trace};
pub use spool::{Moved, PIECE, Spool, SpoolError, Store};
pub use state::{State, Why};
pub use stream::{DetachedStream, Stream};
pub use upstream::{Counts, Order, Status, Upstream};
