//! What can happen to an application, to its files and to its keeper, and the state that each must end in.

mod crashes;
mod ending;
mod full_disk;
mod kills;
mod pid_files;
mod places;
mod survival;
mod watching;
mod zombies;

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::support::app::App;
use crate::support::dir::Dir;

/// Puts this in front of the application's code: every process that loads it from now on runs it.
fn breaks(app: &App, code: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/app/config.ru");
    let sound = fs::read_to_string(source).expect("the application");
    replace(&app.home().join("config.ru"), &format!("{code}\n{sound}"));
}

/// Its code is as it was.
fn mends(app: &App) {
    breaks(app, "");
}

/// From one moment to the next, as a deploy should.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

/// A Unicorn that loads the application in each worker, as it does without `preload_app`.
fn without_preload(app: &App) {
    let file = app.home().join("unicorn.rb");
    let text = fs::read_to_string(&file).expect("unicorn.rb");
    replace(&file, &text.replace("preload_app true", "preload_app false"));
}

/// A Unicorn whose new master does not send the old one home.
fn without_hook(app: &App) {
    let file = app.home().join("unicorn.rb");
    let text = fs::read_to_string(&file).expect("unicorn.rb");
    let (before, _) = text.split_once("before_fork").expect("the hook");
    replace(&file, before);
}

/// `alert = …` for a hook that writes each event down, and where.
fn alerts(dir: &Path) -> String {
    format!("alert = [\"sh\", \"-c\", \"cat >> {}\"]", dir.join("alerts").display())
}

/// The events that the hook was told of, in their order.
fn alerted(dir: &Dir) -> Vec<String> {
    let text = fs::read_to_string(dir.join("alerts")).unwrap_or_default();
    let event = |line: &str| {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        object["event"].as_str().expect("an event").to_owned()
    };
    text.lines().map(event).collect()
}
