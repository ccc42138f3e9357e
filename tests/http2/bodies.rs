//! Bodies both ways, windows, trailers, answers that come early.

use super::{connect, noise, scripted};
use crate::support::dir::Dir;
use crate::support::h2::{CANCEL, H2, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR};
use crate::support::wait::seconds;

/// Sends back what came.
fn echo(conversation: &mut crate::support::fake::Conversation) {
    while let Some(request) = conversation.request() {
        let _ =
            conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
        let _ = conversation.write(&request.body);
    }
}

#[test]
fn bodies_of_all_lengths_arrive_as_they_were() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, "", echo);
    let mut client = connect(&vestibule);
    for length in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 300_000, 3_000_001] {
        let body = noise(length);
        let answer = client.post("/", &body);
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body, "{length} bytes came back as {}", answer.body.len());
        assert!(answer.has_ended && answer.reset.is_none());
    }
    // Without a length the application gets one all the same.
    let stream = client.request("POST", "/", &[], false);
    client.upload(stream, &noise(100_000), true);
    assert!(client.answer(stream).body == noise(100_000));
    let last = origin.requests().pop().expect("a request");
    assert_eq!(last.field("content-length"), Some("100000"));
    // And so it does when trailers end the body.
    let stream = client.request("POST", "/", &[], false);
    client.upload(stream, b"abc", false);
    let trailers = crate::support::h2::block(&[("x-sum", "1")]);
    client.frame(crate::support::h2::HEADERS, 5, stream, &trailers).expect("sent");
    assert_eq!(client.answer(stream).text(), "abc");
}

#[test]
fn uploads_side_by_side_do_not_mix() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", echo);
    let mut client = connect(&vestibule);
    let bodies: Vec<Vec<u8>> = (0..20).map(|number| noise(40_000 + number)).collect();
    let streams: Vec<u32> = bodies.iter().map(|_| client.request("POST", "/", &[], false)).collect();
    for start in (0..).step_by(1000).take(41) {
        for (stream, body) in streams.iter().zip(&bodies) {
            let piece = &body[start.min(body.len())..(start + 1000).min(body.len())];
            if !piece.is_empty() {
                client.upload(*stream, piece, start + 1000 >= body.len());
            }
        }
    }
    for (stream, body) in streams.iter().zip(&bodies) {
        assert!(client.answer(*stream).body == *body, "stream {stream}");
    }
}

#[test]
fn a_body_that_is_not_taken_stops_at_its_window() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, "[buffer]\nrequest = false", |conversation| {
        // It never reads what follows the head.
        if conversation.head().is_some() {
            conversation.wait_for_hangup();
        }
    });
    let mut client = connect(&vestibule);
    let stream = client.request("POST", "/", &[("content-length", "100000000")], false);
    client.listen(std::time::Duration::from_millis(200));
    let mut sent = 0;
    loop {
        let room = client.room(stream).clamp(0, 16_384) as usize;
        if room == 0 {
            let before = client.room(stream);
            client.listen(std::time::Duration::from_millis(1500));
            if client.room(stream) == before {
                break;
            }
            continue;
        }
        client.data(stream, &vec![0; room], false).expect("sent");
        sent += room;
        assert!(sent < 8_000_000, "nothing stops the client");
    }
    println!("{sent} bytes until the window stayed shut");
    // Others on the connection are not held up.
    let other = client.request("OPTIONS", "*", &[], true);
    assert_eq!(client.answer(other).status(), 200);
    drop(origin);
}

#[test]
fn an_answer_goes_no_further_than_its_window() {
    let dir = Dir::new();
    let body = noise(200_000);
    let served = body.clone();
    let (vestibule, _origin) = scripted(&dir, "", move |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
            let _ = conversation.write(&served);
        }
    });
    let mut client = H2::with_window(vestibule.address(), 100);
    let stream = client.request("GET", "/", &[], true);
    client.wait("the first bytes", |client| client.seen(stream).body.len() >= 100);
    client.listen(std::time::Duration::from_millis(200));
    assert_eq!(client.seen(stream).body.len(), 100);
    client.open_window(stream, 1);
    client.wait("one byte", |client| client.seen(stream).body.len() >= 101);
    client.open_window(stream, 1_000_000);
    // The connection's own window is next.
    client.wait("the connection's window", |client| client.seen(stream).body.len() >= 65_535);
    client.listen(std::time::Duration::from_millis(200));
    assert_eq!(client.seen(stream).body.len(), 65_535);
    client.open_window(0, 1_000_000);
    let answer = client.answer(stream);
    assert!(answer.body == body && answer.has_ended);
}

#[test]
fn all_streams_get_their_share_of_a_narrow_connection() {
    const EACH: usize = 100_000;
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {EACH}\r\n\r\n"));
            let _ = conversation.write(vec![b'x'; EACH]);
        }
    });
    // Streams may be sent all at once; what they share is the connection's window.
    let mut client = H2::with_window(vestibule.address(), 1 << 20);
    let streams: Vec<u32> = (0..10).map(|_| client.request("GET", "/", &[], true)).collect();
    client.wait("all heads", |client| streams.iter().all(|stream| !client.seen(*stream).heads.is_empty()));
    let total = |client: &H2| streams.iter().map(|stream| client.seen(*stream).body.len()).sum::<usize>();
    client.wait("the window", |client| total(client) == 65_535);
    for round in 1..=12 {
        client.open_window(0, 65_536);
        client.wait("the window", |client| total(client) == 65_535 + round * 65_536);
    }
    let lengths: Vec<usize> = streams.iter().map(|stream| client.seen(*stream).body.len()).collect();
    let (least, most) = (lengths.iter().min().expect("some"), lengths.iter().max().expect("some"));
    assert!(*least > 40_000 && *most - *least <= 60_000, "unfair: {lengths:?}");
    client.open_window(0, 1 << 20);
    for stream in &streams {
        assert_eq!(client.answer(*stream).body.len(), EACH);
    }
}

