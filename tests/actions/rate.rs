//! How often somebody may come.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{PROTOCOLS, get, with_routes};
use crate::support::client::Client;
use crate::support::dir::Dir;

#[test]
fn a_burst_passes_and_not_one_more_over_all_workers() {
    const CLIENTS: usize = 16;
    const EACH: usize = 10;
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        "[[route]]\nrate = { requests = 1, per = \"1h\", burst = 37, by = \"client\" }\nupstream = \"app\"\n",
    );
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(vestibule.address()).expect("a connection");
                for _ in 0..EACH {
                    let answer = client.get("/").expect("an answer");
                    let count = match answer.status {
                        200 => &passed,
                        429 => &refused,
                        status => panic!("{status}"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 37);
    assert_eq!(refused.into_inner(), CLIENTS * EACH - 37);
    assert_eq!(origin.requests().len(), 37);
}

#[test]
fn says_what_is_left_and_when_to_come_again() {
    let dir = Dir::new();
    let (vestibule, _origin) = with_routes(
        &dir,
        "[[route]]\npath = \"/1\"\nrate = { requests = 2, per = \"1h\" }\nupstream = \"app\"\n\
         [[route]]\npath = \"/2\"\nrate = { requests = 2, per = \"1h\" }\nupstream = \"app\"\n",
    );
    for (protocol, path) in PROTOCOLS.into_iter().zip(["/1", "/2"]) {
        for (status, remaining, until) in [(200, 1, 1800), (200, 0, 3600), (429, 0, 1800), (429, 0, 1800)] {
            let seen = get(vestibule.address(), protocol, path, &[]);
            assert_eq!(seen.status, status, "{seen:?}");
            assert_eq!(seen.field("ratelimit-policy"), Some("\"client\";q=2;w=3600"));
            let standing = seen.field("ratelimit").expect("what is left");
            let (left, time) = standing.split_once(";t=").expect("a time");
            assert_eq!(left, format!("\"client\";r={remaining}"));
            let time: u64 = time.parse().expect("a number");
            // Time passes between the requests.
            assert!((until - 120..=until).contains(&time), "{standing}");
            match status {
                429 => {
                    let wait: u64 =
                        seen.field("retry-after").expect("Retry-After").parse().expect("a number");
                    assert!((until - 120..=until).contains(&wait), "{wait}");
                }
                _ => assert_eq!(seen.field("retry-after"), None),
            }
        }
    }
}

#[test]
fn counts_by_a_field_where_the_route_says_so() {
    let dir = Dir::new();
    let (vestibule, _origin) = with_routes(
        &dir,
        "[[route]]\nrate = { requests = 1, per = \"1h\", by = \"field:X-Api-Key\" }\nupstream = \"app\"\n",
    );
    let status = |protocol, fields: &[(&str, &str)]| get(vestibule.address(), protocol, "/", fields).status;
    for (protocol, [one, two]) in PROTOCOLS.into_iter().zip([["a", "b"], ["c", "d"]]) {
        assert_eq!(status(protocol, &[("X-Api-Key", one)]), 200);
        assert_eq!(status(protocol, &[("X-Api-Key", one)]), 429);
        assert_eq!(status(protocol, &[("x-api-key", two)]), 200);
    }
    assert_eq!(status(PROTOCOLS[0], &[]), 200, "without it by the address");
    assert_eq!(status(PROTOCOLS[1], &[]), 429);
}

#[test]
fn of_several_rates_all_hold() {
    let dir = Dir::new();
    let (vestibule, _origin) = with_routes(
        &dir,
        "[[route]]\nrate = [{ requests = 5, per = \"1h\" }, { requests = 3, per = \"1h\", by = \"all\" }]\nupstream = \"app\"\n",
    );
    let statuses: Vec<u16> =
        (0..5).map(|_| get(vestibule.address(), PROTOCOLS[0], "/", &[]).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let seen = get(vestibule.address(), PROTOCOLS[1], "/", &[]);
    let standing = seen.field("ratelimit").expect("what is left");
    assert!(standing.starts_with("\"client-1\";r=1;t="), "what was refused did not count: {standing}");
}

/// Guessing passwords is counted too.
#[test]
fn a_rate_bounds_the_guessing_of_passwords() {
    let dir = Dir::new();
    let hash = super::auth::htpasswd("ann", "secret");
    let (vestibule, _origin) = with_routes(
        &dir,
        &format!(
            "[[route]]\nrate = {{ requests = 3, per = \"1h\" }}\nauth = {{ users = {{ ann = \"{hash}\" }} }}\nupstream = \"app\"\n"
        ),
    );
    let wrong = [("Authorization", "Basic YW5uOmd1ZXNz")];
    let statuses: Vec<u16> =
        (0..5).map(|_| get(vestibule.address(), PROTOCOLS[0], "/", &wrong).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}
