//! What a visitor sees when the answer is not the application's: built-in pages, the operator's, maintenance.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::forwarding::connect;
use crate::hold::unread;
use crate::support::client::{Client, Response, get};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until, until_true};

const HTML: &str = "text/html; charset=utf-8";
const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n";

/// What a client may accept, and the type that it gets.
const ACCEPTS: [(&str, &str); 9] = [
    ("", HTML),
    (BROWSER, HTML),
    ("Accept: */*\r\n", HTML),
    ("Accept: image/png\r\n", HTML),
    ("Accept: application/json\r\n", "application/json"),
    ("Accept: application/problem+json\r\n", "application/problem+json"),
    ("Accept: application/vnd.api+json\r\n", "application/json"),
    ("Accept: text/html;q=0\r\nAccept: */*\r\n", "application/json"),
    ("Accept: text/plain\r\n", "text/plain; charset=utf-8"),
];

/// Each status that a head can lead to which says what its client accepts: the request but for its Accept, and whether
/// the connection stays.
const REFUSED: [(u16, &str); 9] = [
    (400, "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: many\r\n"),
    (404, "GET / HTTP/1.1\r\nHost: nowhere.example\r\n"),
    (405, "TRACE / HTTP/1.1\r\nHost: a\r\n"),
    (413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n"),
    (417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: the-impossible\r\n"),
    (502, "GET /502 HTTP/1.1\r\nHost: a\r\n"),
    (503, "GET / HTTP/1.1\r\nHost: away.example\r\n"),
    (504, "GET /504 HTTP/1.1\r\nHost: a\r\n"),
    (408, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"),
];

/// Heads that are no valid requests.
const INVALID: [(u16, &str); 5] = [
    (400, "GET / HTTP/1.1\r\n\r\n"),
    (431, "GET / HTTP/1.1\r\nHost: a\r\nX: "),
    (414, "GET /"),
    (501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
];

fn origin(dir: &Dir) -> Fake {
    Fake::start(&dir.socket(), |conversation: &mut Conversation| {
        while let Some(request) = conversation.request() {
            match request.target() {
                "/502" => return,
                "/504" => {}
                target => conversation.answer(target),
            }
        }
    })
}

/// A Vestibule in front of [`origin`], impatient, with an application beside it that is away.
fn impatient(dir: &Dir, more: &str) -> Vestibule {
    let text = format!(
        "{}timeout = {{ response = \"300ms\" }}\n[upstream.away]\naddress = \"unix:{}\"\nhold = {{ requests = 0 }}\n\
         [[route]]\nhost = \"a\"\nupstream = \"app\"\n[[route]]\nhost = \"away.example\"\nupstream = \"away\"\n\
         [limits]\nhead = \"4 KiB\"\nbody = \"1 MiB\"\nrequest_timeout = \"300ms\"\n{more}",
        config(dir, ""),
        dir.join("away.sock").display()
    );
    Vestibule::start(dir, &text)
}

fn ask(vestibule: &Vestibule, bytes: &str) -> Response {
    let mut client = connect(vestibule);
    client.send(bytes).expect("sent");
    client.response().unwrap_or_else(|error| panic!("{bytes:?}: {error}"))
}

/// What every answer of ours has.
fn is_ours(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.head);
    assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert!(answer.field("date").is_some(), "{}", answer.head);
    assert_eq!(answer.field("retry-after").is_some(), status == 503, "{}", answer.head);
    assert_eq!(answer.field("allow").is_some(), status == 405, "{}", answer.head);
    let all = format!("{}{}", answer.head, answer.text()).to_lowercase();
    for leak in ["vestibule", "server:", "0.1.", "via:", "x-powered", "rust"] {
        assert!(!all.contains(leak), "{leak} leaks:\n{all}");
    }
}

#[test]
fn every_refusal_is_told_in_the_form_that_the_client_accepts() {
    let dir = Dir::new();
    let _origin = origin(&dir);
    let vestibule = impatient(&dir, "");
    for (status, head) in REFUSED {
        let mut texts = Vec::new();
        for (accept, kind) in ACCEPTS {
            let answer = ask(&vestibule, &format!("{head}{accept}\r\n"));
            is_ours(&answer, status);
            assert_eq!(answer.field("content-type"), Some(kind), "{status} for {accept:?}");
            let text = answer.text();
            assert!(text.contains(&status.to_string()), "{text}");
            if kind.ends_with("json") {
                let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(json["status"], status, "{json}");
                texts.push(json["detail"].as_str().expect("a detail").to_owned());
            }
            assert_eq!(text.contains("<html"), kind == HTML, "{text}");
        }
        let text = texts.first().expect("a text");
        assert!(text.len() > 15 && texts.iter().all(|other| other == text), "{texts:?}");
    }
}

#[test]
fn a_head_that_is_no_request_gets_its_page_and_the_connection_ends() {
    let dir = Dir::new();
    let _origin = origin(&dir);
    let vestibule = impatient(&dir, "");
    for (status, head) in INVALID {
        let mut client = connect(&vestibule);
        let long = if head.ends_with("\r\n\r\n") { String::new() } else { "x".repeat(5000) };
        client.send(format!("{head}{long}")).expect("sent");
        let answer = client.response().unwrap_or_else(|error| panic!("{head:?}: {error}"));
        is_ours(&answer, status);
        assert!(answer.closes() && answer.text().contains(&status.to_string()), "{}", answer.head);
        assert_eq!(answer.field("content-type"), Some(HTML));
        assert!(client.is_closed(), "{head:?}");
    }
    let mut slow = connect(&vestibule);
    slow.send("GET / HT").expect("sent");
    let answer = slow.response().expect("an answer");
    is_ours(&answer, 408);
    assert!(answer.closes());
}

#[test]
fn the_operators_pages_stand_for_ours() {
    let dir = Dir::new();
    let _origin = origin(&dir);
    let mut table = "[error_pages]\n".to_owned();
    for status in [400, 404, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505] {
        let path = dir.join(&format!("{status}.html"));
        fs::write(&path, format!("<p>ours: {status} \u{e9}\0</p>")).expect("a page");
        table += &match status {
            503 => {
                fs::write(dir.join("503.json"), "{\"ours\":503}").expect("a page");
                format!("503 = [\"{}\", \"{}\"]\n", path.display(), dir.join("503.json").display())
            }
            _ => format!("{status} = \"{}\"\n", path.display()),
        };
    }
    let vestibule = impatient(&dir, &table);
    let page = |status| format!("<p>ours: {status} \u{e9}\0</p>");
    for (status, head) in REFUSED {
        for accept in ["", BROWSER, "Accept: */*\r\n", "Accept: image/png\r\n"] {
            let answer = ask(&vestibule, &format!("{head}{accept}\r\n"));
            is_ours(&answer, status);
            assert_eq!((answer.text(), answer.field("content-type")), (page(status), Some(HTML)), "{accept}");
        }
        let answer = ask(&vestibule, &format!("{head}Accept: application/json\r\n\r\n"));
        is_ours(&answer, status);
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.text() == "{\"ours\":503}", status == 503, "{status}: {}", answer.text());
    }
    for (status, head) in INVALID {
        let long = if head.ends_with("\r\n\r\n") { String::new() } else { "x".repeat(5000) };
        assert_eq!(ask(&vestibule, &format!("{head}{long}")).text(), page(status));
    }
    // A page changed on disk is another one only after a new start.
    fs::remove_file(dir.join("404.html")).expect("removed");
    assert_eq!(ask(&vestibule, "GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n").text(), page(404));
}

#[test]
fn head_gets_the_length_of_the_page_and_nothing_of_it() {
    let dir = Dir::new();
    let _origin = origin(&dir);
    let own = dir.join("502.html");
    fs::write(&own, vec![b'x'; 300_000]).expect("a page");
    let vestibule = impatient(&dir, &format!("[error_pages]\n502 = \"{}\"\n", own.display()));
    for (path, host, status) in
        [("/", "nowhere.example", 404), ("/", "away.example", 503), ("/502", "a", 502)]
    {
        let mut client = connect(&vestibule);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("sent");
        let whole = client.response().expect("an answer");
        assert!(status != 502 || whole.body == vec![b'x'; 300_000], "a long page comes whole");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("sent");
        let head = client.head_response().expect("a head");
        assert_eq!((head.status, head.field("content-length")), (status, whole.field("content-length")));
        assert_eq!(head.field("content-type"), whole.field("content-type"));
        assert_eq!(client.get("/").expect("the connection goes on").status, 404, "example.com has no route");
    }
}

/// A Vestibule with a maintenance file that is not there yet.
fn maintained(dir: &Dir, name: &str, more: &str) -> (Vestibule, std::path::PathBuf) {
    let path = dir.join(name);
    let vestibule =
        Vestibule::start(dir, &config(dir, &format!("maintenance = \"{}\"\n{more}", path.display())));
    (vestibule, path)
}

fn wait_for_status(vestibule: &Vestibule, status: u16) -> Response {
    until(&format!("status {status}"), seconds(30), || {
        Some(get(vestibule.address(), "/up")).filter(|answer| answer.status == status)
    })
}

/// What was said that is wrong with a maintenance file.
fn warnings_of_the_file(vestibule: &Vestibule) -> Vec<String> {
    let warnings = vestibule.events().into_iter().filter(|event| event["level"] == "WARN");
    let texts = warnings.filter_map(|event| event["message"].as_str().map(str::to_owned));
    texts.filter(|text| text.contains("maintenance file")).collect()
}

#[test]
fn shows_the_maintenance_page_while_its_file_exists() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let (vestibule, file) = maintained(&dir, "down.html", "");
    assert_eq!(get(vestibule.address(), "/before").text(), "/before");
    for text in ["<p>back at noon", "<p>back at one"] {
        // As a deployment does it: there at once, and whole.
        fs::write(dir.join("new"), text).expect("written");
        fs::rename(dir.join("new"), &file).expect("moved");
        let answer = until("the page", seconds(30), || {
            Some(get(vestibule.address(), "/up")).filter(|answer| answer.text() == text)
        });
        is_ours(&answer, 503);
        assert_eq!(answer.field("content-type"), Some(HTML));
    }
    fs::write(&file, "<p>written anew, in place").expect("written");
    until_true("the changed page", seconds(30), || {
        get(vestibule.address(), "/up").text() == "<p>written anew, in place"
    });
    let seen = origin.requests().len();
    let mut client = connect(&vestibule);
    // Nothing of a body is asked for that nobody will read.
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .expect("sent");
    assert_eq!(client.response().expect("an answer").status, 503);
    let mut client = connect(&vestibule);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.head_response().expect("a head").field("content-length"), Some("25"));
    assert_eq!(client.get("/").expect("the connection goes on").status, 503);
    let json = ask(&vestibule, "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!((json.status, json.field("content-type")), (503, Some("application/json")));
    assert_eq!(origin.requests().len(), seen, "the application hears of none of it");
    fs::remove_file(&file).expect("removed");
    assert_eq!(wait_for_status(&vestibule, 200).text(), "/up");
}

#[test]
fn is_in_maintenance_from_the_first_request_if_the_file_is_there() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    fs::write(dir.join("down.txt"), "later").expect("written");
    let (vestibule, file) = maintained(&dir, "down.txt", "");
    let answer = get(vestibule.address(), "/");
    assert_eq!((answer.status, answer.text()), (503, "later".to_owned()));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(origin.requests().is_empty());
    fs::remove_file(file).expect("removed");
    wait_for_status(&vestibule, 200);
}

