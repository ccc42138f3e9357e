//! The names among the members of one upstream: asked for again and again, and what the answers were.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vestibule_config::{Dns, Member, Upstream, UpstreamAddress};

use crate::member::Place;
use crate::names::{Names, Unknown};
use crate::upstream::fixed_places;

/// The servers that a name stands for, by its index among the configured members.
pub(crate) struct Found {
    index: usize,
    places: Vec<Place>,
}

/// Looks after the names of one upstream. For its monitor.
#[derive(Debug)]
pub(crate) struct Naming {
    config: Dns,
    /// When it began, for the state of an upstream that has no address yet.
    pub(crate) since: SystemTime,
    /// What each configured member stands for, if that is known.
    known: Vec<Option<Vec<Place>>>,
    found: Option<mpsc::Receiver<Found>>,
    asking: Vec<Asking>,
}

/// A task that asks for one name; it ends with this.
#[derive(Debug)]
struct Asking(JoinHandle<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Naming {
    pub(crate) fn of(upstream: &Upstream) -> Self {
        Naming {
            config: Dns::default(),
            since: SystemTime::now(),
            known: vec![None; upstream.members.len()],
            found: None,
            asking: Vec::new(),
        }
    }

    pub(crate) fn set_config(&mut self, config: &Dns) {
        self.config = config.clone();
    }

    /// Begins to ask.
    pub(crate) fn start(&mut self, upstream: &Upstream) {
        let (sender, found) = mpsc::channel(16);
        for (index, member) in upstream.members.iter().enumerate() {
            if matches!(member.address, UpstreamAddress::Name(..) | UpstreamAddress::Srv(_)) {
                let asking =
                    ask(upstream.name.clone(), index, member.clone(), self.config.clone(), sender.clone());
                self.asking.push(Asking(tokio::task::spawn_local(asking)));
            }
        }
        self.found = Some(found).filter(|_| !self.asking.is_empty());
    }

    /// The next answer; waits for ever where there is none to come.
    pub(crate) async fn found(&mut self) -> Option<Found> {
        match &mut self.found {
            Some(found) => found.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Keeps an answer; whether it takes the place of an earlier one, so that who is new in it joins late.
    pub(crate) fn keep(&mut self, found: Found) -> bool {
        self.known.get_mut(found.index).is_some_and(|known| known.replace(found.places).is_some())
    }

    /// All servers as they are to be now, each once: as the first that names it has it.
    pub(crate) fn places(&self, upstream: &Upstream) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for place in fixed_places(upstream).chain(self.known.iter().flatten().flatten().cloned()) {
            if !places.iter().any(|known| known.address == place.address) {
                places.push(place);
            }
        }
        places
    }
}

/// Asks for one name until nobody listens any more. Without an answer, what was known stays.
async fn ask(upstream: String, index: usize, member: Member, config: Dns, found: mpsc::Sender<Found>) {
    let mut names = None;
    let mut failures = 0_u32;
    let mut is_known = false;
    loop {
        let pause = match look_up(&mut names, &config, &member).await {
            Ok((places, ttl)) => {
                if failures > 0 {
                    tracing::info!(upstream, name = %member.address, "the DNS answers again");
                }
                (failures, is_known) = (0, true);
                if found.send(Found { index, places }).await.is_err() {
                    return;
                }
                ttl
            }
            Err(error) => {
                if failures == 0 {
                    let then =
                        if is_known { "the addresses of before stay" } else { "its requests are held" };
                    tracing::warn!(upstream, name = %member.address, %error, "cannot look up a name: {then}");
                }
                failures = failures.saturating_add(1);
                forget(&mut names, &config);
                // Of those that nobody could be asked about now, what was known stays; at first there is nothing to stay.
                if let Unknown::InPart { found: (places, _), .. } = error
                    && !is_known
                {
                    is_known = true;
                    if found.send(Found { index, places }).await.is_err() {
                        return;
                    }
                }
                pause(&config, failures)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whom to ask may become known later than we begin: `/etc/resolv.conf` comes with the network.
async fn look_up(
    names: &mut Option<Names>,
    config: &Dns,
    member: &Member,
) -> Result<(Vec<Place>, Duration), Unknown> {
    let known = match names.take() {
        Some(known) => known,
        None => Names::new(config)?,
    };
    names.insert(known).look_up(member).await
}

/// After a failure: whom the system asks may be another by now, as when its network came late, or changed.
fn forget(names: &mut Option<Names>, config: &Dns) {
    if config.servers.is_empty() {
        *names = None;
    }
}

/// The pause before the next question after so many failures in a row.
fn pause(config: &Dns, failures: u32) -> Duration {
    let pause = config.least_ttl.saturating_mul(1 << failures.clamp(1, 6) >> 1);
    pause.clamp(config.least_ttl, config.most_ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whom_the_system_asks_is_found_anew_after_a_failure_and_who_is_configured_stays() {
        let configured = Dns { servers: vec!["127.0.0.1:1".parse().expect("an address")], ..Dns::default() };
        let mut names = Some(Names::new(&configured).expect("whom to ask"));
        forget(&mut names, &configured);
        assert!(names.is_some());
        forget(&mut names, &Dns::default());
        assert!(names.is_none());
    }
}
