//! The systemd units in `config/` and in the documents, as systemd reads them.

use std::fs;
use std::process::Command;

use super::{blocks, text};
use crate::support::dir::Dir;

/// What `systemd-analyze verify` says of a unit, which is about this unit alone.
fn verify(name: &str, unit: &str) -> Result<(), String> {
    // It wants the program to be there.
    let unit = unit.replace("/usr/local/bin/vestibule", env!("CARGO_BIN_EXE_vestibule"));
    let dir = Dir::new();
    let path = dir.join(name);
    fs::write(&path, unit).expect("the unit is written");
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let verified = verified.expect("install Debian's package `systemd`, or run `make deps`");
    // It reads units of the machine too, and what is wrong with those is not ours. It succeeds with keys that it does not know.
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
    if verified.status.success() && ours.is_empty() { Ok(()) } else { Err(said) }
}

#[test]
fn systemd_takes_every_unit_that_we_show() {
    for name in ["vestibule.service", "puma.service"] {
        verify(name, &text(&format!("config/{name}"))).unwrap_or_else(|said| panic!("{name}: {said}"));
    }
    let shown = blocks(&text("docs/from-systemd.md"), "ini");
    // Parts of a unit are shown too: a whole one says what it starts.
    let whole: Vec<_> = shown.iter().filter(|unit| unit.contains("ExecStart=")).collect();
    assert!(!whole.is_empty(), "there is none in docs/from-systemd.md");
    for unit in whole {
        verify("shown.service", unit).unwrap_or_else(|said| panic!("{unit}\n{said}"));
    }
}

#[test]
fn a_unit_with_an_unknown_key_is_noticed() {
    let unit = text("config/puma.service").replace("KillMode=", "KillMod=");
    let said = verify("puma.service", &unit).expect_err("an unknown key");
    assert!(said.contains("KillMod"), "{said}");
}

/// What a unit says for a key, all its lines together.
fn values(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(|value| value.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_unit_leaves_what_vestibule_needs() {
    let unit = text("config/vestibule.service");
    // All else is read-only: bodies on disk, and the application's socket and PID file when they are stale.
    assert_eq!(values(&unit, "ProtectSystem"), ["strict"]);
    assert_eq!(values(&unit, "ReadWritePaths"), ["/var/tmp", "/tmp"]);
    assert_eq!(values(&unit, "PrivateTmp"), ["no"]);
    let both = blocks(&text("docs/from-systemd.md"), "ini").concat();
    for unit in [unit, both] {
        // Applications that are left running, or to be found again, are not systemd's to kill.
        assert_eq!(values(&unit, "KillMode"), ["process"]);
        assert_eq!(values(&unit, "OOMPolicy"), ["continue"]);
        assert_eq!(values(&unit, "RuntimeDirectory"), ["vestibule"]);
        assert_eq!(values(&unit, "RuntimeDirectoryPreserve"), ["yes"]);
    }
}