#[test]
fn an_empty_maintenance_file_shows_the_page_for_503() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let own = dir.join("503.html");
    fs::write(&own, "<p>the operator's").expect("written");
    let pages = format!("[error_pages]\n503 = \"{}\"\n", own.display());
    let (vestibule, file) = maintained(&dir, "stop", &pages);
    fs::write(&file, "").expect("touched");
    assert_eq!(wait_for_status(&vestibule, 503).text(), "<p>the operator's");
    assert!(warnings_of_the_file(&vestibule).is_empty(), "an empty file is a switch, and no fault");
}

#[test]
fn a_maintenance_file_that_is_no_page_stops_all_the_same_and_is_told_of() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let (vestibule, file) = maintained(&dir, "down.html", "");
    fs::write(dir.join("new"), vec![b'x'; (1 << 20) + 1]).expect("written");
    fs::rename(dir.join("new"), &file).expect("moved");
    let answer = wait_for_status(&vestibule, 503);
    is_ours(&answer, 503);
    assert!(answer.text().contains("503"), "the built-in page");
    until_true("a warning", seconds(30), || {
        warnings_of_the_file(&vestibule).iter().any(|warning| warning.contains("1 MiB"))
    });
    fs::remove_file(&file).expect("removed");
    wait_for_status(&vestibule, 200);
}

