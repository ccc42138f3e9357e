//! Connecting to an upstream, and what a failure to connect says.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use vestibule_config::UpstreamAddress;

use crate::state::Why;
use crate::stream::Stream;

/// Where an upstream listens, ready for `connect(2)`.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Unix(SockAddr),
    Tcp(std::net::SocketAddr),
}

/// Why there is no connection. In every case nothing was sent, so that any method may wait and try again.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nobody is there: wait until somebody is.
    Away(Why, io::Error),
    /// The accept queue is full (EAGAIN, unix(7)): it is busy, not ill.
    Busy,
    /// Ourselves: no descriptors, no memory, no ports.
    Ours(io::Error),
}

impl Target {
    pub(crate) fn new(address: &UpstreamAddress) -> io::Result<Self> {
        Ok(match address {
            UpstreamAddress::Unix(path) => Target::Unix(SockAddr::unix(path)?),
            UpstreamAddress::Tcp(address) => Target::Tcp(*address),
            // Looked up before it comes here.
            UpstreamAddress::Name(..) | UpstreamAddress::Srv(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        })
    }

    /// A new connection. Over a Unix socket it never waits: it is made at once or fails at once.
    pub(crate) async fn connect(&self, within: Duration) -> Result<Stream, ConnectError> {
        match self {
            Target::Unix(address) => unix(address),
            Target::Tcp(address) => match tokio::time::timeout(within, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Without it every small request would wait for the acknowledgement of the one before.
                    stream.set_nodelay(true).map_err(ConnectError::Ours)?;
                    Ok(Stream::Tcp(stream))
                }
                Ok(Err(error)) => Err(classify(error)),
                Err(_) => Err(ConnectError::Away(Why::Unreachable, io::ErrorKind::TimedOut.into())),
            },
        }
    }
}

fn unix(address: &SockAddr) -> Result<Stream, ConnectError> {
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None).map_err(ConnectError::Ours)?;
    // EAGAIN is not "in progress" here: poll() on such a socket reports it writable although it is not
    // connected (measured on Linux 6.18), so the caller tries again on a timer, with a new socket.
    socket.connect(address).map_err(classify)?;
    UnixStream::from_std(socket.into()).map(Stream::Unix).map_err(ConnectError::Ours)
}

fn classify(error: io::Error) -> ConnectError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN) => ConnectError::Busy,
        Some(Errno::NOENT | Errno::NOTDIR) => ConnectError::Away(Why::Missing, error),
        Some(Errno::CONNREFUSED) => ConnectError::Away(Why::Refused, error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL) => {
            ConnectError::Ours(error)
        }
        _ => ConnectError::Away(Why::Unreachable, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(path: &std::path::Path) -> String {
        let target = Target::new(&UpstreamAddress::Unix(path.to_owned())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            match target.connect(Duration::from_secs(1)).await {
                Ok(_) => "connected".to_owned(),
                Err(ConnectError::Away(why, _)) => why.as_str().to_owned(),
                Err(ConnectError::Busy) => "busy".to_owned(),
                Err(ConnectError::Ours(error)) => error.to_string(),
            }
        })
    }

    #[test]
    fn tells_a_missing_a_refused_and_a_full_socket_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert_eq!(outcome(&path), "missing");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        assert_eq!(outcome(&path), "refused");
        socket.listen(0).unwrap();
        assert_eq!(outcome(&path), "connected");
        let results: Vec<_> = (0..3).map(|_| outcome(&path)).collect();
        assert_eq!(results.last().map(String::as_str), Some("busy"), "{results:?}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(outcome(&path), "missing");
    }
}
