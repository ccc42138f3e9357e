//! Behaviour of the real binary, one module per behaviour.
//!
//! `support` is the harness. Every test has its own directory, sockets and ports, so they may run side by side;
//! the heavy ones take turns (`support::turn`).

// A test says what is wrong by panicking; clippy's exception for tests does not reach the functions around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod access_log;
mod acme;
mod actions;
mod answers;
mod bad_input;
mod buffering;
mod compression;
mod control;
mod corpus;
mod demo;
mod drain;
mod error_pages;
mod errors;
mod examples;
mod files;
mod forwarding;
mod hold;
mod http2;
mod import;
mod intermediary;
mod keeper;
mod kept;
mod kill;
mod launch;
mod limits;
mod members;
mod memory;
mod proxy_protocol;
mod real_clients;
mod redbot;
mod redirect;
mod reload;
mod replay;
mod restart;
mod restart_https;
mod routes;
mod rules;
mod run;
mod silence;
mod slow_attacks;
mod stalled_disk;
mod stalled_log;
mod streaming;
mod tls;
mod tool;
mod traversal;
