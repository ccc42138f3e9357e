//! Many threads at one gate.

use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use super::*;

fn now(waiting: &mut Waiting) -> Option<Result<Permit, Refused>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

#[test]
fn loses_no_permit_when_many_threads_enter_wait_and_leave() {
    let gate = Gate::new(3, 1000, 1000);
    let most = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (gate, most) = (&gate, &most);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for serial in 0..5_000 {
                    let permit = gate.try_enter().unwrap_or_else(|| {
                        let ticket = Ticket { arrived: Instant::now(), serial: serial * 4 + thread };
                        let mut waiting = gate.wait(ticket, 0, false).unwrap();
                        if serial % 7 == 0 && now(&mut waiting).is_none() {
                            drop(waiting);
                            let again = Ticket { arrived: Instant::now(), ..ticket };
                            waiting = gate.wait(again, 0, false).unwrap();
                        }
                        runtime.block_on(waiting).unwrap()
                    });
                    most.fetch_max(u64::from(gate.in_flight()), Ordering::Relaxed);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
    assert!(most.load(Ordering::Relaxed) <= 3);
}

/// What the clients of the second test share.
struct Crowd {
    gate: Arc<Gate>,
    is_over: AtomicBool,
    serial: AtomicU64,
    inside: AtomicU64,
    most: AtomicU64,
    served: AtomicU64,
}

impl Crowd {
    /// One request after the other until the end: enters, waits, leaves the line, comes back as one that could not
    /// connect, whatever the dice say.
    async fn visit(&self, mut dice: fastrand::Rng) {
        while !self.is_over.load(Ordering::Relaxed) {
            let serial = self.serial.fetch_add(1, Ordering::Relaxed);
            let ticket = Ticket { arrived: Instant::now(), serial };
            let mut returning = false;
            while let Some(mut permit) = self.enter(ticket, returning, &mut dice).await {
                self.most.fetch_max(self.inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                if dice.bool() {
                    tokio::task::yield_now().await;
                }
                self.inside.fetch_sub(1, Ordering::Relaxed);
                match dice.u8(..40) {
                    0 => {
                        self.gate.set_busy(true);
                        permit.give_up();
                    }
                    1 => {
                        self.gate.set_closed(true);
                        permit.give_up();
                    }
                    turn => {
                        if turn % 2 == 0 {
                            permit.connected();
                        }
                        drop(permit);
                        self.served.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                returning = true;
            }
            // Whoever was refused or left comes again at once: the others must have their turn.
            tokio::task::yield_now().await;
        }
    }

    async fn enter(&self, ticket: Ticket, returning: bool, dice: &mut fastrand::Rng) -> Option<Permit> {
        if !returning && let Some(permit) = self.gate.try_enter() {
            return Some(permit);
        }
        let waiting = self.gate.wait(ticket, 1, returning).ok()?;
        if dice.u8(..) < 40 {
            let brief = Duration::from_micros(dice.u64(..300));
            return tokio::time::timeout(brief, waiting).await.ok()?.ok();
        }
        let outcome = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        outcome.unwrap_or_else(|_| panic!("nobody lets it in: {:?}", self.gate)).ok()
    }
}

#[test]
fn loses_no_permit_and_no_waiter_while_the_gate_closes_fills_and_changes_its_cap() {
    const CAP: u32 = 3;
    let crowd = Crowd {
        gate: Gate::new(CAP, 10_000, u64::MAX),
        is_over: AtomicBool::new(false),
        serial: AtomicU64::new(0),
        inside: AtomicU64::new(0),
        most: AtomicU64::new(0),
        served: AtomicU64::new(0),
    };
    let crowd = &crowd;
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..3_u64)
            .map(|thread| {
                scope.spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(async {
                        let visit = |task| crowd.visit(fastrand::Rng::with_seed(thread * 100 + task));
                        let mut visits: Vec<_> = (0..20).map(|task| Box::pin(visit(task))).collect();
                        std::future::poll_fn(|cx| {
                            visits.retain_mut(|visit| visit.as_mut().poll(cx).is_pending());
                            if visits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
                        })
                        .await;
                    });
                })
            })
            .collect();
        // The monitor's part: it opens what they closed, and lets in one by one while they find the queue full.
        let mut dice = fastrand::Rng::with_seed(9);
        let begin = Instant::now();
        while visitors.iter().any(|visitor| !visitor.is_finished()) {
            std::thread::sleep(Duration::from_micros(dice.u64(..500)));
            crowd.is_over.store(begin.elapsed() > Duration::from_millis(1500), Ordering::Relaxed);
            match dice.u8(..10) {
                0 => crowd.gate.set_cap(dice.u32(1..=CAP)),
                1 => {
                    crowd.gate.set_entry(Entry::Refused);
                    crowd.gate.set_entry(Entry::Free);
                }
                _ => {}
            }
            if crowd.gate.is_busy() {
                crowd.gate.admit_one();
            }
            crowd.gate.set_closed(false);
        }
    });
    assert_eq!((crowd.gate.in_flight(), crowd.gate.waiting()), (0, 0), "{:?}", crowd.gate);
    assert!(crowd.most.load(Ordering::Relaxed) <= u64::from(CAP));
    assert!(crowd.served.load(Ordering::Relaxed) > 1000, "{:?} served", crowd.served);
}

#[test]
fn lets_nobody_in_between_a_stop_and_a_hold() {
    const TURNS: u32 = 100_000;
    let gate = Gate::new(1000, 1000, 1000);
    gate.set_entry(Entry::Refused);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        assert!(gate.try_enter().is_none(), "neither stopped nor held");
                    }
                })
            })
            .collect();
        for _ in 0..TURNS {
            gate.set_entry(Entry::Held);
            gate.set_entry(Entry::Refused);
            if visitors.iter().any(|visitor| visitor.is_finished()) {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
