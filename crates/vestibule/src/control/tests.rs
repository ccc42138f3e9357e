//! The server of the control socket, with keepers that a test plays.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use vestibule_process::{Ask, Command, Outcome, Status, Wish};

use super::protocol::{Entry, Reloaded, Request, Source, Verb};
use super::*;
use crate::reload::{Desk, Refusal};

/// Nothing here takes so long but a fault.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let test = async { timeout(LIMIT, test).await.expect("the test ends in time") };
    runtime.expect("a runtime").block_on(test);
}

/// The other end of a [`Handle`].
pub(crate) struct Keeper {
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) status: watch::Sender<Status>,
}

impl Keeper {
    pub(crate) fn new(name: &str) -> (Keeper, Handle) {
        let (asks, taken) = mpsc::channel(1);
        let (status, seen) = watch::channel(Status::new(name, true, Wish::Up));
        (Keeper { asks: taken, status }, Handle::new(asks, seen))
    }

    pub(crate) async fn asked(&mut self) -> Ask {
        self.asks.recv().await.expect("a command")
    }

    pub(crate) fn record(&self, when: u64, words: &str) {
        let event = vestibule_process::Event { when, words: words.to_owned() };
        self.status.send_modify(|status| status.events.push_back(event));
    }
}

/// A server in a directory of its own.
pub(crate) struct Stand {
    pub(crate) path: PathBuf,
    pub(crate) quit: Quit,
    /// Where reloads are asked for.
    pub(crate) desk: RefCell<Option<Desk>>,
    _dir: tempfile::TempDir,
}

impl Stand {
    pub(crate) async fn new(handles: Vec<Handle>) -> Stand {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let claim = Claim::new(&Place::Named(path.clone())).await.expect("a socket");
        let quit = Quit::default();
        let handles = Rc::new(RefCell::new(handles));
        let (reloads, desk) = Reloads::new();
        let server = Server { handles, quit: quit.clone(), reloads };
        tokio::task::spawn_local(server.serve(Rc::new(claim)));
        Stand { path, quit, desk: RefCell::new(Some(desk)), _dir: dir }
    }

    async fn connect(&self) -> Peer {
        Peer(BufReader::new(UnixStream::connect(&self.path).await.expect("a connection")))
    }

    async fn ask(&self, request: &Request) -> Peer {
        let mut peer = self.connect().await;
        let mut line = serde_json::to_vec(request).expect("JSON");
        line.push(b'\n');
        peer.send(&line).await;
        peer
    }

    /// Waits until a request is not refused for want of room.
    async fn wait_for_room(&self) {
        while !matches!(self.ask(&Request::new(Verb::Status)).await.reply().await, Some(Reply::Status { .. }))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Peer(BufReader<UnixStream>);

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.expect("sent");
    }

    /// The next reply; `None` at the end of the connection.
    async fn reply(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        (!line.is_empty()).then(|| serde_json::from_str(&line).expect("a reply"))
    }

    async fn all(&mut self) -> Vec<Reply> {
        let mut all = Vec::new();
        while let Some(reply) = self.reply().await {
            all.push(reply);
        }
        all
    }

    async fn error(&mut self) -> (Kind, String) {
        match self.reply().await {
            Some(Reply::Error { kind, words }) => (kind, words),
            other => panic!("{other:?}"),
        }
    }
}

fn request(verb: Verb, name: Option<&str>) -> Request {
    Request { name: name.map(str::to_owned), ..Request::new(verb) }
}

fn accepted(name: &str) -> Reply {
    Reply::Accepted { name: name.to_owned() }
}

#[test]
fn tells_the_status_of_one_or_of_all() {
    run(async {
        let (one, first) = Keeper::new("one");
        let (_two, second) = Keeper::new("two");
        one.status.send_modify(|status| status.pid = Some(4711));
        let stand = Stand::new(vec![first, second]).await;
        let statuses = |replies: Vec<Reply>| -> Vec<(String, Option<u32>)> {
            let Some((Reply::End, statuses)) = replies.split_last() else { panic!("{replies:?}") };
            let status = |reply: &Reply| match reply {
                Reply::Status { status } => (status.name.clone(), status.pid),
                other => panic!("{other:?}"),
            };
            statuses.iter().map(status).collect()
        };
        let all = stand.ask(&request(Verb::Status, None)).await.all().await;
        assert_eq!(statuses(all), [("one".to_owned(), Some(4711)), ("two".to_owned(), None)]);
        let second = stand.ask(&request(Verb::Status, Some("two"))).await.all().await;
        assert_eq!(statuses(second), [("two".to_owned(), None)]);
    });
}

