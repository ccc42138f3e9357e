//! Serves HTTP/2 with prior knowledge: each request is answered with its own head and body. For `h2spec`, `h2load`, `nghttp`.
//!
//! `cargo run -p vestibule-http2 --example echo -- 127.0.0.1:8000`

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule_http2::{Connection, Event, Kind, Limits, StreamId};

const LIMITS: Limits =
    Limits { streams: 100, head: 64 << 10, fields: 100, body_window: 256 << 10, connection_window: 1 << 20 };

/// An answer on its way.
#[derive(Default)]
struct Answer {
    body: Vec<u8>,
    sent: usize,
    is_begun: bool,
    is_whole: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(LIMITS, Instant::now());
    let mut answers = HashMap::new();
    let (mut input, mut start) = (Vec::new(), 0);
    loop {
        loop {
            let now = Instant::now();
            match connection.receive(&input[start..], now) {
                Ok((used, event)) => {
                    let bytes = &input[start..start + used];
                    start += used;
                    match event {
                        Some(event) => take(&mut connection, &mut answers, event, bytes),
                        None => break,
                    }
                }
                Err(error) => {
                    stream.write_all(connection.out()).await?;
                    stream.shutdown().await?;
                    return Err(io::Error::other(error));
                }
            }
        }
        input.drain(..start);
        start = 0;
        answers.retain(|id, answer| !go_on(&mut connection, *id, answer));
        stream.write_all(connection.out()).await?;
        connection.out().clear();
        if connection.is_idle() {
            connection.shrink();
        }
        if connection.has_ended() || stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

fn take(connection: &mut Connection, answers: &mut HashMap<StreamId, Answer>, event: Event, input: &[u8]) {
    match event {
        Event::Request { stream, end, kind } => {
            let body = if kind == Kind::Usual { connection.head().to_vec() } else { Vec::new() };
            answers.insert(stream, Answer { body, is_whole: end, ..Answer::default() });
        }
        Event::Data { stream, bytes, end } => {
            connection.release(stream, bytes.len());
            if let (Some(answer), Some(bytes)) = (answers.get_mut(&stream), input.get(bytes)) {
                answer.body.extend_from_slice(bytes);
                answer.is_whole |= end;
            }
        }
        Event::End { stream } => {
            if let Some(answer) = answers.get_mut(&stream) {
                answer.is_whole = true;
            }
        }
        Event::Reset { stream, .. } => {
            answers.remove(&stream);
            connection.close(stream);
        }
        Event::Refused { .. } | Event::Opened(_) | Event::Ping | Event::GoAway => {}
    }
}

/// Sends what can be sent of an answer; gives whether it is done with.
fn go_on(connection: &mut Connection, stream: StreamId, answer: &mut Answer) -> bool {
    if !answer.is_whole {
        return false;
    }
    if !answer.is_begun {
        answer.is_begun = true;
        let length = answer.body.len() as u64;
        let sent =
            connection.send_head(stream, 200, |fields| fields.number(b"content-length", length), false);
        if sent.is_err() {
            connection.close(stream);
            return true;
        }
    }
    loop {
        let rest = answer.body.get(answer.sent..).unwrap_or_default();
        match connection.send_data(stream, rest, true) {
            Ok(sent) if sent == rest.len() => break,
            Ok(0) => return false,
            Ok(sent) => answer.sent += sent,
            Err(_) => break,
        }
    }
    connection.close(stream);
    true
}
