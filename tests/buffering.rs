//! A slow client does not occupy the application: bodies wait in memory and on disk, whole and within bounds.

mod broken;
mod disk;
mod exact;
mod slow_clients;
mod straight;

use std::fs;
use std::path::PathBuf;

use crate::support::dir::Dir;
use crate::support::vestibule::{Vestibule, config};

/// A configuration whose temporary files are in the test's own directory; `buffer` and `disk` go into those sections.
fn buffered(dir: &Dir, buffer: &str, disk: &str) -> String {
    let directory = disk_of(dir);
    fs::create_dir_all(&directory).expect("a directory");
    let directory = directory.display();
    format!("{}\n[buffer]\n{buffer}\n\n[disk]\ndirectory = \"{directory}\"\n{disk}\n", config(dir, ""))
}

fn disk_of(dir: &Dir) -> PathBuf {
    dir.join("disk")
}

/// Bytes of which no part is like another, the same for the same length.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

/// What the application's `/lines` gives.
pub(crate) fn lines(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..length.div_ceil(16)).flat_map(|number| format!("{number:015}\n").into_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// Temporary files that it has open: they have no name any more.
pub(crate) fn temporary_files(vestibule: &Vestibule) -> usize {
    sizes_on_disk(vestibule).len()
}

/// The size of each of its temporary files.
fn sizes_on_disk(vestibule: &Vestibule) -> Vec<u64> {
    let files = fs::read_dir(format!("/proc/{}/fd", vestibule.pid())).expect("its open files").flatten();
    let is_nameless = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().ends_with(" (deleted)"))
    };
    let nameless = files.map(|file| file.path()).filter(is_nameless);
    // The path leads to the file though it has no name. One that was closed meanwhile has no size.
    nameless.filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).collect()
}
