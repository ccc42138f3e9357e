//! Finding the application in the world as it is: who holds the socket decides, a PID file is only a hint.

use std::path::Path;
use std::time::SystemTime;

use rustix::process::geteuid;
use vestibule_config::Server;

use super::Keeper;
use super::app::App;
use super::fallen::Fallen;
use super::trouble::Trouble;
use super::workers::runs_in;
use crate::exit::Exit;
use crate::holder::{self, Holds};
use crate::knock::Knock;
use crate::life::Life;
use crate::pid_file::{Entry, PidFile};
use crate::place::Place;
use crate::recognise::{Kind, recognise};
use crate::record::Record;
use crate::status::Release;
use crate::title::Title;
use crate::traffic::Traffic;
use crate::tree::{Member, Tree};

/// Who is at an application's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nobody,
    /// The application, or what will be it when it has booted.
    It(Life),
    /// The PID file names a process that is something else, and nobody listens.
    Foreign {
        pid: u32,
    },
}

impl<T: Traffic> Keeper<T> {
    /// Where the application is found by others.
    pub(super) fn public(&self) -> Place {
        Place { socket: self.around.socket.clone(), pid_file: self.process.pid_file.clone() }
    }

    pub(super) fn record(&self) -> Record {
        Record::new(&self.around.directory, &self.process.name)
    }

    /// Makes `self.app` what is there: keeps it if it lives, else finds another, or nobody.
    pub(super) fn look(&mut self) -> Result<(), Trouble> {
        if self.app.as_ref().is_some_and(App::is_alive) {
            return Ok(());
        }
        if let Some(mut had) = self.app.take() {
            let status = had.exit.try_ended().flatten();
            self.fallen = Some(Fallen::new(had, status, self.process.is_owned()));
        }
        match self.find() {
            Found::It(life) => self.adopt(life, None)?,
            Found::Nobody => {}
            Found::Foreign { pid } => {
                let file = self.process.pid_file.as_deref().unwrap_or(Path::new("")).display();
                tracing::warn!(
                    process = self.process.name,
                    "the PID file {file} names process {pid}, which is something else: it is left alone"
                );
            }
        }
        Ok(())
    }

    /// Takes a process that runs for the application. What the one before it left is its own, too: of one that ended by itself, when
    /// no other is named.
    pub(super) fn adopt(&mut self, life: Life, before: Option<App>) -> Result<(), Trouble> {
        let exit = Exit::of(life);
        let public = self.public();
        let place = public.present().map_or_else(|| public.clone(), |number| public.instance(number));
        let release = runs_in(&Tree::of(life.pid)).and_then(|directory| Release::of(&directory));
        let mut app = App::new(&self.process.name, exit, place, release);
        if let Some(before) = before.or_else(|| self.fallen.take().map(|fallen| fallen.app)) {
            app.members = before.members;
            // Whoever it has made its successor knows no other directory than it does.
            app.directory = before.directory;
            app.members.follow(life);
        } else if self.record().read() == Some(life) {
            app.members.include(self.record().beside());
            app.directory = self.record().directory();
        }
        self.app = Some(app);
        self.show();
        Ok(())
    }

    /// Who is there.
    pub(super) fn find(&self) -> Found {
        let recorded = self.record().read().filter(|life| !life.is_above_us());
        let in_file = self.in_file();
        let named = in_file.filter(may_name).map(|(life, _)| life);
        let candidates = [recorded, named];
        let is_of_its_file = || in_file.is_some_and(|(life, entry)| is_of_its_file(&life, &entry));
        let Some(socket) = &self.around.socket else {
            // Without a socket there is only its word and ours.
            let known = recorded.or_else(|| named.filter(|_| is_of_its_file()));
            return known.map_or(Found::Nobody, Found::It);
        };
        if let Some(peer) = listener(socket) {
            let holds = |life: &Life| holder::holds(socket, &Tree::of(life.pid));
            let chosen = candidates.into_iter().flatten().find(|life| holds(life) == Holds::Yes);
            let chosen = chosen.or_else(|| match peer {
                Some(peer) => first_of_server(peer).filter(|life| self.may_be_it(life)),
                // Who listens cannot be seen. What we started ourselves is believed unless it is known better.
                None => recorded.filter(|life| holds(life) == Holds::Unknown),
            });
            return chosen.map_or(Found::Nobody, Found::It);
        }
        // Nobody listens. What we started may still boot, and so may what looks like a server.
        let boots = |life: &Life| {
            let tree = Tree::of(life.pid);
            let kind = Kind::of(&tree);
            // Passenger's processes talk to each other over sockets of their own, from the beginning.
            let serves_another = || kind != Kind::Passenger && holder::listens_elsewhere(socket, &tree);
            kind != Kind::Unknown
                && is_of_its_file()
                && life.age() < self.process.start_timeout
                && !serves_another()
        };
        match (recorded.or_else(|| named.filter(boots)), in_file) {
            (Some(life), _) => Found::It(life),
            (None, Some((life, _))) => Found::Foreign { pid: life.pid },
            (None, None) => Found::Nobody,
        }
    }

