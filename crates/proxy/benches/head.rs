//! The cost of a head on its way through: parsing a request's, writing it for the application, parsing the answer's.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use vestibule_config::Fields;
use vestibule_http1::{HeadLimits, Method, RequestHead, ResponseHead};
use vestibule_proxy::{About, Door, Peer, Request, RequestId, write_head};

/// Shows the allocations of each bench; a bench without them shows none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };

/// What wrk sends.
const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a browser sends to a site where somebody is signed in.
const BROWSER: &[u8] = b"GET /posts/1?page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/posts?page=1\r\n\
    DNT: 1\r\n\
    Connection: keep-alive\r\n\
    Cookie: _example_session=pXu3lWkq8S0mF2ZcT1aVYb7nJrE5oHdG9iKwQxC4yLtM6sUvBfAzRjPhNeDgIOsd--Kf3%2BbW8uZr5y; locale=en\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-User: ?1\r\n\
    If-None-Match: W/\"5a3f0c1be0d94c2f8d7e6b5a4c3d2e1f\"\r\n\
    Priority: u=0, i\r\n\r\n";

/// What a small Rack application answers, and what Rails does.
const SMALL_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 70\r\n\r\n";
const RAILS_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    x-frame-options: SAMEORIGIN\r\n\
    x-xss-protection: 0\r\n\
    x-content-type-options: nosniff\r\n\
    x-permitted-cross-domain-policies: none\r\n\
    referrer-policy: strict-origin-when-cross-origin\r\n\
    link: </assets/application-4ac7e9.css>; rel=preload; as=style; nopush\r\n\
    content-type: text/html; charset=utf-8\r\n\
    vary: Accept\r\n\
    etag: W/\"5a3f0c1be0d94c2f8d7e6b5a4c3d2e1f\"\r\n\
    cache-control: max-age=0, private, must-revalidate\r\n\
    set-cookie: _example_session=pXu3lWkq8S0mF2ZcT1aVYb7nJrE5oHdG9iKwQxC4yLtM6sUvBfAz; path=/; HttpOnly; SameSite=Lax\r\n\
    x-request-id: 0f9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c\r\n\
    x-runtime: 0.004211\r\n\
    Content-Length: 5120\r\n\r\n";

const REQUESTS: [(&str, &[u8]); 2] = [("small", SMALL), ("browser", BROWSER)];
const ANSWERS: [(&str, &[u8]); 2] = [("small", SMALL_ANSWER), ("rails", RAILS_ANSWER)];

fn main() {
    divan::main();
}

fn of<'a>(all: &[(&str, &'a [u8])], name: &str) -> &'a [u8] {
    all.iter().find(|(known, _)| *known == name).map_or(b"", |(_, bytes)| bytes)
}

#[divan::bench(args = REQUESTS.map(|(name, _)| name), sample_size = 1000)]
fn parse_request(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = of(&REQUESTS, name);
    let mut head = RequestHead::default();
    bencher.counter(BytesCount::of_slice(bytes)).bench_local(|| {
        let parsed = head.parse(black_box(bytes), &mut 0, &LIMITS);
        assert_eq!(parsed, Ok(true));
    });
}

/// A new request id, the client's address, the time: everything that is written for each request.
#[divan::bench(args = REQUESTS.map(|(name, _)| name), sample_size = 1000)]
fn write_request(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = of(&REQUESTS, name);
    let mut head = RequestHead::default();
    assert_eq!(head.parse(bytes, &mut 0, &LIMITS), Ok(true));
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let door = Door::plain(Peer::new(Some(address), &[]), Rc::default());
    let request = Request {
        head: &head,
        bytes,
        door: &door,
        arrived: Instant::now(),
        arrived_at: SystemTime::now(),
        serial: 1,
    };
    let fields = Fields::default();
    let mut out = Vec::with_capacity(4096);
    bencher.counter(BytesCount::of_slice(bytes)).bench_local(|| {
        out.clear();
        let id = RequestId::of(&request);
        let about = About { client: address, id: &id, fields: &fields, reworked: None };
        write_head(&mut out, black_box(&request), about, true);
        assert!(out.len() > bytes.len());
    });
}

#[divan::bench(args = ANSWERS.map(|(name, _)| name), sample_size = 1000)]
fn parse_answer(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = of(&ANSWERS, name);
    let mut head = ResponseHead::default();
    bencher.counter(BytesCount::of_slice(bytes)).bench_local(|| {
        let parsed = head.parse(black_box(bytes), &mut 0, &LIMITS, Method::Get);
        assert_eq!(parsed, Ok(true));
    });
}
