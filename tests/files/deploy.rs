//! A deploy: the link to the present release is replaced while requests come.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::config;
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// A release: each of its files says which it is, from the first byte to the last, and each release has other lengths.
fn release(dir: &Dir, number: usize) {
    let root = dir.join(&format!("releases/{number}"));
    fs::create_dir_all(&root).expect("a directory");
    for (name, length) in [("small.css", 2000), ("page.html", 100_000), ("film.mp4", 900_000)] {
        fs::write(root.join(name), vec![b'0' + number as u8; length + 100 * number]).expect("written");
    }
}

/// Has the link lead elsewhere, in one step.
fn point(dir: &Dir, number: usize) {
    let new = dir.join("new");
    symlink(format!("releases/{number}"), &new).expect("a link");
    fs::rename(new, dir.join("current")).expect("renamed");
}

fn of_current(root: &Path, check: &str) -> String {
    format!("files = {{ root = {root:?}, check = \"{check}\" }}")
}

#[test]
fn another_release_is_seen_within_the_time_of_a_check() {
    let dir = Dir::new();
    release(&dir, 1);
    release(&dir, 2);
    point(&dir, 1);
    let vestibule = Vestibule::start(&dir, &config(&dir, &of_current(&dir.join("current"), "300ms"), ""));
    let first = |name: &str| get(vestibule.address(), name).body[0];
    for name in ["/small.css", "/page.html", "/film.mp4"] {
        assert_eq!(first(name), b'1');
    }
    point(&dir, 2);
    let since = Instant::now();
    for name in ["/small.css", "/page.html", "/film.mp4"] {
        until_true("the new release", seconds(20), || first(name) == b'2');
    }
    assert!(since.elapsed() < seconds(10), "{:?}", since.elapsed());
}

#[test]
fn no_answer_is_of_two_releases() {
    const RELEASES: usize = 6;
    let dir = Dir::new();
    for number in 0..RELEASES {
        release(&dir, number);
    }
    point(&dir, 0);
    let vestibule = Vestibule::start(&dir, &config(&dir, &of_current(&dir.join("current"), "10ms"), ""));
    let (address, done, answered) = (vestibule.address(), AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for (name, length) in [("/small.css", 2000), ("/page.html", 100_000), ("/film.mp4", 900_000)] {
            let (done, answered) = (&done, &answered);
            scope.spawn(move || {
                let mut client = Client::connect(address).expect("connected");
                let mut tags: Vec<Option<String>> = vec![None; RELEASES];
                while !done.load(Ordering::Relaxed) {
                    let answer = client.get(name).expect("an answer");
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    let number = usize::from(answer.body[0] - b'0');
                    assert_eq!(
                        answer.body.len(),
                        length + 100 * number,
                        "a length of one release with bytes of another"
                    );
                    assert!(answer.body.iter().all(|byte| *byte == answer.body[0]), "bytes of two releases");
                    let tag = answer.field("etag").map(str::to_owned);
                    assert!(tag.is_some());
                    let known = tags[number].get_or_insert_with(|| tag.clone().unwrap_or_default());
                    assert_eq!(Some(&*known), tag.as_ref(), "a tag of one release with bytes of another");
                    answered.fetch_add(1, Ordering::Relaxed);
                    // After as many requests as a connection may have.
                    if answer.closes() {
                        client = Client::connect(address).expect("connected");
                    }
                }
            });
        }
        for round in 0..60 {
            std::thread::sleep(Duration::from_millis(25));
            point(&dir, round % RELEASES);
        }
        until_true("answers", seconds(60), || answered.load(Ordering::Relaxed) > 100);
        done.store(true, Ordering::Relaxed);
    });
}
