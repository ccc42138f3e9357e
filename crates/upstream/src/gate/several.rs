//! Several gates before one line.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::*;

fn ticket(serial: u64) -> Ticket {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    Ticket { arrived: *START, serial }
}

fn now(waiting: &mut Waiting) -> Option<Result<Permit, Refused>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// A line with a gate for each tier given, each for one request.
fn gates<const N: usize>(tiers: [u32; N]) -> (Arc<Line>, [Arc<Gate>; N]) {
    let line = Line::new(10, 1000);
    let gates = tiers.map(|tier| line.open_gate(1, tier, FULL_WEIGHT));
    (line, gates)
}

#[test]
fn who_waits_goes_to_the_gate_that_has_room_first() {
    let (line, [one, other]) = gates([0, 0]);
    let (_first, second) = (one.try_enter().unwrap(), other.try_enter().unwrap());
    let mut waiting = line.wait(ticket(1), 1, false, None).unwrap();
    let mut later = line.wait(ticket(2), 1, false, None).unwrap();
    assert!(now(&mut waiting).is_none());
    drop(second);
    let permit = now(&mut waiting).unwrap().unwrap();
    assert!(Arc::ptr_eq(permit.gate(), &other) && now(&mut later).is_none());
    assert!(one.try_enter().is_none() && other.try_enter().is_none(), "nobody passes the line");
}

#[test]
fn a_hold_ends_when_any_gate_opens_and_counts_over_all() {
    let line = Line::new(2, 100);
    let gates = [0, 0, 0].map(|tier| line.open_gate(5, tier, FULL_WEIGHT));
    gates.iter().for_each(|gate| gate.set_closed(true));
    let mut first = line.wait(ticket(1), 60, false, None).unwrap();
    assert_eq!(line.wait(ticket(2), 60, false, None).unwrap_err(), Refused::Memory);
    let mut second = line.wait(ticket(2), 40, false, None).unwrap();
    assert_eq!(line.wait(ticket(3), 0, false, None).unwrap_err(), Refused::Full);
    gates[2].set_closed(false);
    for waiting in [&mut first, &mut second] {
        let permit = now(waiting).unwrap().unwrap();
        assert!(Arc::ptr_eq(permit.gate(), &gates[2]));
    }
    assert_eq!(line.take_holds().released, 2);
}

#[test]
fn a_backup_lets_in_only_while_every_other_is_closed_and_not_while_they_are_full() {
    let (line, [primary, other, backup]) = gates([0, 0, 9]);
    assert!(backup.try_enter().is_none());
    let full = [primary.try_enter().unwrap(), other.try_enter().unwrap()];
    let mut waiting = line.wait(ticket(1), 1, false, None).unwrap();
    assert!(now(&mut waiting).is_none(), "they are at work");
    primary.set_closed(true);
    assert!(now(&mut waiting).is_none(), "the other is at work");
    other.set_closed(true);
    let permit = now(&mut waiting).unwrap().unwrap();
    assert!(Arc::ptr_eq(permit.gate(), &backup) && line.tier() == 9);
    drop((permit, full));
    primary.set_closed(false);
    assert!(line.tier() == 0 && backup.try_enter().is_none() && primary.try_enter().is_some());
}

#[test]
fn the_ill_stand_back_for_others_but_never_all_of_them() {
    let (_line, [one, other, backup]) = gates([0, 0, 1]);
    one.set_ill(true);
    assert!(one.try_enter().is_none() && other.try_enter().is_some());
    other.set_ill(true);
    assert!(other.is_aside() && backup.try_enter().is_some(), "a good backup is better");
    backup.set_closed(true);
    assert!(one.try_enter().is_some() && other.try_enter().is_some(), "nobody is better");
    other.set_closed(true);
    assert!(!one.is_aside(), "the last one");
    other.set_ill(false);
    other.set_closed(false);
    assert!(one.is_aside());
}

#[test]
fn who_comes_back_from_one_gate_goes_to_another_as_long_as_there_is_one() {
    let (line, [one, other]) = gates([0, 0]);
    let full = other.try_enter().unwrap();
    let mut back = line.wait(ticket(1), 1, true, Some(one.id())).unwrap();
    assert!(now(&mut back).is_none(), "it has just been there");
    let mut behind = line.wait(ticket(2), 1, false, None).unwrap();
    let mut permit = now(&mut behind).unwrap().unwrap();
    assert!(Arc::ptr_eq(permit.gate(), &one), "which is open to others");
    permit.connected();
    drop(full);
    assert!(Arc::ptr_eq(now(&mut back).unwrap().unwrap().gate(), &other));
    let mut again = line.wait(ticket(3), 1, true, Some(other.id())).unwrap();
    assert!(now(&mut again).is_none());
    one.set_closed(true);
    assert!(now(&mut again).unwrap().is_ok(), "there is no other any more");
}

