//! All workers together: start, drain, end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use vestibule_config::Config;
use vestibule_proxy::{AccessLog, LogFile, Plan, Shared, Worker};
use vestibule_tls::{Acceptor, Challenges};
use vestibule_upstream::{Store, Upstream};

use crate::census::Census;
use crate::listener::Bound;
use crate::reception::{Change, Reload};
use crate::worker;

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    Drain,
    Cut,
}

/// What was under way when the workers were told not to wait any longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Requests that did not get their answer.
    pub requests: usize,
    /// Tunnels (WebSockets) that were closed.
    pub tunnels: usize,
}

/// Why the workers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread cannot be started.
    #[error("cannot start a worker")]
    Thread(#[source] io::Error),
    /// A listener cannot be shared out.
    #[error("cannot share a listener among the workers")]
    Share(#[source] io::Error),
}

/// The running workers.
#[derive(Debug)]
pub struct Server {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<io::Result<Cut>>,
    /// In the order of the configuration.
    bound: Vec<Bound>,
    /// The way to each worker.
    reloads: Vec<mpsc::UnboundedSender<Reload>>,
    census: Arc<Census>,
    store: Arc<Store>,
    /// What the requests of all workers share.
    shared: Arc<Shared>,
}

/// The listeners of another configuration: bound, known to all workers, and not accepted at yet. If it is dropped, nothing has
/// happened.
#[derive(Debug)]
pub struct Prepared {
    listeners: Vec<Next>,
    changes: Vec<oneshot::Sender<Change>>,
}

/// A listener of another configuration.
#[derive(Debug)]
enum Next {
    /// The one with this place among the present ones goes on.
    Same(usize),
    New(Bound),
}

impl Prepared {
    /// The addresses of those that come.
    #[must_use]
    pub fn new_addresses(&self) -> Vec<String> {
        let new = |next: &Next| match next {
            Next::Same(_) => None,
            Next::New(bound) => Some(bound.to_string()),
        };
        self.listeners.iter().filter_map(new).collect()
    }
}

impl Server {
    /// Starts the workers on listeners that are bound already.
    ///
    /// # Errors
    /// [`Error`] when a thread or a descriptor is not to be had.
    pub fn start(
        config: &Arc<Config>,
        upstreams: &[Arc<Upstream>],
        bound: Vec<Bound>,
        challenges: &Arc<Challenges>,
        log: Option<&LogFile>,
    ) -> Result<Self, Error> {
        let workers = config.workers.get();
        let (phase, _) = watch::channel(Phase::Run);
        let (end, ended) = mpsc::unbounded_channel();
        let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for listener in &bound {
            let shares = listener.share(workers).map_err(Error::Share)?;
            sockets.iter_mut().zip(shares).for_each(|(sockets, share)| sockets.push(share));
        }
        let census = Arc::new(Census::new(&config.limits));
        let store = Store::new(&config.disk);
        let shared = Arc::new(Shared::new(config));
        let (mut threads, mut reloads) = (Vec::new(), Vec::new());
        for (id, sockets) in sockets.into_iter().enumerate() {
            let access_log = log.map_or_else(AccessLog::off, LogFile::log);
            let (config, upstreams, store) = (Arc::clone(config), upstreams.to_vec(), Arc::clone(&store));
            let (phase, end, census) = (phase.subscribe(), end.clone(), Arc::clone(&census));
            let (challenges, shared) = (Arc::clone(challenges), Arc::clone(&shared));
            let (reload, reloaded) = mpsc::unbounded_channel();
            reloads.push(reload);
            let body = move || {
                let worker =
                    Worker::new(id, Plan { config, upstreams, shared }, store, challenges, access_log);
                let _ = end.send(worker::run(worker, sockets, census, phase, reloaded));
            };
            let thread = std::thread::Builder::new().name(format!("worker-{id}"));
            threads.push(thread.spawn(body).map_err(Error::Thread)?);
        }
        Ok(Server { phase, threads, ended, bound, reloads, census, store, shared })
    }

    /// Binds what `config` adds to the listeners, and has all workers make ready for it. As long as [`replace`](Self::replace) does not
    /// get what this gives, everything is as before. `acceptors` are those of the listeners in `config`; those of now go on where
    /// the address is the same.
    ///
    /// # Errors
    /// What is wrong with any of the listeners, by their places in `config`.
    pub async fn prepare(
        &self,
        config: &Config,
        acceptors: &[Option<Arc<Acceptor>>],
    ) -> Result<Prepared, Vec<(usize, io::Error)>> {
        let workers = self.reloads.len();
        let mut left: Vec<usize> = (0..self.bound.len()).collect();
        let same: Vec<Option<usize>> = config
            .listeners
            .iter()
            .map(|settings| {
                let suits = |&at: &usize| self.bound.get(at).is_some_and(|bound| bound.suits(settings));
                let found = left.iter().position(suits)?;
                Some(left.remove(found))
            })
            .collect();
        let leaving: Vec<&Bound> = left.iter().filter_map(|&at| self.bound.get(at)).collect();
        let (mut listeners, mut wrong) = (Vec::new(), Vec::new());
        for (index, (settings, same)) in config.listeners.iter().zip(same).enumerate() {
            let acceptor = || acceptors.get(index).cloned().flatten();
            match same {
                Some(at) => listeners.push(Next::Same(at)),
                None => match Bound::bind_beside(settings, acceptor(), workers, &leaving) {
                    Ok(bound) => listeners.push(Next::New(bound)),
                    Err(error) => wrong.push((index, error)),
                },
            }
        }
        let registered = if wrong.is_empty() { self.register(&listeners).await } else { Err(wrong) };
        match registered {
            Ok(changes) => Ok(Prepared { listeners, changes }),
            Err(wrong) => {
                leaving.into_iter().for_each(Bound::settle);
                Err(wrong)
            }
        }
    }

    /// Has all workers take their share of the listeners that come, without accepting at them.
    async fn register(
        &self,
        listeners: &[Next],
    ) -> Result<Vec<oneshot::Sender<Change>>, Vec<(usize, io::Error)>> {
        let workers = self.reloads.len();
        let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for (index, next) in listeners.iter().enumerate() {
            let Next::New(bound) = next else { continue };
            let each = bound.share(workers).map_err(|error| vec![(index, error)])?;
            shares.iter_mut().zip(each).for_each(|(shares, share)| shares.push(share));
        }
        let (mut changes, mut ready) = (Vec::new(), Vec::new());
        for (reload, shares) in self.reloads.iter().zip(shares) {
            let (change, changed) = oneshot::channel();
            let (is_ready, heard) = oneshot::channel();
            // A worker that has ended is heard of elsewhere, and is the end of all.
            if reload.send(Reload { shares, is_ready, change: changed }).is_ok() {
                changes.push(change);
                ready.push(heard);
            }
        }
        let first_new = listeners.iter().position(|next| matches!(next, Next::New(_))).unwrap_or_default();
        for ready in ready {
            if let Ok(Err(error)) = ready.await {
                return Err(vec![(first_new, error)]);
            }
        }
        Ok(changes)
    }

    /// From now on all workers serve by `config`, with these `upstreams`, at the `prepared` listeners, with another log if there
    /// is one. What is under way ends as it began. The listeners that are not in it any more are closed, after what the kernel
    /// accepted at them is taken over. Resolves when all workers have done so; what was decided is decided at the first poll.
    pub async fn replace(
        &mut self,
        prepared: Prepared,
        config: &Arc<Config>,
        upstreams: &[Arc<Upstream>],
        acceptors: &[Option<Arc<Acceptor>>],
        log: Option<Option<&LogFile>>,
    ) {
        let Prepared { listeners, changes } = prepared;
        let mut before: Vec<Option<Bound>> = self.bound.drain(..).map(Some).collect();
        for (index, (next, settings)) in listeners.into_iter().zip(&config.listeners).enumerate() {
            let acceptor = acceptors.get(index).cloned().flatten();
            match next {
                Next::New(bound) => self.bound.push(bound),
                Next::Same(at) => {
                    if let Some(mut bound) = before.get_mut(at).and_then(Option::take) {
                        bound.follow(settings, acceptor);
                        self.bound.push(bound);
                    }
                }
            }
        }
        // Our own handles would keep the kernel accepting connections that nobody takes.
        drop(before);
        self.census.set_limits(&config.limits);
        self.store.follow(&config.disk);
        self.shared = Arc::new(self.shared.renewed(config));
        let mut waiting = Vec::new();
        for change in changes {
            let (done, is_done) = oneshot::channel();
            let (config, shared) = (Arc::clone(config), Arc::clone(&self.shared));
            let plan = Plan { config, upstreams: upstreams.to_vec(), shared };
            let terms = self.bound.iter().map(Bound::terms).collect();
            let access_log = log.map(|log| log.map_or_else(AccessLog::off, LogFile::log));
            if change.send(Change { plan, terms, access_log, done }).is_ok() {
                waiting.push(is_done);
            }
        }
        for is_done in waiting {
            let _ = is_done.await;
        }
        self.bound.iter().for_each(Bound::settle);
    }

    /// Where it listens, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.bound.iter().map(ToString::to_string).collect()
    }

    /// Stops accepting; requests under way, and those held, go on to their end.
    pub fn drain(&mut self) {
        // Our own handles would keep the kernel accepting connections that nobody takes.
        self.bound.clear();
        let _ = self.phase.send(Phase::Drain);
    }

    /// Ends what is under way.
    pub fn cut(&self) {
        let _ = self.phase.send(Phase::Cut);
    }

    /// Waits until all workers have ended; gives what was cut.
    ///
    /// # Errors
    /// The first that a worker ended with. It may come at any time.
    pub async fn ended(&mut self) -> io::Result<Cut> {
        let mut total = Cut::default();
        for _ in 0..self.threads.len() {
            if let Some(outcome) = self.ended.recv().await {
                let cut = outcome?;
                total.requests += cut.requests;
                total.tunnels += cut.tunnels;
            }
        }
        Ok(total)
    }
}
