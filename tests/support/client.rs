//! A client that does exactly what it is told: it never retries, reconnects or repairs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest that a read may take, unless a test sets another.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The values of all fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of the only field of this name; panics when there are two.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came more than once: {}", self.head);
        all.first().copied()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the server will close the connection.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Client<TcpStream> {
    /// A new connection.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Client<TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client::over(stream))
    }

    /// Another patience for its reads.
    pub(crate) fn patience(self, limit: Duration) -> Self {
        self.stream.set_read_timeout(Some(limit)).expect("a read timeout");
        self
    }
}

impl Client<UnixStream> {
    /// A new connection to a Unix socket.
    pub(crate) fn connect_unix(path: &Path) -> io::Result<Client<UnixStream>> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    /// Over a connection that a test made in its own way.
    pub(crate) fn over(stream: S) -> Client<S> {
        Client { stream, buffer: Vec::new() }
    }

    /// The connection itself.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// The connection itself, and nothing else: what was read ahead is lost.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Writes these bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request without a body and reads its answer.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n"))?;
        self.response()
    }

    /// Sends a request with a body and reads its answer.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Response> {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: example.com\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat())?;
        self.response()
    }

    /// Reads the answer to a request that was not HEAD.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        self.read_response(false)
    }

    /// Reads the answer to a HEAD.
    pub(crate) fn head_response(&mut self) -> io::Result<Response> {
        self.read_response(true)
    }

    fn read_response(&mut self, head_only: bool) -> io::Result<Response> {
        let head = self.response_head()?;
        self.body(head, head_only)
    }

    /// Reads what follows the head of an answer; `head_only` for an answer to HEAD.
    pub(crate) fn body(&mut self, mut response: Response, head_only: bool) -> io::Result<Response> {
        let status = response.status;
        if head_only || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        let length =
            response.field("content-length").map(|value| value.parse::<usize>().map_err(|_| bad("length")));
        response.body = if response
            .field("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            self.chunks()?
        } else if let Some(length) = length {
            self.exact(length?)?
        } else {
            self.rest()?
        };
        Ok(response)
    }

    /// Reads the head of an answer only.
    pub(crate) fn response_head(&mut self) -> io::Result<Response> {
        let head = self.through(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        Ok(Response {
            status: status.ok_or_else(|| bad(&format!("status line: {head:?}")))?,
            head,
            body: Vec::new(),
        })
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.through(b"\r\n")?;
            let line = String::from_utf8_lossy(&line);
            let size =
                usize::from_str_radix(line.trim(), 16).map_err(|_| bad(&format!("chunk size {line:?}")))?;
            body.extend(self.exact(size)?);
            if self.through(b"\r\n")?.len() != 2 {
                return Err(bad("chunk end"));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads up to and with `end`.
    pub(crate) fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].windows(end.len()).position(|bytes| bytes == end) {
                return Ok(self.buffer.drain(..searched + at + end.len()).collect());
            }
            searched = self.buffer.len().saturating_sub(end.len() - 1);
            if self.fill()? == 0 {
                let seen = String::from_utf8_lossy(&self.buffer).into_owned();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {seen:?}")));
            }
        }
    }

    /// Reads this many bytes.
    pub(crate) fn exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                let message = format!("closed after {} of {length} bytes of the body", self.buffer.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads until the other side closes. An error (a reset, a timeout) is not an end.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut block = [0; 64 * 1024];
        let count = loop {
            match self.stream.read(&mut block) {
                // The whole machine may have been stopped for a moment (signal(7): a read with a time limit is not begun again).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.buffer.extend_from_slice(&block[..count]);
        Ok(count)
    }

    /// Whether the other side has closed, waiting for it as long as the patience lasts. Bytes before it are a fault.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.fill() {
            Ok(0) => true,
            Ok(_) => panic!("bytes instead of an end: {:?}", String::from_utf8_lossy(&self.buffer)),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {what}"))
}

/// A GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address).and_then(|mut client| client.get(path)).expect("an answer")
}

/// A POST on a connection of its own.
pub(crate) fn post(address: SocketAddr, path: &str, body: &[u8]) -> Response {
    Client::connect(address).and_then(|mut client| client.post(path, body)).expect("an answer")
}
