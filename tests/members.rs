//! Several servers behind one upstream: who gets a request, and that none is lost with one of them.

mod names;
mod zone;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::app::{App, Kind};
use crate::support::client::{Client, Response, get};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::load::Load;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until, until_true};

/// A configuration with these lines in `[upstream.app]`, and `more` behind it.
fn config(upstream: &str, more: &str) -> String {
    format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream.app]\n{upstream}\n\
         [limits]\nconnections_per_address = 16384\n{more}"
    )
}

/// `addresses = […]` of sockets.
fn at(paths: &[&Path]) -> String {
    let list: Vec<String> = paths.iter().map(|path| format!("\"unix:{}\"", path.display())).collect();
    format!("addresses = [{}]", list.join(", "))
}

/// A server that answers every request with its name.
fn named(path: &Path, name: &'static str) -> Fake {
    Fake::start(path, move |conversation| answer_all(conversation, name))
}

fn answer_all(conversation: &mut Conversation, name: &str) {
    while conversation.request().is_some() {
        conversation.answer(name);
    }
}

/// The same on a port, until it goes.
struct NamedPort {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl NamedPort {
    fn start(address: SocketAddr, name: &'static str) -> NamedPort {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let is_over = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if theirs.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || serve(stream, name));
            }
        });
        NamedPort { address, is_over }
    }
}

impl Drop for NamedPort {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, name: &str) {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Who answers so many requests that come one after the other, and how often.
fn who(vestibule: &Vestibule, requests: usize) -> HashMap<String, usize> {
    let mut client = Client::connect(vestibule.address()).expect("connected");
    let mut who = HashMap::new();
    for _ in 0..requests {
        let response = client.get("/").expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        *who.entry(response.text()).or_default() += 1;
    }
    who
}

/// Waits until nobody but these answers.
fn wait_until_only(vestibule: &Vestibule, names: &[&str]) {
    let is_only = || {
        let mut who: Vec<String> = who(vestibule, 40).into_keys().collect();
        who.sort_unstable();
        who == names
    };
    until_true(&format!("only {names:?} answer"), seconds(60), is_only);
}

fn in_background(vestibule: &Vestibule, path: &'static str) -> std::thread::JoinHandle<Response> {
    let address = vestibule.address();
    std::thread::spawn(move || get(address, path))
}

/// Three Pumas, two at sockets and one at a port, with one ledger.
struct Pumas {
    apps: Vec<(App, Dir)>,
    port: SocketAddr,
    dir: Dir,
}

impl Pumas {
    fn start() -> Pumas {
        let dir = Dir::new();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut pumas = Pumas { apps: Vec::new(), port, dir };
        for index in 0..3 {
            let own = Dir::new();
            std::os::unix::fs::symlink(pumas.ledger_file(), own.join("ledger")).expect("a link");
            pumas.apps.push((App::stopped(Kind::Puma, &own), own));
            pumas.run(index);
        }
        (0..3).for_each(|index| pumas.wait_until_answers(index));
        pumas
    }

