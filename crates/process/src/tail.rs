//! Lines of an application's output, and the end of a file of them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// A longer line is cut into pieces.
pub(crate) const LONGEST_LINE: usize = 16 << 10;
/// Bytes of the last lines.
pub(crate) const MOST: usize = 64 << 10;

/// The length of a file; 0 if there is none.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// The lines of the last 64 KiB of a file, of what is behind `start`; of a shorter file, which is another or was emptied, from
/// its beginning. None when it cannot be read.
pub(crate) fn lines(path: &Path, start: u64) -> Vec<String> {
    let Ok((text, is_cut)) = read(path, start) else { return Vec::new() };
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if is_cut {
        lines.drain(..1);
    }
    lines
        .into_iter()
        .flat_map(|line| line.chunks(LONGEST_LINE))
        .map(as_text)
        .filter(|line| !line.is_empty())
        .collect()
}

fn read(path: &Path, start: u64) -> io::Result<(Vec<u8>, bool)> {
    // It lies where the application's user may write: a link might lead to a file that is none of his, a FIFO to a long wait.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let start = if found.len() < start { 0 } else { start };
    let from = start.max(found.len().saturating_sub(MOST as u64));
    let mut text = vec![0; (found.len() - from).min(MOST as u64) as usize];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(length);
    Ok((text, from > start))
}

/// A line as text: what is no UTF-8 is shown as such, and nothing in it moves a cursor.
pub(crate) fn as_text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().filter(|&c| c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.out");
        fs::write(&path, text).expect("written");
        (dir, path)
    }

    #[test]
    fn gives_what_is_behind_the_start() {
        let (_dir, path) = file("old\nnew\n\nlast");
        assert_eq!(lines(&path, 4), ["new", "last"]);
        assert_eq!(lines(&path, 0), ["old", "new", "last"]);
        assert_eq!(lines(&path, 13), Vec::<String>::new());
    }

    #[test]
    fn begins_anew_in_a_file_that_became_shorter() {
        let (_dir, path) = file("rotated\n");
        assert_eq!(lines(&path, 1_000_000), ["rotated"]);
    }

    #[test]
    fn reads_whole_lines_of_the_end_only() {
        let (_dir, path) = file("0123456789\n".repeat(100_000));
        let found = lines(&path, 0);
        assert!(found.len() > 5_000 && found.len() < 7_000, "{}", found.len());
        assert!(found.iter().all(|line| line == "0123456789"));
    }

    #[test]
    fn cuts_a_long_line_and_shows_what_is_no_text() {
        let (_dir, path) = file("a".repeat(LONGEST_LINE + 1));
        let found = lines(&path, 0);
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 1]);
        assert_eq!(as_text(b"\xff\x1b[2Jb\tc\r"), "\u{fffd}[2Jb\tc");
    }

    #[test]
    fn follows_no_link_and_waits_for_no_writer() {
        let (dir, path) = file("secret\n");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(lines(&link, 0), Vec::<String>::new());
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success());
        assert_eq!(lines(&fifo, 0), Vec::<String>::new());
    }
}
