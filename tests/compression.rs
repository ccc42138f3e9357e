//! Answers of applications that are coded on their way (RFC 9110 8.4): what a client reads is what the application wrote.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use crate::forwarding::connect;
use crate::support::app::{App, Kind};
use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::h2::H2;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

mod tags;

const CODINGS: [&str; 3] = ["gzip", "zstd", "br"];

/// One whose route says this of compression.
fn compressing(dir: &Dir, compress: &str) -> Vestibule {
    // More at a time than any test has.
    let listening = config(dir, "in_flight = 512").replace("[[listen]]\n", "[[listen]]\nhttp2 = true\n");
    Vestibule::start(dir, &format!("{listening}\n[[route]]\ncompress = {compress}\n"))
}

/// The same before an application that does as `script` says.
fn scripted(dir: &Dir, script: impl Fn(&mut Conversation) + Send + Sync + 'static) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), script);
    (compressing(dir, "true"), origin)
}

/// Text that repeats itself as pages do, no part of it like another.
fn page(len: usize) -> String {
    let mut page = String::with_capacity(len + 64);
    let mut number: u32 = 1;
    while page.len() < len {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let _ = writeln!(page, "<li class=\"order\"><a href=\"/orders/{number}\">Order {}</a>", number % 977);
    }
    page.truncate(len);
    page
}

fn get(coding: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")
}

fn ask(vestibule: &Vestibule, request: &str) -> Response {
    let mut client = connect(vestibule);
    client.send(request).expect("sent");
    if request.starts_with("HEAD") { client.head_response() } else { client.response() }.expect("an answer")
}

/// What a decoder makes of what there is so far of a body.
fn readable(coding: &str, coded: &[u8]) -> String {
    let mut out = vec![0; 1 << 20];
    let length = match coding {
        "gzip" => {
            let mut inflater = flate2::Decompress::new_gzip(15);
            let taken = inflater.decompress(coded, &mut out, flate2::FlushDecompress::Sync);
            taken.expect("gzip");
            usize::try_from(inflater.total_out()).expect("a length")
        }
        "zstd" => {
            let mut context = zstd_safe::DCtx::create();
            let mut input = zstd_safe::InBuffer::around(coded);
            let mut output = zstd_safe::OutBuffer::around(&mut out[..]);
            while input.pos() < coded.len() {
                context.decompress_stream(&mut output, &mut input).expect("zstd");
            }
            output.pos()
        }
        "br" => {
            let mut reader = brotli_decompressor::Decompressor::new(coded, 4096);
            let mut length = 0;
            // An error is the end that has not come.
            while let Ok(count @ 1..) = reader.read(&mut out[length..]) {
                length += count;
            }
            length
        }
        other => panic!("{other}"),
    };
    out.truncate(length);
    String::from_utf8(out).expect("text")
}

