//! The control socket of a running Vestibule: who may speak to it, what becomes of bad speech, and what `vestibule app` makes of
//! what it hears.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::vestibule::{Told, Vestibule, app, app_command, config, control};
use crate::support::wait::{seconds, until, until_true};

/// A user who is neither root nor us: nobody, as Debian has it.
const STRANGER: &str = "65534";

/// Vestibule in front of an application that echoes.
fn start(dir: &Dir) -> (Fake, Vestibule) {
    let origin = Fake::echoing(&dir.socket());
    (origin, Vestibule::start(dir, &config(dir, "")))
}

fn connect(dir: &Dir) -> UnixStream {
    let stream = UnixStream::connect(control(dir)).expect("a connection");
    stream.set_read_timeout(Some(seconds(30))).expect("a limit");
    stream
}

/// The lines that come until the end.
fn replies(stream: UnixStream) -> Vec<Value> {
    // A reset, where something was left unread, is an end, too.
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.map(|line| serde_json::from_str(&line).expect("JSON")).collect()
}

/// What is answered to these bytes.
fn speak(dir: &Dir, bytes: &[u8]) -> Vec<Value> {
    let mut stream = connect(dir);
    // What is too long may be refused while it is sent.
    let _ = stream.write_all(bytes);
    replies(stream)
}

fn assert_answers(dir: &Dir) {
    let told = app(dir, &["status", "--json"]);
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "[]"), "{told:?}");
}

/// A Python program that runs as a stranger. Its output is text; it gets the arguments as `sys.argv[1:]`.
fn as_stranger(program: &str, arguments: &[&Path]) -> Command {
    let (mut command, rest) = if rustix::process::geteuid().is_root() {
        (Command::new("setpriv"), &[][..])
    } else {
        (Command::new("sudo"), &["-n", "setpriv"][..])
    };
    command.args(rest).args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]);
    command.args(["python3", "-c", program]).args(arguments);
    // Not a Python of our own, in a home that is closed to others.
    command.env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn is_there_for_its_own_user_alone_and_gone_at_the_end() {
    let dir = Dir::new();
    let (_origin, mut vestibule) = start(&dir);
    let found = fs::symlink_metadata(control(&dir)).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.mode() & 0o7777, 0o600);
    assert_answers(&dir);
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(0));
    assert!(!control(&dir).exists());
}

#[test]
fn stays_while_requests_are_finished_and_takes_an_order_to_quit() {
    let dir = Dir::new();
    // Nobody is at the socket yet, so that the request waits.
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let late = app(&dir, &["quit", "--wait=300ms"]);
    assert_eq!((late.status, late.stdout.as_str()), (Some(3), ""), "{late:?}");
    assert!(late.stderr.contains(&vestibule.pid().to_string()), "{late:?}");
    assert_answers(&dir);
    let mut waiting = app_command(&dir, &["quit"]).spawn().expect("the binary starts");
    until_true("a second order is heard", seconds(20), || {
        vestibule.stderr().matches("asked to quit").count() == 2
    });
    assert_eq!(waiting.try_wait().expect("its status"), None);
    let _origin = Fake::echoing(&dir.socket());
    assert_eq!(client.response().expect("an answer").status, 200);
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(0), "nothing was cut");
    let told = waiting.wait_with_output().expect("its output");
    assert!(told.status.success(), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("has ended"), "{told:?}");
    assert!(!control(&dir).exists());
}

#[test]
fn after_quit_the_next_one_may_start_at_once() {
    let dir = Dir::new();
    let (_origin, vestibule) = start(&dir);
    let address = vestibule.address();
    assert_eq!(app(&dir, &["quit"]).status, Some(0));
    let settings = config(&dir, "").replace("127.0.0.1:0", &address.to_string());
    let next = Vestibule::start(&dir, &settings);
    assert_eq!(next.address(), address);
    assert_answers(&dir);
}

