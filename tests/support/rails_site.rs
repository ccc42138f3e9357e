//! A real Rails site under Puma: pages, assets with digests, send_file, a form, ActionCable, a maintenance page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::app::{App, Kind};
use super::dir::Dir;

/// The site. It ends when it goes.
pub(crate) struct RailsSite {
    app: App,
}

impl RailsSite {
    /// Starts it at the directory's socket and waits until it answers.
    pub(crate) fn start(dir: &Dir) -> RailsSite {
        let mut app = App::stopped(Kind::Puma, dir);
        let home = app.home().to_owned();
        lay_out(&home);
        app.run();
        app.wait_until_answers();
        RailsSite { app }
    }

    /// Its nginx's site file, with `{port}` in the place of the port.
    pub(crate) fn nginx_site(&self, dir: &Dir) -> String {
        let site = fs::read_to_string(source().join("site.conf")).expect("the site file");
        site.replace("{dir}", dir.path().to_str().expect("UTF-8"))
    }

    /// The file whose presence means maintenance.
    pub(crate) fn maintenance(&self) -> PathBuf {
        self.app.home().join("public/system/maintenance.html")
    }

    /// One of its public files.
    pub(crate) fn public(&self, name: &str) -> Vec<u8> {
        fs::read(self.app.home().join("public").join(name)).expect("a public file")
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/rails_site")
}

/// The site's directory, as `rails assets:precompile` and a deploy leave it.
fn lay_out(home: &Path) {
    for name in ["config", "private", "public/assets", "public/system", "public/blog", "log"] {
        fs::create_dir_all(home.join(name)).expect("a directory");
    }
    for name in ["config.ru", "home.html"] {
        fs::copy(source().join(name), home.join(name)).expect("copied");
    }
    let write = |name: &str, content: &[u8]| fs::write(home.join(name), content).expect("written");
    write("config/cable.yml", b"production:\n  adapter: async\n");
    write("config/routes.rb", b"Rails.application.routes.draw { }\n");
    let script = fs::read(source().join("application.js")).expect("the script");
    write("public/assets/application-fcde2b2edba56bf4.js", &script);
    let style = "h1 { color: rgb(12, 34, 56); }\n.long { margin: 0 1px 2px 3px; }\n".repeat(40);
    write("public/assets/application-2c26b46b68ffc68f.css", style.as_bytes());
    for name in ["application-fcde2b2edba56bf4.js", "application-2c26b46b68ffc68f.css"] {
        let gzip = Command::new("gzip")
            .args(["-9", "-k", "-n", name])
            .current_dir(home.join("public/assets"))
            .status();
        assert!(gzip.expect("gzip").success());
    }
    // Larger than what is kept in memory, of bytes that differ.
    let large: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_be_bytes()).collect();
    write("public/large.bin", &large);
    write("private/report.pdf", &[b"%PDF-1.4\n".as_slice(), &large[..200_000]].concat());
    let picture = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"30\"><rect width=\"40\" height=\"30\"/></svg>\n";
    write("private/picture.svg", picture.as_bytes());
    write("public/favicon.svg", picture.as_bytes());
    write("public/robots.txt", b"User-agent: *\nDisallow: /admin\n");
    write("public/about.html", page("About us").as_bytes());
    write("public/blog/index.html", page("The blog").as_bytes());
    for status in ["404", "413", "422", "500"] {
        write(&format!("public/{status}.html"), page(&format!("Sorry: {status}")).as_bytes());
    }
}

fn page(title: &str) -> String {
    let text = "<p>Some text, so that it is worth compressing.</p>\n".repeat(12);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1>\n{text}</body></html>\n"
    )
}
