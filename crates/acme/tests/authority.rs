//! Certificates from a real authority (Debian's pebble), and from one of ours that misbehaves.

// A test says what is wrong by panicking; clippy's exception for tests does not reach the functions around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "authority/fake.rs"]
mod fake;
#[path = "../../../tests/support/pebble.rs"]
mod pebble;
#[path = "authority/site.rs"]
mod site;

#[path = "authority/failures.rs"]
mod failures;
#[path = "authority/first.rs"]
mod first;
#[path = "authority/renewals.rs"]
mod renewals;
#[path = "authority/stored.rs"]
mod stored;
