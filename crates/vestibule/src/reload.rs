//! Reading the configuration anew while everything runs: who asks for it, and `vestibule reload`.
//!
//! [`Reloads`] is for who asks, [`Desk`] where that arrives, [`Files`] asks by itself when a file changes; what is done then, a
//! [`Site`](crate::site::Site) knows.

mod changes;
mod command;
mod desk;
mod directories;
mod files;

pub(crate) use changes::{changes, settle};
pub(crate) use command::{Options, run};
pub(crate) use desk::{Asked, Desk, Refusal, Reloads};
pub(crate) use files::Files;