#[test]
fn requests_in_line_get_the_maintenance_page_at_once() {
    let dir = Dir::new();
    let (vestibule, file) = maintained(&dir, "down.html", "hold = { timeout = \"60s\" }\n");
    let files = vestibule.open_files();
    let mut held: Vec<Client<_>> = (0..20).map(|_| connect(&vestibule)).collect();
    for client in &mut held {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").expect("sent");
    }
    vestibule.wait_for_files(files, held.len());
    until_true("all requests are read", seconds(20), || unread(&vestibule) == 0);
    fs::write(dir.join("new"), "<p>sorry").expect("written");
    fs::rename(dir.join("new"), &file).expect("moved");
    for client in &mut held {
        let answer = client.response().expect("an answer");
        assert_eq!((answer.status, answer.text()), (503, "<p>sorry".to_owned()));
    }
    // The application comes while nobody may see it, and is found when that ends.
    let origin = Fake::echoing(&dir.socket());
    assert_eq!(get(vestibule.address(), "/").status, 503);
    assert!(origin.requests().is_empty());
    fs::remove_file(&file).expect("removed");
    wait_for_status(&vestibule, 200);
}

#[test]
fn other_applications_go_on_while_one_is_in_maintenance() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let _other = Fake::echoing(&dir.join("other.sock"));
    let more = format!(
        "[upstream.other]\naddress = \"unix:{}\"\n[[route]]\nupstream = \"app\"\n\
         [[route]]\nhost = \"other.example\"\nupstream = \"other\"\n",
        dir.join("other.sock").display()
    );
    let (vestibule, file) = maintained(&dir, "down.html", &more);
    fs::write(&file, "").expect("touched");
    wait_for_status(&vestibule, 503);
    assert_eq!(ask(&vestibule, "GET /x HTTP/1.1\r\nHost: other.example\r\n\r\n").text(), "/x");
}

