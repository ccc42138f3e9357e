//! The smallest HTTP/2 client: so many requests at once, all answers, on a connection that stays open.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;

use crate::tls::{self, Stream};

/// RFC 9113 3.4, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `:method: GET`, `:scheme: https`, `:path: /` from HPACK's static table, and `:authority: localhost` written out.
const HEAD: &[u8] = b"\x82\x87\x84\x41\x09localhost";
/// `:status: 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// An open connection of HTTP/2 over TLS.
pub(crate) struct Streams {
    stream: Stream,
    input: Vec<u8>,
    next: u32,
    /// Streams without a whole answer.
    open: usize,
}

impl Streams {
    /// Connects; `settings` must offer `h2`. Reads and writes give up after 30 s.
    pub(crate) fn open(address: SocketAddr, settings: &Arc<ClientConfig>) -> Result<Self> {
        let mut stream = tls::connect(address, settings)?;
        stream.write_all(PREFACE)?;
        Ok(Self { stream, input: Vec::new(), next: 1, open: 0 })
    }

    /// GETs `/` so many times at once, and reads all the answers.
    ///
    /// Errors when one of them is no 200. Bodies are to be small: no window is ever opened again.
    pub(crate) fn ask(&mut self, requests: usize) -> Result<()> {
        let mut frames = Vec::new();
        for _ in 0..requests {
            frame(&mut frames, HEADERS, 0x04 | END_STREAM, self.next, HEAD);
            self.next += 2;
        }
        self.open += requests;
        self.stream.write_all(&frames)?;
        while self.open > 0 {
            self.receive()?;
        }
        Ok(())
    }

    /// Whether the other side has left it open: neither its end nor GOAWAY has come.
    pub(crate) fn is_open(&mut self) -> Result<bool> {
        self.stream.sock.set_nonblocking(true)?;
        let received = loop {
            match self.receive() {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        self.stream.sock.set_nonblocking(false)?;
        let kind = received.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        Ok(kind == Some(ErrorKind::WouldBlock))
    }

    /// Reads once, and takes the whole frames that are there then.
    fn receive(&mut self) -> Result<()> {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece)?;
        ensure!(count > 0, "the connection ends");
        self.input.extend_from_slice(&piece[..count]);
        let mut used = 0;
        while let Some(frame) = first_frame(&self.input[used..]) {
            let whole = &self.input[used..used + frame];
            used += frame;
            let (kind, flags, payload) = (whole[3], whole[4], &whole[9..]);
            match kind {
                SETTINGS if flags & ACK == 0 => answer(&mut self.stream, SETTINGS, &[])?,
                PING if flags & ACK == 0 => answer(&mut self.stream, PING, payload)?,
                RESET | GO_AWAY => bail!("the server ends it: {whole:x?}"),
                // An encoder may begin with an update of its table's size, 001xxxxx.
                HEADERS if payload.iter().find(|byte| **byte & 0xe0 != 0x20) != Some(&STATUS_200) => {
                    bail!("not a 200: {whole:x?}")
                }
                _ => {}
            }
            // DATA and HEADERS have this flag, and no other frame that comes here has an ACK left.
            if kind <= HEADERS && flags & END_STREAM != 0 {
                self.open = self.open.checked_sub(1).context("an answer that nobody asked for")?;
            }
        }
        self.input.drain(..used);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(())
    }
}

/// How long the first frame in `input` is, if it is whole.
fn first_frame(input: &[u8]) -> Option<usize> {
    let length = 9 + u32::from_be_bytes([0, *input.first()?, *input.get(1)?, *input.get(2)?]) as usize;
    (input.len() >= length).then_some(length)
}

fn answer(stream: &mut Stream, kind: u8, payload: &[u8]) -> Result<()> {
    let mut bytes = Vec::new();
    frame(&mut bytes, kind, ACK, 0, payload);
    Ok(stream.write_all(&bytes)?)
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
