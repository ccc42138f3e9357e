//! Certificates by name, their files, session tickets, client certificates, ACME challenges.
//!
//! An [`Acceptor`] stands for one listener. It answers one question: which rustls configuration is for the client
//! whose first message this is ([`Acceptor::settings_for`]); and after the handshake, who that client is
//! ([`Acceptor::identity`]). What changes while it serves ([`Certificates`], client authorities, revocations, challenges)
//! is swapped whole behind it, without a lock on the way of a handshake: handshakes under way keep what they began with.
//!
//! [`Files`] looks whether the files behind an acceptor changed; [`Tickets`] and [`Challenges`] are one for the process.
//! No sockets, no tasks: who reads bytes and keeps time is the server.

mod acceptor;
mod certificate;
mod certificates;
mod challenges;
mod client;
mod date;
mod distinguished;
mod error;
mod files;
mod host;
mod identity;
mod kind;
mod local;
mod pem;
mod profile;
mod self_signed;
mod stamp;
#[cfg(test)]
mod tests;
mod tickets;
mod warning;

pub use acceptor::{ACME_TLS_PROTOCOL, Acceptor};
pub use certificate::Certificate;
pub use certificates::{Certificates, Source};
pub use challenges::{Challenges, Standing};
pub use error::Error;
pub use files::{Changed, Files};
pub use identity::{FIELD_NAMES, Identity};
pub use local::LocalAuthority;
pub use profile::provider;
pub use self_signed::{SelfSigned, self_signed};
pub use tickets::Tickets;
pub use warning::Warning;
