//! What one worker has of the files at hand.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Semaphore;
use vestibule_config::{Compress, Files, Sendfile};

use crate::answer::{self, Answer, Asked, Found, Instead};
use crate::error::Trouble;
use crate::look::{Look, Seen};
use crate::open::{How, Root};
use crate::path;
use crate::shelved::{Choice, Shelved};

/// Most files that are held open between two requests.
const MOST_OPEN: usize = 256;
/// Longest that one is held open without being asked for: what was removed meanwhile gives its space back then.
const LONGEST_OPEN: Duration = Duration::from_secs(20);
/// Most paths of which it is remembered that there is nothing, or only a directory.
const MOST_ABSENT: usize = 1024;
/// Most files that are coded at once, each by a thread that has nothing else to do, and up to 16 MiB of memory. Who comes beyond them gets the
/// file as it is.
const MOST_CODING: usize = 4;
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
    /// What is left of [`MOST_CODING`].
    coding: Semaphore,
    /// Where keys are put together.
    key: RefCell<Vec<u8>>,
}

/// The site's address, then the path.
type Key = Box<[u8]>;

#[derive(Debug)]
struct Entry<T> {
    /// When what it says was seen: that of its root.
    seen_at: Instant,
    /// What it counts in [`Shelf::weight`].
    weight: usize,
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
            coding: Semaphore::new(MOST_CODING),
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
            return found(&entry.what, asked);
        }
        if let Some(entry) = self.large.borrow_mut().get(key.as_slice()).filter(|entry| holds(entry))
            && entry.what.open().all(|file| file.is_unchanged())
        {
            return found(&entry.what, asked);
        }
        let mut absent = self.absent.borrow_mut();
        let entry = absent.get(key.as_slice()).filter(|entry| entry.holds(now, files.check))?;
        Some(without_file(&entry.what, asked))
    }

    async fn find_there(&self, files: &Files, asked: &Asked<'_>, now: Instant) -> Found {
        let Some(name) = path::name(asked.path, &files.strip) else { return Found::Nothing };
        let site = self.site(place_of(files), now, || files.clone()).await;
        match self.look(place_of(files), &site, asked.path, name).await {
            Seen::File(shelved) => {
                if let Some(Choice::ToMake(place)) = shelved.choose(asked)
                    && self.make(&shelved, place).await.is_ok()
                {
                    self.weigh_anew((place_of(files), asked.path), &shelved);
                }
                found(&shelved, asked)
                    .or_else(|| shelved.plain().map(|plain| Found::File(answer::of(plain, asked, None))))
                    .unwrap_or(Found::Nothing)
            }
            other => without_file(&other, asked),
        }
    }

    /// Makes what a file is in one of its codings, or waits for who is at it.
    ///
    /// # Errors
    /// When too many are made already, or the event loop is ending.
    async fn make(&self, shelved: &Arc<Shelved>, place: usize) -> Result<(), ()> {
        let Some((coding, made)) = shelved.to_make(place) else { return Err(()) };
        let making = async || {
            let _one = self.coding.try_acquire().map_err(|_| ())?;
            let (of, most) = (Arc::clone(shelved), self.most / 4);
            let variant = tokio::task::spawn_blocking(move || of.make(coding)).await.map_err(|_| ())?;
            // What would drive out the others is not kept, and so not made again for each who asks.
            Ok(variant.filter(|variant| variant.length <= most as u64))
        };
        made.get_or_try_init(making).await.map(|_| ())
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
        // Looked at each time, and kept by nobody: an application may write the file anew for each visitor, and remove it then.
        let seen = match &site.root {
            None => Seen::Nothing,
            Some(root) => look_up(&site, root, (name, name.to_vec()), None).await,
        };
        match seen {
            Seen::File(shelved) => {
                // It goes as it is: it may be one visitor's own, and never be asked for again.
                let plain = shelved.plain().ok_or("there is no such file")?;
                Ok(answer::of(plain, asked, Some(instead)))
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
        let seen = look_up(site, root, (path, name), known).await;
        self.remember(key.into_boxed_slice(), site.seen_at, &seen);
        seen
    }

    fn remember(&self, key: Key, seen_at: Instant, seen: &Seen) {
        for cache in [&self.small, &self.large] {
            let dropped = cache.borrow_mut().pop(&key);
            self.count_out(dropped);
        }
        if key.len() > LONGEST_KEY {
            return;
        }
        match seen {
            Seen::File(shelved) => {
                self.absent.borrow_mut().pop(&key);
                let weight = shelved.weight();
                self.weight.set(self.weight.get() + weight);
                let entry = Entry { seen_at, weight, what: Arc::clone(shelved) };
                let dropped = self.cache_of(shelved).borrow_mut().push(key, entry).map(|(_, entry)| entry);
                self.count_out(dropped);
                self.make_room();
                self.close_some();
            }
            other => {
                self.absent.borrow_mut().put(key, Entry { seen_at, weight: 0, what: other.clone() });
            }
        }
    }

    /// Counts a file that became heavier.
    fn weigh_anew(&self, (place, path): (usize, &[u8]), shelved: &Arc<Shelved>) {
        let mut key = Vec::new();
        write_key(&mut key, place, path);
        if let Some(entry) = self.cache_of(shelved).borrow_mut().peek_mut(key.as_slice())
            && Arc::ptr_eq(&entry.what, shelved)
        {
            let before = std::mem::replace(&mut entry.weight, shelved.weight());
            self.weight.set((self.weight.get() + entry.weight).saturating_sub(before));
        }
        self.make_room();
    }

    fn cache_of(&self, shelved: &Shelved) -> &RefCell<LruCache<Key, Entry<Arc<Shelved>>>> {
        if shelved.open().next().is_none() { &self.small } else { &self.large }
    }

    /// Drops what was not looked at for the longest until there is room.
    fn make_room(&self) {
        while self.weight.get() > self.most {
            let (mut small, mut large) = (self.small.borrow_mut(), self.large.borrow_mut());
            let seen_at = |cache: &LruCache<Key, Entry<_>>| cache.peek_lru().map(|(_, entry)| entry.seen_at);
            let dropped = match (seen_at(&small), seen_at(&large)) {
                (Some(one), Some(other)) if other < one => large.pop_lru(),
                (None, _) => large.pop_lru(),
                (Some(_), _) => small.pop_lru(),
            };
            if dropped.is_none() {
                break;
            }
            self.count_out(dropped.map(|(_, entry)| entry));
        }
    }

    /// Closes what was not asked for the longest until no more than [`MOST_OPEN`] are open, siblings among them.
    fn close_some(&self) {
        let open = |(_, entry): (&Key, &Entry<Arc<Shelved>>)| entry.what.open().count();
        while self.large.borrow().iter().map(open).sum::<usize>() > MOST_OPEN {
            let dropped = self.large.borrow_mut().pop_lru();
            self.count_out(dropped.map(|(_, entry)| entry));
        }
    }

    /// Closes what nobody asked for in a while. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        let mut large = self.large.borrow_mut();
        while large.peek_lru().is_some_and(|(_, oldest)| !oldest.holds(now, LONGEST_OPEN)) {
            let dropped = large.pop_lru();
            self.count_out(dropped.map(|(_, entry)| entry));
        }
    }

    fn count_out(&self, entry: Option<Entry<Arc<Shelved>>>) {
        if let Some(entry) = entry {
            self.weight.set(self.weight.get().saturating_sub(entry.weight));
        }
    }
}

