//! Which process is ours, written down for the Vestibule after this one: the application's own PID file may come late, or never.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::life::Life;

/// Processes that are remembered beside the first.
const MOST: usize = 64;

/// What the line with the directory begins with; the others begin with a PID.
const DIRECTORY: &str = "directory ";

/// A file beside the control socket that names the process that we started last.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    path: PathBuf,
}

impl Record {
    /// The one of the process with this name.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        // One file of this directory, whatever it is called; as for its output.
        Record { path: directory.join(format!("{}.process", name.replace('/', "_"))) }
    }

    /// The process that is written there, if it still lives.
    pub(crate) fn read(&self) -> Option<Life> {
        let text = fs::read_to_string(&self.path).ok()?;
        life(text.lines().next()?)
    }

    /// What belongs to it and does not hang below it, as far as it lives.
    pub(crate) fn beside(&self) -> Vec<Life> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().skip(1).filter_map(life).collect()
    }

    /// Where it was started, when that was not its configured directory.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(&self.path).ok()?;
        text.lines().find_map(|line| line.strip_prefix(DIRECTORY)).map(PathBuf::from)
    }

    /// Remembers a process, and what belongs to it and does not hang below it, no more of that than [`MOST`]; and where it was
    /// started, if that was not its configured directory.
    pub(crate) fn write(&self, first: &Life, beside: &[Life], directory: Option<&Path>) -> io::Result<()> {
        let lives = std::iter::once(first).chain(beside.iter().take(MOST));
        let mut text: String = lives.map(|life| format!("{} {}\n", life.pid, life.started())).collect();
        // What no line can hold is not remembered: such a name has never been seen.
        if let Some(directory) = directory.and_then(Path::to_str).filter(|path| !path.contains('\n')) {
            text.push_str(&format!("{DIRECTORY}{directory}\n"));
        }
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path))
    }

    /// There is none any more.
    pub(crate) fn remove(&self) {
        // It names a process that is gone: the next reader sees that too.
        let _ = fs::remove_file(&self.path);
    }
}

/// The living process that a line names.
fn life(line: &str) -> Option<Life> {
    let mut words = line.split_ascii_whitespace();
    let pid = words.next()?.parse().ok()?;
    let started: u64 = words.next()?.parse().ok()?;
    Life::of(pid).filter(|life| life.started() == started && life.is_alive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::new(directory.path(), "../site/app");
        let own = Life::of(std::process::id()).unwrap();
        record.write(&own, &[], None).unwrap();
        assert_eq!(record.read().map(|life| life.pid), Some(own.pid));
        assert!(directory.path().join(".._site_app.process").is_file());
    }

    #[test]
    fn remembers_a_process_and_no_other_life_of_its_pid() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::new(directory.path(), "app");
        assert!(record.read().is_none());
        let own = Life::of(std::process::id()).unwrap();
        record.write(&own, &[], None).unwrap();
        assert_eq!(record.read().map(|life| life.pid), Some(own.pid));
        assert!(record.beside().is_empty());
        assert_eq!(record.directory(), None);
        record.write(&own, &[own], Some(Path::new("/srv/my app/releases/1"))).unwrap();
        assert_eq!(record.beside().len(), 1);
        assert_eq!(record.read(), Some(own));
        assert_eq!(record.directory(), Some(PathBuf::from("/srv/my app/releases/1")));
        fs::write(directory.path().join("app.process"), format!("{} 1\n", own.pid)).unwrap();
        assert!(record.read().is_none(), "another life");
        record.remove();
        assert!(record.read().is_none());
    }
}
