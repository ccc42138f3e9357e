//! What one worker has of the files at hand.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use vestibule_config::{Files, Sendfile};

use crate::answer::{self, Answer, Asked, Found, Instead};
use crate::error::Trouble;
use crate::look::{Look, Seen};
use crate::open::{How, Root};
use crate::path;
use crate::shelved::Shelved;

/// Most files that are held open between two requests.
const MOST_OPEN: usize = 256;
/// Most paths of which it is remembered that there is nothing, or only a directory.
const MOST_ABSENT: usize = 1024;
/// Longer paths are looked up each time: what is remembered has to stay small.
const LONGEST_KEY: usize = 1024;

/// The files of one worker: small ones in memory, larger ones open, and for a moment what there is not.
///
/// What it knows of a path holds for [`Files::check`], then it is looked up again. A hit costs no system call, but for a file that
/// is not in memory, of which it is asked whether it changed.
#[derive(Debug)]
pub struct Shelf {
    /// Most bytes in memory.
    most: usize,
    weight: Cell<usize>,
    small: RefCell<LruCache<Key, Entry<Arc<Shelved>>>>,
    large: RefCell<LruCache<Key, Entry<Arc<Shelved>>>>,
    absent: RefCell<LruCache<Key, Entry<Seen>>>,
    /// By the address of what the configuration says of them.
    sites: RefCell<HashMap<usize, Site>>,
    /// Where keys are put together.
    key: RefCell<Vec<u8>>,
}

/// The site's address, then the path.
type Key = Box<[u8]>;

#[derive(Debug)]
struct Entry<T> {
    /// When what it says was seen: that of its root.
    seen_at: Instant,
    what: T,
}

impl<T> Entry<T> {
    fn holds(&self, now: Instant, check: Duration) -> bool {
        now.saturating_duration_since(self.seen_at) < check
    }
}

/// A root and what the configuration says of it.
#[derive(Debug, Clone)]
struct Site {
    files: Arc<Files>,
    root: Option<Arc<Root>>,
    seen_at: Instant,
    /// Whether it was said that the root cannot be opened.
    is_reported: bool,
}

