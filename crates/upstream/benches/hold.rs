//! The cost of a permit: uncontended, through the line, and when everybody who waited is let in.
//!
//! The wakers do nothing: what it costs to wake a task, or another worker's event loop, is not in here.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use std::{future::Future as _, pin::Pin};

use divan::{AllocProfiler, Bencher, black_box};
use vestibule_upstream::{Gate, Permit, Ticket, Waiting};

/// Shows the allocations of each bench; a bench without them shows none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// As many requests as the hold has to bear.
const MANY: u32 = 10_000;

fn main() {
    divan::main();
}

fn gate(cap: u32) -> Arc<Gate> {
    Gate::new(cap, MANY, u64::MAX)
}

fn poll(waiting: &mut Waiting) -> Option<Permit> {
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(entered) => entered.ok(),
        Poll::Pending => None,
    }
}

/// The permit of a request that has been let in.
fn permit(mut waiting: Waiting) -> Option<Permit> {
    poll(&mut waiting)
}

/// So many requests in the line before a closed gate, each of which has left its waker.
fn line(gate: &Arc<Gate>, count: u32) -> Vec<Waiting> {
    let arrived = Instant::now();
    let tickets = (0..u64::from(count)).map(|serial| Ticket { arrived, serial });
    let mut line: Vec<_> = tickets.flat_map(|ticket| gate.wait(ticket, 500, false)).collect();
    assert!(line.iter_mut().all(|waiting| poll(waiting).is_none()));
    line
}

/// What a request pays as long as nobody waits; with 2 threads, when two workers pay it for the same upstream. Samples
/// are long, because in short ones the threads hardly meet.
#[divan::bench(threads = [1, 2], sample_size = 1_000_000, sample_count = 20)]
fn enter_and_leave(bencher: Bencher<'_, '_>) {
    let gate = gate(64);
    bencher.bench(|| {
        let permit = black_box(&gate).try_enter();
        assert!(permit.is_some());
    });
}

/// Into the line, let in by the one before, out of it.
#[divan::bench(sample_size = 1000)]
fn enter_through_the_line(bencher: Bencher<'_, '_>) {
    let gate = gate(1);
    let mut inside = gate.try_enter();
    let mut serial = 0;
    bencher.bench_local(move || {
        serial += 1;
        let waiting = gate.wait(Ticket { arrived: Instant::now(), serial }, 500, false);
        drop(inside.take());
        inside = waiting.ok().and_then(permit);
        assert!(inside.is_some());
    });
}

/// The same behind 10,000 others: the length of the line costs nothing.
#[divan::bench(sample_size = 1000)]
fn join_and_leave_a_long_line(bencher: Bencher<'_, '_>) {
    let gate = gate(1);
    gate.set_closed(true);
    let _line = line(&gate, MANY - 1);
    let mut serial = u64::from(MANY);
    bencher.bench_local(|| {
        serial += 1;
        let waiting = gate.wait(Ticket { arrived: Instant::now(), serial }, 500, false);
        assert!(waiting.is_ok());
    });
}

/// The application is back: 10,000 requests enter, `cap` at a time, each leaving when its turn is over.
#[divan::bench(args = [5, MANY])]
fn release_ten_thousand(bencher: Bencher<'_, '_>, cap: u32) {
    let closed = || {
        let gate = gate(cap);
        gate.set_closed(true);
        let line = line(&gate, MANY);
        (gate, line)
    };
    bencher.with_inputs(closed).bench_local_values(|(gate, line)| {
        gate.set_closed(false);
        let entered = line.into_iter().filter_map(permit).count();
        assert_eq!(entered, MANY as usize);
    });
}
