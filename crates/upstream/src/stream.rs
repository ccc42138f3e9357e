//! One connected socket, TCP or Unix, behind one type.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Takes the socket out of this thread's event loop, so that another thread can register it in its own.
    ///
    /// # Errors
    /// If the event loop refuses to let go.
    pub fn detach(self) -> io::Result<DetachedStream> {
        Ok(match self {
            Stream::Tcp(stream) => DetachedStream::Tcp(stream.into_std()?),
            Stream::Unix(stream) => DetachedStream::Unix(stream.into_std()?),
        })
    }

    /// Makes closing the socket a reset, where it is TCP: the peer must not take what came for the whole.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            // If the kernel refuses there is nothing better to do than to close it as it is.
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Whether the peer closed its sending, or all; bytes that it sent before may still be there to read.
    pub fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let socket = match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        };
        let mut socket = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
        matches!(poll(&mut socket, Some(&Timespec::default())), Ok(1..))
    }

    /// Has the kernel find out when a silent peer is gone, where it is TCP.
    pub fn keep_alive(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_keepalive(true);
        }
    }

    /// Whether nothing is to be read, as far as the event loop has heard: no bytes, no end, no error.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0; 1];
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes at once what the kernel takes, without asking the event loop first: it does not know yet that a new
    /// socket can be written to, and waiting for it would cost a turn.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing now; else the socket's own.
    #[inline]
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::net::{SendFlags, send};
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(match self {
            Stream::Tcp(stream) => send(stream, bytes, flags)?,
            Stream::Unix(stream) => send(stream, bytes, flags)?,
        })
    }

    /// Writes what the kernel takes of `bytes`, and says that more follows at once: it need not go out by itself (`MSG_MORE`).
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_write_first(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        use rustix::net::{SendFlags, send};
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        self.poll_take(cx, |socket| Ok(send(socket, bytes, flags)?))
    }

    /// Has the kernel send up to `count` bytes of `file` from `offset` on, which do not come through our memory (sendfile(2)).
    /// Gives how many; 0 where the file ends before. What the kernel does not have in its memory it waits for.
    ///
    /// # Errors
    /// The socket's, or the file's.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let mut at = offset;
        let mut taken = 0;
        let sent = self.poll_take(cx, |socket| {
            if taken > 0 {
                return Ok(taken);
            }
            let sent = rustix::fs::sendfile(socket, file, Some(&mut at), count)?;
            if sent == 0 || sent == count {
                return Ok(sent);
            }
            // The socket is full: the event loop may know, so that it is not tried in vain, which is dear with a file.
            taken = sent;
            Err(io::ErrorKind::WouldBlock.into())
        });
        if taken > 0 { Poll::Ready(Ok(taken)) } else { sent }
    }

    /// Has `write` write when the kernel may take something, until it did or failed.
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let outcome = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || write(stream.as_fd()))
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || write(stream.as_fd()))
                }
            };
            match outcome {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Ready when there is something to read: bytes, the end, or an error.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Bytes that we wrote and that the peer has not read yet (unix(7): `SIOCOUTQ`). `None` over TCP, where the
    /// number only says what the kernel has not delivered.
    pub fn unread_by_peer(&self) -> Option<u32> {
        match self {
            Stream::Tcp(_) => None,
            Stream::Unix(_) => self.undelivered(),
        }
    }

    /// Bytes that we wrote and that the kernel still has (tcp(7), unix(7): `SIOCOUTQ`).
    pub fn undelivered(&self) -> Option<u32> {
        match self {
            Stream::Tcp(stream) => outgoing_queue(stream.as_fd()),
            Stream::Unix(stream) => outgoing_queue(stream.as_fd()),
        }
    }
}

/// The one `unsafe` of the workspace: no safe wrapper of this ioctl exists in the crates we use.
#[allow(unsafe_code)]
fn outgoing_queue(socket: BorrowedFd<'_>) -> Option<u32> {
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: SIOCOUTQ is a getter that writes exactly one C int (unix(7), tcp(7)) to a descriptor that the
    // borrow keeps open.
    let queued = unsafe {
        let getter = rustix::ioctl::Getter::<SIOCOUTQ, rustix::ffi::c_int>::new();
        rustix::ioctl::ioctl(socket, getter)
    };
    queued.ok().and_then(|bytes| u32::try_from(bytes).ok())
}

/// A connected socket that no event loop watches.
#[derive(Debug)]
pub enum DetachedStream {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl DetachedStream {
    /// Asks the kernel whether nothing is to be read.
    ///
    /// # Errors
    /// When there are bytes, an end or an error.
    pub(crate) fn check_quiet(&self) -> io::Result<()> {
        use rustix::net::{RecvFlags, recv};
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let mut byte = [0_u8; 1];
        let peeked = match self {
            DetachedStream::Tcp(stream) => recv(stream, &mut byte, flags),
            DetachedStream::Unix(stream) => recv(stream, &mut byte, flags),
        };
        match peeked {
            Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Registers the socket in the event loop of this thread.
    ///
    /// # Errors
    /// If the event loop refuses it.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            DetachedStream::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            DetachedStream::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn knows_what_the_peer_has_not_read() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = DetachedStream::Unix(ours).attach().unwrap();
        assert_eq!(stream.unread_by_peer(), Some(0));
        assert_eq!(stream.write_now(b"hello").unwrap(), 5);
        assert!(stream.unread_by_peer().unwrap() > 0);
        theirs.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(stream.unread_by_peer(), Some(0));
        assert!(stream.is_quiet());
        drop(theirs);
        std::future::poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
        assert!(!stream.is_quiet());
    }
}