/// What curl has of a page, and the head.
fn curl(address: SocketAddr, more: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--compressed",
            "--max-time",
            "60",
            "--dump-header",
            "/dev/stderr",
        ])
        .args(more)
        .arg(format!("http://{address}/"))
        .output()
        .expect("curl is installed");
    let head = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl: {head}");
    (head, String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn curl_reads_each_coding_of_short_and_of_long_pages() {
    for length in [1_024, 50_000, 65_536, 65_537, 3_000_000] {
        for is_chunked in [false, true] {
            let dir = Dir::new();
            let (vestibule, _origin) = scripted(&dir, move |conversation| {
                let page = page(length);
                while conversation.request().is_some() {
                    let framing = if is_chunked {
                        "Transfer-Encoding: chunked".to_owned()
                    } else {
                        format!("Content-Length: {length}")
                    };
                    let _ = conversation
                        .write(format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{framing}\r\n\r\n"));
                    if is_chunked {
                        for piece in page.as_bytes().chunks(10_000) {
                            let _ = conversation.write(
                                [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                            );
                        }
                        let _ = conversation.write("0\r\n\r\n");
                    } else {
                        let _ = conversation.write(&page);
                    }
                }
            });
            for coding in CODINGS {
                for protocol in ["--http1.1", "--http1.0", "--http2-prior-knowledge"] {
                    let accepts = format!("Accept-Encoding: {coding}");
                    let (head, body) = curl(vestibule.address(), &[protocol, "--header", &accepts]);
                    let what = format!("{length} {coding} {protocol} chunked: {is_chunked}\n{head}");
                    assert!(head.to_lowercase().contains(&format!("content-encoding: {coding}\r")), "{what}");
                    assert!(head.to_lowercase().contains("vary: accept-encoding\r"), "{what}");
                    assert!(body == page(length), "{what}");
                    // One that was there as a whole is as long as it says.
                    let has_length = head.to_lowercase().contains("content-length: ");
                    assert_eq!(has_length, !is_chunked && length <= 65_536, "{what}");
                }
            }
        }
    }
}

#[test]
fn goes_by_what_the_client_takes() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, |conversation| {
        let page = page(9_000);
        while conversation.request().is_some() {
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9000\r\n\r\n{page}"
            ));
        }
    });
    for (accepts, expected) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("gzip, deflate", Some("gzip")),
        ("gzip;q=0.2, br;q=0.9, zstd;q=0.5", Some("br")),
        ("*", Some("zstd")),
        ("*;q=0", None),
        ("identity", None),
        ("gzip;q=0, identity;q=0", None),
        ("gzip;q=nonsense", None),
        ("", None),
    ] {
        let answer = ask(&vestibule, &get(accepts));
        assert_eq!(answer.field("content-encoding"), expected, "{accepts}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{accepts}");
        match expected {
            Some(coding) => assert!(readable(coding, &answer.body) == page(9_000), "{accepts}"),
            None => assert!(answer.text() == page(9_000), "{accepts}"),
        }
    }
    // The application is told the same.
    assert_eq!(origin.requests()[0].field("accept-encoding"), Some("gzip, deflate, br, zstd"));
    let plain = ask(&vestibule, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), (None, Some("Accept-Encoding")));
}

#[test]
fn head_says_what_get_would() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        let page = page(9_000);
        while let Some(request) = conversation.request() {
            let body = if request.line().starts_with("HEAD") { "" } else { &page };
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-Length: 9000\r\n\r\n{body}"
            ));
        }
    });
    let got = ask(&vestibule, &get("gzip"));
    let head = ask(&vestibule, &get("gzip").replace("GET", "HEAD"));
    for name in ["content-encoding", "vary", "etag", "content-type", "accept-ranges"] {
        assert_eq!(head.field(name), got.field(name), "{name}");
    }
    assert_eq!(head.field("content-length"), None, "nobody knows without doing it");
    assert_eq!(head.field("etag"), Some("W/\"a~coded\""));
    assert_eq!(head.field("accept-ranges"), None);
    let plain = ask(&vestibule, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((plain.field("content-length"), plain.field("etag")), (Some("9000"), Some("\"a\"")));
    assert_eq!(plain.field("accept-ranges"), Some("bytes"));
}

#[test]
fn what_is_coded_already_or_must_not_be_passes_byte_for_byte() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            let field = request.field("x-field").unwrap_or_default().replace('|', "\r\n");
            let _ = conversation
                .write(format!("HTTP/1.1 {field}\r\nContent-Length: 5000\r\n\r\n{}", page(5_000)));
        }
    });
    for fields in [
        "200 OK|Content-Type: text/html|Content-Encoding: gzip",
        "200 OK|Content-Type: text/html|Cache-Control: no-transform",
        "206 Partial Content|Content-Type: text/html|Content-Range: bytes 0-4999/10000",
        "200 OK|Content-Type: image/png",
        "200 OK|Content-Type: text/event-stream",
        "200 OK|X-None: a",
    ] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nX-Field: {fields}\r\n\r\n");
        let answer = ask(&vestibule, &request);
        assert!(answer.text() == page(5_000), "{fields}");
        // A part varies as the whole does.
        let varies = fields.starts_with("206").then_some("Accept-Encoding");
        assert_eq!(answer.field("vary"), varies, "{fields}");
        assert_eq!(answer.field("content-encoding").is_some(), fields.contains("Encoding"), "{fields}");
        assert_eq!(answer.field("content-length"), Some("5000"), "{fields}");
    }
    drop(vestibule);
    let vestibule = compressing(&dir, "{ least = \"6 KiB\" }");
    let request = get("gzip").replace("\r\n\r\n", "\r\nX-Field: 200 OK|Content-Type: text/html\r\n\r\n");
    let short = ask(&vestibule, &request);
    assert_eq!((short.field("content-encoding"), short.field("vary")), (None, None));
}

