//! Certificates that are fetched and renewed by themselves: a task for each, on the control thread.

use std::sync::Arc;

use tokio::task::JoinHandle;
use vestibule_acme::{Recipients, Renewal};
use vestibule_config::{Acme, Config};
use vestibule_tls::{Acceptor, Certificates, Challenges};

/// The `tls.acme` of all listeners, with their places among them.
fn wanted(config: &Config) -> impl Iterator<Item = (usize, &Acme)> {
    let listeners = config.listeners.iter().enumerate();
    listeners.filter_map(|(index, listener)| Some((index, listener.tls.as_ref()?.acme.as_ref()?)))
}

/// What is wrong with the stores that `config` names, of all at once; makes their directories. `None` when they can be used. `serve` goes
/// on without: it serves what is there.
pub(crate) fn check(config: &Config) -> Option<vestibule_config::Error> {
    let mut wrong: Vec<vestibule_config::Error> = Vec::new();
    for (index, acme) in wanted(config) {
        if let Err(error) = Renewal::check(acme) {
            let text = error.to_string();
            let (message, instead) = text.split_once("; ").unwrap_or((&text, "mend it, or name another"));
            let error = config.listener_error(index, message.to_owned(), instead.to_owned());
            if !wrong.iter().any(|other| other.problems() == error.problems()) {
                wrong.push(error);
            }
        }
    }
    vestibule_config::Error::all(wrong)
}

/// What keeps the certificates of the listeners of another configuration. Nothing of it runs.
pub(crate) struct Next(Vec<Part>);

enum Part {
    /// What keeps this one goes on, whatever it is in the middle of, for these listeners.
    Same(Box<Acme>, Vec<Arc<Certificates>>),
    New(Box<Acme>, Box<Renewal>),
}

impl Next {
    /// Gives each listener with `tls.acme` what its store has, or what stands in for it, where it does not have it already: `kept` are the
    /// settings of what runs. `acceptor` gives the acceptor of the listener at an index. Listeners with the same certificate share it.
    /// Blocks, before anything is accepted.
    pub(crate) fn of(
        config: &Config,
        acceptor: impl Fn(usize) -> Option<Arc<Acceptor>>,
        challenges: &Arc<Challenges>,
        kept: &[Acme],
    ) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for (index, acme) in wanted(config) {
            let Some(acceptor) = acceptor(index) else { continue };
            let certificates = Arc::clone(acceptor.certificates());
            let shared = parts.iter_mut().find(|part| match part {
                Part::Same(settings, _) => **settings == *acme,
                Part::New(_, renewal) => renewal.is_for(acme),
            });
            match shared {
                Some(Part::Same(_, listeners)) => listeners.push(certificates),
                Some(Part::New(_, renewal)) => renewal.give_to(certificates),
                None if kept.contains(acme) => {
                    parts.push(Part::Same(Box::new(acme.clone()), vec![certificates]));
                }
                None => {
                    let renewal = Renewal::new(acme.clone(), challenges);
                    renewal.give_to(certificates);
                    parts.push(Part::New(Box::new(acme.clone()), Box::new(renewal)));
                }
            }
        }
        for part in &mut parts {
            if let Part::New(_, renewal) = part {
                renewal.start();
            }
        }
        Next(parts)
    }
}

/// The tasks that keep certificates; they end when this goes, which is when draining begins: nothing that is ordered then would be
/// served.
#[derive(Default)]
pub(crate) struct Renewals(Vec<Running>);

struct Running {
    settings: Box<Acme>,
    recipients: Recipients,
    _task: Task,
}

