//! The cost of a request and its answer on a connection of HTTP/2, without a socket: alone, with others open beside it, and
//! with a body. On a connection that is in use nothing is allocated.

use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use vestibule_http2::{Connection, Event, Limits, hpack};

/// Shows the allocations of each bench; a bench without them shows none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const LIMITS: Limits =
    Limits { streams: 101, head: 64 << 10, fields: 100, body_window: 256 << 10, connection_window: 1 << 20 };

fn main() {
    divan::main();
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection on which the streams 1, 3, … of so many requests wait for their answers; and its next stream.
fn connection(open: u32) -> (Connection, u32) {
    let mut connection = Connection::new(LIMITS, Instant::now());
    let mut input = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    for at in 0..open {
        input.extend_from_slice(&request(1 + 2 * at, true));
    }
    let mut used = 0;
    while let Ok((more, Some(_))) = connection.receive(&input[used..], Instant::now()) {
        used += more;
    }
    connection.out().clear();
    (connection, 1 + 2 * open)
}

/// What h2load sends, and a cookie.
fn request(stream: u32, end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/posts/1"),
        (":authority", "www.example.com"),
        ("user-agent", "h2load nghttp2/1.52.0"),
        ("cookie", "_example_session=pXu3lWkq8S0mF2ZcT1aVYb7nJrE5oHdG9iKwQxC4yLtM6sUvBfAzRjPhNeDgIOsd"),
    ] {
        hpack::encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    frame(1, 4 | u8::from(end), stream, &block)
}

/// Takes a request and answers it with 70 bytes.
#[divan::bench(args = [0, 10, 100])]
fn request_and_answer(bencher: Bencher<'_, '_>, open: u32) {
    let (mut connection, mut stream) = connection(open);
    let now = Instant::now();
    let mut input = request(stream, true);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        input[5..9].copy_from_slice(&stream.to_be_bytes());
        let taken = connection.receive(black_box(&input), now);
        assert!(matches!(taken, Ok((_, Some(Event::Request { .. })))));
        black_box(connection.head());
        let head = connection.send_head(
            stream,
            200,
            |fields| {
                fields.field(b"Content-Type", b"text/plain; charset=utf-8");
                fields.number(b"content-length", 70);
            },
            false,
        );
        let sent = connection.send_data(stream, &[b'x'; 70], true);
        connection.close(stream);
        black_box(connection.out()).clear();
        stream += 2;
        (head, sent)
    });
}

/// Takes 16 KiB of a body, and releases them.
#[divan::bench]
fn body(bencher: Bencher<'_, '_>) {
    let (mut connection, stream) = connection(0);
    let now = Instant::now();
    let _ = connection.receive(&request(stream, false), now);
    let input = frame(0, 0, stream, &[b'x'; 16_384]);
    bencher.counter(divan::counter::BytesCount::new(16_384u32)).bench_local(|| {
        let taken = connection.receive(black_box(&input), now);
        connection.release(stream, 16_384);
        black_box(connection.out()).clear();
        taken
    });
}
