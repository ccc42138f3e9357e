//! Addresses that are accepted on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, fs};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use vestibule_config::{Hsts, ListenAddress, Listener as Settings};
use vestibule_proxy::Rules;
use vestibule_tls::Acceptor;
use vestibule_upstream::{DetachedStream, Stream};

/// A bound address: one socket for each worker, or one socket that they share.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Socket>,
    address: Address,
    settings: Arc<Settings>,
    acceptor: Option<Arc<Acceptor>>,
}

/// What one worker has of a bound address.
#[derive(Debug)]
pub(crate) struct Share {
    socket: Socket,
    settings: Arc<Settings>,
    acceptor: Option<Arc<Acceptor>>,
}

/// How the connections of a listener are treated.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// Whether each connection has to begin with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// Whether HTTP/2 is spoken beside HTTP/1.
    pub(crate) http2: bool,
    /// By what TLS is spoken, where it is.
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    /// What is done with all its requests.
    pub(crate) rules: Rc<Rules>,
}

impl Share {
    pub(crate) fn manner(&self) -> Manner {
        let Settings { proxy_protocol, http2, redirect, tls, .. } = &*self.settings;
        let rules = Rules {
            redirect: *redirect,
            hsts: tls.as_ref().and_then(|tls| tls.hsts).map(strict_transport_security),
            asks_certificates: tls.as_ref().is_some_and(|tls| tls.client.is_some()),
        };
        let acceptor = self.acceptor.clone();
        Manner { proxy_protocol: *proxy_protocol, http2: *http2, acceptor, rules: Rc::new(rules) }
    }
}

/// The value of `Strict-Transport-Security` (RFC 6797 6.1).
fn strict_transport_security(hsts: Hsts) -> String {
    let mut value = format!("max-age={}", hsts.age.as_secs());
    if hsts.subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}

/// Where a listener really listens.
#[derive(Debug, Clone)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf, u64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Bound {
    /// Binds the address of `settings` for `workers` threads. Its connections speak TLS if there is an `acceptor`.
    ///
    /// # Errors
    /// The kernel's; `AddrInUse` also when another program listens with `SO_REUSEPORT`, which the kernel would allow.
    pub fn bind(settings: &Settings, acceptor: Option<Arc<Acceptor>>, workers: usize) -> io::Result<Self> {
        let (sockets, address) = match &settings.address {
            ListenAddress::Tcp(address) => Bound::tcp(*address, settings, workers)?,
            ListenAddress::Unix(path) => Bound::unix(path, settings)?,
        };
        Ok(Bound { sockets, address, settings: Arc::new(settings.clone()), acceptor })
    }

    fn tcp(
        mut address: SocketAddr,
        settings: &Settings,
        workers: usize,
    ) -> io::Result<(Vec<Socket>, Address)> {
        if settings.reuse_port {
            // Without the option, so that a stranger on the port is met with an error and not shared with.
            address = tcp_socket(address, false)?.local_addr()?.as_socket().unwrap_or(address);
        }
        let mut sockets = Vec::new();
        for _ in 0..if settings.reuse_port { workers } else { 1 } {
            let socket = tcp_socket(address, settings.reuse_port)?;
            socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
            address = socket.local_addr()?.as_socket().unwrap_or(address);
            sockets.push(socket);
        }
        Ok((sockets, Address::Tcp(address)))
    }

    fn unix(path: &Path, settings: &Settings) -> io::Result<(Vec<Socket>, Address)> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // As nginx does: who may reach the directory may connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
        let inode = fs::metadata(path)?.ino();
        Ok((vec![socket], Address::Unix(path.to_owned(), inode)))
    }

    /// The share of each worker. What is left of it in this process closes with the workers.
    pub(crate) fn share(&self, workers: usize) -> io::Result<Vec<Share>> {
        let count = self.sockets.len().max(1);
        (0..workers)
            .map(|worker| match self.sockets.get(worker % count) {
                Some(socket) => Ok(Share {
                    socket: socket.try_clone()?,
                    settings: Arc::clone(&self.settings),
                    acceptor: self.acceptor.clone(),
                }),
                None => Err(io::ErrorKind::NotFound.into()),
            })
            .collect()
    }

    /// Closes our own handles, and takes our Unix socket's name away if it is still ours.
    pub(crate) fn close(self) {
        if let Address::Unix(path, inode) = &self.address
            && fs::metadata(path).is_ok_and(|metadata| metadata.ino() == *inode)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove our socket");
        }
    }
}

fn tcp_socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // Connections of our predecessor in TIME_WAIT must not keep us from the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket file that nobody listens behind is in the way of nobody; anything else is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else at this path"));
    }
    // Without waiting: the accept queue of whoever listens there may be full.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// A listener in the event loop of one worker.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn new(share: Share) -> io::Result<Self> {
        let socket = share.socket;
        Ok(if socket.domain()? == Domain::UNIX {
            Listener::Unix(UnixListener::from_std(socket.into())?)
        } else {
            Listener::Tcp(TcpListener::from_std(socket.into())?)
        })
    }

    /// The next connection, and the address of its other end if it has one.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer is written as a whole: there is nothing to wait for.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(address.ip())))
            }
            Listener::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }

    /// Stops listening; gives the connections that the kernel had already made for us, which would be reset else.
    pub(crate) fn close(self) -> io::Result<Vec<(Stream, Option<IpAddr>)>> {
        let mut rest = Vec::new();
        match self {
            Listener::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, address)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    rest.push((DetachedStream::Tcp(stream).attach()?, Some(address.ip())));
                }
            }
            Listener::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    rest.push((DetachedStream::Unix(stream).attach()?, None));
                }
            }
        }
        Ok(rest)
    }
}
