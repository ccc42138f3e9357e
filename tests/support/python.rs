//! What `make deps` puts under `target/python`: Python with the clients of the tests, and a corpus of requests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that runs this script of `tests/` in the environment of the tests.
pub(crate) fn command(script: &str) -> Command {
    let mut command = Command::new(installed("bin/python"));
    // -I: neither the user's packages nor the directory of the call have a say.
    command.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script));
    command
}

/// Runs the script to its end and returns what it printed; panics with what it said when it fails.
pub(crate) fn run(script: &str, arguments: &[&str]) -> String {
    let output = command(script).args(arguments).output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?} ended with {}:\n{said}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The folder of the source package that has the corpus.
pub(crate) fn corpus() -> PathBuf {
    installed("corpus")
}

fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python").join(name);
    assert!(path.exists(), "{} is missing: run `make deps`", path.display());
    path
}
