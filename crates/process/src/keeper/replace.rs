//! A restart by a second instance on a socket of its own: `restart = "replace"`.
//!
//! `web_server.sock` is a link to `web_server.sock.1` or `.2`. The new instance starts at the one that is free; when it answers there, the
//! link is moved, and the old one is stopped after the last of its connections. Nothing waits meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use vestibule_config::Restart;

use super::Keeper;
use super::app::App;
use super::find::{follow_the_listener, named_in};
use super::restart::LOOK;
use super::start::{Wait, until_it_answers};
use super::stop::{clear_up, stop_one};
use super::trouble::Trouble;
use crate::exit::Exit;
use crate::holder::{self, Holds};
use crate::life::Life;
use crate::place::Place;
use crate::profile::Profile;
use crate::traffic::Traffic;
use crate::tree::Tree;

/// So long the old instance is left alone after the link has moved: somebody may have looked the moment before.
const LEAVES: Duration = Duration::from_millis(500);

impl<T: Traffic> Keeper<T> {
    /// Whether it is restarted this way.
    pub(super) fn is_replaced(&self) -> bool {
        self.process.restart == Restart::Replace && self.process.is_owned() && self.around.socket.is_some()
    }

    /// Starts a second instance, lets it take over when it answers, and stops the first. If it does not, the first goes
    /// on.
    pub(super) async fn replace(&mut self) -> Result<Wait, Trouble> {
        let public = self.public();
        let number = match public.present() {
            Some(1) => 2,
            Some(_) => 1,
            // It was started before it was to be replaced: it has the public place itself, which would go with it.
            None => {
                return Err(Trouble::Refused(format!(
                    "was started at {}, which a second instance cannot take over: stop and start it once",
                    public.socket.as_deref().unwrap_or(Path::new("its socket")).display()
                )));
            }
        };
        self.drop_left_over().await?;
        let place = public.instance(number);
        if let Some(socket) = &place.socket {
            crate::vacancy::vacate(socket).await?;
        }
        let second = self.spawn(&place, None).await?;
        let second = self.second.insert(second);
        let wait =
            until_it_answers(&self.traffic, second, place.socket.as_deref(), self.process.start_timeout)
                .await;
        let is_answer = matches!(wait, Wait::Answers | Wait::Errs(_));
        if !is_answer || matches!(wait, Wait::Errs(_)) && self.answers_well().await {
            let mut failure = self.did_not_answer(&wait).await;
            self.drop_second().await?;
            self.write_down();
            failure.words = format!("{}; the old one goes on", failure.words);
            return Err(Trouble::Failed(failure));
        }
        if let Some(second) = &mut self.second {
            follow_the_listener(second);
            self.write_down();
        }
        if let Err(error) = public.lead_to(&place) {
            self.drop_second().await?;
            return Err(Trouble::failed(format!(
                "the socket cannot be made to lead to the new one: {error}"
            )));
        }
        let first = std::mem::replace(&mut self.app, self.second.take());
        self.write_pid_file();
        self.show();
        // From here on the first is the one that `stop` finds second.
        self.second = first;
        tokio::time::sleep(LEAVES).await;
        self.until_left().await;
        self.drop_second().await?;
        Ok(wait)
    }

    /// Waits until nobody is connected to the old instance any more, or the traffic's patience is over.
    async fn until_left(&self) {
        let Some(socket) = self.second.as_ref().and_then(|old| old.place.socket.as_deref()) else { return };
        let end = Instant::now() + self.traffic.patience();
        while holder::connections(socket).is_none_or(|count| count > 0) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn answers_well(&self) -> bool {
        let answer = self.traffic.probe(None, Duration::from_secs(5)).await;
        answer.is_ok_and(|status| self.traffic.is_good(status))
    }

    /// Ends the instance beside the one in front that a Vestibule before us has left, after the last of its connections.
    pub(super) async fn drop_left_over(&mut self) -> Result<(), Trouble> {
        let public = self.public();
        let Some(number) = public.present().filter(|_| self.is_replaced()) else { return Ok(()) };
        let place = public.instance(3 - number);
        let Some(life) = self.at_instance(&place) else { return Ok(()) };
        self.event(&format!("pid {} is left of a restart that was under way: it is stopped", life.pid));
        self.second = Some(App::new(&self.process.name, Exit::of(life), place, None));
        self.until_left().await;
        self.drop_second().await?;
        self.write_down();
        Ok(())
    }

    /// Whom we started at this place: who was written down and is not in front, or listens there and is in a PID file of ours.
    fn at_instance(&self, place: &Place) -> Option<Life> {
        let app = self.app.as_ref()?;
        let is_other =
            |life: &Life| app.tree().get(life.pid).is_none() && life.is_alive() && !life.is_above_us();
        if let Some(life) = self.record().read().filter(is_other) {
            return Some(life);
        }
        let files = [place.pid_file.as_deref(), self.process.pid_file.as_deref()];
        let holds = |life: &Life| {
            let socket = place.socket.as_deref();
            socket.is_some_and(|socket| holder::holds(socket, &Tree::of(life.pid)) == Holds::Yes)
        };
        files.into_iter().flatten().filter_map(named_in).find(|life| is_other(life) && holds(life))
    }

    /// Ends the instance that is not the one in front.
    pub(super) async fn drop_second(&mut self) -> Result<(), Trouble> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let profile = Profile::of(second.kind(), &self.process);
        let result = stop_one(second, &profile.stop).await;
        if let Some(second) = self.second.take_if(|second| !second.is_alive()) {
            clear_up(&second).await;
        }
        result
    }
}
