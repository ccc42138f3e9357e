//! A client of HTTP/2 that does exactly what it is told, frame by frame. It takes note of all that comes.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fluke_hpack::Decoder;

use super::wait::seconds;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
/// What windows are before anybody says otherwise.
const WINDOW: i64 = 65_535;
/// The longest payload of a frame before anybody says otherwise.
const LONGEST: usize = 16_384;
/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What came on one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The fields of each head, in order: interim ones, the final one, trailers.
    pub(crate) heads: Vec<Vec<(String, String)>>,
    pub(crate) body: Vec<u8>,
    /// Frames of DATA, empty ones too.
    pub(crate) pieces: usize,
    /// Whether END_STREAM came.
    pub(crate) has_ended: bool,
    /// The code of RST_STREAM.
    pub(crate) reset: Option<u32>,
}

impl Answer {
    /// The final head.
    pub(crate) fn head(&self) -> &[(String, String)] {
        let is_final = |head: &&Vec<(String, String)>| {
            head.iter().any(|(name, value)| name == ":status" && !value.starts_with('1'))
        };
        self.heads.iter().find(is_final).unwrap_or_else(|| panic!("no final head: {self:?}"))
    }

    /// The status of the final head.
    pub(crate) fn status(&self) -> u16 {
        self.field(":status").and_then(|status| status.parse().ok()).expect("a status")
    }

    /// The value of the only field of this name in the final head; panics when there are two.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.head().iter().filter(|(found, _)| found == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} came more than once: {:?}", self.head());
        value
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection, in clear where nothing else is said.
pub(crate) struct H2<S = TcpStream> {
    socket: S,
    buffer: Vec<u8>,
    decoder: Decoder<'static>,
    next: u32,
    streams: BTreeMap<u32, Answer>,
    /// What may be sent: on the connection, on new streams, on each stream that was sent anything.
    window: i64,
    initial_window: i64,
    windows: HashMap<u32, i64>,
    settings: HashMap<u16, u32>,
    /// Whether windows are opened again by what comes.
    opens_windows: bool,
    /// What came of a stream, or with 0 of all, that its window was not opened for yet.
    used: HashMap<u32, u32>,
    /// The last stream and the code of each GOAWAY.
    pub(crate) goaways: Vec<(u32, u32)>,
    /// PINGs that were answered to us.
    pub(crate) pongs: usize,
}

impl H2 {
    /// A connection with the usual settings.
    pub(crate) fn connect(address: SocketAddr) -> H2 {
        H2::with_settings(address, &[])
    }

    /// One that says these settings.
    pub(crate) fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> H2 {
        let mut client = H2::silent(address);
        client.begin(settings).expect("sent");
        client
    }

    /// One whose streams may be sent no more than this before it opens their windows.
    pub(crate) fn with_window(address: SocketAddr, bytes: u32) -> H2 {
        let mut client = H2::with_settings(address, &[(INITIAL_WINDOW, bytes)]);
        client.opens_windows = false;
        client
    }

    /// One that has said nothing, not even the preface.
    pub(crate) fn silent(address: SocketAddr) -> H2 {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_nodelay(true).expect("no delay");
        socket.set_read_timeout(Some(seconds(30))).expect("a read timeout");
        H2::new(socket)
    }

    /// The connection itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads for so long, whatever comes.
    pub(crate) fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).expect("a read timeout");
            if self.take_note().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
                break;
            }
        }
        self.socket.set_read_timeout(Some(seconds(30))).expect("a read timeout");
    }
}

impl<S: Read + Write> H2<S> {
    /// Over a connection that was made in its own way, with the usual settings.
    pub(crate) fn over(socket: S) -> io::Result<H2<S>> {
        let mut client = H2::new(socket);
        client.begin(&[])?;
        Ok(client)
    }

