//! `vestibule run`: the real servers behind it, its signals, its end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::app::{App, Kind};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::process::{self, Signal};
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until, until_true};

/// A free port.
const ANYWHERE: &str = "127.0.0.1:0";

/// An application without a server, in a directory of its own. What runs there is killed when it goes.
struct Site {
    app: App,
    dir: Dir,
}

impl Site {
    fn new() -> Site {
        let dir = Dir::new();
        let app = App::stopped(Kind::Puma, &dir);
        fs::create_dir(app.home().join("config")).expect("a directory");
        Site { app, dir }
    }

    /// Writes a file; `{dir}` in it is a directory beside the application's.
    fn file(self, name: &str, text: &str) -> Site {
        let dir = self.dir.join("");
        let text = text.replace("{dir}", dir.to_str().expect("UTF-8").trim_end_matches('/'));
        fs::write(self.app.home().join(name), text).expect("written");
        self
    }

    /// A real lock of these gems, which have to be installed.
    fn locked(self, gems: &[&str]) -> Site {
        let gems: String = gems.iter().map(|gem| format!("gem \"{gem}\"\n")).collect();
        let site = self.file("Gemfile", &format!("source \"https://rubygems.org\"\n{gems}"));
        let lock = Command::new("bundle").args(["lock", "--local"]).current_dir(site.app.home()).output();
        let lock = lock.expect("install Debian's package `ruby-bundler`, or run `make deps`");
        assert!(lock.status.success(), "{lock:?}");
        site
    }

    /// A small Rails application.
    fn with_rails() -> Site {
        let site = Site::new()
            .file("config.ru", "require_relative \"config/application\"\nrun Rails.application.initialize!\n")
            .file(
                "config/application.rb",
                "require \"rails\"\nrequire \"action_controller/railtie\"\nclass Site < Rails::Application\n\
                 config.eager_load = false\nconfig.secret_key_base = \"x\" * 64\nconfig.hosts.clear\n\
                 routes.append { root to: ->(_) { [200, { \"content-type\" => \"text/plain\" }, [\"Rails #{Rails.env}\"]] } }\n\
                 end\n",
            )
            .file(
                "rails",
                "#!/usr/bin/env ruby\nAPP_PATH = File.expand_path(\"config/application\", __dir__)\n\
                 begin\n  require \"rails/commands\"\nrescue LoadError\n  abort \"install Debian's package `ruby-railties`, or run `make deps`\"\nend\n",
            );
        let script = site.app.home().join("rails");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("executable");
        site
    }

    /// `vestibule run COMMAND` here.
    fn run(&self, command: &[&str]) -> Vestibule {
        Vestibule::run(self.app.home(), ANYWHERE, |run| {
            self.app.surround(run);
            run.arg("--").args(command);
        })
    }

    /// The same until it ends by itself: its status, and what it said.
    fn ends(&self, command: &[&str]) -> (Option<i32>, String) {
        let ended = Vestibule::run_to_the_end(self.app.home(), ANYWHERE, |run| {
            self.app.surround(run);
            run.arg("--").args(command);
        });
        (ended.status, ended.stderr)
    }

    /// Waits until nothing runs here any more.
    fn wait_until_empty(&self) {
        until_true("all processes are gone", seconds(30), || process::of_home(self.app.home()).is_empty());
    }
}

/// Asks for its home page, runs a request over a SIGTERM, and gives the exit status; nothing may be left running.
fn answers_until_terminated(site: &Site, mut vestibule: Vestibule) -> Option<i32> {
    let answer = get(vestibule.address(), "/sleep?ms=1&token=first");
    assert_eq!((answer.status, answer.text().as_str()), (200, "first"));
    let mut running = Client::connect(vestibule.address()).expect("a connection").patience(seconds(20));
    running.send("GET /begun HTTP/1.1\r\nHost: a\r\nX-Post-Id: running\r\n\r\n").expect("sent");
    assert_eq!(running.response().expect("an answer").status, 200);
    running.send("GET /once?ms=700 HTTP/1.1\r\nHost: a\r\nX-Post-Id: slow\r\n\r\n").expect("sent");
    // It is executed now.
    until_true("the slow request runs", seconds(30), || {
        fs::read_to_string(site.dir.join("ledger")).is_ok_and(|text| text.contains("slow"))
    });
    vestibule.signal(Signal::TERM);
    let answer = running.response().expect("an answer after SIGTERM");
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    let status = vestibule.exit(seconds(40));
    site.wait_until_empty();
    status.code()
}

#[test]
fn runs_puma_by_its_configuration_and_not_at_its_address() {
    let text = "threads 3, 3\nbind \"unix://{dir}/theirs.sock\"\nport 1\npidfile \"{dir}/theirs.pid\"\n";
    let site = Site::new().file("config/puma.rb", text);
    let vestibule = site.run(&[]);
    let said = vestibule.stderr();
    assert!(said.contains("Puma: there is config/puma.rb; no Gemfile.lock"), "{said}");
    // It says how SIGTERM ended it.
    assert_eq!(answers_until_terminated(&site, vestibule), Some(143));
    assert!(!site.dir.join("theirs.sock").exists());
}

