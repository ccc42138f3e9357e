//! The application of the suite that moves long bodies: as little of an application as there can be.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Bytes written or read at once.
const PIECE: usize = 64 * 1024;

/// Serves forever: a GET of `/N` gets N bytes, any other GET and every body 3 bytes.
pub(crate) fn serve(socket: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket).context("cannot bind the socket")?;
    for stream in listener.incoming() {
        let mut stream = stream.context("cannot accept")?;
        // A proxy that closes ends a connection, and nothing else.
        std::thread::spawn(move || while let Ok(true) = answer(&mut stream) {});
    }
    Ok(())
}

/// Answers one request; `false` when no other follows.
fn answer(stream: &mut UnixStream) -> Result<bool> {
    let mut buffer = vec![b'x'; PIECE];
    let (mut filled, mut end) = (0, None);
    while end.is_none() {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(false);
        }
        filled += count;
        end = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
    }
    let end = end.unwrap_or_default();
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if field("transfer-encoding").is_some() {
        bail!("chunks are not understood here");
    }
    let mut body: u64 = field("content-length").map_or(Ok(0), str::parse)?;
    body -= (filled - end - 4) as u64;
    while body > 0 {
        let count = stream.read(&mut buffer)? as u64;
        if count == 0 {
            bail!("the body ends early");
        }
        body -= count;
    }
    let is_last = field("connection") == Some("close") || head.contains(" http/1.0\r\n");
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut left: usize = path.trim_start_matches('/').parse().unwrap_or(3);
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n{connection}\r\n")?;
    while left > 0 {
        let count = left.min(buffer.len());
        stream.write_all(&buffer[..count])?;
        left -= count;
    }
    Ok(!is_last)
}