#[test]
fn gives_a_command_to_the_one_that_is_named_and_tells_how_it_ended() {
    run(async {
        let (mut one, first) = Keeper::new("one");
        let (mut two, second) = Keeper::new("two");
        let stand = Stand::new(vec![first, second]).await;
        let mut peer = stand.ask(&request(Verb::Restart, Some("two"))).await;
        assert_eq!(peer.reply().await, Some(accepted("two")));
        let ask = two.asked().await;
        assert_eq!(ask.command, Command::Restart);
        ask.reply.send(Outcome::Failed("it does not answer".to_owned())).expect("somebody waits");
        match peer.reply().await {
            Some(Reply::Ended { name, outcome, .. }) => {
                assert_eq!((name.as_str(), outcome.words()), ("two", "it does not answer"));
                assert!(!outcome.is_good());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(peer.all().await, [Reply::End]);
        assert!(one.asks.try_recv().is_err(), "the other one was told, too");
    });
}

#[test]
fn gives_a_command_to_all_at_once_and_tells_of_each_when_it_has_ended() {
    run(async {
        let (mut one, first) = Keeper::new("one");
        let (mut two, second) = Keeper::new("two");
        let stand = Stand::new(vec![first, second]).await;
        let mut peer = stand.ask(&request(Verb::Stop, None)).await;
        let (slow, quick) = (one.asked().await, two.asked().await);
        assert_eq!((slow.command, quick.command), (Command::Stop, Command::Stop));
        assert_eq!(peer.reply().await, Some(accepted("one")));
        assert_eq!(peer.reply().await, Some(accepted("two")));
        quick.reply.send(Outcome::Already("down".to_owned())).expect("somebody waits");
        assert!(matches!(peer.reply().await, Some(Reply::Ended { name, .. }) if name == "two"));
        slow.reply.send(Outcome::Done("stopped".to_owned())).expect("somebody waits");
        assert!(matches!(peer.reply().await, Some(Reply::Ended { name, .. }) if name == "one"));
        assert_eq!(peer.reply().await, Some(Reply::End));
    });
}

#[test]
fn does_not_wait_for_the_end_of_a_command_where_nobody_wants_to_know() {
    run(async {
        let (mut one, first) = Keeper::new("one");
        let stand = Stand::new(vec![first]).await;
        let request = Request { wait: false, ..Request::new(Verb::Start) };
        assert_eq!(stand.ask(&request).await.all().await, [accepted("one"), Reply::End]);
        assert_eq!(one.asked().await.command, Command::Start);
    });
}

#[test]
fn a_command_goes_on_when_whoever_gave_it_leaves() {
    run(async {
        let (mut one, first) = Keeper::new("one");
        let stand = Stand::new(vec![first]).await;
        let mut peer = stand.ask(&Request::new(Verb::Restart)).await;
        assert_eq!(peer.reply().await, Some(accepted("one")));
        drop(peer);
        // The one that waited is gone, and its place with it.
        let mut ask = one.asked().await;
        assert_eq!(ask.command, Command::Restart);
        ask.reply.closed().await;
    });
}

#[test]
fn a_keeper_that_is_gone_refuses() {
    run(async {
        let (one, first) = Keeper::new("one");
        drop(one);
        let stand = Stand::new(vec![first]).await;
        let mut peer = stand.ask(&Request::new(Verb::Restart)).await;
        let reply = peer.reply().await;
        assert!(
            matches!(&reply, Some(Reply::Ended { outcome: Outcome::Refused(words), .. }) if words.contains("ending")),
            "{reply:?}"
        );
    });
}

#[test]
fn an_unknown_name_is_told_with_those_that_there_are() {
    run(async {
        let (mut one, first) = Keeper::new("one");
        let stand = Stand::new(vec![first]).await;
        for verb in [Verb::Restart, Verb::Status, Verb::Log] {
            let (kind, words) = stand.ask(&request(verb, Some("oen"))).await.error().await;
            assert_eq!(kind, Kind::Unknown);
            assert!(words.contains("\"oen\"") && words.contains("one"), "{words}");
        }
        assert!(one.asks.try_recv().is_err());
    });
}

#[test]
fn without_any_process_it_says_what_is_missing() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        let (kind, words) = stand.ask(&Request::new(Verb::Restart)).await.error().await;
        assert_eq!(kind, Kind::Unknown);
        assert!(words.contains("[process.NAME]"), "{words}");
        assert_eq!(stand.ask(&Request::new(Verb::Status)).await.all().await, [Reply::End]);
    });
}