impl Shelf {
    /// An empty one, with at most this many bytes in memory.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let bounded = |most: usize| LruCache::new(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
        Shelf {
            most,
            weight: Cell::new(0),
            small: RefCell::new(LruCache::unbounded()),
            large: RefCell::new(bounded(MOST_OPEN)),
            absent: RefCell::new(LruCache::new(NonZeroUsize::new(MOST_ABSENT).unwrap_or(NonZeroUsize::MIN))),
            sites: RefCell::default(),
            key: RefCell::default(),
        }
    }

    /// Forgets all. To be called when another configuration takes the place of the one whose `Files` were asked for: what they are known
    /// by is their place in memory.
    pub fn clear(&self) {
        self.small.borrow_mut().clear();
        self.large.borrow_mut().clear();
        self.absent.borrow_mut().clear();
        self.sites.borrow_mut().clear();
        self.weight.set(0);
    }

    /// What `files` have for a request that came at `now`.
    pub async fn find(&self, files: &Files, asked: &Asked<'_>, now: Instant) -> Found {
        if let Some(found) = self.find_here(files, asked, now) {
            return found;
        }
        // Boxed, so that what is found at once is not made to carry what is not.
        Box::pin(self.find_there(files, asked, now)).await
    }

    /// The same, only from what is at hand.
    #[must_use]
    pub fn find_here(&self, files: &Files, asked: &Asked<'_>, now: Instant) -> Option<Found> {
        let mut key = self.key.borrow_mut();
        write_key(&mut key, place_of(files), asked.path);
        let holds = |seen_at: &Entry<Arc<Shelved>>| seen_at.holds(now, files.check);
        if let Some(entry) = self.small.borrow_mut().get(key.as_slice()).filter(|entry| holds(entry)) {
            return Some(found(&entry.what, asked));
        }
        if let Some(entry) = self.large.borrow_mut().get(key.as_slice()).filter(|entry| holds(entry))
            && entry.what.open().all(|file| file.is_unchanged())
        {
            return Some(found(&entry.what, asked));
        }
        let mut absent = self.absent.borrow_mut();
        let entry = absent.get(key.as_slice()).filter(|entry| entry.holds(now, files.check))?;
        Some(what(&entry.what, asked))
    }

    async fn find_there(&self, files: &Files, asked: &Asked<'_>, now: Instant) -> Found {
        let Some(name) = path::name(asked.path, &files.strip) else { return Found::Nothing };
        let site = self.site(place_of(files), now, || files.clone()).await;
        let seen = self.look(place_of(files), &site, asked.path, name).await;
        what(&seen, asked)
    }

    /// What an application handed us by this name below the root of `sendfile`, to be sent with the fields that it said.
    pub(crate) async fn handed(
        &self,
        sendfile: &Sendfile,
        name: &[u8],
        asked: &Asked<'_>,
        (instead, now): (Instead<'_>, Instant),
    ) -> Result<Answer, &'static str> {
        if name.is_empty() || name.ends_with(b"/") || !path::is_below(name) {
            return Err("no name of a file");
        }
        let place = std::ptr::from_ref(sendfile).addr();
        let site = self.site(place, now, || of_handed(&sendfile.root)).await;
        let mut key = Vec::new();
        write_key(&mut key, place, name);
        let holds = |entry: &&Entry<Arc<Shelved>>| entry.holds(now, site.files.check);
        let kept =
            self.small.borrow_mut().get(key.as_slice()).filter(holds).map(|entry| Arc::clone(&entry.what));
        let kept = kept.or_else(|| {
            let mut large = self.large.borrow_mut();
            let entry = large.get(key.as_slice()).filter(holds)?;
            entry.what.open().all(|file| file.is_unchanged()).then(|| Arc::clone(&entry.what))
        });
        let seen = match kept {
            Some(shelved) => Seen::File(shelved),
            None => self.look(place, &site, name, name.to_vec()).await,
        };
        match seen {
            Seen::File(shelved) => {
                let variant = shelved.variant(None).ok_or("there is no such file")?;
                Ok(answer::of(variant, asked, Some(instead)))
            }
            Seen::Nothing | Seen::Directory => Err("there is no such file"),
            Seen::Refused(_, why) => Err(why),
        }
    }

    /// The path of a root without links, for an application that knows it by that.
    pub(crate) async fn real_root(&self, sendfile: &Sendfile, now: Instant) -> Option<Vec<u8>> {
        let site = self.site(std::ptr::from_ref(sendfile).addr(), now, || of_handed(&sendfile.root)).await;
        site.root.and_then(|root| root.real().ok())
    }

    /// The site at a place, its root as it was at most [`Files::check`] ago.
    async fn site(&self, place: usize, now: Instant, files: impl FnOnce() -> Files) -> Site {
        let known = self.sites.borrow().get(&place).cloned();
        let known = match known {
            Some(site) if now.saturating_duration_since(site.seen_at) < site.files.check => return site,
            Some(site) => site,
            None => Site { files: Arc::new(files()), root: None, seen_at: now, is_reported: false },
        };
        let opened = match Root::open(&known.files.root, How::AT_ONCE) {
            Err(Trouble::Wait) => {
                let files = Arc::clone(&known.files);
                let opening = tokio::task::spawn_blocking(move || Root::open(&files.root, How::WAITING));
                // The event loop is ending.
                opening.await.unwrap_or(Err(Trouble::Nothing))
            }
            outcome => outcome,
        };
        let site = match (opened, &known.root) {
            (Ok(root), Some(old)) if root.is(old) => Site { seen_at: now, is_reported: false, ..known },
            (Ok(root), _) => Site { root: Some(Arc::new(root)), seen_at: now, is_reported: false, ..known },
            (Err(trouble), _) => {
                if !known.is_reported {
                    let root = known.files.root.display();
                    tracing::warn!(%root, ?trouble, "the directory of files cannot be opened");
                }
                // A link that is just being replaced, as `ln -sfn` does it, is not there for a moment: what it led to is.
                Site { seen_at: now, is_reported: true, ..known }
            }
        };
        self.sites.borrow_mut().insert(place, site.clone());
        site
    }

    /// Looks up what a name means, and remembers it under the path.
    async fn look(&self, place: usize, site: &Site, path: &[u8], name: Vec<u8>) -> Seen {
        let Some(root) = &site.root else { return Seen::Nothing };
        let mut key = Vec::new();
        write_key(&mut key, place, path);
        let peeked = |cache: &RefCell<LruCache<Key, Entry<Arc<Shelved>>>>| {
            cache.borrow().peek(key.as_slice()).map(|entry| Arc::clone(&entry.what))
        };
        let known = peeked(&self.small).or_else(|| peeked(&self.large));
        let decoded = path::decoded(path).unwrap_or_default();
        let look =
            Look { files: Arc::clone(&site.files), root: Arc::clone(root), name, path: decoded, known };
        let seen = match look.run(How::AT_ONCE) {
            Ok(seen) => seen,
            Err(_) => {
                let waiting = tokio::task::spawn_blocking(move || look.run(How::WAITING));
                waiting.await.ok().and_then(Result::ok).unwrap_or(Seen::Nothing)
            }
        };
        self.remember(key.into_boxed_slice(), site.seen_at, &seen);
        seen
    }

    fn remember(&self, key: Key, seen_at: Instant, seen: &Seen) {
        let dropped = self.small.borrow_mut().pop(&key);
        self.count_out(dropped);
        if key.len() > LONGEST_KEY {
            return;
        }
        match seen {
            Seen::File(shelved) if shelved.open().next().is_none() => {
                self.large.borrow_mut().pop(&key);
                self.absent.borrow_mut().pop(&key);
                self.weight.set(self.weight.get() + shelved.weight());
                self.small.borrow_mut().put(key, Entry { seen_at, what: Arc::clone(shelved) });
                while self.weight.get() > self.most {
                    let oldest = self.small.borrow_mut().pop_lru().map(|(_, entry)| entry);
                    if oldest.is_none() {
                        break;
                    }
                    self.count_out(oldest);
                }
            }
            Seen::File(shelved) => {
                self.absent.borrow_mut().pop(&key);
                self.large.borrow_mut().put(key, Entry { seen_at, what: Arc::clone(shelved) });
            }
            other => {
                self.large.borrow_mut().pop(&key);
                self.absent.borrow_mut().put(key, Entry { seen_at, what: other.clone() });
            }
        }
    }

    fn count_out(&self, entry: Option<Entry<Arc<Shelved>>>) {
        if let Some(entry) = entry {
            self.weight.set(self.weight.get().saturating_sub(entry.what.weight()));
        }
    }
}

