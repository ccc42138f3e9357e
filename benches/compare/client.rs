//! The smallest HTTP client: one request, one answer, on a connection that stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
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

    /// GETs `path` and gives the status. The answer must have a Content-Length, and is read whole.
    pub(crate) fn get(&mut self, path: &str) -> Result<u16> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut reader = BufReader::with_capacity(4096, &self.stream);
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

    /// Whether the other side has left it open, with nothing unasked sent.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        Ok(matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock))
    }
}

/// Whether `address` answers a GET of `/` with 200 now.
pub(crate) fn answers(address: SocketAddr) -> bool {
    Connection::open(address).and_then(|mut connection| connection.get("/")).is_ok_and(|status| status == 200)
}

/// A local address with a port that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
