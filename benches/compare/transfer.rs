//! Fast clients with long bodies: a fixed amount of work, so that what is measured is neither begun nor unfinished.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::tls::{self, Hello};

/// Bytes written or read at once.
const PIECE: usize = 256 * 1024;

/// What to move.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Job {
    /// Address to ask
    pub(crate) address: SocketAddr,
    /// Bytes of a body
    pub(crate) size: usize,
    /// Requests that each connection makes
    pub(crate) requests: usize,
    /// Connections at once
    pub(crate) connections: usize,
    /// Send the bodies instead of taking them
    #[arg(long)]
    pub(crate) upload: bool,
    /// Move them through TLS
    #[arg(long)]
    pub(crate) tls: bool,
}

/// Does the job and prints the seconds it took.
///
/// Errors when one answer is not a whole 200.
pub(crate) fn run(job: &Job) -> Result<()> {
    let job = *job;
    let start = Instant::now();
    let clients: Vec<_> = (0..job.connections).map(|_| std::thread::spawn(move || client(job))).collect();
    for client in clients {
        client.join().map_err(|_| anyhow!("a client panicked"))??;
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

fn client(job: Job) -> Result<()> {
    if job.tls {
        return exchange(job, tls::connect(job.address, &Hello::PLAIN.settings()?)?);
    }
    let stream = TcpStream::connect(job.address).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    exchange(job, stream)
}

fn exchange(job: Job, mut stream: impl Read + Write) -> Result<()> {
    let mut buffer = vec![b'x'; PIECE];
    for _ in 0..job.requests {
        let expected = if job.upload {
            write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", job.size)?;
            let mut left = job.size;
            while left > 0 {
                left -= stream.write(&buffer[..left.min(PIECE)])?;
            }
            3
        } else {
            write!(stream, "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", job.size)?;
            job.size
        };
        answer(&mut stream, &mut buffer, expected)?;
    }
    Ok(())
}

/// Reads a 200 with a body of `expected` bytes.
fn answer(stream: &mut impl Read, buffer: &mut [u8], expected: usize) -> Result<()> {
    let mut filled = 0;
    let body = loop {
        if let Some(at) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer[filled..])? {
            0 => bail!("the answer ends inside its head"),
            count => filled += count,
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 200 ") {
        bail!("refused: {}", String::from_utf8_lossy(&buffer[..body]));
    }
    let mut had = filled - body;
    while had < expected {
        match stream.read(buffer)? {
            0 => bail!("the answer ends inside its body"),
            count => had += count,
        }
    }
    if had > expected {
        bail!("{had} bytes instead of {expected}");
    }
    Ok(())
}
