//! What the documents show works.

use std::process::Command;

use crate::support::dir::Dir;

/// The blocks of a Markdown file that are marked as this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let after_opening = text.split(&opening).skip(1);
    after_opening.filter_map(|rest| rest.split_once("```").map(|(block, _)| block.to_owned())).collect()
}

#[test]
fn every_configuration_in_the_readme_passes_the_check() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let examples = blocks(&readme, "toml");
    assert!(examples.len() >= 3, "{} examples found", examples.len());
    let dir = Dir::new();
    // What the examples take to be there is there, in a place of our own.
    let app = dir.join("app");
    for path in ["public", "shared"] {
        std::fs::create_dir_all(app.join(path)).expect("a directory");
    }
    for page in ["404.html", "503.html", "503.json"] {
        std::fs::write(app.join("public").join(page), "{}").expect("a page");
    }
    for example in examples {
        let example = example.replace("/srv/app", &app.display().to_string());
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