#[test]
fn runs_unicorn_by_its_configuration_and_not_at_its_address() {
    let text = "listen \"{dir}/theirs.sock\"\nlisten 1\npid \"{dir}/theirs.pid\"\nworker_processes 3\n";
    let site = Site::new().file("config/unicorn.rb", text);
    let vestibule = site.run(&[]);
    assert_eq!(get(vestibule.address(), "/").status, 200);
    let workers = || {
        let all = process::of_home(site.app.home()).into_iter();
        all.filter(|pid| process::title(*pid).contains("worker[")).count()
    };
    until_true("three workers", seconds(30), || workers() == 3);
    assert!(!site.dir.join("theirs.sock").exists() && !site.dir.join("theirs.pid").exists());
    // HUP is Unicorn's: it loads everything anew.
    let boot = get(vestibule.address(), "/boot").text();
    vestibule.signal(Signal::HUP);
    until_true("another boot", seconds(20), || get(vestibule.address(), "/boot").text() != boot);
    assert_eq!(answers_until_terminated(&site, vestibule), Some(0));
}

#[test]
fn runs_thin_in_the_foreground_whatever_its_configuration_says() {
    let text = "<%= \"socket\" %>: {dir}/theirs.sock\npid: {dir}/theirs.pid\ndaemonize: true\nservers: 2\n";
    let site = Site::new().file("config/thin.yml", text);
    let vestibule = site.run(&[]);
    assert_eq!(answers_until_terminated(&site, vestibule), Some(0));
    assert!(!site.dir.join("theirs.0.sock").exists() && !site.dir.join("theirs.sock").exists());
}

#[test]
fn runs_passenger_beside_its_passengerfile() {
    let ports = r#"{"port": 1, "min_instances": 1, "max_pool_size": 2, "environment": "production"}"#;
    let socket = r#"{"socket_file": "{dir}/theirs.sock", "max_pool_size": 1}"#;
    for text in [ports, socket] {
        let site = Site::new().file("Passengerfile.json", text);
        let mut vestibule = site.run(&[]);
        let answer = until("Passenger's answer", seconds(30), || {
            Some(get(vestibule.address(), "/")).filter(|answer| answer.status == 200)
        });
        assert!(answer.text().contains("seventy bytes"));
        vestibule.signal(Signal::INT);
        vestibule.exit(seconds(40));
        site.wait_until_empty();
        assert!(!site.dir.join("theirs.sock").exists());
    }
}

#[test]
fn runs_what_the_bundle_has() {
    let site = Site::new().locked(&["puma", "rack"]);
    let vestibule = site.run(&[]);
    let said = vestibule.stderr();
    assert!(said.contains("Puma: Gemfile.lock has it"), "{said}");
    assert!(said.contains("bundle exec puma -b unix://{socket}"), "{said}");
    assert_eq!(answers_until_terminated(&site, vestibule), Some(143));
}

#[test]
fn runs_rails_server() {
    let port = "port ENV.fetch(\"PORT\") { 1 }\npidfile ENV.fetch(\"PIDFILE\") { \"{dir}/theirs.pid\" }\n";
    for (command, status) in [
        (["./rails", "server", "-u", "puma"].as_slice(), Some(143)),
        (&["./rails", "s", "-u", "thin", "-e", "production"], Some(0)),
        (&["./rails", "s", "-u", "webrick", "-e", "production"], None),
    ] {
        let site = Site::with_rails().file("config/puma.rb", port);
        let mut vestibule = site.run(command);
        let answer = get(vestibule.address(), "/");
        assert_eq!(answer.status, 200, "{command:?}: {}", answer.text());
        let environment = if command.contains(&"-e") { "production" } else { "development" };
        assert_eq!(answer.text(), format!("Rails {environment}"));
        assert!(!site.dir.join("theirs.pid").exists(), "{command:?}");
        vestibule.signal(Signal::TERM);
        let ended = vestibule.exit(seconds(40)).code();
        assert!(status.is_none() || ended == status, "{command:?}: {ended:?}");
        site.wait_until_empty();
    }
}

#[test]
fn finds_by_itself_where_an_unknown_command_listens() {
    for script in [
        "exec puma -p $PORT",
        "exec puma -b unix://$CUSTOM_WEB_SOCKET_FILE --pidfile $CUSTOM_WEB_PID_FILE",
        "exec rackup -s thin -o 127.0.0.1 -p $PORT",
    ] {
        let site = Site::new();
        let vestibule = site.run(&["sh", "-c", script]);
        answers_until_terminated(&site, vestibule);
    }
}

#[test]
fn goes_to_the_address_that_the_command_has() {
    let site = Site::new();
    let socket = site.dir.join("own.sock");
    let vestibule = site.run(&["puma", "-b", &format!("unix://{}", socket.display())]);
    answers_until_terminated(&site, vestibule);
}

