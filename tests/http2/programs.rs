//! Real clients: curl, nghttp, h2load.

use std::process::{Command, Stdio};

use super::{noise, with_http2};
use crate::forwarding::sha256;
use crate::support::app::{App, Kind};
use crate::support::dir::Dir;
use crate::support::turn;
use crate::support::vestibule::Vestibule;

/// Runs it to its end, which has to be a success; gives what it said.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run `make deps`"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} ended with {}:\n{text}{said}", output.status);
    text
}

struct Site {
    dir: Dir,
    vestibule: Vestibule,
    _app: App,
}

impl Site {
    fn start() -> Site {
        let dir = Dir::new();
        let app = App::start(Kind::Puma, &dir);
        let settings = with_http2(&dir, "");
        let settings = format!("{settings}\n[limits]\nrequests_per_connection = 1000000\n");
        let vestibule = Vestibule::start(&dir, &settings);
        Site { dir, vestibule, _app: app }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.vestibule.address())
    }
}

#[test]
fn curl_uploads_and_downloads() {
    const LENGTH: usize = 3_000_001;
    let site = Site::start();
    let file = site.dir.join("upload");
    std::fs::write(&file, noise(LENGTH)).expect("written");
    let data = format!("@{}", file.display());
    let expected = format!("{LENGTH} {}", sha256(&noise(LENGTH)));
    let usual = ["--silent", "--show-error", "--fail", "--max-time", "60", "--http2-prior-knowledge"];
    let url = site.url("/upload");
    for how in [&["--data-binary", &data][..], &["-X", "POST", "-T", file.to_str().expect("UTF-8")]] {
        assert_eq!(run("curl", &[&usual[..], how, &[&url]].concat()), expected, "{how:?}");
    }
    let said = run(
        "curl",
        &[
            &usual[..],
            &[
                "-o",
                "/dev/null",
                "-w",
                "%{http_version} %{http_code} %{size_download}",
                &site.url("/download?bytes=5000000"),
            ],
        ]
        .concat(),
    );
    assert_eq!(said, "2 200 5000000");
}

#[test]
fn nghttp_takes_many_answers_over_one_connection() {
    let site = Site::start();
    let urls: Vec<String> =
        (0..20).map(|number| site.url(&format!("/lines?bytes={}", 10_000 + number))).collect();
    let mut arguments = vec!["--no-verify-peer", "--null-out", "--stat", "--timeout=60"];
    arguments.extend(urls.iter().map(String::as_str));
    let said = run("nghttp", &arguments);
    assert_eq!(said.matches(" 200 ").count(), 20, "{said}");
}

#[test]
fn h2load_counts_no_failure() {
    let _turn = turn::heavy();
    let site = Site::start();
    let said = run("h2load", &["-n", "5000", "-c", "4", "-m", "100", &site.url("/")]);
    assert!(said.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("5000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
}