/// What a directory of handed files is: nothing but files, hidden ones too, no links that lead out: a name may come from somebody's
/// upload.
fn of_handed(root: &std::path::Path) -> Files {
    Files { index: None, ..Files::of(PathBuf::from(root)) }
}

fn place_of(files: &Files) -> usize {
    std::ptr::from_ref(files).addr()
}

fn write_key(key: &mut Vec<u8>, place: usize, path: &[u8]) {
    key.clear();
    key.extend_from_slice(&place.to_ne_bytes());
    key.extend_from_slice(path);
}

fn what(seen: &Seen, asked: &Asked<'_>) -> Found {
    match seen {
        Seen::File(shelved) => found(shelved, asked),
        // A path that begins with two slashes would be taken for a host.
        Seen::Directory if asked.target.starts_with(b"//") => Found::Nothing,
        Seen::Directory => Found::File(Answer::with_slash(asked.target)),
        Seen::Nothing => Found::Nothing,
        &Seen::Refused(status, why) => Found::Refused(status, why),
    }
}

fn found(shelved: &Shelved, asked: &Asked<'_>) -> Found {
    match shelved.variant(asked.accept_encoding) {
        Some(variant) => Found::File(answer::of(variant, asked, None)),
        None => Found::Nothing,
    }
}

#[cfg(test)]
mod tests;
