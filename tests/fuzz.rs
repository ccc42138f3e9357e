//! The inputs that fuzzing found worth keeping, and that everything still holds for them.
//!
//! The same checks as in `make fuzz`, without a fuzzer: a fault that one of the inputs once showed does not come back.

// A test says what is wrong by panicking; clippy's exception for tests does not reach the functions around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub)] // public for the fuzz targets, which are another crate
mod properties;

/// What the corpora may take together, so that the tree stays small.
const MOST_FILES: usize = 400;
const MOST_BYTES: u64 = 300 * 1024;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The files of a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Checks every file of one target's corpus; a file that fails is named behind its failure.
fn replay(target: &str, check: fn(&[u8])) {
    struct Named(PathBuf);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input was {}", self.0.display());
            }
        }
    }
    let files = files(&corpora().join(target));
    assert!(files.len() >= 10, "only {} inputs for {target}", files.len());
    for file in files {
        let input = fs::read(&file).unwrap();
        let _named = Named(file);
        check(&input);
    }
}

#[test]
fn every_kept_request_has_one_meaning() {
    replay("request", properties::request::check);
}

#[test]
fn every_kept_response_has_one_meaning() {
    replay("response", properties::response::check);
}

#[test]
fn every_kept_chunked_body_decodes_in_one_way() {
    replay("chunks", properties::chunks::check);
}

#[test]
fn every_kept_header_block_decodes_in_one_way() {
    replay("hpack", properties::hpack::check);
}

#[test]
fn every_kept_conversation_costs_what_it_may() {
    replay("http2", properties::http2::check);
}

#[test]
fn every_kept_proxy_header_says_one_thing() {
    replay("proxy_header", properties::proxy_header::check);
}

#[test]
fn every_kept_configuration_is_understood_or_explained() {
    replay("config", properties::config::check);
}

#[test]
fn the_corpora_stay_small() {
    let files: Vec<_> = files(&corpora()).iter().flat_map(|dir| files(dir)).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(files.len() < MOST_FILES && bytes < MOST_BYTES, "{} files, {bytes} bytes", files.len());
}
