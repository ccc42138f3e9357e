//! The lingering close (RFC 9112 9.6), which lets a client that still sends read our last answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use vestibule_upstream::{Buffer, Deadline};

use crate::client_stream::ClientStream;

use crate::house::{Counted, House};

/// How long it lasts at most, in all and without a byte. A browser reads our answer only when it has sent its whole
/// upload.
const TIME: Duration = Duration::from_secs(30);
/// The same for a connection of which nothing was read, and in a drain.
const BRIEFLY: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(2);
const BYTES: usize = 256 * 1024 * 1024;
const READ: usize = 32 * 1024;

/// Closes our side and reads for a moment: a reset, which unread bytes would cause, takes our answer away from the
/// client.
pub(crate) async fn linger(house: &House, stream: &mut ClientStream) {
    linger_for(house, stream, TIME).await;
}

/// The same for a connection of which nothing was read.
pub(crate) async fn linger_briefly(house: &House, stream: &mut ClientStream) {
    linger_for(house, stream, BRIEFLY).await;
}

/// Lets a client that was refused read why.
pub(crate) async fn let_read(house: Rc<House>, mut stream: ClientStream, _refused: Counted) {
    linger_briefly(&house, &mut stream).await;
}

async fn linger_for(house: &House, stream: &mut ClientStream, most: Duration) {
    let (deadline, silence) = (Deadline::after(most), Deadline::after(SILENCE));
    // Over TLS there is something to say first, which a client that reads nothing does not take.
    let is_shut = poll_fn(|cx| match Pin::new(&mut *stream).poll_shutdown(cx) {
        Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
        Poll::Pending => silence.poll(cx).map(|()| false),
    });
    if !is_shut.await {
        return;
    }
    silence.reset(SILENCE);
    let mut waste = Buffer::default();
    let mut total = 0;
    let mut is_last = false;
    while total < BYTES {
        let read = poll_fn(|cx| {
            if house.is_draining() && !std::mem::replace(&mut is_last, true) {
                deadline.reset(BRIEFLY);
            }
            match stream.poll_waste(cx, &mut waste, READ) {
                Poll::Ready(Ok(count)) => Poll::Ready(count),
                Poll::Ready(Err(_)) => Poll::Ready(0),
                Poll::Pending if silence.poll(cx).is_ready() => Poll::Ready(0),
                Poll::Pending => deadline.poll(cx).map(|()| 0),
            }
        })
        .await;
        if read == 0 || deadline.is_due() {
            return;
        }
        silence.reset(SILENCE);
        total += read;
    }
}