    fn ledger_file(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    fn ledger(&self) -> crate::support::ledger::Ledger {
        crate::support::ledger::Ledger::at(&self.ledger_file())
    }

    fn run(&mut self, index: usize) {
        let (app, dir) = &mut self.apps[index];
        if index < 2 {
            return app.run();
        }
        let (bind, pid_file) = (format!("tcp://{}", self.port), dir.join("web_server.pid"));
        let pid_file = pid_file.to_str().expect("UTF-8");
        app.run_by(
            &["puma", "-e", "production", "-t", "5:5", "-b", &bind, "--pidfile", pid_file, "config.ru"],
            false,
            |_| {},
        );
    }

    fn wait_until_answers(&self, index: usize) {
        if index < 2 {
            return self.apps[index].0.wait_until_answers();
        }
        until("Puma answers at its port", seconds(40), || {
            let mut client = Client::connect(self.port).ok()?;
            client.send("GET /boot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
            client.response().ok().filter(|answer| answer.status == 200)
        });
    }

    fn config(&self) -> String {
        let [one, other] = [0, 1].map(|index: usize| self.apps[index].1.socket().display().to_string());
        let port = self.port;
        // Over TCP nothing says what Puma can run, and what waits in its accept queue is lost with it.
        let upstream = format!(
            "in_flight = 5\naddresses = [\"unix:{one}\", \"unix:{other}\", {{ address = \"{port}\" }}]"
        );
        config(&upstream, "")
    }
}

#[test]
fn a_killed_member_costs_no_get_and_no_post_runs_twice() {
    let _turn = turn::heavy();
    let mut pumas = Pumas::start();
    let vestibule = Vestibule::start(&pumas.dir, &pumas.config());
    let load = Load::start(vestibule.address(), 200);
    for index in [0, 2, 1] {
        load.wait_for(100);
        pumas.apps[index].0.kill9();
        load.wait_for(100);
        pumas.run(index);
        pumas.wait_until_answers(index);
    }
    load.wait_for(100);
    let report = load.stop();
    println!("{}", report.summary());
    report.assert_only_read_posts_failed(&pumas.ledger(), 3 * Kind::Puma.at_once());
}

#[test]
fn members_restarted_one_by_one_lose_nothing() {
    let _turn = turn::heavy();
    let mut pumas = Pumas::start();
    let vestibule = Vestibule::start(&pumas.dir, &pumas.config());
    let load = Load::start(vestibule.address(), 200);
    // Not the one at a port: nothing tells whether it had read a POST that came as it closed its connection.
    for index in [0, 1, 0] {
        load.wait_for(100);
        pumas.apps[index].0.stop_gently();
        load.wait_for(50);
        pumas.run(index);
        pumas.wait_until_answers(index);
    }
    load.wait_for(100);
    let report = load.stop();
    println!("{}", report.summary());
    report.assert_nothing_failed(&pumas.ledger());
    let log = vestibule.access_log();
    let members: std::collections::HashSet<_> =
        log.iter().filter_map(|line| line["member"].as_str()).collect();
    assert_eq!(members.len(), 3, "each had its part: {members:?}");
}

#[test]
fn requests_are_held_while_all_are_away_and_go_to_the_first_that_is_back() {
    let dir = Dir::new();
    let paths = ["a", "b", "c"].map(|name| dir.join(name));
    let vestibule = Vestibule::start(&dir, &config(&at(&[&paths[0], &paths[1], &paths[2]]), ""));
    for (path, name) in [(&paths[2], "c"), (&paths[0], "a")] {
        let waiting: Vec<_> = (0..5).map(|_| in_background(&vestibule, "/")).collect();
        std::thread::sleep(Duration::from_millis(200));
        assert!(waiting.iter().all(|request| !request.is_finished()), "held");
        let mut server = named(path, name);
        for request in waiting {
            let response = request.join().expect("a thread");
            assert_eq!((response.status, response.text().as_str()), (200, name));
        }
        server.die();
        std::fs::remove_file(path).ok();
    }
}

#[test]
fn a_hold_is_bounded_over_all_members_together() {
    let dir = Dir::new();
    let paths = [dir.join("a"), dir.join("b")];
    let upstream = format!("{}\nhold = {{ timeout = \"60s\", requests = 2 }}", at(&[&paths[0], &paths[1]]));
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    let waiting: Vec<_> = (0..6).map(|_| in_background(&vestibule, "/")).collect();
    until_true("all but two are refused", seconds(30), || {
        waiting.iter().filter(|request| request.is_finished()).count() == 4
    });
    let _server = named(&paths[1], "b");
    let mut statuses: Vec<u16> =
        waiting.into_iter().map(|request| request.join().expect("a thread").status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503]);
}

#[test]
fn a_backup_answers_only_while_no_other_can() {
    let dir = Dir::new();
    let [primary, backup] = ["primary", "backup"].map(|name| dir.join(name));
    let upstream = format!(
        "addresses = [\"unix:{}\", {{ address = \"unix:{}\", backup = true }}]",
        primary.display(),
        backup.display()
    );
    let mut first = named(&primary, "primary");
    let _second = named(&backup, "backup");
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    assert_eq!(who(&vestibule, 50), HashMap::from([("primary".to_owned(), 50)]));
    first.die();
    std::fs::remove_file(&primary).ok();
    assert_eq!(who(&vestibule, 50), HashMap::from([("backup".to_owned(), 50)]));
    let _first = named(&primary, "primary");
    wait_until_only(&vestibule, &["primary"]);
}

#[test]
fn each_member_gets_its_share_by_weight() {
    let dir = Dir::new();
    let [light, heavy] = ["light", "heavy"].map(|name| dir.join(name));
    let (_one, _other) = (named(&light, "light"), named(&heavy, "heavy"));
    for balance in ["least", "random"] {
        let upstream = format!(
            "balance = \"{balance}\"\naddresses = [\"unix:{}\", {{ address = \"unix:{}\", weight = 3 }}]",
            light.display(),
            heavy.display()
        );
        let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
        let heavy = who(&vestibule, 1000)["heavy"];
        assert!((670..830).contains(&heavy), "{balance}: {heavy} of 1000");
    }
}

#[test]
fn a_client_with_a_cookie_stays_with_its_member_as_long_as_that_is_there() {
    let dir = Dir::new();
    let names = ["a", "b", "c"];
    let paths = names.map(|name| dir.join(name));
    let mut servers: Vec<Fake> = names.iter().zip(&paths).map(|(name, path)| named(path, name)).collect();
    let upstream = format!("balance = \"hash:cookie:sid\"\n{}", at(&[&paths[0], &paths[1], &paths[2]]));
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    let all = || {
        let mut client = Client::connect(vestibule.address()).expect("connected");
        let mut member_of = |session: usize| {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; sid=s{session}\r\n\r\n");
            client.send(request).expect("sent");
            client.response().expect("an answer").text()
        };
        (0..150).map(&mut member_of).collect::<Vec<_>>()
    };
    let before = all();
    assert_eq!(all(), before);
    let share = |name: &str| before.iter().filter(|member| *member == name).count();
    assert!(names.iter().all(|name| (25..80).contains(&share(name))), "{before:?}");
    servers[1].die();
    std::fs::remove_file(&paths[1]).ok();
    for (before, after) in before.iter().zip(all()) {
        assert!(if before == "b" { after != "b" } else { after == *before }, "{before} became {after}");
    }
    let _back = named(&paths[1], "b");
    until_true("all are where they were", seconds(60), || all() == before);
}

#[test]
fn a_path_or_a_field_stays_with_its_member_whatever_else_differs() {
    let dir = Dir::new();
    let names = ["a", "b", "c"];
    let paths = names.map(|name| dir.join(name));
    let _servers: Vec<Fake> = names.iter().zip(&paths).map(|(name, path)| named(path, name)).collect();
    for balance in ["path", "field:X-Tenant"] {
        let upstream = format!("balance = \"hash:{balance}\"\n{}", at(&[&paths[0], &paths[1], &paths[2]]));
        let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
        let all = |other: &str| {
            let mut client = Client::connect(vestibule.address()).expect("connected");
            let mut member_of = |key: usize| {
                let (path, tenant) = match balance {
                    "path" => (key.to_string(), other.to_owned()),
                    _ => (other.to_owned(), key.to_string()),
                };
                client
                    .send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\n\r\n"))
                    .expect("sent");
                client.response().expect("an answer").text()
            };
            (0..150).map(&mut member_of).collect::<Vec<_>>()
        };
        let before = all("one");
        assert_eq!(all("other"), before, "{balance}");
        let share = |name: &str| before.iter().filter(|member| *member == name).count();
        assert!(names.iter().all(|name| (25..80).contains(&share(name))), "{balance}: {before:?}");
    }
}

#[test]
fn a_member_that_comes_back_gets_more_and_more_of_its_part() {
    let dir = Dir::new();
    let [steady, slow] = ["steady", "slow"].map(|name| dir.join(name));
    let mut first = named(&steady, "steady");
    let shares = |slow_start: &str| {
        let upstream = format!(
            "addresses = [\"unix:{}\", {{ address = \"unix:{}\", slow_start = \"{slow_start}\" }}]",
            steady.display(),
            slow.display()
        );
        Vestibule::start(&dir, &config(&upstream, ""))
    };
    let part = |vestibule: &Vestibule| who(vestibule, 1000).get("slow").copied().unwrap_or_default();
    let vestibule = shares("1h");
    assert_eq!(part(&vestibule), 0, "it is not there");
    let mut second = named(&slow, "slow");
    until_true("it gets something", seconds(60), || part(&vestibule) > 0);
    let little = part(&vestibule);
    assert!(little < 150, "{little} of 1000, though its start takes an hour");
    first.die();
    std::fs::remove_file(&steady).ok();
    wait_until_only(&vestibule, &["slow"]);
    drop(vestibule);
    let _first = named(&steady, "steady");
    second.die();
    std::fs::remove_file(&slow).ok();
    let vestibule = shares("1s");
    assert_eq!(part(&vestibule), 0, "it is not there");
    let _second = named(&slow, "slow");
    until_true("it gets all of its part", seconds(60), || part(&vestibule) > 350);
}

/// A server that answers its probes with this status and all else with its name.
fn probed(path: &Path, name: &'static str, is_well: &Arc<AtomicBool>) -> Fake {
    let is_well = Arc::clone(is_well);
    Fake::start(path, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/up" && !is_well.load(Ordering::Relaxed) {
                let _ = conversation.write("HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n");
            } else {
                conversation.answer(name);
            }
        }
    })
}