#[test]
fn quit_is_passed_on_and_the_connection_stays_until_the_end() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        assert!(!stand.quit.is_asked());
        let mut peer = stand.ask(&Request::new(Verb::Quit)).await;
        assert_eq!(peer.reply().await, Some(accepted("")));
        stand.quit.asked().await;
        assert!(stand.quit.is_asked());
        let more = timeout(Duration::from_millis(100), peer.reply()).await;
        assert!(more.is_err(), "{more:?}");
    });
}

/// An application's output, written by a test.
struct Said {
    file: std::fs::File,
    dir: tempfile::TempDir,
}

impl Said {
    fn new() -> Said {
        let dir = tempfile::tempdir().expect("a directory");
        let file = std::fs::File::create(dir.path().join("one.out")).expect("a file");
        Said { file, dir }
    }

    fn output(&self) -> vestibule_process::Output {
        let to = vestibule_config::Output::Log;
        vestibule_process::Output::new("one", self.dir.path(), &to).expect("followed")
    }

    fn say(&mut self, text: &str) {
        std::io::Write::write_all(&mut self.file, format!("{text}\n").as_bytes()).expect("written");
    }
}

/// Source and words of entries, which stand in the order of time.
fn told(replies: &[Reply]) -> Vec<(Source, &str)> {
    let entries = replies.iter().filter_map(|reply| match reply {
        Reply::Line(entry) => Some(entry),
        _ => None,
    });
    let entries: Vec<&Entry> = entries.collect();
    assert!(entries.is_sorted_by_key(|entry| entry.when), "{entries:?}");
    entries.iter().map(|entry| (entry.source, entry.words.as_str())).collect()
}

#[test]
fn a_log_has_events_and_output_in_the_order_of_time() {
    run(async {
        let (one, first) = Keeper::new("one");
        let mut said = Said::new();
        let first = first.with_output(said.output());
        // The lines come now: after the first event, and long before the other.
        one.record(10, "started");
        one.record(4_000_000_000, "it answers");
        said.say("booting");
        said.say("listening");
        let stand = Stand::new(vec![first]).await;
        let all = [
            (Source::Event, "started"),
            (Source::Output, "booting"),
            (Source::Output, "listening"),
            (Source::Event, "it answers"),
        ];
        for lines in [0, 1, 3, 4, 50, u32::MAX] {
            let log = Request { lines, ..Request::new(Verb::Log) };
            let replies = stand.ask(&log).await.all().await;
            assert_eq!(replies.last(), Some(&Reply::End));
            let wanted = &all[all.len().saturating_sub(lines as usize)..];
            assert_eq!(told(&replies), wanted, "{lines} lines");
        }
    });
}

#[test]
fn a_log_that_is_followed_goes_on_with_what_comes_and_repeats_nothing() {
    run(async {
        let (one, first) = Keeper::new("one");
        let mut said = Said::new();
        let first = first.with_output(said.output());
        one.record(10, "started");
        said.say("booting");
        let stand = Stand::new(vec![first]).await;
        let log = Request { lines: 1, follow: true, ..Request::new(Verb::Log) };
        let mut peer = stand.ask(&log).await;
        let mut replies = vec![peer.reply().await.expect("a line")];
        // The same words once more are news, too.
        said.say("booting");
        replies.push(peer.reply().await.expect("a line"));
        one.record(4_000_000_000, "it answers");
        replies.push(peer.reply().await.expect("a line"));
        one.record(4_000_000_000, "died");
        replies.push(peer.reply().await.expect("a line"));
        let wanted = [
            (Source::Output, "booting"),
            (Source::Output, "booting"),
            (Source::Event, "it answers"),
            (Source::Event, "died"),
        ];
        assert_eq!(told(&replies), wanted);
    });
}

