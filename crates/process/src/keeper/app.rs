//! The application that a keeper has at hand.

use std::cell::Cell;
use std::path::PathBuf;
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
    /// Where it was started, when that is not its configured directory: the release before, to which it was rolled back.
    pub(super) directory: Option<PathBuf>,
    /// It was seen to answer well, when last asked whether it is there.
    pub(super) is_proved: bool,
    /// The server that it was when that could last be seen: a master that has ended shows none, and what it left behind is still
    /// of that server.
    known: Cell<Kind>,
}

impl App {
    /// `name` is what stands in the environment of all that belong to it.
    pub(super) fn new(name: &str, exit: Exit, place: Place, release: Option<Release>) -> Self {
        let master = exit.life();
        let members = Members::new(name, master);
        App {
            master,
            exit,
            members,
            place,
            release,
            since: Instant::now(),
            directory: None,
            is_proved: false,
            known: Cell::new(Kind::Unknown),
        }
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

    /// Which server it is now, as it may have become one only while it booted; or was, when nothing shows it any more.
    pub(super) fn kind(&self) -> Kind {
        self.kind_in(&self.tree())
    }

    /// The same, by its tree as it was just read.
    pub(super) fn kind_in(&self, tree: &Tree) -> Kind {
        let kind = Kind::of(tree);
        if kind != Kind::Unknown {
            self.known.set(kind);
        }
        self.known.get()
    }

    /// Sends its master a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.master.signal(signal::of(signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kept, until};

    #[test]
    fn what_a_dead_master_left_behind_is_still_of_its_server() {
        let mut master = Kept::shell("exec -a 'unicorn master -c unicorn.rb' sleep 600");
        let life = Life::of(master.pid()).expect("it lives");
        let app = App::new("app", Exit::of(life), Place::default(), None);
        until("it never took its title", || app.kind() == Kind::Unicorn);
        master.end();
        assert_eq!(Kind::of(&app.tree()), Kind::Unknown);
        assert_eq!(app.kind(), Kind::Unicorn);
    }
}