#[test]
fn lets_clients_wait_until_the_application_listens() {
    let site = Site::new();
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let starting = std::thread::spawn(move || {
        let mut client = until("somebody accepts", seconds(20), || Client::connect(address).ok());
        client.stream().set_read_timeout(Some(seconds(30))).expect("a time limit");
        client.send("GET /sleep?token=waited HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        client.response().expect("an answer")
    });
    let vestibule = Vestibule::run(site.app.home(), &address.to_string(), |run| {
        site.app.surround(run);
        run.args(["--", "sh", "-c", "sleep 1; exec puma -p $PORT"]);
    });
    let answer = starting.join().expect("the client");
    assert_eq!((answer.status, answer.text().as_str()), (200, "waited"));
    drop(vestibule);
}

#[test]
fn passes_usr2_on_to_puma() {
    let site = Site::new();
    let vestibule = site.run(&["puma"]);
    let (boot, pid) = (get(vestibule.address(), "/boot").text(), get(vestibule.address(), "/pid").text());
    vestibule.signal(Signal::USR2);
    until_true("another boot", seconds(20), || get(vestibule.address(), "/boot").text() != boot);
    assert_eq!(get(vestibule.address(), "/pid").text(), pid);
    assert_eq!(answers_until_terminated(&site, vestibule), Some(143));
}

#[test]
fn goes_on_with_the_master_that_replaces_a_unicorn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = fs::read_to_string(root.join("config/unicorn.rb")).expect("our example");
    let site = Site::new().file("config/unicorn.rb", &ours);
    let vestibule = site.run(&["unicorn", "-c", "config/unicorn.rb"]);
    let boot = get(vestibule.address(), "/boot").text();
    let masters = || {
        let all = process::of_home(site.app.home()).into_iter();
        all.filter(|pid| process::title(*pid).contains("unicorn master")).collect::<Vec<_>>()
    };
    let old = masters();
    vestibule.signal(Signal::USR2);
    until_true("another boot", seconds(20), || get(vestibule.address(), "/boot").text() != boot);
    until_true("another master", seconds(20), || masters().len() == 1 && masters() != old);
    // It has taken the old one's place: it is the one that SIGTERM ends, and whose status counts.
    until_true("the new master is known", seconds(30), || {
        vestibule.stderr().contains("took the application over")
    });
    assert_eq!(answers_until_terminated(&site, vestibule), Some(0));
}

#[test]
fn leaves_nothing_behind() {
    let site = Site::new();
    let vestibule = site.run(&["sh", "-c", "puma -p $PORT & while :; do sleep 1; done"]);
    assert_eq!(answers_until_terminated(&site, vestibule), Some(143));
}

#[test]
fn tells_the_command_its_places() {
    let site = Site::new();
    let script = "test $0 = $CUSTOM_WEB_SOCKET_FILE && test $1 = $CUSTOM_WEB_PID_FILE && exit 42";
    assert_eq!(site.ends(&["sh", "-c", script, "{socket}", "{pid_file}"]).0, Some(42));
}

#[test]
fn ends_with_the_status_of_the_command() {
    let site = Site::new();
    assert_eq!(site.ends(&["sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(site.ends(&["sh", "-c", "kill -KILL $$"]).0, Some(137));
    let (status, said) = site.ends(&["no-such-program-at-all"]);
    assert_eq!(status, Some(127));
    assert!(said.contains("no-such-program-at-all"), "{said}");
}

#[test]
fn ends_when_the_application_does_and_answers_those_who_wait() {
    let site = Site::new();
    let mut vestibule = site.run(&["puma"]);
    let pid: u32 = get(vestibule.address(), "/pid").text().parse().expect("a PID");
    let mut waiting = Client::connect(vestibule.address()).expect("a connection").patience(seconds(20));
    waiting.send("GET /once?ms=60000 HTTP/1.1\r\nHost: a\r\nX-Post-Id: slow\r\n\r\n").expect("sent");
    until_true("the request runs", seconds(30), || {
        fs::read_to_string(site.dir.join("ledger")).is_ok_and(|text| text.contains("slow"))
    });
    process::signal(pid, Signal::KILL);
    let answer = waiting.response().expect("an answer");
    assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
    // Not only after hold.timeout: nobody will come.
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(137));
}

#[test]
fn refuses_what_it_cannot_run() {
    let site = Site::new();
    for (command, word) in
        [(["unicorn", "-D"].as_slice(), "background"), (&["puma", "-b", "ssl://0.0.0.0:1"], "plain HTTP")]
    {
        let (status, said) = site.ends(command);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
    let empty = Dir::new();
    let ended = Vestibule::run_to_the_end(&empty.join(""), ANYWHERE, |_| {});
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("there is no config.ru in "), "{}", ended.stderr);
    let ended = Vestibule::run_to_the_end(site.app.home(), "80", |run| {
        run.args(["--", "puma"]);
    });
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("127.0.0.1:80"), "{}", ended.stderr);
}

#[test]
fn does_not_start_the_application_where_it_cannot_listen() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let started = site.dir.join("started");
    let ended = Vestibule::run_to_the_end(site.app.home(), &address, |run| {
        run.args(["--", "touch"]).arg(&started);
    });
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(!started.exists(), "it was started");
}
