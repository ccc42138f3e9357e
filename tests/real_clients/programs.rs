//! curl and ApacheBench.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::Site;
use crate::forwarding::{KINDS, sha256};
use crate::support::app::Kind;

/// Longer than memory takes, and odd.
pub(super) const LENGTH: usize = 3_000_001;

pub(super) fn body() -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

/// Runs it to its end; it has to succeed.
pub(super) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; run `make deps`"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    output
}

/// curl with what makes it fail on a status of 400 and more, and give up in time.
pub(super) fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--verbose"]).args(arguments);
    command
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_uploads_in_every_way_to_every_server() {
    for kind in KINDS {
        let site = Site::start(kind);
        let file = site.dir.join("upload");
        fs::write(&file, body()).expect("written");
        let expected = format!("{LENGTH} {}", sha256(&body()));
        let data = format!("@{}", file.display());
        let file = file.to_str().expect("a path in UTF-8");
        let url = site.url("/upload");

        let output = run(&mut curl(&["-H", "Expect: 100-continue", "--data-binary", &data, &url]));
        assert_eq!(text(&output), expected, "{kind:?}");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("< HTTP/1.1 100 Continue"), "{kind:?}: {log}");

        for how in [
            &["-H", "Expect:", "--data-binary", &data][..],
            &["-T", file],
            &["-T", file, "-H", "Transfer-Encoding: chunked"],
            &["-T", file, "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"],
            &["--http1.0", "--data-binary", &data],
        ] {
            let output = run(curl(how).args(["-X", "POST", &url]));
            assert_eq!(text(&output), expected, "{kind:?}, {how:?}");
        }
    }
}

#[test]
fn curl_uploads_a_form_with_a_file() {
    let site = Site::start(Kind::Puma);
    let file = site.dir.join("upload");
    fs::write(&file, "a file").expect("written");
    let output =
        run(&mut curl(&["-F", "name=value", "-F", &format!("file=@{}", file.display()), &site.url("/form")]));
    let echoed = text(&output);
    assert!(echoed.contains("name=\"name\"\r\n\r\nvalue\r\n"), "{echoed}");
    assert!(echoed.contains("a file") && echoed.contains("multipart/form-data; boundary="), "{echoed}");
}

#[test]
fn curl_downloads_whole_in_part_and_slowly() {
    for kind in KINDS {
        let site = Site::start(kind);
        let whole = text(&run(&mut curl(&[&site.url("/range")])));
        assert_eq!(whole.len(), 1000, "{kind:?}");
        let output = run(&mut curl(&["-r", "95-204", &site.url("/range")]));
        assert_eq!(text(&output), whole[95..=204], "{kind:?}");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("< HTTP/1.1 206") && log.contains("95-204/1000"), "{kind:?}: {log}");

        let lines = crate::buffering::lines(LENGTH);
        for how in [&[][..], &["--http1.0"], &["--limit-rate", "2M"], &["--compressed"]] {
            for more in ["", "&chunked=1"] {
                let output = run(curl(how).arg(site.url(&format!("/lines?bytes={LENGTH}{more}"))));
                assert!(output.stdout == lines, "{kind:?}, {how:?}{more}: {} bytes", output.stdout.len());
            }
        }
    }
}

#[test]
fn curl_uses_one_connection_for_many_requests() {
    for kind in KINDS {
        let site = Site::start(kind);
        let urls: Vec<String> = (0..10).map(|number| site.url(&format!("/sleep?token={number}"))).collect();
        let output = run(curl(&["-w", " on %{num_connects} new\n"]).args(&urls));
        let expected: String =
            (0..10).map(|number| format!("{number} on {} new\n", u8::from(number == 0))).collect();
        assert_eq!(text(&output), expected, "{kind:?}");
        // HEAD and an answer without a body leave the connection usable too.
        let output = run(curl(&["-I"]).args([site.url("/"), site.url("/lines?bytes=100")]));
        assert_eq!(text(&output).matches("HTTP/1.1 200 OK").count(), 2, "{kind:?}");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.to_lowercase().contains("re-using existing connection"), "{kind:?}: {log}");
    }
}

/// What `ab` says after this label.
fn figure(said: &str, label: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

#[test]
fn apache_bench_is_answered_in_http_1_0_with_and_without_keep_alive() {
    for kind in KINDS {
        let site = Site::start(kind);
        let body = site.dir.join("body");
        let mut file = fs::File::create(&body).expect("a file");
        file.write_all(b"a body of twenty-four by").expect("written");
        let body = body.to_str().expect("a path in UTF-8");
        for (how, kept) in [
            (&[][..], None),
            (&["-k"], Some(400)),
            (&["-p", body, "-T", "text/plain"], None),
            (&["-k", "-p", body, "-T", "text/plain"], Some(400)),
        ] {
            let path = if how.contains(&"-p") { "/upload" } else { "/" };
            let mut command = Command::new("ab");
            command.args(["-n", "400", "-c", "20", "-s", "30"]).args(how).arg(site.url(path));
            let said = text(&run(&mut command));
            assert_eq!(figure(&said, "Complete requests"), Some(400), "{kind:?} {how:?}: {said}");
            assert_eq!(figure(&said, "Failed requests"), Some(0), "{kind:?} {how:?}: {said}");
            assert_eq!(figure(&said, "Non-2xx responses"), None, "{kind:?} {how:?}: {said}");
            assert_eq!(figure(&said, "Keep-Alive requests"), kept, "{kind:?} {how:?}: {said}");
        }
    }
}
