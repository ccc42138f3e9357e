//! What goes wrong, and how that is told: to the operator at the start, to clients afterwards.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::{Ended, Vestibule, config};

fn refused(config: &str) -> Ended {
    let ended = Vestibule::refused(&Dir::new(), config);
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    ended
}

/// Asserts that a message names this place and these words.
fn tells(ended: &Ended, place: &str, words: &[&str]) {
    let place = format!("vestibule.toml:{place}");
    let block = ended.stderr.split("\n\n").find(|block| block.contains(&place));
    let block = block.unwrap_or_else(|| panic!("nothing about {place} in:\n{}", ended.stderr));
    for word in words {
        assert!(block.contains(word), "no {word:?} in:\n{block}");
    }
}

#[test]
fn names_the_place_of_an_unknown_key_and_the_nearest_known_one() {
    let ended = refused("workers = 1\n[upstream.app]\n  adress = \"unix:/tmp/x.sock\"\n");
    tells(&ended, "3:3", &["adress", "address"]);
}

#[test]
fn tells_all_errors_at_once() {
    let ended = refused(
        "workers = 0\n[[listen]]\naddress = \"nowhere\"\n[upstream.app]\nhold = { timeout = \"soon\" }\n[[route]]\nupstream = \"other\"\n",
    );
    for (place, word) in [("1:11", "workers"), ("3:11", "nowhere"), ("5:20", "soon"), ("7:12", "other")] {
        tells(&ended, place, &[word]);
    }
}

#[test]
fn names_the_place_of_a_syntax_error() {
    tells(&refused("workers = 1\n[upstream.app\n"), "2:", &[]);
}

#[test]
fn refuses_a_socket_path_that_is_a_directory() {
    let dir = Dir::new();
    fs::create_dir(dir.socket()).expect("a directory");
    let ended = Vestibule::refused(&dir, &config(&dir, ""));
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    tells(&ended, "6:", &["directory", "web_server.sock"]);
}

/// What `vestibule check` says without a configuration, or with `text` for one, where the environment has these variables.
fn checked_where(text: Option<&str>, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = Dir::new();
    if let Some(text) = text {
        std::fs::write(dir.join("vestibule.toml"), text).expect("written");
    }
    let check = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .arg("check")
        .current_dir(dir.path())
        .env_remove("CUSTOM_WEB_SOCKET_FILE")
        .env_remove("CUSTOM_WEB_PID_FILE")
        .envs(variables.iter().copied())
        .output()
        .expect("vestibule runs");
    (check.status.code(), String::from_utf8_lossy(&check.stderr).into_owned())
}

#[test]
fn names_the_variable_that_is_no_path() {
    for text in [None, Some("workers = 1")] {
        let (code, said) =
            checked_where(text, &[("CUSTOM_WEB_SOCKET_FILE", ""), ("CUSTOM_WEB_PID_FILE", "a.pid")]);
        assert_eq!(code, Some(2), "{said}");
        for words in ["CUSTOM_WEB_SOCKET_FILE is empty", "CUSTOM_WEB_PID_FILE is not an absolute path: a.pid"]
        {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
        let right = [("CUSTOM_WEB_SOCKET_FILE", "/tmp/a.sock"), ("CUSTOM_WEB_PID_FILE", "/tmp/a.pid")];
        assert_eq!(checked_where(text, &right).0, Some(0));
    }
    // The variable is what a listener may not be at.
    let listener = "[[listen]]\naddress = \"unix:/tmp/vestibule-errors-a.sock\"";
    let (code, said) =
        checked_where(Some(listener), &[("CUSTOM_WEB_SOCKET_FILE", "/tmp/vestibule-errors-a.sock")]);
    assert!(code == Some(2) && said.contains("this is where the upstream `app` listens"), "{said}");
    assert_eq!(checked_where(Some(listener), &[]).0, Some(0));
}

#[test]
fn refuses_a_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let ended =
        refused(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\n\n[[listen]]\naddress = \"{address}\"\n"));
    tells(&ended, "5:", &[&address, "in use"]);
}

#[test]
fn tells_of_every_port_in_use_at_once() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [one, other] = taken.each_ref().map(|taken| taken.local_addr().expect("its address").to_string());
    let ended = refused(&format!("[[listen]]\naddress = \"{one}\"\n[[listen]]\naddress = \"{other}\"\n"));
    tells(&ended, "2:", &[&one]);
    tells(&ended, "4:", &[&other]);
}

fn ask(vestibule: &Vestibule, accept: &str) -> Response {
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n")).expect("sent");
    client.response().expect("an answer")
}

/// Whether the error is told in the form that the client accepts.
fn speaks_the_clients_language(vestibule: &Vestibule, status: u16) {
    let browser = ask(vestibule, "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
    assert_eq!(browser.status, status);
    assert!(
        browser.field("content-type").is_some_and(|value| value.starts_with("text/html")),
        "{}",
        browser.head
    );
    assert!(browser.text().to_lowercase().contains("<html") && browser.text().contains(&status.to_string()));
    let program = ask(vestibule, "Accept: application/json\r\n");
    assert_eq!(program.status, status);
    assert!(
        program.field("content-type").is_some_and(|value| value.starts_with("application/json")),
        "{}",
        program.head
    );
    let json: serde_json::Value = serde_json::from_slice(&program.body).expect("JSON");
    assert_eq!(json["status"], status, "{json}");
    for answer in [browser, program] {
        assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(answer.field("date").is_some(), "{}", answer.head);
        assert_eq!(answer.field("retry-after").is_some(), status == 503, "{}", answer.head);
    }
}

#[test]
fn answers_502_as_html_or_json() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("this is not HTTP\r\n\r\n");
        }
    });
    speaks_the_clients_language(&Vestibule::start(&dir, &config(&dir, "")), 502);
}

#[test]
fn answers_503_as_html_or_json() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { timeout = \"100ms\" }"));
    speaks_the_clients_language(&vestibule, 503);
}

#[test]
fn answers_504_as_html_or_json() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| while conversation.request().is_some() {});
    let vestibule = Vestibule::start(&dir, &config(&dir, "timeout = { response = \"100ms\" }"));
    speaks_the_clients_language(&vestibule, 504);
}

#[test]
fn goes_on_with_the_connection_after_an_error_of_the_application() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            match request.target() {
                "/bad" => return,
                good => conversation.answer(good),
            }
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    assert_eq!(client.post("/bad", b"x").expect("an answer").status, 502);
    assert_eq!(client.get("/good").expect("the connection goes on").text(), "/good");
}