/// Sends one request after the other until told to stop; counts the answers by status.
fn load(address: SocketAddr, stop: &AtomicBool, statuses: &Mutex<BTreeMap<u16, usize>>) {
    let mut client = Client::connect(address).expect("a connection");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let answer = match number % 3 {
            0 => client.post("/post", b"hello"),
            _ => client.get("/get"),
        };
        let answer = answer.expect("an answer on a connection that goes on");
        match answer.status {
            200 => assert!(["/get", "/post"].contains(&answer.text().as_str())),
            _ => assert_eq!(answer.text(), "<p>maintenance"),
        }
        *statuses.lock().expect("statuses").entry(answer.status).or_default() += 1;
    }
}

#[test]
fn maintenance_under_load_gives_answers_and_503s_and_nothing_else() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let (vestibule, file) = maintained(&dir, "down.html", "");
    let (stop, statuses) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let seen = |status: u16| statuses.lock().expect("statuses").get(&status).copied().unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| load(vestibule.address(), &stop, &statuses));
        }
        for _ in 0..5 {
            let before = seen(200);
            until_true("answers", seconds(20), || seen(200) > before + 20);
            fs::write(dir.join("new"), "<p>maintenance").expect("written");
            fs::rename(dir.join("new"), &file).expect("moved");
            let before = seen(503);
            until_true("the page", seconds(20), || seen(503) > before + 20);
            fs::remove_file(&file).expect("removed");
        }
        let before = seen(200);
        until_true("answers again", seconds(20), || seen(200) > before + 20);
        stop.store(true, Ordering::Relaxed);
    });
    let statuses = statuses.into_inner().expect("statuses");
    assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
}
