//! What a client sees of a connection, and what the server hears.

mod answers;
mod client;
mod cuts;
mod floods;
mod frames;
mod memory;
mod requests;
