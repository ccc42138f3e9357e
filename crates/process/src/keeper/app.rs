//! The application that a keeper has at hand.

use std::time::Instant;

use vestibule_config::Signal;

use crate::error::Error;
use crate::exit::Exit;
use crate::life::Life;
use crate::members::Members;
use crate::place::Place;
use crate::recognise::Kind;
use crate::signal;
use crate::status::Release;
use crate::tree::Tree;

/// An application that runs, or did a moment ago.
#[derive(Debug)]
pub(super) struct App {
    /// The server's first process: the one that signals go to.
    pub(super) master: Life,
    /// Tells when the master has ended.
    pub(super) exit: Exit,
    /// All that belongs to it.
    pub(super) members: Members,
    pub(super) place: Place,
    pub(super) release: Option<Release>,
    pub(super) since: Instant,
}

impl App {
    /// `name` is what stands in the environment of all that belong to it.
    pub(super) fn new(name: &str, exit: Exit, place: Place, release: Option<Release>) -> Self {
        let master = exit.life();
        App { master, exit, members: Members::new(name, master), place, release, since: Instant::now() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.master.pid
    }

    /// It is the same program in the same life.
    pub(super) fn is_alive(&self) -> bool {
        self.master.is_alive()
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::of(self.master.pid)
    }

    /// Which server it is now: it may have become one only while it booted.
    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.tree())
    }

    /// Sends its master a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.master.signal(signal::of(signal))
    }
}
