//! Bodies that pass through as they come, and both ways at once; tunnels; clients that are slow.

use std::io::Read as _;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::buffering::temporary_files;
use crate::forwarding::{connect, scripted};
use crate::support::client::{Client, post};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// A Vestibule that passes request bodies on as they come.
fn unbuffered(dir: &Dir, script: impl Fn(&mut Conversation) + Send + Sync + 'static) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), script);
    (Vestibule::start(dir, &config(dir, "[buffer]\nrequest = false")), origin)
}

#[test]
fn carries_both_bodies_at_once() {
    for (framing, chunk) in [("Content-Length: 50", false), ("Transfer-Encoding: chunked", true)] {
        let dir = Dir::new();
        let (vestibule, _origin) = unbuffered(&dir, move |conversation| {
            if conversation.head().is_none() {
                return;
            }
            let _ = conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..10 {
                let prefix = if chunk { 3 } else { 0 };
                let Some(piece) = conversation.exact(prefix + 5 + if chunk { 2 } else { 0 }) else { return };
                let piece = piece[prefix..prefix + 5].to_vec();
                let _ = conversation.write([b"5\r\n", &piece[..], b"\r\n"].concat());
            }
            if chunk {
                assert_eq!(conversation.exact(5).as_deref(), Some(&b"0\r\n\r\n"[..]));
            }
            let _ = conversation.write("0\r\n\r\n");
        });
        let mut client = connect(&vestibule);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).expect("sent");
        assert_eq!(client.response_head().expect("the answer begins before the body").status, 200);
        for round in 0..10 {
            let piece = format!("{round:05}");
            let framed = if chunk { format!("5\r\n{piece}\r\n") } else { piece.clone() };
            client.send(framed).expect("sent");
            assert_eq!(
                client.exact(10).expect("its echo"),
                format!("5\r\n{piece}\r\n").into_bytes(),
                "{framing}"
            );
        }
        if chunk {
            client.send("0\r\n\r\n").expect("sent");
        }
        assert_eq!(client.exact(5).expect("the end"), b"0\r\n\r\n", "{framing}");
    }
}

#[test]
fn sends_the_rest_of_a_buffered_body_to_an_application_that_answers_early() {
    const LENGTH: usize = 3_000_000;
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        if conversation.head().is_none() {
            return;
        }
        let _ = conversation.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let whole = conversation.exact(LENGTH).is_some_and(|body| body.iter().all(|&byte| byte == b'y'));
        let _ = conversation.write(if whole { "whole" } else { "short" });
    });
    assert_eq!(post(vestibule.address(), "/", &vec![b'y'; LENGTH]).text(), "whole");
}

#[test]
fn a_fault_in_a_body_under_way_breaks_off_on_both_sides() {
    let dir = Dir::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&ended);
    let (vestibule, _origin) = unbuffered(&dir, move |conversation| {
        if conversation.head().is_none() {
            return;
        }
        let _ = conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        assert_eq!(conversation.exact(8).as_deref(), Some(&b"3\r\nabc\r\n"[..]));
        assert!(conversation.wait_for_close(), "nothing follows, no last chunk above all");
        theirs.fetch_add(1, Ordering::SeqCst);
    });
    let mut client = connect(&vestibule);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 200);
    client.send("nonsense\r\n").expect("sent");
    until_true("the application sees the end", seconds(30), || ended.load(Ordering::SeqCst) == 1);
    let rest = client.rest().expect("the end");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn bodies_that_the_line_has_no_memory_for_wait_on_disk() {
    let dir = Dir::new();
    let settings = config(&dir, "hold = { timeout = \"20s\", memory = \"20 KiB\" }");
    let vestibule = Vestibule::start(&dir, &settings);
    let bodies: Vec<_> = (0..8_u8)
        .map(|number| {
            let address = vestibule.address();
            std::thread::spawn(move || post(address, "/held", &vec![b'a' + number; 30_000]))
        })
        .collect();
    until_true("all are on disk", seconds(20), || temporary_files(&vestibule) == bodies.len());
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            let first = request.body[0];
            assert!(request.body.iter().all(|&byte| byte == first));
            conversation.answer(&format!("{} of {}", request.body.len(), first as char));
        }
    });
    for (number, thread) in bodies.into_iter().enumerate() {
        let answer = thread.join().expect("a thread");
        let expected = format!("30000 of {}", (b'a' + number as u8) as char);
        assert_eq!((answer.status, answer.text()), (200, expected));
    }
}

