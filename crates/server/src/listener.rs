//! Addresses that are accepted on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, fs};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use vestibule_config::{Hsts, ListenAddress, Listener as Settings};
use vestibule_proxy::Rules;
use vestibule_tls::Acceptor;
use vestibule_upstream::{DetachedStream, Stream};

/// A bound address: one socket for each worker, or one socket that they share. When it goes, so do our own handles, and the name
/// of a Unix socket if it is still ours.
#[derive(Debug)]
pub struct Bound {
    id: ListenerId,
    sockets: Vec<Socket>,
    address: Address,
    settings: Arc<Settings>,
    acceptor: Option<Arc<Acceptor>>,
}

/// Tells a listener from every other of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerId(u64);

impl ListenerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ListenerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What one worker has of a bound address.
#[derive(Debug)]
pub(crate) struct Share {
    socket: Socket,
    terms: Terms,
}

/// By what a listener goes, as it is told to the workers.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) id: ListenerId,
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
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Terms {
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
        Bound::bind_beside(settings, acceptor, workers, &[])
    }

    /// The same, beside listeners of ours that are about to go, and may have the same port still.
    pub(crate) fn bind_beside(
        settings: &Settings,
        acceptor: Option<Arc<Acceptor>>,
        workers: usize,
        leaving: &[&Bound],
    ) -> io::Result<Self> {
        let (sockets, address) = match &settings.address {
            ListenAddress::Tcp(address) => Bound::tcp(*address, settings, workers, leaving)?,
            ListenAddress::Unix(path) => Bound::unix(path, settings)?,
        };
        Ok(Bound { id: ListenerId::next(), sockets, address, settings: Arc::new(settings.clone()), acceptor })
    }

    fn tcp(
        mut address: SocketAddr,
        settings: &Settings,
        workers: usize,
        leaving: &[&Bound],
    ) -> io::Result<(Vec<Socket>, Address)> {
        let is_beside = leaving.iter().any(|old| old.has_port(address.port()));
        if is_beside {
            // The kernel lets two have a port when both say so, whenever they do; nobody who connects finds nobody there.
            leaving
                .iter()
                .filter(|old| old.has_port(address.port()))
                .try_for_each(|old| old.share_port(true))?;
        } else if settings.reuse_port {
            // Without the option, so that a stranger on the port is met with an error and not shared with.
            address = tcp_socket(address, false)?.local_addr()?.as_socket().unwrap_or(address);
        }
        let mut sockets = Vec::new();
        for _ in 0..if settings.reuse_port { workers } else { 1 } {
            let socket = tcp_socket(address, settings.reuse_port || is_beside)?;
            socket.listen(backlog(settings))?;
            address = socket.local_addr()?.as_socket().unwrap_or(address);
            sockets.push(socket);
        }
        Ok((sockets, Address::Tcp(address)))
    }

    /// Whether it listens at this TCP port, of whatever address.
    fn has_port(&self, port: u16) -> bool {
        matches!(self.address, Address::Tcp(address) if port != 0 && address.port() == port)
    }

    fn share_port(&self, is_shared: bool) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| socket.set_reuse_port(is_shared))
    }

    /// Those that it had to share its port with are gone, or stay after all: from now on as the settings say.
    pub(crate) fn settle(&self) {
        if let Address::Tcp(_) = self.address
            && let Err(error) = self.share_port(self.settings.reuse_port)
        {
            tracing::debug!(listener = %self, %error, "SO_REUSEPORT");
        }
    }

    /// Whether it can be the listener of `settings`, which then only go by other terms. Not if its socket's file is gone, or
    /// another's: nobody finds it there.
    pub(crate) fn suits(&self, settings: &Settings) -> bool {
        let is_found = match &self.address {
            Address::Tcp(_) => true,
            Address::Unix(path, inode) => fs::metadata(path).is_ok_and(|found| found.ino() == *inode),
        };
        is_found
            && self.settings.address == settings.address
            && self.settings.reuse_port == settings.reuse_port
    }

    /// From now on it goes by these terms. A backlog that the kernel refuses stays as it was, and is told.
    pub(crate) fn follow(&mut self, settings: &Settings, acceptor: Option<Arc<Acceptor>>) {
        if settings.backlog != self.settings.backlog {
            for socket in &self.sockets {
                if let Err(error) = socket.listen(backlog(settings)) {
                    tracing::warn!(listener = %self, %error, "the backlog stays as it was");
                }
            }
        }
        self.settings = Arc::new(settings.clone());
        self.acceptor = acceptor;
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms { id: self.id, settings: Arc::clone(&self.settings), acceptor: self.acceptor.clone() }
    }

    fn unix(path: &Path, settings: &Settings) -> io::Result<(Vec<Socket>, Address)> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // As nginx does: who may reach the directory may connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        socket.listen(backlog(settings))?;
        let inode = fs::metadata(path)?.ino();
        Ok((vec![socket], Address::Unix(path.to_owned(), inode)))
    }

    /// The share of each worker. What is left of it in this process closes with the workers.
    pub(crate) fn share(&self, workers: usize) -> io::Result<Vec<Share>> {
        let count = self.sockets.len().max(1);
        (0..workers)
            .map(|worker| match self.sockets.get(worker % count) {
                Some(socket) => Ok(Share { socket: socket.try_clone()?, terms: self.terms() }),
                None => Err(io::ErrorKind::NotFound.into()),
            })
            .collect()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Address::Unix(path, inode) = &self.address
            && fs::metadata(path).is_ok_and(|metadata| metadata.ino() == *inode)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove our socket");
        }
    }
}

fn backlog(settings: &Settings) -> i32 {
    i32::try_from(settings.backlog).unwrap_or(i32::MAX)
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
