//! The cost of HPACK: a browser's request read, on a new connection and on one that has seen it before, and an answer of
//! Rails written.

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use vestibule_http2::hpack::{Decoder, encode_field, encode_status};

/// Shows the allocations of each bench; a bench without them shows none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// What a browser sends to a site where somebody is signed in, and of each field the index of its name in the static
/// table, or 0.
const BROWSER: [(u8, &str, &str); 14] = [
    (1, ":authority", "www.example.com"),
    (
        58,
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    ),
    (
        19,
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    (16, "accept-encoding", "gzip, deflate, br, zstd"),
    (17, "accept-language", "en-US,en;q=0.9"),
    (51, "referer", "https://www.example.com/posts?page=1"),
    (
        32,
        "cookie",
        "_example_session=pXu3lWkq8S0mF2ZcT1aVYb7nJrE5oHdG9iKwQxC4yLtM6sUvBfAzRjPhNeDgIOsd--Kf3%2BbW8uZr5y",
    ),
    (0, "sec-ch-ua", "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\""),
    (0, "sec-ch-ua-mobile", "?0"),
    (0, "sec-ch-ua-platform", "\"Linux\""),
    (0, "upgrade-insecure-requests", "1"),
    (0, "sec-fetch-site", "same-origin"),
    (0, "sec-fetch-mode", "navigate"),
    (0, "priority", "u=0, i"),
];
const PATH: &str = "/posts/1?page=2";

const ANSWER: [(&str, &str); 14] = [
    ("x-frame-options", "SAMEORIGIN"),
    ("x-xss-protection", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-permitted-cross-domain-policies", "none"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("link", "</assets/application-4ac7e9.css>; rel=preload; as=style; nopush"),
    ("content-type", "text/html; charset=utf-8"),
    ("vary", "Accept"),
    ("etag", "W/\"5a3f0c1be0d94c2f8d7e6b5a4c3d2e1f\""),
    ("cache-control", "max-age=0, private, must-revalidate"),
    (
        "set-cookie",
        "_example_session=pXu3lWkq8S0mF2ZcT1aVYb7nJrE5oHdG9iKwQxC4yLtM6sUvBfAz; path=/; HttpOnly; SameSite=Lax",
    ),
    ("x-request-id", "0f9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c"),
    ("x-runtime", "0.004211"),
    ("Content-Length", "5120"),
];

const MOST: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// A string as our encoder writes it: behind a name of one letter, which it does not code.
fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_field(&mut out, b"x", text.as_bytes());
    out.split_off(3)
}

/// What stands before the fields that are remembered: GET, https, the path, which browsers do not have remembered.
fn beginning() -> Vec<u8> {
    [&[0x82, 0x87, 0x04][..], &text(PATH)].concat()
}

/// The first request on a connection: all is new, and to be remembered.
fn first_block() -> Vec<u8> {
    let mut block = beginning();
    for (index, name, value) in BROWSER {
        block.push(0x40 | index);
        if index == 0 {
            block.extend(text(name));
        }
        block.extend(text(value));
    }
    block
}

/// A further one: all but the path is known.
fn next_block() -> Vec<u8> {
    beginning().into_iter().chain((0..BROWSER.len() as u8).map(|number| 0x80 | (62 + number))).collect()
}

#[divan::bench]
fn first_request(bencher: Bencher<'_, '_>) {
    let block = first_block();
    bencher.counter(BytesCount::of_slice(&block)).bench(|| {
        let mut sum = 0;
        let outcome = Decoder::new(4096).decode(black_box(&block), MOST, |name, value| {
            sum += black_box(name).len() + black_box(value).len();
        });
        (outcome, sum)
    });
}

#[divan::bench]
fn next_request(bencher: Bencher<'_, '_>) {
    let mut decoder = Decoder::new(4096);
    let _ = decoder.decode(&first_block(), MOST, |_, _| {});
    let block = next_block();
    bencher.counter(BytesCount::of_slice(&block)).bench_local(|| {
        let mut sum = 0;
        let outcome = decoder.decode(black_box(&block), MOST, |name, value| {
            sum += black_box(name).len() + black_box(value).len();
        });
        (outcome, sum)
    });
}

#[divan::bench]
fn answer(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        encode_status(&mut out, black_box(200));
        for (name, value) in black_box(&ANSWER) {
            encode_field(&mut out, name.as_bytes(), value.as_bytes());
        }
        black_box(&out).len()
    });
}