#[test]
fn cuts_a_client_whose_body_trickles() {
    let dir = Dir::new();
    let (vestibule, origin) = {
        let origin = Fake::echoing(&dir.socket());
        let limits = "\n[limits]\nrequest_timeout = \"1s\"\nreceive_rate = \"1000 B\"\n";
        (Vestibule::start(&dir, &format!("{}{limits}", config(&dir, ""))), origin)
    };
    let mut client = connect(&vestibule);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").expect("sent");
    let start = Instant::now();
    // Never silent for as long as `request_timeout`.
    while start.elapsed() < seconds(20) && client.send([b'x'; 10]).is_ok() {
        std::thread::sleep(Duration::from_millis(100));
        let mut byte = [0];
        if matches!(client.stream().peek(&mut byte), Ok(1)) {
            break;
        }
        client.stream().set_nonblocking(false).expect("blocking");
    }
    assert_eq!(client.response().expect("an answer").status, 408);
    assert!(start.elapsed() < seconds(10), "{:?}", start.elapsed());
    assert!(origin.requests().is_empty());
}

#[test]
fn cuts_a_client_that_takes_its_answer_too_slowly() {
    let dir = Dir::new();
    let (vestibule, _origin) = {
        let origin = Fake::start(&dir.socket(), |conversation| {
            while conversation.request().is_some() {
                conversation.answer(&"z".repeat(30_000_000));
            }
        });
        let limits = "\n[limits]\nsend_timeout = \"1s\"\nsend_rate = \"1 MiB\"\n";
        (Vestibule::start(&dir, &format!("{}{limits}", config(&dir, ""))), origin)
    };
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let start = Instant::now();
    let mut block = [0; 4096];
    // 80 KB per second, never silent.
    while start.elapsed() < seconds(20) && matches!(client.stream().read(&mut block), Ok(1..)) {
        std::thread::sleep(Duration::from_millis(50));
        if vestibule.access_log().iter().any(|line| line["outcome"] == "client_slow") {
            return;
        }
    }
    panic!("not cut within {:?}: {:?}", start.elapsed(), vestibule.access_log());
}

/// A Vestibule before an application that accepts an upgrade and then does this.
fn tunnel(
    dir: &Dir,
    more: &str,
    script: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> (Vestibule, Fake, Client<std::net::TcpStream>) {
    let origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.head().is_some() {
            let _ = conversation
                .write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            script(conversation);
        }
    });
    let vestibule = Vestibule::start(dir, &config(dir, more));
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 101);
    (vestibule, origin, client)
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed_and_one_that_lives_is_not() {
    let dir = Dir::new();
    let (_vestibule, _origin, mut client) = tunnel(&dir, "timeout = { tunnel = \"3s\" }", |conversation| {
        while let Some(byte) = conversation.exact(1) {
            let _ = conversation.write(byte);
        }
    });
    // In all for longer than it may be silent, and far less between two.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(400));
        client.send("x").expect("sent");
        assert_eq!(client.exact(1).expect("an echo"), b"x");
    }
    assert!(client.is_closed(), "after three seconds of silence");
}

