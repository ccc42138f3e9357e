//! A worker: one thread, one event loop, its connections.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use vestibule_proxy::{Door, Peer, Worker};
use vestibule_upstream::{Stream, deadline};

use crate::census::Census;
use crate::client_stream::ClientStream;
use crate::connection::{self, ClientSide};
use crate::house::House;
use crate::linger::let_read;
use crate::listener::{Listener, Manner, Share};
use crate::refusal::Refusal;
use crate::server::{Cut, Phase};

/// Threads of a worker that wait for the disk in its place.
const DISK_THREADS: usize = 4;

/// Pause after an accept that failed for want of descriptors or memory: at once it would only fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Idle connections that are closed then: each gives back a descriptor.
const ROOM_AFTER_FAILURE: usize = 16;
/// Ticks between two reports of what was refused.
const REPORT_TICKS: u32 = 100;

/// Runs a worker on this thread until it has drained or is cut off; gives what was cut.
///
/// # Errors
/// If the event loop or a listener cannot be set up.
pub(crate) fn run(
    worker: Worker,
    shares: Vec<Share>,
    census: Arc<Census>,
    phase: watch::Receiver<Phase>,
) -> io::Result<Cut> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS)
        .build_local(LocalOptions::default())?;
    let house = House::new(worker, census);
    let outcome = runtime.block_on(async {
        let ticking = Rc::clone(&house);
        let mut memory = Memory { samples: vec![0; house.worker.plan().upstreams.len()], until_report: 0 };
        tokio::task::spawn_local(deadline::sweep(move || tick(&ticking, &mut memory)));
        let listeners: Vec<(Listener, Manner)> = shares
            .into_iter()
            .map(|share| {
                let manner = share.manner();
                Ok((Listener::new(share)?, manner))
            })
            .collect::<io::Result<_>>()?;
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| tokio::task::spawn_local(accept(Rc::clone(&house), listener, phase.clone())))
            .collect();
        let mut cut = phase.clone();
        let drained = async {
            for accepting in accepting {
                let _ = accepting.await;
            }
            house.drain();
            deadline::wake_all();
            house.empty().await;
        };
        tokio::select! {
            () = drained => {}
            _ = cut.wait_for(|phase| *phase == Phase::Cut) => {}
        }
        house.worker.access_log.flush();
        let (requests, tunnels) = house.under_way();
        Ok(Cut { requests, tunnels })
    });
    // Dropped, it would wait for a disk that hangs, and the drain would have no end.
    runtime.shutdown_background();
    outcome
}

/// What a worker knows from one tick to the next.
struct Memory {
    /// The last sample of each upstream.
    samples: Vec<u32>,
    until_report: u32,
}

/// What a worker does ten times a second; whether requests in flight are to be sampled.
fn tick(house: &House, memory: &mut Memory) -> bool {
    house.worker.access_log.flush();
    house.idle.tick();
    house.make_room();
    memory.until_report = memory.until_report.saturating_sub(1);
    // One worker reports for all; the first of a flood at once.
    if house.worker.id == 0 && memory.until_report == 0 && house.report_refusals() {
        memory.until_report = REPORT_TICKS;
    }
    let mut is_due = false;
    for (upstream, last) in house.worker.plan().upstreams.iter().zip(&mut memory.samples) {
        upstream.tidy(house.worker.id);
        is_due |= upstream.is_sample_due(last);
    }
    is_due
}

/// Accepts until it is time to drain; then takes what the kernel has accepted in our name, and stops listening.
async fn accept(house: Rc<House>, (listener, manner): (Listener, Manner), mut phase: watch::Receiver<Phase>) {
    let mut has_failed = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Run) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                has_failed = false;
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