/// Ended with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Renewals {
    /// The settings of all of them.
    pub(crate) fn settings(&self) -> Vec<Acme> {
        self.0.iter().map(|running| (*running.settings).clone()).collect()
    }

    /// Starts the tasks that are new, and ends those that are not in `next`. To be called once the listeners accept: authorities
    /// ask there.
    pub(crate) fn change(&mut self, Next(next): Next) {
        let mut before = std::mem::take(&mut self.0);
        let mut begin = Vec::new();
        for part in next {
            match part {
                Part::Same(settings, listeners) => {
                    let Some(at) = before.iter().position(|running| running.settings == settings) else {
                        continue;
                    };
                    let running = before.swap_remove(at);
                    running.recipients.set(listeners);
                    self.0.push(running);
                }
                Part::New(settings, renewal) => begin.push((settings, renewal)),
            }
        }
        // Before another begins with the same store: its locks are given back.
        drop(before);
        for (settings, renewal) in begin {
            let recipients = renewal.recipients();
            let _task = Task(tokio::task::spawn_local(renewal.run()));
            self.0.push(Running { settings, recipients, _task });
        }
    }

    /// Gives what is kept to listeners of `next` that have not got it, before they are used.
    pub(crate) fn give(&self, Next(next): &Next) {
        for part in next {
            if let Part::Same(settings, listeners) = part
                && let Some(running) = self.0.iter().find(|running| running.settings == *settings)
            {
                running.recipients.set(listeners.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use vestibule_config::{Challenge, KeyKind, Listener, Tls, TlsVersion};
    use vestibule_tls::Tickets;

    use super::*;

    fn config(store: &Path, domains: [&str; 3]) -> Config {
        let mut config = Config::default();
        let listener = config.listeners[0].clone();
        let tls = |domain: &str| Tls {
            certificates: Vec::new(),
            acme: Some(Acme {
                domains: vec![domain.to_owned()],
                contact: Vec::new(),
                // Nobody listens there.
                directory: "https://127.0.0.1:1/dir".to_owned(),
                store: store.to_owned(),
                challenges: vec![Challenge::Http01],
                authorities: None,
                key: KeyKind::Ecdsa,
                eab: None,
            }),
            client: None,
            minimum: TlsVersion::V12,
            hsts: None,
        };
        let with = |domain: &str| Listener { tls: Some(tls(domain)), ..listener.clone() };
        config.listeners = domains.map(with).into_iter().chain([listener.clone()]).collect();
        config
    }

    fn acceptors(config: &Config, challenges: &Arc<Challenges>) -> Vec<Option<Arc<Acceptor>>> {
        let tickets = Tickets::new().unwrap();
        let make = |tls: &Tls| Acceptor::new(tls, false, &tickets, challenges).unwrap();
        config.listeners.iter().map(|listener| listener.tls.as_ref().map(make)).collect()
    }

    #[test]
    fn listeners_with_the_same_certificate_share_one_task() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir.path().join("store"), ["a.example", "b.example", "a.example"]);
        let challenges = Arc::new(Challenges::default());
        let acceptors = acceptors(&config, &challenges);
        let renewals = Next::of(&config, |index| acceptors[index].clone(), &challenges, &[]);
        assert_eq!(renewals.0.len(), 2);
        for acceptor in acceptors.iter().flatten() {
            assert_eq!(acceptor.certificates().all().len(), 1, "served from the first moment");
        }
        assert!(check(&config).is_none());
    }

    #[test]
    fn a_store_that_cannot_be_used_is_said_by_check_and_does_not_keep_from_serving() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let config = config(&dir.path().join("file/store"), ["a.example"; 3]);
        let words = check(&config).unwrap().to_string();
        assert!(words.contains("file/store") && words.contains("tls.acme.store"), "{words}");
        let challenges = Arc::new(Challenges::default());
        let acceptors = acceptors(&config, &challenges);
        drop(Next::of(&config, |index| acceptors[index].clone(), &challenges, &[]));
        assert_eq!(acceptors[0].as_ref().unwrap().certificates().all().len(), 1);
    }

    #[test]
    fn the_tasks_end_with_what_started_them() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir.path().join("store"), ["a.example", "b.example", "c.example"]);
        let challenges = Arc::new(Challenges::default());
        let acceptors = acceptors(&config, &challenges);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let next = |kept: &[Acme]| Next::of(&config, |index| acceptors[index].clone(), &challenges, kept);
            let mut running = Renewals::default();
            running.change(next(&[]));
            tokio::time::sleep(Duration::from_millis(100)).await;
            let ends: Vec<_> = running.0.iter().map(|running| running._task.0.abort_handle()).collect();
            assert!(ends.iter().all(|end| !end.is_finished()));
            // The same once more: what keeps them goes on.
            let again = next(&running.settings());
            running.give(&again);
            running.change(again);
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(running.0.len() == 3 && ends.iter().all(|end| !end.is_finished()));
            drop(running);
            tokio::time::timeout(Duration::from_secs(60), async {
                while !ends.iter().all(tokio::task::AbortHandle::is_finished) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await
            .unwrap();
        });
    }
}
