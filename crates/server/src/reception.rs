//! Who accepts: the listeners of one worker, which come and go with reloads, and the welcome of each connection.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vestibule_proxy::{AccessLog, Door, Peer, Plan};
use vestibule_upstream::Stream;

use crate::client_stream::ClientStream;
use crate::connection::{self, ClientSide};
use crate::house::House;
use crate::linger::let_read;
use crate::listener::{Listener, ListenerId, Manner, Share, Terms};
use crate::refusal::Refusal;

/// Pause after an accept that failed for want of descriptors or memory: at once it would only fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Idle connections that are closed then: each gives back a descriptor.
const ROOM_AFTER_FAILURE: usize = 16;

/// A reload, as one worker is told of it: first what may fail, then, when no worker failed, the change itself.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Listeners that come.
    pub(crate) shares: Vec<Share>,
    /// Told whether they can be had.
    pub(crate) is_ready: oneshot::Sender<io::Result<()>>,
    /// What is to be done then; nothing, if this is dropped.
    pub(crate) change: oneshot::Receiver<Change>,
}

/// What a reload changes in one worker.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) plan: Plan,
    /// All listeners that there are from now on. Those that are not among them go.
    pub(crate) terms: Vec<Terms>,
    /// Another access log.
    pub(crate) access_log: Option<AccessLog>,
    /// Told when it is done, and those that go are closed.
    pub(crate) done: oneshot::Sender<()>,
}

/// The listeners of a worker.
#[derive(Debug)]
pub(crate) struct Reception {
    house: Rc<House>,
    accepting: Vec<Accepting>,
}

/// One of them. It stops accepting when this goes.
#[derive(Debug)]
struct Accepting {
    id: ListenerId,
    manner: Rc<RefCell<Rc<Manner>>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reception {
    /// Accepts at all of `shares`.
    ///
    /// # Errors
    /// If the event loop refuses one.
    pub(crate) fn open(house: &Rc<House>, shares: Vec<Share>) -> io::Result<Self> {
        let listeners = shares.into_iter().map(registered).collect::<io::Result<Vec<_>>>()?;
        let mut reception = Reception { house: Rc::clone(house), accepting: Vec::new() };
        reception.add(listeners);
        Ok(reception)
    }

    fn add(&mut self, listeners: Vec<(Listener, Terms)>) {
        for (listener, terms) in listeners {
            let manner = Rc::new(RefCell::new(Rc::new(terms.manner())));
            let (stop, stopped) = oneshot::channel();
            let accepting = accept(Rc::clone(&self.house), listener, Rc::clone(&manner), stopped);
            let task = tokio::task::spawn_local(accepting);
            self.accepting.push(Accepting { id: terms.id, manner, stop, task });
        }
    }

    /// Takes part in a reload.
    pub(crate) async fn obey(&mut self, reload: Reload) {
        let Reload { shares, is_ready, change } = reload;
        let listeners = match shares.into_iter().map(registered).collect::<io::Result<Vec<_>>>() {
            Ok(listeners) => {
                let _ = is_ready.send(Ok(()));
                listeners
            }
            Err(error) => {
                let _ = is_ready.send(Err(error));
                return;
            }
        };
        // It came to nothing: what was registered goes without having accepted anything.
        let Ok(Change { plan, terms, access_log, done }) = change.await else { return };
        let mut leaving = Vec::new();
        for accepting in std::mem::take(&mut self.accepting) {
            match terms.iter().find(|terms| terms.id == accepting.id) {
                Some(terms) => {
                    accepting.manner.replace(Rc::new(terms.manner()));
                    self.accepting.push(accepting);
                }
                None => leaving.push(accepting),
            }
        }
        self.house.worker.replace(plan);
        if let Some(access_log) = access_log {
            self.house.worker.access_log.replace(access_log);
        }
        self.add(listeners);
        close(leaving).await;
        // The control thread may not wait for this any more.
        let _ = done.send(());
    }

    /// Takes what the kernel has accepted in our name, and stops listening.
    pub(crate) async fn close(self) {
        close(self.accepting).await;
    }
}

async fn close(listeners: Vec<Accepting>) {
    let tasks: Vec<_> = listeners
        .into_iter()
        .map(|Accepting { task, stop, .. }| {
            drop(stop);
            task
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
}

fn registered(share: Share) -> io::Result<(Listener, Terms)> {
    let terms = share.terms().clone();
    Ok((Listener::new(share)?, terms))
}

/// Accepts until it is to stop; then takes what the kernel has accepted in our name, and stops listening.
async fn accept(
    house: Rc<House>,
    listener: Listener,
    manner: Rc<RefCell<Rc<Manner>>>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut has_failed = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                has_failed = false;
                let manner = Rc::clone(&manner.borrow());
                welcome(&house, stream, address, &manner);
            }
            Err(error) if is_one_connections(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::error!(%error, "cannot accept connections");
                }
                house.idle.make_room(ROOM_AFTER_FAILURE);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let manner = Rc::clone(&manner.borrow());
    match listener.close() {
        Ok(rest) => {
            rest.into_iter().for_each(|(stream, address)| welcome(&house, stream, address, &manner));
        }
        Err(error) => tracing::warn!(%error, "cannot take over the last connections"),
    }
}

/// Gives a connection a task of its own, or refuses it. This never waits: whatever there are too many of, accepting
/// goes on.
fn welcome(house: &Rc<House>, stream: Stream, address: Option<IpAddr>, manner: &Manner) {
    let mut stream = ClientStream::from(stream);
    let peer = Peer::new(address, &house.worker.plan().config.trusted_proxies);
    // What has no address cannot have too many connections; a proxy speaks for many.
    let counted = address.is_some() && !peer.is_trusted;
    let admitted = if manner.proxy_protocol && !peer.is_trusted {
        Err(Refusal::Untrusted)
    } else {
        house.place().and_then(|mut place| {
            if counted {
                place.count_address(peer.address)?;
            }
            Ok(place)
        })
    };
    match admitted {
        Ok(place) => {
            let door = Door::plain(peer, Rc::clone(&manner.rules));
            let client = ClientSide::new(door, manner, place);
            tokio::task::spawn_local(connection::serve(Rc::clone(house), stream, client));
        }
        Err(refusal) => {
            if let Some(refused) = house.refuse(&mut stream, &peer, refusal, manner.acceptor.is_none()) {
                tokio::task::spawn_local(let_read(Rc::clone(house), stream, refused));
            }
        }
    }
}

/// Errors that concern the connection that was about to be accepted, and not the listener (accept(2)).
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected)
}
