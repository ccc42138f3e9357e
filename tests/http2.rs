//! HTTP/2: what is of its own about it, before the same application and by the same rules.

mod bodies;
mod ends;
mod floods;
mod memory;
mod programs;
mod requests;
mod slow;
mod tunnel;

use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::h2::H2;
use crate::support::vestibule::{Vestibule, config};

/// The usual configuration, with a listener that speaks HTTP/2 too; `more` goes into `[upstream.app]`.
fn with_http2(dir: &Dir, more: &str) -> String {
    config(dir, more).replace("[[listen]]\n", "[[listen]]\nhttp2 = true\n")
}

/// A Vestibule in front of an origin that answers everything with its path.
fn plain(dir: &Dir) -> (Vestibule, Fake) {
    let origin = Fake::echoing(&dir.socket());
    (Vestibule::start(dir, &with_http2(dir, "")), origin)
}

/// A Vestibule in front of an origin with this script.
fn scripted(
    dir: &Dir,
    more: &str,
    script: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), script);
    (Vestibule::start(dir, &with_http2(dir, more)), origin)
}

fn connect(vestibule: &Vestibule) -> H2 {
    H2::connect(vestibule.address())
}

/// Bytes that tell where they belong.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}