#[test]
fn who_fails_its_probes_gets_nothing_unless_nobody_is_left() {
    let dir = Dir::new();
    let paths = [dir.join("a"), dir.join("b")];
    let wells = [true, true].map(|well| Arc::new(AtomicBool::new(well)));
    let _servers = [probed(&paths[0], "a", &wells[0]), probed(&paths[1], "b", &wells[1])];
    let health = "health = { path = \"/up\", interval = \"50ms\", fall = 2 }";
    let upstream = format!("{}\n{health}", at(&[&paths[0], &paths[1]]));
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    wait_until_only(&vestibule, &["a", "b"]);
    wells[0].store(false, Ordering::Relaxed);
    wait_until_only(&vestibule, &["b"]);
    wells[1].store(false, Ordering::Relaxed);
    wait_until_only(&vestibule, &["a", "b"]);
    wells[0].store(true, Ordering::Relaxed);
    wait_until_only(&vestibule, &["a"]);
}

#[test]
fn who_fails_several_times_in_a_row_is_put_aside() {
    let dir = Dir::new();
    let paths = [dir.join("good"), dir.join("mute")];
    let _good = named(&paths[0], "good");
    let mute = Fake::start(&paths[1], |conversation| {
        conversation.request();
        conversation.wait_for_close();
    });
    let upstream = format!("{}\ntimeout = {{ response = \"2s\" }}", at(&[&paths[0], &paths[1]]));
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    until_true("it is put aside", seconds(60), || {
        let _ = get(vestibule.address(), "/");
        vestibule.stderr().contains("put aside")
    });
    let before = mute.requests().len();
    assert_eq!(before, 3, "not one more than it takes to see it");
    assert_eq!(who(&vestibule, 50), HashMap::from([("good".to_owned(), 50)]));
    assert_eq!(mute.requests().len(), before);
}

