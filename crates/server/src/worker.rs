//! A worker: one thread, one event loop, its connections.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use vestibule_proxy::{Plan, Worker};
use vestibule_upstream::deadline;

use crate::census::Census;
use crate::house::House;
use crate::listener::Share;
use crate::reception::{Reception, Reload};
use crate::server::{Cut, Phase};

/// Threads of a worker that wait for the disk in its place.
const DISK_THREADS: usize = 4;

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
    mut phase: watch::Receiver<Phase>,
    mut reloads: mpsc::UnboundedReceiver<Reload>,
) -> io::Result<Cut> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS)
        .build_local(LocalOptions::default())?;
    let house = House::new(worker, census);
    let outcome = runtime.block_on(async {
        let ticking = Rc::clone(&house);
        let mut memory = Memory::of(house.worker.plan());
        tokio::task::spawn_local(deadline::sweep(move || tick(&ticking, &mut memory)));
        let mut reception = Reception::open(&house, shares)?;
        let mut cut = phase.clone();
        let drained = async {
            loop {
                let reload = tokio::select! {
                    biased;
                    _ = phase.wait_for(|phase| *phase != Phase::Run) => break,
                    Some(reload) = reloads.recv() => reload,
                };
                reception.obey(reload).await;
            }
            reception.close().await;
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
    plan: Rc<Plan>,
    /// The last sample of each upstream in it.
    samples: Vec<u32>,
    until_report: u32,
}

impl Memory {
    fn of(plan: Rc<Plan>) -> Self {
        Memory { samples: vec![0; plan.upstreams.len()], plan, until_report: 0 }
    }

    /// Goes on with another plan, and what is known of the upstreams that are in both.
    fn follow(&mut self, plan: Rc<Plan>) {
        let known = |upstream| self.plan.upstreams.iter().position(|known| Arc::ptr_eq(known, upstream));
        let sample =
            |upstream| known(upstream).and_then(|at| self.samples.get(at).copied()).unwrap_or_default();
        self.samples = plan.upstreams.iter().map(sample).collect();
        self.plan = plan;
    }
}

/// What a worker does ten times a second; whether requests in flight are to be sampled.
fn tick(house: &House, memory: &mut Memory) -> bool {
    house.worker.access_log.flush();
    house.idle.tick();
    house.make_room();
    house.worker.shelf.sweep(Instant::now());
    memory.until_report = memory.until_report.saturating_sub(1);
    // One worker reports for all; the first of a flood at once.
    if house.worker.id == 0 && memory.until_report == 0 && house.report_refusals() {
        memory.until_report = REPORT_TICKS;
    }
    let plan = house.worker.plan();
    if !Rc::ptr_eq(&plan, &memory.plan) {
        memory.follow(plan);
    }
    let mut is_due = false;
    for (upstream, last) in memory.plan.upstreams.iter().zip(&mut memory.samples) {
        upstream.tidy(house.worker.id);
        is_due |= upstream.is_sample_due(last);
    }
    is_due
}