#[test]
fn nothing_is_coded_unless_a_route_says_so() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n{}",
                page(5_000)
            ));
        }
    });
    let start: [&dyn Fn() -> Vestibule; 2] =
        [&|| Vestibule::start(&dir, &config(&dir, "")), &|| compressing(&dir, "false")];
    for start in start {
        let vestibule = start();
        let answer = ask(&vestibule, &get("gzip"));
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None));
        assert!(answer.text() == page(5_000));
    }
}

/// An application that writes a line whenever it is told to, and ends when the teller goes.
fn telling(dir: &Dir, head: &'static str) -> (Vestibule, Fake, mpsc::Sender<String>) {
    let (teller, lines) = mpsc::channel::<String>();
    let lines = std::sync::Mutex::new(lines);
    let (vestibule, origin) = scripted(dir, move |conversation| {
        if conversation.request().is_none() {
            return;
        }
        let _ = conversation.write(format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n"));
        while let Ok(line) = lines.lock().expect("lines").recv() {
            if line == "break off" {
                return;
            }
            let _ = conversation.write(format!("{:x}\r\n{line}\r\n", line.len()));
        }
        let _ = conversation.write("0\r\n\r\n");
    });
    (vestibule, origin, teller)
}

#[test]
fn lines_of_a_stream_arrive_as_they_are_written() {
    for coding in CODINGS {
        let dir = Dir::new();
        let (vestibule, _origin, teller) = telling(&dir, "Content-Type: text/html\r\n");
        let mut client = connect(&vestibule);
        client.send(get(coding)).expect("sent");
        let head = client.response_head().expect("a head before the first line");
        assert_eq!(head.field("content-encoding"), Some(coding));
        assert_eq!(head.field("content-length"), None);
        let (mut told, mut coded) = (String::new(), Vec::new());
        for number in 0..6 {
            let line = format!("line {number} of what is not yet all\n");
            told.push_str(&line);
            teller.send(line).expect("told");
            // Nothing else is said before this line is read.
            until_true("the line can be read", seconds(30), || {
                coded.extend(chunk(&mut client));
                readable(coding, &coded) == told
            });
            if number == 3 {
                // Longer than an encoder keeps its memory: it goes on with another. What that says is nothing, or ends a frame.
                std::thread::sleep(Duration::from_millis(2_600));
            }
        }
        drop(teller);
        loop {
            let piece = chunk(&mut client);
            if piece.is_empty() {
                break;
            }
            coded.extend(piece);
        }
        assert_eq!(readable(coding, &coded), told);
    }
}

/// The next chunk of a body.
fn chunk(client: &mut Client<std::net::TcpStream>) -> Vec<u8> {
    let head = client.through(b"\r\n").expect("a chunk's head");
    let length = usize::from_str_radix(String::from_utf8_lossy(&head).trim(), 16).expect("a length");
    let mut piece = client.exact(length + 2).expect("a chunk");
    piece.truncate(length);
    piece
}

#[test]
fn a_stream_of_events_stays_as_it_is() {
    let dir = Dir::new();
    let (vestibule, _origin, teller) =
        telling(&dir, "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n");
    let mut client = connect(&vestibule);
    client.send(get("gzip, br, zstd")).expect("sent");
    let head = client.response_head().expect("a head");
    assert_eq!((head.field("content-encoding"), head.field("vary")), (None, None));
    for word in ["one", "two"] {
        teller.send(format!("data: {word}\n\n")).expect("told");
        assert_eq!(chunk(&mut client), format!("data: {word}\n\n").as_bytes());
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for coding in CODINGS {
        for protocol in ["HTTP/1.1", "HTTP/1.0"] {
            let dir = Dir::new();
            let (vestibule, _origin, teller) = telling(&dir, "Content-Type: text/html\r\n");
            let mut client = connect(&vestibule);
            client.send(get(coding).replace("HTTP/1.1", protocol)).expect("sent");
            let head = client.response_head().expect("a head");
            assert_eq!(head.field("content-encoding"), Some(coding));
            let line = page(5_000);
            teller.send(line.clone()).expect("told");
            let mut coded = Vec::new();
            if protocol == "HTTP/1.1" {
                until_true("it can be read", seconds(30), || {
                    coded.extend(chunk(&mut client));
                    readable(coding, &coded) == line
                });
            }
            teller.send("break off".to_owned()).expect("told");
            match client.rest() {
                Ok(rest) if protocol == "HTTP/1.1" => {
                    assert!(!rest.ends_with(b"0\r\n\r\n"), "{coding} {rest:?}");
                }
                Ok(rest) => panic!("an orderly end after {} bytes of {coding}", rest.len()),
                Err(_) => {}
            }
            vestibule.access_line("an answer that broke off", |entry| entry["outcome"] == "broken");
        }
    }
    // On HTTP/2 the stream is reset.
    let dir = Dir::new();
    let (vestibule, _origin, teller) = telling(&dir, "Content-Type: text/html\r\n");
    let mut client = H2::connect(vestibule.address());
    let stream = client.request("GET", "/", &[("accept-encoding", "gzip")], true);
    teller.send(page(5_000)).expect("told");
    client.wait("the first line", |client| !client.seen(stream).body.is_empty());
    teller.send("break off".to_owned()).expect("told");
    let answer = client.answer(stream);
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    assert!(answer.reset.is_some() && !answer.has_ended);
    assert_eq!(readable("gzip", &answer.body), page(5_000));
}

#[test]
fn trailers_and_sums_of_the_bytes_that_were_do_not_pass_with_others() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while conversation.request().is_some() {
            let page = page(5_000);
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTrailer: Digest\r\nContent-MD5: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1388\r\n{page}\r\n0\r\nDigest: sha-256=x\r\n\r\n"
            ));
        }
    });
    let mut client = connect(&vestibule);
    client.send(get("gzip").replace("\r\n\r\n", "\r\nTE: trailers\r\nConnection: TE\r\n\r\n")).expect("sent");
    let head = client.response_head().expect("a head");
    for name in ["trailer", "content-md5"] {
        assert_eq!(head.field(name), None);
    }
    let mut coded = Vec::new();
    loop {
        let piece = chunk_without_end(&mut client);
        if piece.is_empty() {
            break;
        }
        coded.extend(piece);
    }
    assert_eq!(client.exact(2).expect("the end"), b"\r\n");
    assert_eq!(readable("gzip", &coded), page(5_000));
}

