//! What the documents and `config/` show works.

mod servers;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::dir::Dir;

/// The blocks of a Markdown file that are marked as this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let after_opening = text.split(&opening).skip(1);
    after_opening.filter_map(|rest| rest.split_once("```").map(|(block, _)| block.to_owned())).collect()
}

/// A file of the project.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_configuration_in_the_documents_passes_the_check() {
    let mut examples = Vec::new();
    for (document, least) in [("README.md", 3), ("docs/from-bluepill.md", 2), ("docs/from-systemd.md", 2)] {
        let found = blocks(&text(document), "toml");
        assert!(found.len() >= least, "{} examples found in {document}", found.len());
        examples.extend(found);
    }
    let dir = Dir::new();
    // What the examples take to be there is there, in a place of our own.
    let app = dir.join("app");
    for path in ["public", "shared/log", "current"] {
        std::fs::create_dir_all(app.join(path)).expect("a directory");
    }
    for page in ["404.html", "503.html", "503.json"] {
        std::fs::write(app.join("public").join(page), "{}").expect("a page");
    }
    // Whoever runs this test is sure to be there.
    let me = Command::new("id").arg("-un").output().expect("id runs").stdout;
    let me = format!("{:?}", String::from_utf8_lossy(&me).trim());
    for example in examples {
        let example = example.replace("/srv/app", &app.display().to_string()).replace("\"deploy\"", &me);
        let example = example.replace("/run/vestibule", &dir.join("").display().to_string());
        let file = dir.join("vestibule.toml");
        std::fs::write(&file, &example).expect("written");
        let check = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .arg("check")
            .arg("--config")
            .arg(&file)
            .output()
            .expect("vestibule runs");
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{example}\n{said}");
    }
}