    /// Whether the one who listens, whom neither our record nor the PID file names, may be the application. Of one that we start
    /// ourselves only what descends from us is: a daemon, or what a master left behind. Any other is a rival for the socket. Of
    /// one that others start only a Rack server is: whoever keeps a socket for another (systemd, a tunnel) listens, too.
    fn may_be_it(&self, life: &Life) -> bool {
        let us = std::process::id();
        if life.is_above_us() {
            return false;
        }
        if self.process.is_owned() {
            return life.and_above().any(|one| one.pid == us);
        }
        server_of(life.pid) != Server::Auto
    }

    /// The process that the PID file names though it is something else, in words; empty when it names none such.
    pub(super) fn whom_it_names(&self) -> String {
        match (self.find(), &self.process.pid_file) {
            (Found::Foreign { pid }, Some(file)) => {
                format!("; the PID file {} names process {pid}, which is something else", file.display())
            }
            _ => String::new(),
        }
    }

    /// The living process that the PID file names, if the file is to be believed.
    pub(super) fn named(&self) -> Option<Life> {
        self.in_file().filter(may_name).map(|(life, _)| life)
    }

    /// The living process whose PID is in the PID file, and what else is known of the file.
    fn in_file(&self) -> Option<(Life, Entry)> {
        let read = PidFile::new(self.process.pid_file.as_ref()?).look();
        let entry = read.inspect_err(|error| {
            tracing::warn!(process = self.process.name, error = error.in_full(), "PID file");
        });
        let entry = entry.ok()??;
        Life::of(entry.pid).filter(Life::is_alive).map(|life| (life, entry))
    }
}

/// The living process that this PID file names, if the file is to be believed.
pub(super) fn named_in(file: &Path) -> Option<Life> {
    let entry = PidFile::new(file).look().ok()??;
    let named = Life::of(entry.pid).filter(Life::is_alive).map(|life| (life, entry));
    named.filter(may_name).map(|(life, _)| life)
}

/// Whether a PID file may name this process. In a directory like /tmp anybody may lay one down, and what it names gets signals: a
/// user's file names processes of that user and no others. Nobody's file names what is above us.
fn may_name((life, entry): &(Life, Entry)) -> bool {
    let theirs = || life.owner().map(|(user, _)| user);
    !life.is_above_us() && is_believed(entry.owner, theirs)
}

fn is_believed(file: u32, process: impl FnOnce() -> Option<u32>) -> bool {
    file == 0 || file == geteuid().as_raw() || process() == Some(file)
}

/// A process that began after its PID file was written has the PID of another before it.
fn is_of_its_file(life: &Life, entry: &Entry) -> bool {
    let Some(written) = entry.written else { return false };
    let since_written = SystemTime::now().duration_since(written).unwrap_or_default();
    // proc(5) counts in hundredths of a second.
    life.age() + std::time::Duration::from_secs(1) >= since_written
}

/// Some stay in front of a server that they have put into the background (`passenger start`): the application is who
/// listens, and whoever started it is one of its members. What others put there is not followed.
pub(super) fn follow_the_listener(app: &mut App) {
    let Some(socket) = app.place.socket.clone() else { return };
    let tree = app.tree();
    if holder::holds(&socket, &tree) != Holds::No {
        // Or a script waits for the server that it started: signals would end the script alone. It may have started others, too.
        let is_server = |member: &&Member| recognise(&Title::from(member.title.as_str())) != Server::Auto;
        let mut servers = tree.members().iter().filter(is_server).map(|member| member.life);
        let is_it = |life: &Life| {
            life.is_same_process(&app.master) || holder::holds(&socket, &Tree::of(life.pid)) != Holds::No
        };
        if let Some(server) = servers.find(is_it)
            && !server.is_same_process(&app.master)
        {
            follow(app, server);
        }
        return;
    }
    let file = app.place.pid_file.as_ref().map(PidFile::new);
    let named = file.and_then(|file| file.read().ok().flatten()).and_then(Life::of);
    let named = named.filter(|life| holder::holds(&socket, &Tree::of(life.pid)) == Holds::Yes);
    let Some(life) = named.or_else(|| listener(&socket).flatten().and_then(first_of_server)) else { return };
    app.members.update();
    if app.members.all().any(|member| member.is_same_process(&life)) {
        follow(app, life);
    }
}

/// From now on this one of its members is its first process.
fn follow(app: &mut App, life: Life) {
    app.master = life;
    app.exit = Exit::of(life);
    app.members.follow(life);
}

/// The process that listens at a socket, if anybody does; `Some(None)` when it cannot be seen who: its queue is full, or
/// whoever called listen(2) has ended. Never waits: an application that hangs has a full queue.
fn listener(socket: &Path) -> Option<Option<Life>> {
    match Knock::at(socket) {
        Ok(Knock::Open(pid)) => Some(pid.and_then(Life::of).filter(Life::is_alive)),
        Ok(Knock::Full) => Some(None),
        Ok(Knock::Refused | Knock::Missing) | Err(_) => None,
    }
}

/// The first process of the server that this one belongs to: Passenger's core is not its watchdog.
fn first_of_server(mut life: Life) -> Option<Life> {
    let ours = server_of(life.pid);
    while ours != Server::Auto
        && let Some(parent) = life.parent()
        && parent.pid != std::process::id()
        && server_of(parent.pid) == ours
    {
        life = parent;
    }
    Some(life)
}

/// The Rack server that a process is, by its title.
fn server_of(pid: u32) -> Server {
    Title::of(pid).map_or(Server::Auto, |title| recognise(&title))
}

#[cfg(test)]
mod tests;