/// The next chunk, or the head of the last.
fn chunk_without_end(client: &mut Client<std::net::TcpStream>) -> Vec<u8> {
    let head = client.through(b"\r\n").expect("a chunk's head");
    let length = usize::from_str_radix(String::from_utf8_lossy(&head).trim(), 16).expect("a length");
    if length == 0 { Vec::new() } else { client.exact(length + 2).expect("a chunk")[..length].to_vec() }
}

#[test]
fn a_long_answer_leaves_the_thread_to_others() {
    let dir = Dir::new();
    let length = 100_000_000_usize;
    let (vestibule, _origin) = scripted(&dir, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() != "/" {
                conversation.answer("short");
                continue;
            }
            let piece = page(1_000_000);
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n"
            ));
            for _ in 0..length / piece.len() {
                if conversation.write(&piece).is_err() {
                    return;
                }
            }
        }
    });
    let mut long = connect(&vestibule);
    long.send(get("gzip")).expect("sent");
    long.response_head().expect("a head");
    let mut reader = long.into_stream();
    let reading = std::thread::spawn(move || {
        let (mut buffer, mut last, mut bytes) = ([0; 65_536], Vec::new(), 0);
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            bytes += count;
            last.extend_from_slice(&buffer[..count]);
            if last.ends_with(b"\r\n0\r\n\r\n") {
                return bytes;
            }
            last.drain(..last.len().saturating_sub(16));
        }
        panic!("no end after {bytes} bytes")
    });
    let mut others = 0;
    while !reading.is_finished() {
        let mut client = connect(&vestibule);
        client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(client.response().expect("an answer").text(), "short");
        others += 1;
    }
    let bytes = reading.join().expect("the reader");
    assert!(bytes > 1_000_000 && bytes < length, "{bytes}");
    // It takes a third of a second and more to code; each other waits for one turn of it, not for its end.
    assert!(others > 20, "only {others} answers came meanwhile");
}

