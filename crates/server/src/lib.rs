//! The public side: listeners, connections, drain.

mod arrival;
mod census;
mod client_stream;
mod coder;
mod connection;
mod exchange;
mod file_body;
mod handshake;
mod head;
mod house;
mod http1;
mod http2;
mod idle;
mod inbound;
mod linger;
mod listener;
mod outflow;
mod pace;
mod parking;
mod proxy_header;
mod reception;
mod refusal;
mod server;
mod sink;
mod tls_session;
mod tunnel;
mod turnstile;
mod worker;

// For the fuzz targets alone, which stand outside of the crate.
#[doc(hidden)]
pub use head::{Asked, write as write_head};
pub use listener::Bound;
pub use proxy_header::{ProxyHeader, ProxyHeaderError};
pub use server::{Cut, Error, Prepared, Server};
