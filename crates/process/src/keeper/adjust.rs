//! Other settings for an application that is kept already: they hold from the next task on, and none of them restarts it.

use tokio::sync::watch;
use vestibule_config::Process;

use super::desk::Desk;
use super::{Keeper, LAST_ALERTS, Surroundings, note_wish};
use crate::alert::Alert;
use crate::flapping::Flapping;
use crate::status::Wish;
use crate::traffic::Traffic;

/// What a keeper goes by.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) process: Process,
    pub(super) around: Surroundings,
}

/// The way of other settings to a keeper.
#[derive(Debug, Clone)]
pub(crate) struct Adjust(watch::Sender<Option<Settings>>);

impl Adjust {
    /// Nobody takes what comes this way.
    pub(crate) fn of_nobody() -> Self {
        Adjust(watch::channel(None).0)
    }

    pub(super) fn new() -> (Self, watch::Receiver<Option<Settings>>) {
        let (sender, receiver) = watch::channel(None);
        (Adjust(sender), receiver)
    }

    pub(crate) fn to(&self, process: Process, around: Surroundings) {
        self.0.send_replace(Some(Settings { process, around }));
    }
}

impl<T: Traffic> Keeper<T> {
    /// Goes by these settings. What an application is started with (its command, directory, user, environment, output, limits) takes
    /// effect at its next start; what it is watched and stopped by, at once.
    pub(super) fn adjust(&mut self, process: Process, around: Surroundings, desk: &Desk) {
        self.around = around;
        let before = std::mem::replace(&mut self.process, process);
        let process = &self.process;
        if before == *process {
            return;
        }
        if before.output != process.output {
            self.output.redirect(&process.output);
        }
        if before.flapping != process.flapping {
            self.flapping = Flapping::new(&process.flapping);
        }
        if before.alert != process.alert {
            let new = process.alert.as_ref().map(|command| Alert::start(&process.name, command)).transpose();
            match new {
                Ok(new) => {
                    if let Some(old) = std::mem::replace(&mut self.alerts, new) {
                        tokio::task::spawn_local(old.finish(LAST_ALERTS));
                    }
                }
                Err(error) => tracing::error!(process = process.name, %error, "the alert stays as it was"),
            }
        }
        self.watched.follow(&before, process, self.traffic.answers());
        // What the operator said over the control socket counts more; but whoever makes it ours, or gives it away, means it.
        if before.is_started != process.is_started && desk.wish() != Wish::Down {
            let wish = if process.is_started { Wish::Up } else { Wish::Alone };
            self.wish.set(wish);
            note_wish(&self.status, wish);
        }
        let is_owned = process.is_owned();
        self.status.send_if_modified(|status| std::mem::replace(&mut status.is_owned, is_owned) != is_owned);
        self.event("goes by other settings");
    }
}
