//! HTTPS: handshakes, what is agreed on in them, and requests over them.

mod bodies;
mod clients;
mod crowd;
mod ends;
mod files;
mod handshake;
mod memory;
mod resumption;
