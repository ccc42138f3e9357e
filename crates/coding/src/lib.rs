//! Content codings (RFC 9110 8.4): which one a client takes, which types are worth it, and the writing of them.
//!
//! Two ways to code: [`whole()`] for what is kept and sent many times, and [`Encoders`], one for each worker, for answers on their way.
//! No sockets, no tasks, no clock.

mod accept;
mod deflate;
mod encoder;
mod encoders;
mod error;
#[cfg(test)]
mod tests;
mod types;
mod whole;

pub use accept::{Accepted, choose};
pub use encoder::Encoder;
pub use encoders::{Encoders, MOST_WHOLE};
pub use error::Error;
pub use types::fits;
pub use whole::whole;
