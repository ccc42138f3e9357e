//! The same request to two front-ends, and what may be different in the answers.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::client::{Client, Response};

/// A request, and how its answers are compared.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    method: &'static str,
    path: &'static str,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Send the validators of a first answer, each front-end its own.
    again: Option<&'static str>,
    /// The page is the front-end's own.
    own_page: bool,
}

/// What Rails answers with a file that it hands over: nginx drops most of the fields that Rails said with it
/// (ngx_http_upstream_process_headers keeps six), Vestibule sends them.
const HANDED: [&str; 2] = ["/report", "/shown"];

/// The fields that are so dropped.
const DROPPED_THERE: [&str; 7] = [
    "content-transfer-encoding",
    "referrer-policy",
    "x-content-type-options",
    "x-download-options",
    // Rails says it too; nginx adds its own only.
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-xss-protection",
];

/// Fields that may be different, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("date", "the time of the answer"),
    ("server", "nginx names itself; Vestibule passes on what the application says"),
    ("connection", "whether the connection stays is each one's own affair"),
    ("keep-alive", "the same"),
    ("x-request-id", "drawn for each request"),
    ("x-runtime", "how long Rails took"),
    ("set-cookie", "a session is encrypted anew for each answer; that there is one is compared"),
    (
        "etag",
        "of a file each front-end makes its own; that there is one is compared, and what a condition with it gives",
    ),
    ("expires", "nginx adds it to Cache-Control, which says the same (RFC 9111 5.3)"),
    ("transfer-encoding", "how a body without a known length is framed; what is in it is compared"),
    ("content-length", "a compressed body has another length with each; what is in it is compared"),
    ("vary", "compared as a set below: nginx says Accept-Encoding only where it compresses"),
    ("cache-control", "compared as a set below: nginx writes two lines where Vestibule writes one"),
    ("content-type", "compared without its charset, which nginx leaves out for files"),
    ("accept-ranges", "compared for files only"),
    ("location", "compared as the address it leads to: nginx writes its own host before a path"),
];

impl Asked {
    fn get(path: &'static str) -> Asked {
        Asked { method: "GET", path, fields: Vec::new(), body: Vec::new(), again: None, own_page: false }
    }

    fn with(mut self, name: &'static str, value: &str) -> Asked {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn head(self) -> Asked {
        Asked { method: "HEAD", ..self }
    }

    /// Once more with a validator: `etag`, `date`, `both`.
    fn again(self, validator: &'static str) -> Asked {
        Asked { again: Some(validator), ..self }
    }

    fn own_page(self) -> Asked {
        Asked { own_page: true, ..self }
    }

    fn form(content: &[u8]) -> Asked {
        let mut body = b"--limit\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--limit\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"
            .to_vec();
        body.extend(content);
        body.extend(b"\r\n--limit--\r\n");
        let asked = Asked { method: "POST", body, ..Asked::get("/upload") };
        asked.with("Content-Type", "multipart/form-data; boundary=limit")
    }

