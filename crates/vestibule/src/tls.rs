//! TLS for the listeners: what is read before anything is bound, and kept in step with its files afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use vestibule_config::{Config, Listener, Tls};
use vestibule_tls::{Acceptor, Certificate, Challenges, Files, Tickets};

use crate::serve::CannotStart;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What makes TLS of the bytes of the listeners of one configuration, and what all of them share.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    /// As [`Config::listeners`]; `None` for those in the clear.
    acceptors: Vec<Option<Arc<Acceptor>>>,
    shared: Shared,
}

/// What stays the same over reloads.
#[derive(Debug, Clone)]
struct Shared {
    tickets: Tickets,
    challenges: Arc<Challenges>,
    /// Wakes who looks after the files: the operator asks, or there are others.
    wake: Arc<Notify>,
    /// Whether it is the operator.
    is_asked: Arc<AtomicBool>,
    /// The acceptors whose files are looked after.
    watched: Arc<Mutex<Vec<Arc<Acceptor>>>>,
}

impl Security {
    /// Reads and checks what the configuration names; what is wrong with any of it is said at once.
    ///
    /// # Errors
    /// [`CannotStart`].
    pub(crate) fn of(config: &Config) -> Result<Self, CannotStart> {
        let tickets = Tickets::new().map_err(|error| CannotStart::new(error.to_string()))?;
        let shared = Shared {
            tickets,
            challenges: Arc::default(),
            wake: Arc::default(),
            is_asked: Arc::default(),
            watched: Arc::default(),
        };
        let security = Security::read(config, shared)?;
        security.look_after_these();
        Ok(security)
    }

    /// The same for another configuration: everything is read and checked anew; sessions and challenges go on.
    ///
    /// # Errors
    /// [`CannotStart`].
    pub(crate) fn next(&self, config: &Config) -> Result<Self, CannotStart> {
        Security::read(config, self.shared.clone())
    }

    fn read(config: &Config, shared: Shared) -> Result<Self, CannotStart> {
        let (mut acceptors, mut wrong) = (Vec::new(), Vec::new());
        for (index, Listener { tls, http2, .. }) in config.listeners.iter().enumerate() {
            let acceptor =
                tls.as_ref().map(|tls| Acceptor::new(tls, *http2, &shared.tickets, &shared.challenges));
            acceptors.push(acceptor.transpose().unwrap_or_else(|error| {
                wrong.extend(told(config, index, tls.as_ref(), &error));
                None
            }));
        }
        match vestibule_config::Error::all(wrong) {
            None => Ok(Security { acceptors, shared }),
            Some(error) => Err(CannotStart::new(error.to_string())),
        }
    }

    /// What makes TLS of the bytes of the listener at this index; `None` for one in the clear.
    pub(crate) fn acceptor(&self, index: usize) -> Option<Arc<Acceptor>> {
        self.acceptors.get(index).cloned().flatten()
    }

    /// The same for all listeners.
    pub(crate) fn acceptors(&self) -> &[Option<Arc<Acceptor>>] {
        &self.acceptors
    }

    /// The ACME challenges that stand now, for all listeners.
    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.shared.challenges
    }

    /// Has all files read anew.
    pub(crate) fn reload(&self) {
        self.shared.is_asked.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// From now on these are in use: their files are looked after, and no others.
    pub(crate) fn look_after_these(&self) {
        let acceptors = self.acceptors.iter().flatten().cloned().collect();
        *self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner) = acceptors;
    }

    /// Keeps what is used in step with the files, and the keys of tickets fresh, for as long as it is polled. What changed,
    /// and what cannot be used, is logged.
    pub(crate) fn look_after(&self) -> impl Future<Output = ()> + use<> {
        self.shared.clone().look_after()
    }
}

impl Shared {
    async fn look_after(self) {
        let mut files: Vec<(Arc<Acceptor>, Files)> = Vec::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.wake.notified() => {}
            }
            let is_asked = self.is_asked.swap(false, Ordering::AcqRel);
            self.tickets.rotate_if_due();
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if watched.is_empty() {
                files.clear();
                continue;
            }
            let is_known = |files: &[(Arc<Acceptor>, Files)], acceptor: &Arc<Acceptor>| {
                files.iter().any(|(known, _)| Arc::ptr_eq(known, acceptor))
            };
            files.retain(|(acceptor, _)| watched.iter().any(|watched| Arc::ptr_eq(watched, acceptor)));
            for acceptor in watched {
                if !is_known(&files, &acceptor) {
                    let looked_at = acceptor.files();
                    files.push((acceptor, looked_at));
                }
            }
            // Elsewhere: a disk that hangs must keep nothing waiting but this.
            let looking = tokio::task::spawn_blocking(move || {
                let mut count = 0;
                for (_, files) in &mut files {
                    let found = if is_asked { files.reload_now() } else { files.check(Instant::now()) };
                    count += found.len();
                }
                (files, count)
            });
            let Ok((back, count)) = looking.await else { return };
            files = back;
            if is_asked && count == 0 {
                tracing::info!("certificates and keys are as they were");
            }
        }
    }
}

/// What is wrong with the files that the listeners name, of all at once; `None` when TLS can be spoken. What is odd and works is logged.
pub(crate) fn check(config: &Config) -> Option<vestibule_config::Error> {
    let challenges = Arc::new(Challenges::default());
    let tickets = match Tickets::new() {
        Ok(tickets) => tickets,
        Err(error) => return Some(vestibule_config::Problem::new(error.to_string()).into()),
    };
    let wrong = config.listeners.iter().enumerate().flat_map(|(index, listener)| {
        let tls = listener.tls.as_ref();
        let failed = tls.and_then(|tls| Acceptor::new(tls, listener.http2, &tickets, &challenges).err());
        failed.map_or_else(Vec::new, |error| told(config, index, tls, &error))
    });
    vestibule_config::Error::all(wrong.collect())
}

/// What is wrong with a listener, with the places where that is named: `first` is what was found first, and of its
/// certificates each that cannot be used is told.
fn told(
    config: &Config,
    index: usize,
    tls: Option<&Tls>,
    first: &vestibule_tls::Error,
) -> Vec<vestibule_config::Error> {
    let pairs = tls.map_or(&[][..], |tls| &tls.certificates);
    let wrong: Vec<_> = pairs.iter().filter_map(|pair| Certificate::read(pair).err()).collect();
    if wrong.is_empty() {
        vec![place(config, index, first)]
    } else {
        wrong.iter().map(|error| place(config, index, error)).collect()
    }
}

fn place(config: &Config, index: usize, error: &vestibule_tls::Error) -> vestibule_config::Error {
    let text = error.to_string();
    let (message, instead) = text.split_once("; ").unwrap_or((&text, "mend it, or name another file"));
    match error.file() {
        Some(file) => config.tls_file_error(index, file, message, instead),
        None => config.listener_error(index, message, instead),
    }
}