#[test]
fn refuses_orders_of_another_user() {
    let dir = Dir::new();
    let (_origin, vestibule) = start(&dir);
    let program = "import socket, sys\n\
                   s = socket.socket(socket.AF_UNIX)\n\
                   s.settimeout(30)\n\
                   s.connect(sys.argv[1])\n\
                   try: s.sendall(b'{\"version\":1,\"verb\":\"quit\"}\\n')\n\
                   except BrokenPipeError: pass\n\
                   print(s.recv(65536).decode(), end='')\n";
    let path = control(&dir);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("others may enter");
    let kept_out = as_stranger(program, &[&path]).output().expect("python3 and setpriv run");
    assert!(String::from_utf8_lossy(&kept_out.stderr).contains("PermissionError"), "{kept_out:?}");
    // Whatever somebody may do to the file, the kernel tells who it is.
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("others may write");
    let refused = as_stranger(program, &[&path]).output().expect("python3 and setpriv run");
    let reply: Value = serde_json::from_slice(&refused.stdout).unwrap_or_else(|_| panic!("{refused:?}"));
    assert_eq!((&reply["reply"], &reply["kind"]), (&"error".into(), &"denied".into()), "{reply}");
    assert!(reply["words"].as_str().is_some_and(|words| words.contains(STRANGER)), "{reply}");
    assert_answers(&dir);
    assert!(!vestibule.stderr().contains("asked to quit"));
}

#[test]
fn gives_no_order_to_another_user_who_lies_in_wait() {
    let dir = Dir::new();
    let open = dir.join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("others may enter");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("others may write");
    let program = "import os, socket, sys\n\
                   os.umask(0)\n\
                   s = socket.socket(socket.AF_UNIX)\n\
                   s.settimeout(60)\n\
                   s.bind(sys.argv[1])\n\
                   s.listen()\n\
                   c, _ = s.accept()\n\
                   print('heard', c.recv(65536), flush=True)\n";
    let path = open.join("control.sock");
    let stranger = as_stranger(program, &[&path]).spawn().expect("python3 and setpriv run");
    until_true("the stranger listens", seconds(20), || path.exists());
    // It listens a moment after it binds.
    let told = until("somebody listens", seconds(20), || {
        let told = app(&dir, &["stop", "--control", path.to_str().expect("text")]);
        (told.status != Some(4)).then_some(told)
    });
    assert_eq!((told.status, told.stdout.as_str()), (Some(2), ""), "{told:?}");
    assert!(told.stderr.contains(STRANGER), "{told:?}");
    let heard = stranger.wait_with_output().expect("its output");
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "heard b''\n", "{heard:?}");
}

#[test]
fn answers_what_is_no_request_with_an_error_and_goes_on() {
    let dir = Dir::new();
    let (_origin, _vestibule) = start(&dir);
    let long = [b"{\"version\":1,\"verb\":\"".repeat(20_000), b"\n".to_vec()].concat();
    for (bytes, kind) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "malformed"),
        (b"\x00\xff\xfe\n", "malformed"),
        (b"{\"version\":1}\n", "malformed"),
        (b"{\"version\":1,\"verb\":\"status\",\"more\":1}\n", "malformed"),
        (b"{\"version\":1,\"verb\":\"dance\"}\n", "unknown"),
        (b"{\"version\":2,\"verb\":\"status\"}\n", "version"),
        (b"{\"version\":1,\"verb\":\"stop\",\"name\":\"nobody\"}\n", "unknown"),
        (&long, "malformed"),
        (&vec![b'x'; 1 << 20], "malformed"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let replies = speak(&dir, bytes);
        assert_eq!(replies.len(), 1, "{shown}: {replies:?}");
        assert_eq!((&replies[0]["reply"], &replies[0]["kind"]), (&"error".into(), &kind.into()), "{shown}");
    }
    assert_answers(&dir);
}

#[test]
fn peers_that_say_nothing_hold_nobody_up_and_are_sent_away() {
    let dir = Dir::new();
    let (_origin, vestibule) = start(&dir);
    let silent: Vec<UnixStream> = (0..64).map(|_| connect(&dir)).collect();
    assert_answers(&dir);
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    // Each was closed to make room, or was told after 10 s that it is late.
    for stream in silent {
        let replies = replies(stream);
        let is_late =
            |reply: &Value| reply["words"].as_str().is_some_and(|words| words.contains("within 10 s"));
        assert!(replies.iter().all(is_late) && replies.len() <= 1, "{replies:?}");
    }
    assert_answers(&dir);
}