    /// Everything that a visitor may ask of the Rails site.
    pub(super) fn all_of_a_site() -> Vec<Asked> {
        let css = "/assets/application-2c26b46b68ffc68f.css";
        let js = "/assets/application-fcde2b2edba56bf4.js";
        let mut all = Vec::new();
        // Pages of Rails, pages that lie in public, files, redirects, errors; each whole and by its head only.
        let paths = [
            "/",
            "/json",
            "/etag",
            "/away",
            "/plain",
            "/plain?a=b&c=%20d",
            "/empty",
            "/told?q=1",
            "/boom",
            "/nowhere",
            "/report",
            "/shown",
            "/about",
            "/blog",
            "/blog/",
            "/robots.txt",
            "/favicon.svg",
            "/large.bin",
            "/nowhere.txt",
            css,
            js,
            "/ping",
        ];
        for path in paths {
            all.push(Asked::get(path));
            all.push(Asked::get(path).head());
            all.push(Asked::get(path).with("Accept-Encoding", "gzip"));
            all.push(Asked::get(path).with("Accept-Encoding", "identity;q=1, gzip;q=0"));
        }
        // What the front-ends answer by themselves.
        for path in ["/assets/missing.css", "/files/report.pdf", "/system/maintenance.html"] {
            all.push(Asked::get(path));
        }
        for path in ["/admin", "/admin/x", "/adminx", "/moved"] {
            all.push(Asked::get(path).own_page());
        }
        for path in [css, "/robots.txt", "/large.bin", "/etag", "/about", "/report"] {
            for validator in ["etag", "date", "both"] {
                all.push(Asked::get(path).again(validator));
            }
            all.push(Asked::get(path).with("If-None-Match", "\"another\""));
            all.push(Asked::get(path).with("If-Modified-Since", "Thu, 01 Jan 1998 00:00:00 GMT"));
        }
        for path in [css, "/large.bin", "/report", "/shown"] {
            for range in
                ["bytes=0-9", "bytes=10-", "bytes=-5", "bytes=0-0,20-29", "bytes=99999999-", "lines=1-2"]
            {
                all.push(Asked::get(path).with("Range", range));
            }
            all.push(Asked::get(path).with("Range", "bytes=0-9").with("If-Range", "\"another\""));
        }
        all.push(Asked::form(b"a short file"));
        all.push(Asked::form(&vec![b'x'; 900_000]));
        all.push(Asked::form(&vec![b'x'; 1_200_000]));
        all.push(
            Asked::get("/told").with("X-Forwarded-For", "203.0.113.9").with("X-Forwarded-Proto", "https"),
        );
        all.push(Asked::get("/told").with("X-Accel-Mapping", "/=/files/").with("Cookie", "a=1; b=2"));
        all.push(Asked::get("/told").with("Accept", "application/json"));
        all
    }

