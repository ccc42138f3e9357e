//! The files behind one listener: whether they changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use vestibule_config::{ClientAuthority, Tls};

use crate::client::Clients;
use crate::stamp::Stamp;
use crate::tickets::Rules;
use crate::{Acceptor, Certificate, Error, Source, Warning, date};

/// How long what is wrong is tried again before it is told: certificate and key are two files, and whoever copies them
/// does it one after the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files behind one listener: certificates, keys, client authorities, revocations. What changed is read, checked and
/// swapped; what is broken leaves the old in place. It logs what it does, so its caller need not.
#[derive(Debug)]
pub struct Files {
    acceptor: Arc<Acceptor>,
    watched: Watched,
}

impl Files {
    pub(crate) fn new(acceptor: Arc<Acceptor>, watched: Watched) -> Self {
        Self { acceptor, watched }
    }

    /// Looks whether a file changed: one `stat` per file, and reading only where it differs. To be called about once per
    /// second, from where blocking does no harm. What is wrong is tried again for 5 s before it is told, once per change:
    /// certificate and key are not replaced at the same instant.
    pub fn check(&mut self, now: Instant) -> Vec<Result<Changed, Error>> {
        self.look(Look::IfChanged(now))
    }

    /// Reads all files at once, changed or not, and tells at once what is wrong: the operator asked (SIGHUP). What is the
    /// same as before is not among the answers.
    pub fn reload_now(&mut self) -> Vec<Result<Changed, Error>> {
        self.look(Look::Now)
    }

    fn look(&mut self, look: Look) -> Vec<Result<Changed, Error>> {
        let mut told = Vec::new();
        let settings = self.acceptor.settings();
        for (item, files) in self.watched.pairs.iter_mut().zip(&settings.certificates) {
            let paths = [files.certificate.as_path(), files.key.as_path()];
            let Some(read) = item.look(&paths, look, || Certificate::read(files)) else { continue };
            told.extend(item.take_certificate(read));
        }
        // Once for all of them: a hundred certificates renewed in one night are one swap.
        if told.iter().any(Result::is_ok) {
            self.acceptor.certificates().replace(Source::Files, self.watched.certificates());
        }
        if let (Some(item), Some(authority)) = (&mut self.watched.clients, &settings.client)
            && let Some(read) = item.look(&paths_of(authority), look, || Clients::read(authority))
        {
            told.extend(item.take_clients(read, &self.acceptor, &authority.authorities));
        }
        for outcome in &told {
            tell(outcome);
        }
        told
    }
}

/// What was taken anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A certificate.
    Certificate {
        /// Its file.
        file: PathBuf,
        /// The hosts that it is for.
        names: Vec<Box<str>>,
        /// Until when it counts.
        not_after: SystemTime,
    },
    /// Who may sign clients' certificates, or which of them are revoked.
    Clients {
        /// The authorities' file.
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy)]
enum Look {
    IfChanged(Instant),
    Now,
}

/// What the files were when they were read last.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pairs: Vec<Item<Arc<Certificate>>>,
    clients: Option<Item<Rules>>,
}

impl Watched {
    /// Reads all files that `settings` name, and logs what is odd about them.
    pub(crate) fn read(settings: &Tls) -> Result<(Self, Option<Clients>), Error> {
        let mut pairs = Vec::with_capacity(settings.certificates.len());
        for files in &settings.certificates {
            let stamp = Stamp::of(&[&files.certificate, &files.key]);
            let (certificate, warnings) = Certificate::read(files)?;
            warn(&warnings);
            pairs.push(Item::new(Arc::new(certificate), stamp));
        }
        let Some(authority) = &settings.client else { return Ok((Self { pairs, clients: None }, None)) };
        let stamp = Stamp::of(&paths_of(authority));
        let (clients, warnings) = Clients::read(authority)?;
        warn(&warnings);
        Ok((Self { pairs, clients: Some(Item::new(clients.rules, stamp)) }, Some(clients)))
    }

