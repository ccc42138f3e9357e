//! A disk that is soon full.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of 1 MiB, which takes the right to mount; unmounted when it goes.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at a directory, which is made where there is none; `mode` becomes that of the directory.
    pub(crate) fn mount(path: &Path, mode: &str) -> SmallDisk {
        fs::create_dir_all(path).expect("a directory");
        let options = format!("size=1m,mode={mode}");
        let done = as_root("mount", &["-t", "tmpfs", "-o", &options, "none"], path);
        assert!(done, "a full disk takes the right to mount one: run the tests as root, or with sudo");
        SmallDisk(path.to_owned())
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.0.join("full")).expect("a file");
        while file.write_all(&[b'x'; 4096]).is_ok() {}
        let more = self.0.join("more");
        assert!(fs::write(&more, "x").is_err(), "it is full");
        fs::remove_file(more).expect("it was made");
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.0.join("full")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what is still open in it goes with the process that has it open.
        as_root("umount", &["-l"], &self.0);
    }
}

fn as_root(program: &str, arguments: &[&str], path: &Path) -> bool {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", program]);
        sudo
    };
    command.args(arguments).arg(path).status().is_ok_and(|status| status.success())
}
