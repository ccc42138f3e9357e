//! Who holds the socket that listens at a path.
//!
//! Three things tell it, none of them alone. `SO_PEERCRED` names who called listen(2), which after a restart may be a
//! process that handed its socket on and ended. `/proc/net/unix` names the listening sockets by the path that they were bound to, which
//! several may have: one whose file was unlinked listens on, at no path. `/proc/PID/fd` shows who has which socket open, where
//! we may look.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::knock::Knock;
use crate::life::Life;
use crate::stat::Stat;
use crate::tree::Tree;

/// Steps to an ancestor: no tree of processes is that deep.
const DEEPEST: usize = 1_000;

/// Whether a tree of processes holds the socket at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// What connects there reaches this tree.
    Yes,
    /// It reaches somebody else, or nobody.
    No,
    /// It could not be found out: the queue is full, or we may not look.
    Unknown,
}

/// Whether what connects to the Unix socket at `path` reaches a process of `tree`. Connects once, sends nothing. Reads the
/// descriptors of the whole tree only where that does not tell.
#[must_use]
pub fn holds(path: &Path, tree: &Tree) -> Holds {
    let listener = match Knock::at(path) {
        Ok(Knock::Refused | Knock::Missing) => return Holds::No,
        Ok(Knock::Open(pid)) => pid,
        Ok(Knock::Full) | Err(_) => None,
    };
    if listener.is_some_and(|pid| tree.get(pid).is_some()) {
        return Holds::Yes;
    }
    let (ours, saw_all) = sockets_of_tree(tree);
    if let Some(socket) = socket_at(path, listener) {
        return match (ours.contains(&socket), saw_all) {
            (true, _) => Holds::Yes,
            (false, true) => Holds::No,
            (false, false) => Holds::Unknown,
        };
    }
    match listener {
        // It listens for itself: whoever hands a socket down to a child may be that child's ancestor (systemd, a Unicorn that
        // replaces itself) or have ended.
        Some(pid) if is_alive(pid) && !is_ancestor(pid, tree) => Holds::No,
        _ => Holds::Unknown,
    }
}

/// The one socket (its number) that listens at `path`, if the kernel shows it and there is no doubt which one it is.
fn socket_at(path: &Path, listener: Option<u32>) -> Option<u64> {
    let mut names = vec![path.to_owned()];
    names.extend(fs::canonicalize(path));
    let listening = listening_sockets(&fs::read("/proc/net/unix").ok()?, &names);
    let only = |sockets: Vec<u64>| if let [socket] = sockets[..] { Some(socket) } else { None };
    if listening.len() == 1 {
        return only(listening);
    }
    // More than one was bound there. The one that answers is among those that its listener has.
    let held = sockets_of(listener?)?;
    only(listening.into_iter().filter(|socket| held.contains(socket)).collect())
}

/// Whether this process itself, and not only one below it, has the socket open that listens at `path`; `None` where the kernel
/// does not show it.
pub(crate) fn has_open(path: &Path, pid: u32) -> Option<bool> {
    let socket = socket_at(path, Some(pid))?;
    Some(sockets_of(pid)?.contains(&socket))
}

/// How many connections to the socket at `path` are open or wait to be accepted, whoever holds it; `None` where the kernel does not
/// show it.
pub(crate) fn connections(path: &Path) -> Option<usize> {
    let mut names = vec![path.to_owned()];
    names.extend(fs::canonicalize(path));
    let table = fs::read("/proc/net/unix").ok()?;
    Some(rows(&table, |path| is_one_of(&names, path)).filter(|row| !row.accepts).count())
}

/// Whether a process of `tree` is seen to listen at the path of another Unix socket than this one.
pub(crate) fn listens_elsewhere(path: &Path, tree: &Tree) -> bool {
    let mut names = vec![path.to_owned()];
    names.extend(fs::canonicalize(path));
    let Ok(table) = fs::read("/proc/net/unix") else { return false };
    let (held, _) = sockets_of_tree(tree);
    let is_another = |path: &[u8]| path.starts_with(b"/") && !is_one_of(&names, path);
    rows(&table, is_another).any(|row| row.accepts && held.contains(&row.number))
}

fn is_one_of(names: &[PathBuf], path: &[u8]) -> bool {
    names.iter().any(|name| name.as_os_str().as_bytes() == path)
}

/// The numbers of the sockets that listen and were bound to one of these names, from the text of `/proc/net/unix`.
fn listening_sockets(table: &[u8], names: &[PathBuf]) -> Vec<u64> {
    rows(table, |path| is_one_of(names, path)).filter(|row| row.accepts).map(|row| row.number).collect()
}

/// What we use of a line of `/proc/net/unix`.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Whether it listens. What does not is one end of a connection to one that does.
    accepts: bool,
    number: u64,
}

/// The sockets that were bound to such a path, or accepted from one that was:
/// `Num RefCount Protocol Flags Type St Inode Path`, numbers in hexadecimal but for the inode.
fn rows<'t>(table: &'t [u8], is_meant: impl Fn(&[u8]) -> bool + 't) -> impl Iterator<Item = Row> + 't {
    /// `__SO_ACCEPTCON`.
    const ACCEPTS: u64 = 0x1_0000;
    let hexadecimal = |field: &[u8]| u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok();
    let row = move |line: &[u8]| -> Option<Row> {
        // The path is what follows seven fields and one space, with any bytes in it.
        let mut rest = line;
        let mut fields = [&b""[..]; 7];
        for field in &mut fields {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|&byte| byte == b' ')?;
            (*field, rest) = rest.split_at(end);
        }
        let path = rest.strip_prefix(b" ")?;
        if !is_meant(path) {
            return None;
        }
        let number = std::str::from_utf8(fields[6]).ok()?.parse().ok()?;
        Some(Row { accepts: hexadecimal(fields[3])? & ACCEPTS != 0, number })
    };
    table.split(|&byte| byte == b'\n').filter_map(row)
}

