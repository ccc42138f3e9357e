//! curl, nghttp and h2load over TLS, with HTTP/2 by ALPN.

use std::fs;
use std::process::Command;

use super::Site;
use super::programs::{LENGTH, body, curl, run, text};
use crate::forwarding::{KINDS, sha256};
use crate::support::app::Kind;
use crate::support::turn;
use crate::support::wait::{seconds, until_true};

impl Site {
    /// curl that trusts the site's authority, and nobody else.
    fn curl(&self, arguments: &[&str]) -> Command {
        let mut command = curl(arguments);
        command.arg("--cacert").arg(self.dir.join("ca.pem"));
        command
    }

    /// Every request was answered with 200, over HTTP/2.
    fn assert_all_over_http_2(&self, count: usize) {
        // A line is written behind the answer.
        until_true("a line for each request", seconds(30), || self.vestibule.access_log().len() >= count);
        let log = self.vestibule.access_log();
        let wrong: Vec<_> =
            log.iter().filter(|line| line["protocol"] != "HTTP/2.0" || line["status"] != 200).collect();
        assert!(log.len() == count && wrong.is_empty(), "{} lines, wrong: {wrong:#?}", log.len());
    }
}

#[test]
fn curl_uploads_and_downloads_over_http_2_before_every_server() {
    for kind in KINDS {
        let site = Site::secure(kind);
        let file = site.dir.join("upload");
        fs::write(&file, body()).expect("written");
        let expected = format!("{LENGTH} {}", sha256(&body()));
        let data = format!("@{}", file.display());
        let file = file.to_str().expect("a path in UTF-8");
        let url = site.url("/upload");
        // From a pipe there is no length that could be said before.
        for how in [&["--data-binary", &data][..], &["-T", file], &["-T", "-"]] {
            let mut command = site.curl(how);
            command.args(["--http2", "-X", "POST", &url]);
            let output = if how[1] == "-" {
                let mut shell = Command::new("sh");
                shell.args(["-c", "file=$1; shift; cat \"$file\" | \"$@\"", "sh", file]);
                run(shell.arg(command.get_program()).args(command.get_args()))
            } else {
                run(&mut command)
            };
            assert_eq!(text(&output), expected, "{kind:?}, {how:?}");
        }
        let lines = crate::buffering::lines(LENGTH);
        for how in [&[][..], &["--limit-rate", "2M"], &["--tls-max", "1.2"]] {
            for more in ["", "&chunked=1"] {
                let url = site.url(&format!("/lines?bytes={LENGTH}{more}"));
                let output = run(site.curl(how).args(["--http2", &url]));
                assert!(output.stdout == lines, "{kind:?}, {how:?}{more}: {} bytes", output.stdout.len());
            }
        }
        site.assert_all_over_http_2(9);
    }
}

#[test]
fn curl_speaks_http_1_1_over_tls_when_it_asks_for_that() {
    let site = Site::secure(Kind::Puma);
    let output =
        run(site.curl(&["-w", " %{http_version}"]).args(["--http1.1", &site.url("/sleep?token=here")]));
    assert_eq!(text(&output), "here 1.1");
    let strict = Command::new("curl").args(["--silent", "--max-time", "30", &site.url("/")]).output();
    // 60: "peer certificate cannot be authenticated".
    assert_eq!(strict.expect("curl").status.code(), Some(60), "without the authority");
}

#[test]
fn nghttp_multiplexes_over_tls() {
    let site = Site::secure(Kind::Puma);
    let urls: Vec<String> =
        (0..30).map(|number| site.url(&format!("/lines?bytes={}", 40_000 + number))).collect();
    let mut nghttp = Command::new("nghttp");
    nghttp.args(["--no-verify-peer", "--null-out", "--stat", "--verbose", "--timeout=60"]).args(&urls);
    let said = text(&run(&mut nghttp));
    assert!(said.contains("The negotiated protocol: h2"), "{said}");
    let answered =
        said.lines().filter(|line| line.contains(" 200 ") && line.contains("/lines?bytes=")).count();
    assert_eq!(answered, urls.len(), "{said}");
    site.assert_all_over_http_2(urls.len());
}

#[test]
fn h2load_counts_no_failure_over_tls() {
    let _turn = turn::heavy();
    let site = Site::secure(Kind::PumaCluster { preload: false });
    let mut h2load = Command::new("h2load");
    let said = text(&run(h2load.args(["-n", "3000", "-c", "4", "-m", "50", &site.url("/")])));
    assert!(said.contains("Application protocol: h2"), "{said}");
    assert!(said.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("3000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    site.assert_all_over_http_2(3000);
}