    /// The certificates, in the order of the configuration.
    pub(crate) fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.pairs.iter().map(|item| Arc::clone(&item.present)).collect()
    }
}

/// One thing that is read from some files.
#[derive(Debug, Clone)]
struct Item<T> {
    /// What is served.
    present: T,
    /// The state of the files that is dealt with, be it taken or told to be broken; `None` to read them again.
    settled: Option<Stamp>,
    /// Since when they are wrong, and nothing is said.
    wrong_since: Option<Instant>,
    /// The state in which they were told to be broken, if they are.
    broken: Option<Stamp>,
}

impl<T> Item<T> {
    fn new(present: T, stamp: Stamp) -> Self {
        let mut item = Self { present, settled: None, wrong_since: None, broken: None };
        item.settle(stamp);
        item
    }

    /// What reading gave, if it is to be dealt with now.
    fn look<R>(
        &mut self,
        files: &[&Path],
        look: Look,
        read: impl FnOnce() -> Result<R, Error>,
    ) -> Option<Result<R, Error>> {
        // Taken before reading: what changes while we read differs from it the next time.
        let stamp = Stamp::of(files);
        if matches!(look, Look::IfChanged(_)) && self.settled.as_ref() == Some(&stamp) {
            self.wrong_since = None;
            return None;
        }
        let outcome = read();
        if let (Err(_), Look::IfChanged(now)) = (&outcome, look) {
            if self.broken.as_ref() == Some(&stamp) {
                self.settle(stamp);
                return None;
            }
            if now < *self.wrong_since.get_or_insert(now) + PATIENCE {
                return None;
            }
        }
        self.wrong_since = None;
        if outcome.is_err() {
            self.broken = Some(stamp.clone());
        }
        self.settle(stamp);
        Some(outcome)
    }

    fn settle(&mut self, stamp: Stamp) {
        self.settled = (!stamp.is_young(SystemTime::now())).then_some(stamp);
    }
}

impl Item<Arc<Certificate>> {
    fn take_certificate(
        &mut self,
        read: Result<(Certificate, Vec<Warning>), Error>,
    ) -> Option<Result<Changed, Error>> {
        let (new, warnings) = match read {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        // The key fits the certificate, so with the certificate the key is the same, too.
        if new.chain() == self.present.chain() && self.broken.is_none() {
            return None;
        }
        warn(&warnings);
        (self.present, self.broken) = (Arc::new(new), None);
        Some(Ok(Changed::Certificate {
            file: self.present.file().to_owned(),
            names: self.present.names().to_vec(),
            not_after: self.present.not_after(),
        }))
    }
}

impl Item<Rules> {
    fn take_clients(
        &mut self,
        read: Result<(Clients, Vec<Warning>), Error>,
        acceptor: &Acceptor,
        file: &Path,
    ) -> Option<Result<Changed, Error>> {
        let (new, warnings) = match read {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        if new.rules == self.present && self.broken.is_none() {
            return None;
        }
        let rules = new.rules;
        if let Err(error) = acceptor.take_clients(new) {
            return Some(Err(error));
        }
        warn(&warnings);
        (self.present, self.broken) = (rules, None);
        Some(Ok(Changed::Clients { file: file.to_owned() }))
    }
}

fn paths_of(authority: &ClientAuthority) -> Vec<&Path> {
    std::iter::once(authority.authorities.as_path()).chain(authority.revoked.as_deref()).collect()
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn tell(outcome: &Result<Changed, Error>) {
    match outcome {
        Ok(Changed::Certificate { file, names, not_after }) => tracing::info!(
            file = %file.display(),
            names = names.join(", "),
            not_after = date::written(*not_after),
            "took the new certificate"
        ),
        Ok(Changed::Clients { file }) => {
            tracing::info!(file = %file.display(), "took the new authorities and revocations for clients");
        }
        Err(error) => tracing::error!("{error}; what was there before goes on being served"),
    }
}