#[test]
fn trailers_go_to_who_takes_them() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n3\r\nabc\r\n0\r\n\
                 Server-Timing: db;dur=5\r\nContent-Length: 9\r\n\r\n",
            );
        }
    });
    let mut client = connect(&vestibule);
    let answer = client.get("/");
    assert_eq!((answer.text(), answer.heads.len()), ("abc".to_owned(), 1));
    let stream = client.request("GET", "/", &[("te", "trailers")], true);
    let answer = client.answer(stream);
    assert_eq!((answer.text(), answer.heads.len()), ("abc".to_owned(), 2));
    assert_eq!(answer.heads[1], [("server-timing".to_owned(), "db;dur=5".to_owned())]);
    assert!(answer.has_ended);
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, "", echo);
    let mut client = connect(&vestibule);
    let fields = [("expect", "100-continue"), ("content-length", "5")];
    let stream = client.request("POST", "/", &fields, false);
    client.wait("100 Continue", |client| !client.seen(stream).heads.is_empty());
    assert_eq!(client.seen(stream).heads[0], [(":status".to_owned(), "100".to_owned())]);
    client.upload(stream, b"hello", true);
    assert_eq!(client.answer(stream).text(), "hello");
    assert_eq!(origin.requests()[0].field("expect"), None);
}

#[test]
fn an_answer_before_the_end_of_the_body_asks_the_client_to_stop() {
    let dir = Dir::new();
    let settings = format!("{}\n[limits]\nbody = \"100KiB\"\n", super::with_http2(&dir, ""));
    let _origin = crate::support::fake::Fake::echoing(&dir.socket());
    let vestibule = crate::support::vestibule::Vestibule::start(&dir, &settings);
    let mut client = connect(&vestibule);
    // Known from the length, and found out on the way.
    let stream = client.request("POST", "/", &[("content-length", "1000000")], false);
    let early = client.answer_and_reset(stream);
    assert_eq!((early.status(), early.has_ended, early.reset), (413, true, Some(NO_ERROR)));
    let stream = client.request("POST", "/", &[], false);
    client.upload(stream, &noise(150_000), false);
    let early = client.answer_and_reset(stream);
    assert_eq!((early.status(), early.has_ended, early.reset), (413, true, Some(NO_ERROR)));
    // What comes behind that is forgotten, and does not count against the connection for ever.
    for _ in 0..30 {
        client.upload(stream, &[0; 1000], false);
    }
    assert_eq!(client.get("/next").text(), "/next");
}

#[test]
fn a_body_that_breaks_its_word_never_arrives() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, "", echo);
    let mut client = connect(&vestibule);
    for (length, body) in [("5", &b"123456"[..]), ("5", b"1234")] {
        let stream = client.request("POST", "/", &[("content-length", length)], false);
        client.data(stream, body, true).expect("sent");
        assert_eq!(client.answer(stream).reset, Some(PROTOCOL_ERROR), "{length}");
    }
    assert_eq!(client.post("/", b"12345").text(), "12345");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_answer_that_breaks_off_is_not_ended() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        let Some(request) = conversation.request() else { return };
        // More than could be asked for again in silence.
        let piece = "x".repeat(300_000);
        let _ = match request.target() {
            "/length" => {
                conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{piece}"))
            }
            _ => conversation.write(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n{piece}\r\n5\r\nab"
            )),
        };
    });
    let mut client = connect(&vestibule);
    for path in ["/length", "/chunked"] {
        let stream = client.request("GET", path, &[], true);
        let answer = client.answer(stream);
        assert_eq!(
            (answer.status(), answer.has_ended, answer.reset),
            (200, false, Some(INTERNAL_ERROR)),
            "{path}"
        );
        let line = vestibule.access_line("its line", |line| line["path"] == path);
        assert_eq!(line["outcome"], "broken");
    }
}

#[test]
fn a_reset_frees_the_application_at_once() {
    let dir = Dir::new();
    let (left, leaves) = std::sync::mpsc::channel();
    let left = std::sync::Mutex::new(left);
    let (vestibule, _origin) = scripted(&dir, "", move |conversation| {
        if let Some(request) = conversation.request() {
            if request.target() == "/wait" {
                conversation.wait_for_hangup();
                left.lock().expect("the channel").send(()).expect("somebody listens");
            } else {
                conversation.answer(request.target());
            }
        }
    });
    let mut client = connect(&vestibule);
    let stream = client.request("GET", "/wait", &[], true);
    let other = client.request("GET", "/other", &[], true);
    assert_eq!(client.answer(other).text(), "/other");
    client.reset(stream, CANCEL);
    leaves.recv_timeout(seconds(10)).expect("the application hears of it");
    let line = vestibule.access_line("its line", |line| line["path"] == "/wait");
    assert_eq!((&line["status"], &line["outcome"]), (&499.into(), &"client_left".into()));
    // And so does a connection that goes with its streams.
    client.request("GET", "/wait", &[], true);
    client.request("GET", "/wait", &[], true);
    let again = client.request("GET", "/again", &[], true);
    assert_eq!(client.answer(again).text(), "/again");
    drop(client);
    for _ in 0..2 {
        leaves.recv_timeout(seconds(10)).expect("the application hears of it");
    }
}
