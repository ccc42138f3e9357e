//! What an idle connection costs: less than nginx 1.22 takes for it, which was measured in the same ways.

use super::with_http2;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::{END_HEADERS, END_STREAM, H2, HEADERS, remembered_block, request_fields};
use crate::support::turn;
use crate::support::vestibule::Vestibule;

const COUNT: usize = 4000;

/// The bytes that each of many connections takes which were used so and do nothing now.
fn bytes_each(what: &str, used: impl Fn(&mut H2)) -> u64 {
    let _turn = turn::alone();
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = format!(
        "{}\n[limits]\nconnections_per_address = 16384\n[log]\naccess = \"off\"\n",
        with_http2(&dir, "")
    );
    let vestibule = Vestibule::start(&dir, &settings);
    let open = |_| {
        let mut client = H2::connect(vestibule.address());
        used(&mut client);
        client
    };
    // What is there only once is there before.
    let warm: Vec<H2> = (0..50).map(open).collect();
    drop(warm);
    let before = vestibule.rss();
    let mut clients: Vec<H2> = (0..COUNT).map(open).collect();
    let after = vestibule.rss();
    let each = after.saturating_sub(before) / COUNT as u64;
    println!("{what}: {each} bytes each ({before} before, {after} after)");
    for client in clients.iter_mut().step_by(100) {
        assert_eq!(client.get("/still").text(), "/still");
    }
    each
}

#[test]
fn an_idle_connection_takes_less_than_nginx_does() {
    let each = bytes_each("idle after a request", |client| {
        assert_eq!(client.get("/").status(), 200);
    });
    assert!(each <= 1740, "{each}");
}

#[test]
fn what_the_client_has_remembered_is_all_that_comes_to_it() {
    let each = bytes_each("idle with a full table", |client| {
        let stream = client.next_stream();
        let values: Vec<(String, String)> =
            (0..40).map(|number| (format!("x-remembered-{number}"), "v".repeat(60))).collect();
        let mut fields = request_fields("GET", "/").to_vec();
        fields.extend(values.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let block = remembered_block(&fields);
        client.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block).expect("sent");
        assert_eq!(client.answer(stream).status(), 200);
    });
    assert!(each <= 6450, "{each}");
}

#[test]
fn nothing_is_left_of_a_burst() {
    let each = bytes_each("idle after a hundred requests at once", |client| {
        let streams: Vec<u32> = (0..100).map(|_| client.request("GET", "/", &[], true)).collect();
        for stream in streams {
            assert_eq!(client.answer(stream).status(), 200);
        }
    });
    assert!(each <= 6140, "{each}");
}
