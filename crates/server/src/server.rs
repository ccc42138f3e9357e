//! All workers together: start, drain, end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use vestibule_config::Config;
use vestibule_proxy::{AccessLog, LogFile, Plan, Shared, Worker};
use vestibule_tls::Challenges;
use vestibule_upstream::{Store, Upstream};

use crate::census::Census;
use crate::listener::Bound;
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
    bound: Vec<Bound>,
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
        let mut threads = Vec::new();
        for (id, sockets) in sockets.into_iter().enumerate() {
            let access_log = log.map_or_else(AccessLog::off, LogFile::log);
            let (config, upstreams, store) = (Arc::clone(config), upstreams.to_vec(), Arc::clone(&store));
            let (phase, end, census) = (phase.subscribe(), end.clone(), Arc::clone(&census));
            let (challenges, shared) = (Arc::clone(challenges), Arc::clone(&shared));
            let body = move || {
                let worker =
                    Worker::new(id, Plan { config, upstreams, shared }, store, challenges, access_log);
                let _ = end.send(worker::run(worker, sockets, census, phase));
            };
            let thread = std::thread::Builder::new().name(format!("worker-{id}"));
            threads.push(thread.spawn(body).map_err(Error::Thread)?);
        }
        Ok(Server { phase, threads, ended, bound })
    }

    /// Stops accepting; requests under way, and those held, go on to their end.
    pub fn drain(&mut self) {
        // Our own handles would keep the kernel accepting connections that nobody takes.
        self.bound.drain(..).for_each(Bound::close);
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