    fn send(&self, address: SocketAddr, more: &[(String, String)]) -> Response {
        let mut client = Client::connect(address).expect("a connection");
        let mut head = format!("{} {} HTTP/1.1\r\nHost: example.com\r\n", self.method, self.path);
        let own = self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        for (name, value) in own.chain(more.iter().cloned()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        client.send(head).expect("sent");
        // One that is too large may be refused before it is read.
        let _ = client.send(&self.body);
        let answer = if self.method == "HEAD" { client.head_response() } else { client.response() };
        answer.unwrap_or_else(|error| panic!("{} {} of {address}: {error}", self.method, self.path))
    }

    fn answer(&self, address: SocketAddr) -> Response {
        let Some(validator) = self.again else { return self.send(address, &[]) };
        let first = self.send(address, &[]);
        let mut more = Vec::new();
        if matches!(validator, "etag" | "both")
            && let Some(tag) = first.field("etag")
        {
            more.push(("If-None-Match".to_owned(), tag.to_owned()));
        }
        if matches!(validator, "date" | "both")
            && let Some(date) = first.field("last-modified")
        {
            more.push(("If-Modified-Since".to_owned(), date.to_owned()));
        }
        self.send(address, &more)
    }
}

/// Asks both and compares.
pub(super) fn assert_same((nginx, vestibule): (SocketAddr, SocketAddr), asked: &Asked) {
    let (theirs, ours) = (asked.answer(nginx), asked.answer(vestibule));
    let context = || {
        let length = asked.body.len();
        format!(
            "{} {} {:?} {:?}, a body of {length}\n--- nginx:\n{}--- Vestibule:\n{}",
            asked.method, asked.path, asked.fields, asked.again, theirs.head, ours.head
        )
    };
    assert_eq!(theirs.status, ours.status, "{}", context());
    let leads_to = |answer: &Response| {
        let own = ["http://example.com", &format!(":{}", nginx.port())];
        let location = answer.field("location").map(str::to_owned);
        location.map(|to| own.iter().fold(to, |to, part| to.strip_prefix(part).unwrap_or(&to).to_owned()))
    };
    assert_eq!(leads_to(&theirs), leads_to(&ours), "location: {}", context());
    // What there is none of, both say on a page of their own.
    if asked.own_page || theirs.status == 416 {
        assert_eq!(theirs.all("content-range"), ours.all("content-range"), "content-range: {}", context());
        return;
    }
    let names = |answer: &Response| -> BTreeSet<String> {
        let fields = answer.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.map(|(name, _)| name.to_ascii_lowercase()).collect()
    };
    for name in names(&theirs).union(&names(&ours)) {
        // Of other answers nginx compresses none (ngx_http_gzip_module), such as the page of an error.
        let is_plain_there = name == "content-encoding" && !matches!(theirs.status, 200 | 403 | 404);
        // Beside a tag it says nothing more (RFC 9110 15.4.5).
        let is_needless = name == "last-modified" && theirs.status == 304 && ours.field("etag").is_some();
        let is_dropped_there = HANDED.contains(&asked.path)
            && DROPPED_THERE.contains(&name.as_str())
            && theirs.all(name).iter().all(|value| ours.all(name).contains(value));
        if !is_plain_there
            && !is_needless
            && !is_dropped_there
            && !DIFFERENT.iter().any(|(known, _)| known == name)
        {
            assert_eq!(theirs.all(name), ours.all(name), "{name}: {}", context());
        }
    }
    for name in ["set-cookie", "last-modified"].iter().filter(|_| theirs.status != 304) {
        assert_eq!(theirs.all(name).len(), ours.all(name).len(), "{name}: {}", context());
    }
    if theirs.status == 200 && !theirs.all("last-modified").is_empty() {
        assert_eq!(theirs.all("etag").len(), ours.all("etag").len(), "etag: {}", context());
    }
    let set = |answer: &Response, name: &str| -> BTreeSet<String> {
        answer
            .all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .map(|part| part.trim().to_ascii_lowercase())
            .collect()
    };
    // An error that Vestibule answers with is nothing to keep, and the same for everybody.
    let is_own_error = theirs.status >= 400 && ours.field("cache-control") == Some("no-store");
    if !is_own_error {
        assert_eq!(
            set(&theirs, "cache-control"),
            set(&ours, "cache-control"),
            "cache-control: {}",
            context()
        );
        assert!(set(&ours, "vary").is_superset(&set(&theirs, "vary")), "vary: {}", context());
    }
    let kind = |answer: &Response| {
        // Beside one that `add_header` writes, nginx sends its own.
        let kind = answer.all("content-type").last().copied();
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).to_owned());
        // The older name of the same (RFC 9239 6).
        kind.map(|kind| kind.replace("application/javascript", "text/javascript"))
    };
    // Each part of several has a boundary of its own.
    let several = kind(&theirs).is_some_and(|kind| kind == "multipart/byteranges");
    assert_eq!(kind(&theirs), kind(&ours), "content-type: {}", context());
    let is_coded = [&theirs, &ours].iter().any(|answer| answer.field("content-encoding").is_some());
    if !is_coded && !several && asked.method != "HEAD" {
        assert_eq!(theirs.body.len(), ours.body.len(), "length: {}", context());
    }
    assert_eq!(plain(&theirs, several), plain(&ours, several), "body: {}", context());
}

/// The body as it was before it was compressed, or before it was cut into parts.
fn plain(answer: &Response, several: bool) -> Vec<u8> {
    if several {
        let boundary =
            answer.field("content-type").and_then(|kind| kind.split_once("boundary=")).expect("a boundary").1;
        let boundary = boundary.trim_matches('"');
        // Of each part what it is of, and what is in it.
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = format!("--{boundary}");
        let parts = text.split(&line).map(|part| {
            let lines = part.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-type:"));
            lines.collect::<Vec<_>>().join("\n").trim().to_owned()
        });
        return parts
            .collect::<Vec<_>>()
            .join("\n====\n")
            .replace("Content-Range", "content-range")
            .into_bytes();
    }
    if answer.field("content-encoding") != Some("gzip") || answer.body.is_empty() {
        return answer.body.clone();
    }
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut stdin = gzip.stdin.take().expect("stdin");
    let body = answer.body.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&body));
    let output = gzip.wait_with_output().expect("its output");
    writing.join().expect("the thread").expect("written");
    assert!(output.status.success(), "{}", answer.head);
    output.stdout
}
