//! The record of attempts on disk: one for each directory, shared by all that use the store.

use std::time::{Duration, SystemTime};

use crate::Error;
use crate::attempts::{Attempts, HOUR, Reached, Seconds};
use crate::store::Store;

const FILE: &str = "attempts.json";
const LOCK: &str = "attempts.lock";
/// How often, and how long apart, the lock is tried. Who has it only reads and writes a file.
const TRIES: u32 = 200;
const APART: Duration = Duration::from_millis(50);

/// The record of attempts of one directory.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    store: Store,
}

impl Record {
    pub(crate) fn new(store: Store) -> Self {
        Record { store }
    }

    /// Reads the record, has `change` look at it or change it, and brings what changed to the disk before it returns.
    ///
    /// # Errors
    /// The store cannot be read or written: then nothing may be tried, as it would not be counted.
    pub(crate) async fn update<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Attempts, Seconds) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.store.run(move |store| update(store, change)).await
    }
}

fn update<T>(store: &Store, change: impl FnOnce(&mut Attempts, Seconds) -> T) -> Result<T, Error> {
    let mut tries = 0;
    let _lock = loop {
        match store.lock(LOCK)? {
            Some(lock) => break lock,
            None if tries < TRIES => std::thread::sleep(APART),
            None => {
                return Err(Error::Store {
                    path: store.path(LOCK),
                    why: std::io::ErrorKind::ResourceBusy.into(),
                });
            }
        }
        tries += 1;
    };
    let now = now();
    let (mut attempts, mut changed) = match store.read_json::<Attempts>(FILE) {
        Ok(found) => (found.unwrap_or_default(), false),
        Err(Error::Broken { path, why }) => {
            let aside = store.set_aside(FILE)?;
            tracing::error!(
                file = %path.display(),
                aside = %aside.display(),
                "the record of attempts is broken, so nothing is asked of the authority for an hour: {why}"
            );
            (Attempts::unknown(now.saturating_add(HOUR)), true)
        }
        Err(error) => return Err(error),
    };
    changed |= attempts.tidy(now);
    let before = attempts.clone();
    let outcome = change(&mut attempts, now);
    if changed || attempts != before {
        store.write_json(FILE, &attempts)?;
    }
    Ok(outcome)
}

/// The wall clock.
pub(crate) fn now() -> Seconds {
    seconds(SystemTime::now())
}

/// A time of the wall clock in seconds; what lies before 1970 is 1970.
pub(crate) fn seconds(at: SystemTime) -> Seconds {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Says of one certificate how far its attempt has come.
pub(crate) struct Journal<'a> {
    pub(crate) record: &'a Record,
    pub(crate) certificate: &'a str,
    reached: std::cell::Cell<Reached>,
}

impl<'a> Journal<'a> {
    /// Of an attempt that is written down as begun.
    pub(crate) fn new(record: &'a Record, certificate: &'a str) -> Self {
        Journal { record, certificate, reached: std::cell::Cell::new(Reached::Begun) }
    }

    /// Writes down how far it comes, before it does.
    pub(crate) async fn reach(&self, reached: Reached) -> Result<(), Error> {
        self.reached.set(reached);
        let certificate = self.certificate.to_owned();
        self.record.update(move |attempts, now| attempts.reach(now, &certificate, reached)).await
    }

    /// How far it has come.
    pub(crate) fn reached(&self) -> Reached {
        self.reached.get()
    }
}