#[test]
fn a_get_that_dies_at_one_member_is_answered_by_another_and_a_post_is_not_sent_again() {
    let dir = Dir::new();
    let paths = [dir.join("good"), dir.join("dying")];
    let good = named(&paths[0], "good");
    let dying = Fake::start(&paths[1], |conversation| {
        conversation.request();
        conversation.hang_up();
    });
    // Hashed by path, so that it is known who is asked first.
    let upstream = format!("balance = \"hash:path\"\n{}", at(&[&paths[0], &paths[1]]));
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    let path = (0..)
        .map(|number| format!("/{number}"))
        .find(|path| {
            let before = dying.requests().len();
            assert_eq!(get(vestibule.address(), path).text(), "good");
            dying.requests().len() > before
        })
        .expect("a path of each");
    let before = good.requests().len();
    let answer = crate::support::client::post(vestibule.address(), &path, b"once");
    assert_eq!(answer.status, 502);
    assert_eq!(good.requests().len(), before, "the dying one had read it");
    let line = vestibule.access_line("the repeated GET", |line| line["attempts"] == 2);
    assert_eq!(line["member"], format!("unix:{}", paths[0].display()));
}

#[test]
fn maintenance_stops_all_members_and_ends_for_all() {
    let dir = Dir::new();
    let paths = [dir.join("a"), dir.join("b")];
    let _servers = [named(&paths[0], "a"), named(&paths[1], "b")];
    let page = dir.join("down.html");
    let upstream = format!("{}\nmaintenance = \"{}\"", at(&[&paths[0], &paths[1]]), page.display());
    let vestibule = Vestibule::start(&dir, &config(&upstream, ""));
    wait_until_only(&vestibule, &["a", "b"]);
    std::fs::write(&page, "<p>Back soon</p>").expect("written");
    // The file is there a moment before its text.
    until_true("all get the page", seconds(30), || {
        get(vestibule.address(), "/").text() == "<p>Back soon</p>"
    });
    for _ in 0..20 {
        let response = get(vestibule.address(), "/");
        assert_eq!((response.status, response.text().as_str()), (503, "<p>Back soon</p>"));
    }
    std::fs::remove_file(&page).expect("removed");
    until_true("all is as before", seconds(30), || get(vestibule.address(), "/").status == 200);
    wait_until_only(&vestibule, &["a", "b"]);
}
