//! Certificates by themselves: an account, orders, what proves that names are ours, a store on disk, renewal (RFC 8555,
//! RFC 8737, RFC 9773).
//!
//! A [`Renewal`] keeps one certificate: it gives what lies in the store to its listeners at once, and, as a task, gets
//! what is missing and renews what grows old. When to try is decided by [`schedule`], from what [`attempts`] remember; both have neither clock
//! nor I/O. What is asked of an authority is written down before it is asked, so that no crash, loop of restarts or second
//! Vestibule makes us ask more than authorities allow.

mod account;
pub mod attempts;
mod error;
mod order;
mod pair;
mod problem;
mod recipients;
mod record;
mod renewal;
pub mod schedule;
mod store;
mod transport;

pub use error::Error;
pub use recipients::Recipients;
pub use renewal::Renewal;
