//! The smallest HTTP client: one request, one answer, on a connection that stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;

use crate::tls::{self, Hello};

/// A kept-alive connection, plain or through TLS.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
}

impl Connection {
    /// Connects; reads and writes give up after 30 s.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Whether the other side has left it open, with nothing unasked sent.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        is_idle(&self.stream)
    }
}

impl Connection<tls::Stream> {
    /// Connects through TLS; the handshake comes with the first request. Reads and writes give up after 30 s.
    pub(crate) fn open_tls(address: SocketAddr, settings: &Arc<ClientConfig>) -> Result<Self> {
        Ok(Self { stream: tls::connect(address, settings)? })
    }

    /// Whether the other side has left it open, with nothing unasked sent.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        is_idle(&self.stream.sock)
    }
}

impl<S: Read + Write> Connection<S> {
    /// GETs `path` and gives the status. The answer must have a Content-Length, and is read whole.
    pub(crate) fn get(&mut self, path: &str) -> Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        let mut reader = BufReader::with_capacity(4096, &mut self.stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
        let mut length = None;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                bail!("the answer ends inside its head");
            }
            let field = line.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = Some(value.trim().parse::<u64>()?);
            }
        }
        let length = length.context("the answer has no Content-Length")?;
        let read = std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        if read < length {
            bail!("the answer ends inside its body");
        }
        Ok(status)
    }
}

fn is_idle(stream: &TcpStream) -> Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock))
}

/// Whether `address` answers a GET of `/` with 200 now.
pub(crate) fn answers(address: SocketAddr) -> bool {
    answers_at(address, "/")
}

/// Whether a GET of `path` is answered 200.
pub(crate) fn answers_at(address: SocketAddr, path: &str) -> bool {
    Connection::open(address)
        .and_then(|mut connection| connection.get(path))
        .is_ok_and(|status| status == 200)
}

/// The same through TLS.
pub(crate) fn answers_tls(address: SocketAddr) -> bool {
    let asked = || Connection::open_tls(address, &Hello::PLAIN.settings()?)?.get("/");
    asked().is_ok_and(|status| status == 200)
}

/// A local address with a port that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