#[test]
fn of_two_at_one_place_the_second_says_who_has_it() {
    let dir = Dir::new();
    let (_origin, first) = start(&dir);
    let refused = Vestibule::refused(&dir, &config(&dir, ""));
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
    let path = control(&dir);
    for told in [path.to_str().expect("text"), &format!("process {}", first.pid())] {
        assert!(refused.stderr.contains(told), "no {told:?} in {}", refused.stderr);
    }
    assert_answers(&dir);
}

#[test]
fn takes_the_place_of_one_that_was_killed() {
    let dir = Dir::new();
    let (_origin, mut killed) = start(&dir);
    killed.signal(Signal::KILL);
    killed.exit(seconds(30));
    assert!(control(&dir).exists());
    let nobody = app(&dir, &["status"]);
    assert_eq!(nobody.status, Some(4), "{nobody:?}");
    let _next = Vestibule::start(&dir, &config(&dir, ""));
    assert_answers(&dir);
}

#[test]
fn leaves_anothers_socket_at_its_place_alone() {
    let dir = Dir::new();
    let (_origin, mut vestibule) = start(&dir);
    fs::remove_file(control(&dir)).expect("removed");
    let _other = UnixListener::bind(control(&dir)).expect("another");
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(0));
    assert!(control(&dir).exists());
}

#[test]
fn does_not_start_over_something_that_is_no_socket() {
    let dir = Dir::new();
    fs::write(control(&dir), "precious").expect("written");
    let refused = Vestibule::refused(&dir, &config(&dir, ""));
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(control(&dir)).expect("read"), "precious");
}

#[test]
fn where_no_vestibule_is_that_is_said_with_the_place() {
    let dir = Dir::new();
    for verb in ["status", "start", "stop", "restart", "monitor", "unmonitor", "log", "quit"] {
        let told = app(&dir, &[verb]);
        assert_eq!((told.status, told.stdout.as_str()), (Some(4), ""), "{told:?}");
        assert!(told.stderr.contains(control(&dir).to_str().expect("text")), "{told:?}");
        assert!(told.stderr.contains("vestibule serve"), "{told:?}");
    }
}

#[test]
fn without_any_process_a_command_says_what_to_write() {
    let dir = Dir::new();
    let (_origin, _vestibule) = start(&dir);
    let told = app(&dir, &["restart"]);
    assert_eq!((told.status, told.stdout.as_str()), (Some(2), ""), "{told:?}");
    assert!(told.stderr.contains("[process.NAME]"), "{told:?}");
    let told = app(&dir, &["restart", "web"]);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(told.stderr.contains("\"web\""), "{told:?}");
    let told = app(&dir, &["status"]);
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), ""), "{told:?}");
    assert!(told.stderr.contains("no process"), "{told:?}");
}

#[test]
fn an_application_that_nobody_wrote_about_is_listed_and_left_alone() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let file = format!("pid_file = \"{}\"", dir.join("web_server.pid").display());
    let _vestibule = Vestibule::start(&dir, &config(&dir, &file));
    let told = app(&dir, &["status", "--json"]);
    assert_eq!(told.status, Some(0), "{told:?}");
    let all: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(
        (&all[0]["name"], &all[0]["wish"], &all[0]["is_owned"]),
        (&"app".into(), &"alone".into(), &false.into())
    );
    let table = app(&dir, &["status"]);
    assert_eq!(table.status, Some(0), "{table:?}");
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(
        lines[0].starts_with("NAME") && lines[1].starts_with("app") && lines[1].contains("unmonitored"),
        "{table:?}"
    );
    let one = app(&dir, &["status", "app"]);
    assert!(one.status == Some(0) && one.stdout.starts_with("app\n  state"), "{one:?}");
    drop(origin);
}

#[test]
fn the_configuration_may_say_where_it_is() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let path = dir.join("elsewhere.sock");
    let settings = format!("{}\n[control]\nsocket = \"{}\"\n", config(&dir, ""), path.display());
    let vestibule = Vestibule::start(&dir, &settings);
    assert!(path.exists() && !control(&dir).exists());
    // The command stands where the configuration lies, and finds it.
    assert_answers(&dir);
    let file = dir.join("vestibule.toml");
    let (named, at) = (dir.join("moved.toml"), path.to_str().expect("text"));
    fs::rename(file, &named).expect("moved");
    for words in [["status", "--config", named.to_str().expect("text")], ["status", "--control", at]] {
        assert_eq!(app(&dir, &words).status, Some(0), "{words:?}");
    }
    assert_eq!(app(&dir, &["status"]).status, Some(4), "{}", vestibule.stderr());
}

