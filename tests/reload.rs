//! Another configuration while everything runs: what changes, what stays, and that nothing is lost between the two.

mod changes;
mod faults;
mod keepers;
mod load;
mod under_way;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::dir::Dir;
use crate::support::vestibule::{Told, binary, control, told};

/// Writes the configuration of the directory's Vestibule, as an editor would: beside it, and then in its place.
fn write(dir: &Dir, config: &str) {
    let new = dir.join("vestibule.toml.new");
    fs::write(&new, config).expect("the configuration is written");
    fs::rename(new, dir.join("vestibule.toml")).expect("it is put in its place");
}

fn command(dir: &Dir, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(words).current_dir(dir.path()).env("VESTIBULE_CONTROL", control(dir)).env("NO_COLOR", "1");
    command.env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `vestibule reload`, as somebody would type it in the directory.
fn reload(dir: &Dir) -> Told {
    told(command(dir, &["reload"]))
}

/// The same with another configuration, which is taken.
fn reload_to(dir: &Dir, config: &str) -> Told {
    write(dir, config);
    let told = reload(dir);
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""), "{told:?}");
    told
}

/// `vestibule check` of the file that is served.
fn check(dir: &Dir) -> Told {
    let mut command = command(dir, &["check", "--config"]);
    command.arg(dir.join("vestibule.toml"));
    told(command)
}

/// `[upstream.NAME]` at a socket of this name.
fn upstream(dir: &Dir, name: &str, more: &str) -> String {
    format!("[upstream.{name}]\naddress = \"unix:{}\"\n{more}\n", socket(dir, name).display())
}

fn socket(dir: &Dir, name: &str) -> PathBuf {
    dir.join(&format!("{name}.sock"))
}

fn listen(address: &str, more: &str) -> String {
    format!("[[listen]]\naddress = \"{address}\"\n{more}\n")
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