/// The sockets that the tree has open, and whether all of it could be looked at.
fn sockets_of_tree(tree: &Tree) -> (HashSet<u64>, bool) {
    let mut sockets = HashSet::new();
    let mut saw_all = true;
    for member in tree.members() {
        match sockets_of(member.life.pid) {
            Some(held) if member.life.is_alive() => sockets.extend(held),
            // One that has ended holds nothing.
            _ => saw_all &= !member.life.is_alive(),
        }
    }
    (sockets, saw_all)
}

/// The sockets that a process has open; `None` when we may not look, or it is gone.
fn sockets_of(pid: u32) -> Option<HashSet<u64>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let number = |link: PathBuf| {
        let text = link.into_os_string().into_vec();
        let digits = text.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    Some(links.filter_map(number).collect())
}

fn is_alive(pid: u32) -> bool {
    Life::of(pid).is_some_and(|life| life.is_alive())
}

fn is_ancestor(pid: u32, tree: &Tree) -> bool {
    let mut above = tree.root().map_or(0, |root| root.parent);
    for _ in 0..DEEPEST {
        if above == pid {
            return true;
        }
        match Stat::of(above) {
            Some(stat) => above = stat.parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::testing::{Kept, until, until_refused};

    fn sleeper(input: impl Into<Stdio>) -> Kept {
        let sleeper = Kept::new(Command::new("sleep").arg("600").stdin(input));
        until("it never ran", || {
            Tree::of(sleeper.pid()).root().is_some_and(|root| root.title == "sleep 600")
        });
        sleeper
    }

    fn socket(name: &str) -> (tempfile::TempDir, PathBuf, UnixListener) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        let listener = UnixListener::bind(&path).expect("bound");
        (dir, path, listener)
    }

    fn shared(listener: &UnixListener) -> OwnedFd {
        listener.as_fd().try_clone_to_owned().expect("a descriptor")
    }

    #[test]
    fn who_listens_holds_it() {
        let (_dir, path, _listener) = socket("s");
        assert_eq!(holds(&path, &Tree::of(std::process::id())), Holds::Yes);
        assert_eq!(has_open(&path, std::process::id()), Some(true));
    }

    #[test]
    fn who_was_given_the_socket_holds_it_and_others_do_not() {
        let (_dir, path, listener) = socket("odd name ] \u{fffd}");
        let (heir, other) = (sleeper(shared(&listener)), sleeper(Stdio::null()));
        assert_eq!(holds(&path, &Tree::of(heir.pid())), Holds::Yes, "we listened, and handed it down");
        assert_eq!(holds(&path, &Tree::of(other.pid())), Holds::No);
        assert_eq!(has_open(&path, other.pid()), Some(false));
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(holds(&link, &Tree::of(heir.pid())), Holds::Yes, "through a link");
        assert_eq!(holds(&link, &Tree::of(other.pid())), Holds::No, "through a link");
        assert_eq!(holds(&path, &Tree::default()), Holds::No, "nobody at all");
    }

    #[test]
    fn a_full_queue_does_not_hide_who_holds_it() {
        let (_dir, path, listener) = socket("s");
        rustix::net::listen(&listener, 0).expect("a shorter queue");
        let (heir, other) = (sleeper(shared(&listener)), sleeper(Stdio::null()));
        until("its queue was never full", || Knock::at(&path).is_ok_and(|knock| knock == Knock::Full));
        assert_eq!(holds(&path, &Tree::of(heir.pid())), Holds::Yes);
        assert_eq!(holds(&path, &Tree::of(other.pid())), Holds::No);
    }

    #[test]
    fn a_socket_whose_file_another_replaced_is_held_in_vain() {
        let (_dir, path, robbed) = socket("s");
        let old = sleeper(shared(&robbed));
        fs::remove_file(&path).expect("removed");
        let thief = UnixListener::bind(&path).expect("bound");
        let new = sleeper(shared(&thief));
        assert_eq!(holds(&path, &Tree::of(old.pid())), Holds::Unknown, "we hold both, so it may be either");
        drop(robbed);
        assert_eq!(holds(&path, &Tree::of(old.pid())), Holds::No);
        assert_eq!(holds(&path, &Tree::of(new.pid())), Holds::Yes);
    }

    #[test]
    fn nobody_holds_what_refuses_or_is_not_there() {
        let (_dir, path, listener) = socket("s");
        let heir = sleeper(Stdio::null());
        drop(listener);
        until_refused(&path);
        assert_eq!(holds(&path, &Tree::of(heir.pid())), Holds::No);
        fs::remove_file(&path).expect("removed");
        assert_eq!(holds(&path, &Tree::of(heir.pid())), Holds::No);
    }

    #[test]
    fn finds_listening_sockets_by_their_whole_name() {
        let table: &[u8] = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 11 /tmp/a b\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    12 /tmp/a\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 13 /tmp/a b\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 14 /tmp/\xff\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 15\n\
            0000000000000000: 0000\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 x /tmp/a b\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 16 /tmp/a b\n";
        let find = |name: &str| listening_sockets(table, &[PathBuf::from(name)]);
        assert_eq!(find("/tmp/a b"), [11, 16]);
        assert_eq!(find("/tmp/a"), [12]);
        assert!(find("/tmp/b").is_empty());
    }
}
