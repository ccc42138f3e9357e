//! Clients that connect, shake hands, ask once and leave.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rustls::{ClientConfig, HandshakeKind};

use crate::tls::{self, Hello};

/// What to do.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Job {
    /// Address to connect to
    address: SocketAddr,
    /// Connections that each client makes, one after the other
    connections: usize,
    /// Clients at once
    clients: usize,
    /// Resume: all but the first connection of each client must be resumed
    #[arg(long)]
    resumed: bool,
    /// Offer X25519MLKEM768 too
    #[arg(long)]
    post_quantum: bool,
}

/// Does the job and prints the seconds it took.
///
/// Errors when an answer is no 200, or a handshake is not of the kind that was asked for.
pub(crate) fn run(job: &Job) -> Result<()> {
    let job = *job;
    let start = Instant::now();
    let clients: Vec<_> = (0..job.clients).map(|_| std::thread::spawn(move || client(job))).collect();
    for client in clients {
        client.join().map_err(|_| anyhow!("a client panicked"))??;
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

fn client(job: Job) -> Result<()> {
    // Settings of its own: with them go the tickets, each of which is good for one connection.
    let hello = Hello { resumes: job.resumed, post_quantum: job.post_quantum, ..Hello::PLAIN };
    let settings = hello.settings()?;
    let mut answer = Vec::with_capacity(4096);
    for number in 0..job.connections {
        let kind = visit(job.address, &settings, &mut answer)?;
        let is_resumed = kind == Some(HandshakeKind::Resumed);
        if is_resumed != (job.resumed && number > 0) {
            bail!("connection {number} of a client had a handshake of the kind {kind:?}");
        }
    }
    Ok(())
}

fn visit(
    address: SocketAddr,
    settings: &Arc<ClientConfig>,
    answer: &mut Vec<u8>,
) -> Result<Option<HandshakeKind>> {
    let mut stream = tls::connect(address, settings)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    answer.clear();
    match stream.read_to_end(answer) {
        // HAProxy does not always say close_notify; whether the answer is whole is seen by its length.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") || !is_whole(answer) {
        bail!("not a whole 200: {}", String::from_utf8_lossy(answer));
    }
    Ok(stream.conn.handshake_kind())
}

/// Whether the body is as long as the head says.
fn is_whole(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer).to_ascii_lowercase();
    answer.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        length.and_then(|length| length.trim().parse().ok()) == Some(body.len())
    })
}