#[test]
fn refuses_a_command_line_that_it_does_not_understand() {
    let dir = Dir::new();
    for words in [&["dance"][..], &[], &["restart", "--wait=soon"], &["status", "--config", "nowhere.toml"]] {
        let told = app(&dir, words);
        assert_eq!((told.status, told.stdout.as_str()), (Some(2), ""), "{told:?}");
    }
}

#[test]
fn the_help_tells_the_exit_status() {
    let dir = Dir::new();
    for words in [&["--help"][..], &["restart", "--help"], &["status", "--help"]] {
        let told = app(&dir, words);
        assert_eq!(told.status, Some(0), "{told:?}");
        assert!(
            told.stdout.contains("Exit status:") && told.stdout.contains("3  the time to wait"),
            "{told:?}"
        );
    }
}

/// Somebody at the control socket's place who answers one request with these bytes, and hangs up.
fn impostor(dir: &Dir, answer: &'static [u8]) -> JoinHandle<String> {
    let listener = UnixListener::bind(control(dir)).expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("a request");
        stream.write_all(answer).expect("sent");
        line
    })
}

/// What is said when a Vestibule answers so.
fn told_after(words: &[&str], answer: &'static [u8]) -> Told {
    let dir = Dir::new();
    let impostor = impostor(&dir, answer);
    let told = app(&dir, words);
    let request: Value = serde_json::from_str(&impostor.join().expect("it ends")).expect("JSON");
    assert_eq!((&request["version"], &request["verb"]), (&1.into(), &words[0].into()));
    told
}

#[test]
fn a_vestibule_that_ends_or_raves_before_its_answer_is_a_failure() {
    for answer in [
        &b""[..],
        b"{\"reply\":\"accepted\",\"name\":\"app\"}\n",
        b"{\"reply\":\"accepted\",\"name\":\"app\"}\n{\"reply\":\"ended\",\"na",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"{\"reply\":\"poem\"}\n",
        b"{\"reply\":\"line\",\"when\":1,\"name\":\"app\",\"source\":\"event\",\"words\":\"\"}\n",
        b"\xff\n",
    ] {
        let told = told_after(&["restart"], answer);
        assert_eq!((told.status, told.stdout.as_str()), (Some(1), ""), "{told:?}");
        assert!(!told.stderr.is_empty() && !told.stderr.contains("panic"), "{told:?}");
    }
    let answer = b"{\"reply\":\"accepted\",\"name\":\"app\"}\n";
    let told = told_after(&["restart"], answer);
    assert!(told.stderr.contains("app: it is not known what came of it"), "{told:?}");
}

#[test]
fn a_vestibule_of_another_release_is_told_so() {
    let answer = b"{\"reply\":\"error\",\"kind\":\"version\",\"words\":\"use the same release\"}\n";
    let told = told_after(&["stop"], answer);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(told.stderr.contains("use the same release"), "{told:?}");
}

#[test]
fn words_of_an_application_cannot_write_to_the_terminal() {
    let answer = b"{\"reply\":\"line\",\"when\":1,\"name\":\"app\",\"source\":\"output\",\"words\":\"\\u001b]0;gotcha\\u0007\"}\n\
                   {\"reply\":\"end\"}\n";
    let told = told_after(&["log"], answer);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert_eq!(told.stdout, "1970-01-01T00:00:01Z app | \u{fffd}]0;gotcha\u{fffd}");
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_without_a_word() {
    let dir = Dir::new();
    let listener = UnixListener::bind(control(&dir)).expect("bound");
    let mut child = app_command(&dir, &["log", "--follow"]).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let (mut stream, _) = listener.accept().expect("a client");
    let line = b"{\"reply\":\"line\",\"when\":1,\"name\":\"app\",\"source\":\"event\",\"words\":\"died\"}\n";
    // The first of them fails to be printed.
    let status = until("it ends", seconds(20), || {
        let _ = stream.write_all(line);
        std::thread::sleep(Duration::from_millis(5));
        child.try_wait().expect("its status")
    });
    let mut said = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}