#[test]
fn a_full_accept_queue_is_no_reason_to_wait_while_another_gate_is_free() {
    let line = Line::new(10, 1000);
    let [one, other] = [0, 0].map(|tier| line.open_gate(5, tier, FULL_WEIGHT));
    let permit = one.try_enter().unwrap();
    one.set_busy(true);
    permit.give_up();
    let mut waiting = line.wait(ticket(1), 1, true, None).unwrap();
    assert!(Arc::ptr_eq(now(&mut waiting).unwrap().unwrap().gate(), &other));
}

#[test]
fn all_have_to_refuse_before_somebody_is_refused() {
    let (line, [one, other]) = gates([0, 0]);
    one.set_entry(Entry::Refused);
    other.set_closed(true);
    let mut waiting = line.wait(ticket(1), 1, false, None).unwrap();
    assert!(now(&mut waiting).is_none());
    other.set_entry(Entry::Refused);
    assert_eq!(now(&mut waiting).unwrap().unwrap_err(), Refused::Stopped);
    one.set_entry(Entry::Free);
    assert!(one.try_enter().is_some());
}

#[test]
fn gates_come_and_go_while_requests_wait() {
    let line = Line::new(10, 1000);
    let mut waiting = line.wait(ticket(1), 1, false, None).unwrap();
    assert!(now(&mut waiting).is_none(), "before the first gate");
    let gate = line.closed_gate(1, 0, FULL_WEIGHT);
    assert!(now(&mut waiting).is_none());
    gate.set_closed(false);
    let permit = now(&mut waiting).unwrap().unwrap();
    let mut next = line.wait(ticket(2), 1, false, None).unwrap();
    gate.part();
    assert!(gate.try_enter().is_none() && now(&mut next).is_none());
    drop(permit);
    assert!(now(&mut next).is_none() && gate.in_flight() == 0, "a gate that has left lets nobody in");
    let another = line.open_gate(1, 0, FULL_WEIGHT);
    assert!(Arc::ptr_eq(now(&mut next).unwrap().unwrap().gate(), &another));
    line.set_refusing(true);
    assert!(another.try_enter().is_some(), "it says itself whether it refuses");
    another.part();
    assert_eq!(line.wait(ticket(3), 1, false, None).unwrap_err(), Refused::Stopped);
}

#[test]
fn loses_no_permit_while_many_threads_use_gates_that_close_and_open() {
    const CAP: u32 = 2;
    let line = Line::new(10_000, u64::MAX);
    let gates: Vec<_> = [0, 0, 7].into_iter().map(|tier| line.open_gate(CAP, tier, FULL_WEIGHT)).collect();
    let serial = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..3)
            .map(|thread| {
                let (line, gates, serial) = (&line, &gates, &serial);
                scope.spawn(move || {
                    let mut dice = fastrand::Rng::with_seed(thread);
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    for _ in 0..4_000 {
                        let ticket = Ticket {
                            arrived: Instant::now(),
                            serial: serial.fetch_add(1, Ordering::Relaxed),
                        };
                        let avoids = dice.bool().then(|| dice.u32(..3));
                        let early = gates[dice.usize(..3)].try_enter();
                        let permit = early.unwrap_or_else(|| {
                            let waiting = line.wait(ticket, 1, avoids.is_some(), avoids).unwrap();
                            let wait = async { tokio::time::timeout(Duration::from_secs(20), waiting).await };
                            let entered = runtime.block_on(wait);
                            entered.unwrap_or_else(|_| panic!("nobody lets it in: {line:?}")).unwrap()
                        });
                        assert!(permit.gate().in_flight() <= CAP);
                        if dice.u8(..50) == 0 {
                            permit.gate().set_closed(true);
                        }
                    }
                })
            })
            .collect();
        let mut dice = fastrand::Rng::with_seed(77);
        while visitors.iter().any(|visitor| !visitor.is_finished()) {
            std::thread::sleep(Duration::from_micros(dice.u64(..300)));
            let gate = &gates[dice.usize(..3)];
            gate.set_ill(dice.bool());
            gate.set_closed(false);
        }
    });
    assert!(gates.iter().all(|gate| gate.in_flight() == 0), "{gates:?}");
    assert_eq!(line.waiting(), 0);
}