    fn new(socket: S) -> H2<S> {
        H2 {
            socket,
            buffer: Vec::new(),
            decoder: Decoder::new(),
            next: 1,
            streams: BTreeMap::new(),
            window: WINDOW,
            initial_window: WINDOW,
            windows: HashMap::new(),
            settings: HashMap::new(),
            opens_windows: true,
            used: HashMap::new(),
            goaways: Vec::new(),
            pongs: 0,
        }
    }

    fn begin(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        self.socket.write_all(PREFACE)?;
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.frame(SETTINGS, 0, 0, &payload)
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.socket.write_all(&frame(kind, flags, stream, payload))
    }

    /// The number of the next stream.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Opens a stream with these fields.
    pub(crate) fn open(&mut self, fields: &[(&str, &str)], end: bool) -> u32 {
        self.open_block(&block(fields), end)
    }

    /// Opens a stream with this header block, in as many frames as it takes.
    pub(crate) fn open_block(&mut self, block: &[u8], end: bool) -> u32 {
        let stream = self.next_stream();
        let mut pieces = block.chunks(LONGEST).peekable();
        let (mut kind, mut flags) = (HEADERS, if end { END_STREAM } else { 0 });
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= END_HEADERS;
            }
            self.frame(kind, flags, stream, piece).expect("sent");
            (kind, flags) = (CONTINUATION, 0);
        }
        stream
    }

    /// Opens a stream with a request.
    pub(crate) fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)], end: bool) -> u32 {
        self.open(&[&request_fields(method, path)[..], fields].concat(), end)
    }

    /// A GET and its answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let stream = self.request("GET", path, &[], true);
        self.answer(stream)
    }

    /// A POST and its answer.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let stream = self.request("POST", path, &[("content-length", &length)], false);
        self.upload(stream, body, true);
        self.answer(stream)
    }

    /// Sends one frame of DATA, whatever the windows say.
    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        self.window -= bytes.len() as i64;
        *self.windows.entry(stream).or_insert(self.initial_window) -= bytes.len() as i64;
        self.frame(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
    }

    /// Sends a body as the windows allow. Stops when the stream is over.
    pub(crate) fn upload(&mut self, stream: u32, body: &[u8], end: bool) {
        self.wait("the server's settings", |client| !client.settings.is_empty());
        let mut rest = body;
        while !rest.is_empty() || (end && body.is_empty()) {
            let room = self.room(stream).min(16_384);
            if room > 0 || rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(0)));
                self.data(stream, piece, end && behind.is_empty()).expect("sent");
                rest = behind;
                if rest.is_empty() {
                    return;
                }
                continue;
            }
            self.take_note().expect("a frame");
            if self.streams.get(&stream).is_some_and(|answer| answer.reset.is_some()) {
                return;
            }
        }
    }

    /// Bytes that may be sent on a stream now.
    pub(crate) fn room(&self, stream: u32) -> i64 {
        self.window.min(self.windows.get(&stream).copied().unwrap_or(self.initial_window))
    }

    /// Opens a window: a stream's, or with 0 the connection's.
    pub(crate) fn open_window(&mut self, stream: u32, bytes: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).expect("sent");
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes()).expect("sent");
    }

    /// What the server's SETTINGS say of this.
    pub(crate) fn setting(&self, key: u16) -> Option<u32> {
        self.settings.get(&key).copied()
    }

    /// What came on a stream so far.
    pub(crate) fn seen(&self, stream: u32) -> Answer {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Waits until a stream is over, and gives what came on it.
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.wait("the end of a stream", |client| {
            client.streams.get(&stream).is_some_and(|answer| answer.has_ended || answer.reset.is_some())
        });
        self.seen(stream)
    }

    /// The same for a stream that is ended and then reset.
    pub(crate) fn answer_and_reset(&mut self, stream: u32) -> Answer {
        self.wait("a reset", |client| {
            client.streams.get(&stream).is_some_and(|answer| answer.reset.is_some())
        });
        self.seen(stream)
    }

    /// Forgets what came on a stream.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// Reads until something is so.
    pub(crate) fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < seconds(60), "waited in vain for {what}");
            if let Err(error) = self.take_note() {
                panic!("{what}: {error}; GOAWAY {:?}, streams {:?}", self.goaways, self.streams.keys());
            }
        }
    }

    /// Waits until the other side closes in good order; gives an error if it does so with a reset.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        loop {
            match self.take_note() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a frame and takes note of it.
    pub(crate) fn take_note(&mut self) -> io::Result<()> {
        let Frame { kind, flags, stream, payload } = self.read()?;
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("4 bytes"));
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let key = u16::from_be_bytes([setting[0], setting[1]]);
                    let value = u32::from_be_bytes(setting[2..].try_into().expect("4 bytes"));
                    self.settings.insert(key, value);
                    if key == INITIAL_WINDOW {
                        self.initial_window = value.into();
                    }
                }
                self.frame(SETTINGS, ACK, 0, b"")?;
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload)?,
            PING => self.pongs += 1,
            GOAWAY => self.goaways.push((word(0), word(4))),
            WINDOW_UPDATE if stream == 0 => self.window += i64::from(word(0)),
            WINDOW_UPDATE => {
                *self.windows.entry(stream).or_insert(self.initial_window) += i64::from(word(0));
            }
            RST_STREAM => self.streams.entry(stream).or_default().reset = Some(word(0)),
            HEADERS => {
                assert_eq!(flags & END_HEADERS, END_HEADERS, "this client reads no CONTINUATION");
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let fields = self.decoder.decode(&payload).expect("a header block");
                let fields = fields.into_iter().map(|(name, value)| (text(name), text(value))).collect();
                let answer = self.streams.entry(stream).or_default();
                answer.heads.push(fields);
                answer.has_ended |= flags & END_STREAM != 0;
            }
            DATA => {
                let answer = self.streams.entry(stream).or_default();
                assert!(!answer.has_ended, "DATA behind the end of {stream}");
                answer.body.extend_from_slice(&payload);
                answer.pieces += 1;
                answer.has_ended |= flags & END_STREAM != 0;
                let (is_open, count) = (!answer.has_ended, payload.len() as u32);
                if self.opens_windows && count > 0 {
                    self.use_up(0, count);
                    if is_open {
                        self.use_up(stream, count);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Opens a window again when half of it is used up, as nghttp2 and browsers do: word of each frame would have the frames
    /// become smaller and smaller.
    fn use_up(&mut self, stream: u32, count: u32) {
        let used = self.used.entry(stream).or_default();
        *used += count;
        if i64::from(*used) >= WINDOW / 2 {
            let used = std::mem::take(used);
            self.open_window(stream, used);
        }
    }

    fn read(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(head) = self.buffer.get(..9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let rest = self.buffer.split_off(9 + length);
                    let bytes = std::mem::replace(&mut self.buffer, rest);
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("4 bytes")) & 0x7fff_ffff;
                    return Ok(Frame {
                        kind: bytes[3],
                        flags: bytes[4],
                        stream,
                        payload: bytes[9..].to_vec(),
                    });
                }
            }
            let mut block = [0; 64 * 1024];
            match self.socket.read(&mut block)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&block[..count]),
            }
        }
    }
}

/// The pseudo-fields of a request.
pub(crate) fn request_fields<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "example.com")]
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block in which every field stands as it is (RFC 7541 6.2.2), so that nothing is left to an encoder.
pub(crate) fn block(fields: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            integer(&mut bytes, text.len());
            bytes.extend(text);
        }
    }
    bytes
}

/// The same, each of which the other side has to remember (RFC 7541 6.2.1).
pub(crate) fn remembered_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        let start = bytes.len();
        bytes.extend(block(&[*field]));
        bytes[start] = 0x40;
    }
    bytes
}

/// A length with 7 bits in its first byte (RFC 7541 5.1).
fn integer(bytes: &mut Vec<u8>, value: usize) {
    if value < 127 {
        return bytes.push(value as u8);
    }
    bytes.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}
