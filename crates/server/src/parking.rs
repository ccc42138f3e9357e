//! Waiting for a client that has no request under way.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use vestibule_upstream::Deadline;

use crate::client_stream::ClientStream;
use crate::house::House;
use crate::idle::Seat;
use crate::sink::Sink;

/// In a drain a parked connection is still listened to for this long: a request may be on its way.
pub(crate) const LAST_WAIT: Duration = Duration::from_millis(100);
/// The same for a connection that has not had a request yet.
pub(crate) const LAST_WAIT_NEW: Duration = Duration::from_secs(1);

/// Waits until there is something to read, which `false` says is not to be waited for any longer: `deadline` has passed, in
/// a drain `last_wait` has, or the connection's place is wanted.
pub(crate) async fn wait(
    house: &House,
    stream: &mut ClientStream,
    seat: &Seat,
    deadline: &Deadline,
    last_wait: Duration,
) -> bool {
    let mut is_last = false;
    let mut undelivered = None;
    poll_fn(|cx| {
        if stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if house.is_draining() && !std::mem::replace(&mut is_last, true) {
            deadline.reset(last_wait);
        }
        if seat.poll_called(cx).is_ready() {
            return Poll::Ready(false);
        }
        while deadline.poll(cx).is_ready() {
            // Of an answer that the kernel took whole, the client may not have taken all. As long as it takes some, it is
            // not idle; else the kernel would keep the rest for as long as the client likes.
            let waiting = stream.undelivered().filter(|bytes| *bytes > 0 && !house.is_draining());
            match (waiting, undelivered) {
                (None, _) => return Poll::Ready(false),
                (Some(now), Some(before)) if now >= before => {
                    stream.reset_on_close();
                    return Poll::Ready(false);
                }
                _ => undelivered = waiting,
            }
            deadline.reset(house.limits().send_timeout);
        }
        Poll::Pending
    })
    .await
}
