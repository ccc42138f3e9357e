//! A worker: one thread, one event loop, its connections.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use vestibule_proxy::{Peer, Worker};
use vestibule_upstream::{Stream, deadline};

use crate::connection;
use crate::house::House;
use crate::listener::Listener;
use crate::server::{Cut, Phase};

/// Threads of a worker that wait for the disk in its place.
const DISK_THREADS: usize = 4;

/// Pause after an accept that failed for want of descriptors or memory: at once it would only fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs a worker on this thread until it has drained or is cut off; gives what was cut.
///
/// # Errors
/// If the event loop or a listener cannot be set up.
pub(crate) fn run(
    worker: Worker,
    sockets: Vec<Socket>,
    most_connections: usize,
    phase: watch::Receiver<Phase>,
) -> io::Result<Cut> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS)
        .build_local(LocalOptions::default())?;
    let house = House::new(worker, most_connections);
    runtime.block_on(async {
        let ticking = Rc::clone(&house);
        let mut samples = vec![0; house.worker.upstreams.len()];
        tokio::task::spawn_local(deadline::sweep(move || tick(&ticking, &mut samples)));
        let listeners: Vec<Listener> = sockets.into_iter().map(Listener::new).collect::<io::Result<_>>()?;
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
    })
}

/// What a worker does ten times a second; whether requests in flight are to be sampled.
fn tick(house: &House, samples: &mut [u32]) -> bool {
    house.worker.access_log.flush();
    let mut is_due = false;
    for (upstream, last) in house.worker.upstreams.iter().zip(samples) {
        upstream.tidy(house.worker.id);
        is_due |= upstream.is_sample_due(last);
    }
    is_due
}

/// Accepts until it is time to drain; then takes what the kernel has accepted in our name, and stops listening.
async fn accept(house: Rc<House>, listener: Listener, mut phase: watch::Receiver<Phase>) {
    let mut has_failed = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Run) => break,
            accepted = async { house.room().await; listener.accept().await } => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                has_failed = false;
                welcome(&house, stream, address);
            }
            Err(error) if is_one_connections(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::error!(%error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    match listener.close() {
        Ok(rest) => rest.into_iter().for_each(|(stream, address)| welcome(&house, stream, address)),
        Err(error) => tracing::warn!(%error, "cannot take over the last connections"),
    }
}

fn welcome(house: &Rc<House>, stream: Stream, address: Option<IpAddr>) {
    let peer = Peer::new(address, &house.worker.config.trusted_proxies);
    tokio::task::spawn_local(connection::serve(Rc::clone(house), stream, peer, house.count_connection()));
}

/// Errors that concern the connection that was about to be accepted, and not the listener (accept(2)).
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected)
}