/// What a name means: from what the kernel has at hand, else by a thread that may wait.
async fn look_up(
    site: &Site,
    root: &Arc<Root>,
    (path, name): (&[u8], Vec<u8>),
    known: Option<Arc<Shelved>>,
) -> Seen {
    let path = path::decoded(path).unwrap_or_default();
    let look = Look { files: Arc::clone(&site.files), root: Arc::clone(root), name, path, known };
    match look.run(How::AT_ONCE) {
        Ok(seen) => seen,
        Err(_) => {
            let waiting = tokio::task::spawn_blocking(move || look.run(How::WAITING));
            waiting.await.ok().and_then(Result::ok).unwrap_or(Seen::Nothing)
        }
    }
}

/// What a directory of handed files is: nothing but files, hidden ones too, no links that lead out: a name may come from somebody's
/// upload.
fn of_handed(root: &std::path::Path) -> Files {
    Files { index: None, compress: Compress::default(), ..Files::of(PathBuf::from(root)) }
}

fn place_of(files: &Files) -> usize {
    std::ptr::from_ref(files).addr()
}

fn write_key(key: &mut Vec<u8>, place: usize, path: &[u8]) {
    key.clear();
    key.extend_from_slice(&place.to_ne_bytes());
    key.extend_from_slice(path);
}

fn without_file(seen: &Seen, asked: &Asked<'_>) -> Found {
    match seen {
        // A path that begins with two slashes would be taken for a host.
        Seen::Directory if asked.target.starts_with(b"//") => Found::Nothing,
        Seen::Directory => Found::File(Answer::with_slash(asked.target)),
        Seen::Nothing | Seen::File(_) => Found::Nothing,
        &Seen::Refused(status, why) => Found::Refused(status, why),
    }
}

/// The answer for this request; `None` where the representation that it gets is to be made first.
fn found(shelved: &Shelved, asked: &Asked<'_>) -> Option<Found> {
    match shelved.choose(asked) {
        Some(Choice::Variant(variant)) => Some(Found::File(answer::of(variant, asked, None))),
        Some(Choice::ToMake(_)) => None,
        None => Some(Found::Nothing),
    }
}

#[cfg(test)]
mod tests;