#[test]
fn what_is_no_request_gets_an_error_and_the_end() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        let long = [b" ".repeat(protocol::LONGEST_REQUEST), b"{}\n".to_vec()].concat();
        for (line, kind) in [
            (&b"GET / HTTP/1.1\r\n"[..], Kind::Malformed),
            (b"\n", Kind::Malformed),
            (b"\xff\xfe\n", Kind::Malformed),
            (b"{\"version\":1,\"verb\":\"dance\"}\n", Kind::Unknown),
            (b"{\"version\":9,\"verb\":\"status\"}\n", Kind::Version),
            (&long, Kind::Malformed),
        ] {
            let mut peer = stand.connect().await;
            // The long one may be refused while it is sent.
            let _ = peer.0.get_mut().write_all(line).await;
            assert_eq!(peer.error().await.0, kind);
            let mut rest = Vec::new();
            // A reset, where something was left unread, is an end, too.
            let _ = peer.0.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
        }
    });
}

#[test]
fn a_request_that_comes_byte_by_byte_is_understood_and_half_of_one_is_not() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        let mut peer = stand.connect().await;
        for byte in b"{\"version\":1,\"verb\":\"status\"}\n" {
            peer.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.all().await, [Reply::End]);
        let mut peer = stand.connect().await;
        peer.send(b"{\"version\":1,\"verb\":\"status\"}").await;
        peer.0.get_mut().shutdown().await.expect("shut down");
        assert_eq!(peer.error().await.0, Kind::Malformed);
    });
}

#[test]
fn peers_that_stay_silent_give_way_to_one_that_wants_something() {
    run(async {
        let (_one, first) = Keeper::new("one");
        let stand = Stand::new(vec![first]).await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(stand.connect().await);
        }
        stand.wait_for_room().await;
        // The first to come was the first to go; the last is there still.
        assert_eq!(silent[0].reply().await, None);
        let last = silent.last_mut().expect("a peer");
        last.send(b"{\"version\":1,\"verb\":\"status\"}\n").await;
        assert_eq!(last.all().await.len(), 2);
    });
}

#[test]
fn peers_that_wait_for_something_do_not_give_way() {
    run(async {
        let (one, first) = Keeper::new("one");
        let stand = Stand::new(vec![first]).await;
        let follow = Request { follow: true, ..Request::new(Verb::Log) };
        let mut followers = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            followers.push(stand.ask(&follow).await);
        }
        // Longer than a silent one would be left alone.
        let late = Instant::now() + SILENCE * 2;
        while Instant::now() < late {
            let mut peer = stand.ask(&Request::new(Verb::Status)).await;
            assert_eq!(peer.error().await.0, Kind::Busy);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        one.record(10, "died");
        for follower in &mut followers {
            assert!(matches!(follower.reply().await, Some(Reply::Line(_))));
        }
        followers.pop();
        stand.wait_for_room().await;
    });
}

#[test]
fn only_our_own_user_and_root_may_ask() {
    assert!(may_ask(1000, 1000) && may_ask(0, 1000) && may_ask(0, 0));
    assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
}

#[test]
fn a_reload_is_accepted_and_then_told_how_it_ended() {
    run(async {
        let stand = Stand::new(Vec::new()).await;
        let mut desk = stand.desk.take().expect("nobody took it");
        let reloaded = Reloaded { warnings: vec!["w".to_owned()], milliseconds: 3, ..Reloaded::default() };
        let mut peer = stand.ask(&Request::new(Verb::Reload)).await;
        desk.asked(None).await.tell(&Ok(reloaded.clone()));
        assert_eq!(peer.all().await, [accepted(""), Reply::Reloaded(reloaded), Reply::End]);
        let mut peer = stand.ask(&Request::new(Verb::Reload)).await;
        desk.asked(None).await.tell(&Err(Refusal::Invalid("wrong".to_owned())));
        let wrong = Reply::error(Kind::Invalid, "wrong");
        assert_eq!(peer.all().await, [accepted(""), wrong]);
        // Draining began.
        drop(desk);
        let all = stand.ask(&Request::new(Verb::Reload)).await.all().await;
        assert!(matches!(&all[..], [_, Reply::Error { kind: Kind::Ending, .. }]), "{all:?}");
    });
}