#[test]
fn either_side_of_a_tunnel_may_close_its_sending_first() {
    let dir = Dir::new();
    let (_vestibule, _origin, mut client) = tunnel(&dir, "", |conversation| {
        let _ = conversation.exact(2);
        assert!(conversation.wait_for_close(), "the client's end is passed on");
        let _ = conversation.write("still heard");
    });
    client.send("hi").expect("sent");
    client.stream().shutdown(Shutdown::Write).expect("a half close");
    assert_eq!(client.rest().expect("what the application says after it"), b"still heard");

    let dir = Dir::new();
    let heard = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&heard);
    let (_vestibule, _origin, mut client) = tunnel(&dir, "", move |conversation| {
        conversation.close_sending();
        if conversation.exact(5).as_deref() == Some(b"later") {
            theirs.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert!(client.is_closed(), "the application's end is passed on");
    client.send("later").expect("sent");
    until_true("the application hears what follows", seconds(30), || heard.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_web_socket_opens_only_with_the_proof_of_its_key() {
    for (accept, status) in [
        ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 101),
        ("Sec-WebSocket-Accept: c3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 502),
        ("", 502),
    ] {
        let dir = Dir::new();
        let (vestibule, _origin) = scripted(&dir, move |conversation| {
            if conversation.head().is_some() {
                let head =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
                let _ = conversation.write(format!("{head}{accept}\r\n"));
                let _ = conversation.exact(1);
            }
        });
        let mut client = connect(&vestibule);
        let offer = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.send(offer).expect("sent");
        assert_eq!(client.response_head().expect("a head").status, status, "{accept:?}");
    }
}

/// Has a client send the beginning of this request and leave, and waits until the application, which does what `script`
/// says and then reads no more, is told.
fn leaves_an_application_that_reads_no_more(
    more: &str,
    request: impl AsRef<[u8]>,
    script: impl Fn(&mut Conversation) + Send + Sync + 'static,
) {
    let dir = Dir::new();
    let stages = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&stages);
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.head().is_some() {
            script(conversation);
            theirs.store(1, Ordering::SeqCst);
            conversation.wait_for_hangup();
            theirs.store(2, Ordering::SeqCst);
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, more));
    let mut client = connect(&vestibule);
    client.send(request).expect("sent");
    until_true("the application has its request", seconds(30), || stages.load(Ordering::SeqCst) == 1);
    drop(client);
    until_true("the application is told", seconds(30), || stages.load(Ordering::SeqCst) == 2);
}

#[test]
fn hears_a_client_leave_whose_upload_the_application_does_not_take() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n";
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
    let whole = [head.as_bytes(), &vec![b'x'; 3_000_000]].concat();
    leaves_an_application_that_reads_no_more("", whole, move |conversation| {
        let _ = conversation.write(begin);
    });
    // More than the kernel takes towards the application, and we ahead of it; what is left does not fill the receive window,
    // behind which the client's end could not arrive.
    let part = [head.as_bytes(), &vec![b'x'; 300_000]].concat();
    leaves_an_application_that_reads_no_more("[buffer]\nrequest = false", part, |_| {});
}

#[test]
fn hears_a_client_leave_that_is_held_with_the_beginning_of_its_upload() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "[buffer]\nrequest = false"));
    let mut client = connect(&vestibule);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n";
    client.send([head.as_bytes(), &vec![b'x'; 100_000]].concat()).expect("sent");
    drop(client);
    vestibule.access_line("the client is gone", |line| line["outcome"] == "client_left");
}

#[test]
fn no_tunnel_opens_before_the_request_has_ended() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.head().is_some() {
            let _ = conversation
                .write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            conversation.wait_for_hangup();
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "[buffer]\nrequest = false"));
    let mut client = connect(&vestibule);
    let fields = "Transfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: echo";
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n3\r\nabc\r\n")).expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 502);
}

#[test]
fn nothing_is_written_into_an_interim_answer_that_the_client_does_not_take() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.head().is_some() {
            // Together more than any kernel keeps for a client.
            let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "y".repeat(200_000));
            while conversation.write(&interim).is_ok() {}
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "timeout = { response = \"1s\" }"));
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    vestibule.access_line("the wait for an answer is over", |line| line["path"] == "/");
    let mut got = Vec::new();
    let _ = client.stream().read_to_end(&mut got);
    let own = got.windows(12).position(|bytes| bytes == b"HTTP/1.1 504");
    assert_eq!(own, None, "of {} bytes", got.len());
}
