//! What a process calls itself.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

/// More of a command line is not read: any program may make its own megabytes long.
const LONGEST: u64 = 64 * 1024;

/// The command line of a process, or the title that it wrote over it: any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(Vec<u8>);

impl Title {
    /// That of the process with this PID now; `None` when there is none. Empty for a zombie, for one that is dying, and
    /// for the kernel's own.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(format!("/proc/{pid}/cmdline")).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some(Title(bytes))
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its words: what stands between zeros (a command line) and spaces (a title).
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == 0 || byte == b' ').filter(|word| !word.is_empty())
    }

    /// Whether `part` stands anywhere in it.
    #[must_use]
    pub fn contains(&self, part: &str) -> bool {
        self.0.windows(part.len().max(1)).any(|window| window == part.as_bytes())
    }
}

impl<T: Into<Vec<u8>>> From<T> for Title {
    fn from(bytes: T) -> Self {
        Title(bytes.into())
    }
}

/// For a person: zeros as spaces, none at the end.
impl fmt::Display for Title {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaced: Vec<u8> = self.0.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
        formatter.write_str(String::from_utf8_lossy(&spaced).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_zeros_and_spaces() {
        let title = Title::from("puma: cluster (a b)\0\0 [app] \0\0");
        assert_eq!(title.words().collect::<Vec<_>>(), [&b"puma:"[..], b"cluster", b"(a", b"b)", b"[app]"]);
        assert_eq!(title.to_string(), "puma: cluster (a b)   [app]");
        assert!(title.contains("(a b)") && !title.contains("b c") && !title.contains(&"x".repeat(99)));
    }

    #[test]
    fn any_bytes_are_a_title() {
        let title = Title::from(&b"thin\0\xff\xfe\0"[..]);
        assert_eq!(title.words().next(), Some(&b"thin"[..]));
        assert_eq!(title.to_string(), "thin \u{fffd}\u{fffd}");
    }

    #[test]
    fn finds_our_own_and_nobody_elses_at_a_pid_that_cannot_be() {
        let own = Title::of(std::process::id()).expect("we run");
        assert!(own.contains("vestibule_process"), "{own}");
        assert_eq!(Title::of(u32::MAX), None);
    }
}
