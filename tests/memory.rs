//! What an idle connection costs.

use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::turn;
use crate::support::vestibule::{Vestibule, config};

#[test]
fn keeps_ten_thousand_idle_connections_in_2_kib_each() {
    const COUNT: u64 = 10_000;
    let _turn = turn::alone();
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = format!("{}[limits]\nconnections_per_address = {COUNT}\n", config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    for _ in 0..100 {
        assert_eq!(get(vestibule.address(), "/").status, 200);
    }
    let before = vestibule.rss();
    // Each has been used, so that it is a kept-alive connection and not just an accepted one.
    let used = |_| {
        let mut client = Client::connect(vestibule.address()).expect("a connection");
        assert_eq!(client.get("/").expect("an answer").status, 200);
        client
    };
    let mut clients: Vec<_> = (0..COUNT).map(used).collect();
    let after = vestibule.rss();
    let each = after.saturating_sub(before) / COUNT;
    println!("{COUNT} idle connections: {each} bytes each ({before} before, {after} after)");
    assert!(each <= 2048, "{each} bytes each");
    for client in clients.iter_mut().step_by(500) {
        assert_eq!(client.get("/still").expect("an answer").text(), "/still");
    }
}
