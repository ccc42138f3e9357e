//! A Vestibule in front of an origin that records, and what is asked beside a case.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::canonical::Chunks;
use super::client::Client;
use super::dir::Dir;
use super::origin::{Act, Origin, Seen, echo};
use super::vestibule::{Vestibule, config};
use super::wait::seconds;

/// Bodies above this are refused in these tests.
pub(crate) const LARGEST_BODY: u64 = 1024 * 1024;

/// A configuration in which bodies are passed on as they come.
pub(crate) const STREAMING: &str = "[buffer]\nrequest = false\n";

/// A Vestibule in front of an origin that records.
pub(crate) struct Stand {
    pub(crate) vestibule: Vestibule,
    pub(crate) origin: Origin,
    _dir: Dir,
}

/// A request with this request line, and Host.
pub(crate) fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

/// The base request with these lines behind its Host; each ends in CRLF.
pub(crate) fn post(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\n", lines.as_ref(), b"\r\n"].concat()
}

/// The same, and a body as it is.
pub(crate) fn post_with(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&post(lines), body.as_ref()].concat()
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A request whose answer can be mistaken for no other, and its path.
pub(crate) fn further() -> (Vec<u8>, String) {
    let path = format!("/further-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    (line(format!("GET {path} HTTP/1.1")), path)
}

/// Writes what the other side takes: it may have refused before the end.
pub(crate) fn send(client: &mut Client<TcpStream>, bytes: impl AsRef<[u8]>) {
    let _ = client.stream().write_all(bytes.as_ref());
}

/// Reads the answer to a further request and says what is wrong with it.
pub(crate) fn own_answer(client: &mut Client<TcpStream>, path: &str) -> Result<(), String> {
    let answer = client.response().map_err(|error| format!("{path} has no answer: {error}"))?;
    if answer.status == 200 && answer.body == format!("GET {path}").as_bytes() {
        return Ok(());
    }
    Err(format!("{path} was answered {}: {:?}", answer.status, answer.text()))
}

impl Stand {
    /// With small limits, so that a fault shows soon.
    pub(crate) fn new() -> Stand {
        let limits = format!("[limits]\nrequest_timeout = \"5s\"\nbody = \"{} KiB\"\n", LARGEST_BODY / 1024);
        Stand::with(&limits, Chunks::Refused, |_| None)
    }

    /// With `more` of a configuration, which begins in `[upstream.app]`, and answers of `script`; what it has
    /// none for is answered with its method and target.
    pub(crate) fn with(
        more: &str,
        chunks: Chunks,
        script: impl Fn(&Seen<'_>) -> Option<Vec<Act>> + Send + 'static,
    ) -> Stand {
        Stand::of(Dir::new(), |dir| config(dir, more), chunks, script)
    }

    /// The same, with a listener that speaks HTTP/2 too.
    pub(crate) fn http2(
        more: &str,
        chunks: Chunks,
        script: impl Fn(&Seen<'_>) -> Option<Vec<Act>> + Send + 'static,
    ) -> Stand {
        let settings =
            |dir: &Dir| config(dir, more).replacen("[[listen]]\n", "[[listen]]\nhttp2 = true\n", 1);
        Stand::of(Dir::new(), settings, chunks, script)
    }

    /// In this directory, with the configuration that `settings` gives for it.
    pub(crate) fn of(
        dir: Dir,
        settings: impl FnOnce(&Dir) -> String,
        chunks: Chunks,
        script: impl Fn(&Seen<'_>) -> Option<Vec<Act>> + Send + 'static,
    ) -> Stand {
        let origin = Origin::scripted(&dir.socket(), chunks, move |seen| match (script(&seen), seen) {
            (Some(acts), _) => acts,
            (None, Seen::Head(_)) => Vec::new(),
            (None, Seen::Whole(request)) => vec![echo(request)],
        });
        let vestibule = Vestibule::start(&dir, &settings(&dir));
        Stand { vestibule, origin, _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.vestibule.address()).expect("a connection").patience(seconds(20))
    }

    /// Asks something else on a connection of its own; gives its path, or what is wrong with its answer.
    pub(crate) fn another(&self) -> Result<String, String> {
        let mut other = self.connect();
        self.on(&mut other).map_err(|fault| format!("on another connection: {fault}"))
    }

    /// Asks something else on `client`; gives its path, or what is wrong with its answer.
    pub(crate) fn on(&self, client: &mut Client<TcpStream>) -> Result<String, String> {
        let (request, path) = further();
        send(client, request);
        own_answer(client, &path).map(|()| path)
    }

    /// The targets that the origin got after the first `before`; panics with what it got that is not canonical.
    pub(crate) fn targets(&self, before: usize) -> Vec<String> {
        let record = self.origin.record();
        assert_eq!(record.faults(), Vec::<String>::new());
        record.requests[before..].iter().map(|request| request.target.clone()).collect()
    }

    /// Sends the beginning of a request and then the end of the stream: nothing of it may reach the application, and
    /// another connection goes on as if nothing had been.
    pub(crate) fn breaks_off(&self, bytes: &[u8]) -> Result<(), String> {
        let before = self.origin.requests().len();
        let mut client = self.connect();
        send(&mut client, bytes);
        client.stream().shutdown(Shutdown::Write).expect("half-closed");
        // An error may be told, or the connection just closed.
        let told = client.rest().map_err(|error| format!("the connection did not end: {error}"))?;
        let told = told.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&told);
        if !told.is_empty() && !told.starts_with(b"HTTP/1.1 4") {
            return Err(format!("answered {:?}", String::from_utf8_lossy(told)));
        }
        let path = self.another()?;
        let record = self.origin.record();
        if let Some(fault) = record.faults().first() {
            return Err(fault.clone());
        }
        let got: Vec<&str> =
            record.requests[before..].iter().map(|request| request.target.as_str()).collect();
        if got != [path] { Err(format!("the origin got {got:?}")) } else { Ok(()) }
    }
}