#[test]
fn streams_that_wait_hold_little_memory() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        if conversation.request().is_some() {
            let line = page(3_000);
            let _ = conversation
                .write("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _ = conversation.write(format!("{:x}\r\n{line}\r\n", line.len()));
            conversation.wait_for_hangup();
        }
    });
    let open = |count: usize| -> Vec<_> {
        (0..count)
            .map(|number| {
                let mut client = connect(&vestibule);
                client.send(get(CODINGS[number % 2])).expect("sent");
                client.response_head().expect("a head");
                let _ = chunk(&mut client);
                client
            })
            .collect()
    };
    let first = open(20);
    let before = vestibule.rss();
    let more = open(180);
    // 0.4 MiB for each of gzip and 0.5 for each of zstd would be 81 MiB; all that may be held at a time is a third of it, and after the time
    // of rest it is nothing.
    let held = vestibule.rss().saturating_sub(before) >> 20;
    assert!(held < 48, "{held} MiB");
    until_true("all rest", seconds(30), || vestibule.rss().saturating_sub(before) >> 20 < 16);
    drop((first, more));
}

#[test]
fn does_not_code_what_the_application_has_coded() {
    let dir = Dir::new();
    std::fs::write(
        dir.join("deflater.ru"),
        "use Rack::Deflater\nrun ->(env) { [200, {'content-type' => 'text/html'}, [\"a page like another\\n\" * 500]] }\n",
    )
    .expect("written");
    let _app = rack(&dir, &dir.join("deflater.ru"));
    let vestibule = compressing(&dir, "true");
    let answer = ask(&vestibule, &get("gzip"));
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    assert_eq!(readable("gzip", &answer.body), "a page like another\n".repeat(500));
    assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
    let answer = ask(&vestibule, &get("zstd, br;q=0.5"));
    assert_eq!(answer.field("content-encoding"), Some("zstd"), "which Rack does not know");
    assert_eq!(readable("zstd", &answer.body), "a page like another\n".repeat(500));
    assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
}

/// A Puma with another application than the tests' own; killed when it goes.
struct Rack(std::process::Child);

impl Drop for Rack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rack(dir: &Dir, rackup: &Path) -> Rack {
    let socket = dir.socket();
    let child = Command::new("puma")
        .args(["--quiet", "--environment", "production", "--threads", "1:1", "--bind"])
        .arg(format!("unix://{}", socket.display()))
        .arg(rackup)
        .current_dir(rackup.parent().expect("a directory"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("puma is installed");
    let rack = Rack(child);
    until_true("puma listens", seconds(60), || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    rack
}

#[test]
fn the_tests_own_application_reads_the_same_with_and_without() {
    let dir = Dir::new();
    let _app = App::start(Kind::Puma, &dir);
    let vestibule = compressing(&dir, "{ least = \"1 B\" }");
    for path in ["/", "/page", "/lines?bytes=200000", "/lines?bytes=200000&chunked=1", "/stream", "/missing"]
    {
        let plain = ask(&vestibule, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        for coding in CODINGS {
            let answer = ask(&vestibule, &get(coding).replace("GET /", &format!("GET {path}")));
            assert_eq!(answer.field("content-encoding"), Some(coding), "{path}");
            assert_eq!(answer.status, plain.status);
            assert!(readable(coding, &answer.body) == plain.text(), "{path} {coding}");
        }
    }
}
