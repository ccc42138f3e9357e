use std::fs;

use super::*;

const SOCKET: &str = "/own/app.sock";

fn places() -> Places {
    Places { directory: "/own".into(), socket: SOCKET.into(), pid_file: "/own/app.pid".into(), port: 45678 }
}

fn in_directory(directory: &Path, line: &str) -> Result<Invocation, Refused> {
    let command = line.split(' ').map(str::to_owned).collect();
    let around = Surroundings { directory, gemfile: None, has_program: &|_| true };
    Invocation::complete(command, &around, &places())
}

fn complete(line: &str) -> Invocation {
    in_directory(Path::new("/srv/app"), line).unwrap_or_else(|refused| panic!("{line}: {refused}"))
}

fn at_socket() -> Place {
    Place::At(UpstreamAddress::Unix(SOCKET.into()))
}

fn at(address: &str) -> Place {
    Place::At(UpstreamAddress::Tcp(address.parse().expect("an address")))
}

#[test]
fn adds_what_makes_a_known_server_listen_at_our_socket() {
    for (line, becomes) in [
        ("puma", "puma -b unix://{socket} --pidfile {pid_file}"),
        (
            "puma -C config/puma.rb -w 2",
            "puma -b unix://{socket} --pidfile {pid_file} -C config/puma.rb -w 2",
        ),
        ("bundle exec puma --pidfile x", "bundle exec puma -b unix://{socket} --pidfile x"),
        (
            "env A=1 B=2 bin/bundle exec bin/puma",
            "env A=1 B=2 bin/bundle exec bin/puma -b unix://{socket} --pidfile {pid_file}",
        ),
        ("thin start -R config.ru", "thin start -S {socket} -R config.ru"),
        ("thin start -e production", "thin start -S {socket} -e production"),
        (
            "bin/rails server -u puma -e production",
            "bin/rails server -b {socket} -P {pid_file} -u puma -e production",
        ),
        ("ruby bin/rails s -u thin", "ruby bin/rails s -b {socket} -P {pid_file} -u thin"),
        (
            "bundle exec rackup -s puma config.ru",
            "bundle exec rackup -o {socket} -P {pid_file} -s puma config.ru",
        ),
        (
            "passenger start -e production",
            "passenger start --socket {socket} --pid-file {pid_file} --engine builtin --max-request-queue-size 0 -e production",
        ),
    ] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), becomes);
        assert_eq!(invocation.place, at_socket(), "{line}");
        assert!(invocation.words.starts_with("added: "), "{line}: {}", invocation.words);
    }
}

#[test]
fn lies_over_the_configurations_of_unicorn_and_thin() {
    for (line, becomes, theirs) in [
        (
            "unicorn -E production -c config/unicorn.rb",
            "unicorn -c /own/unicorn.rb -E production",
            "'/srv/app/config/unicorn.rb'",
        ),
        (
            "bundle exec unicorn_rails -c/etc/u.rb",
            "bundle exec unicorn_rails -c /own/unicorn.rb",
            "'/etc/u.rb'",
        ),
        (
            "thin start -C config/thin.yml -R config.ru",
            "thin start -C /own/thin.yml -R config.ru",
            "'/srv/app/config/thin.yml'",
        ),
    ] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), becomes);
        let overlay = invocation.overlay.expect("an overlay");
        assert!(overlay.text.contains(theirs), "{line}: {}", overlay.text);
    }
    assert!(!complete("unicorn").overlay.expect("an overlay").text.contains("instance_eval"));
}

#[test]
fn goes_to_where_the_command_says() {
    for (line, address) in [
        ("puma -b tcp://0.0.0.0:3000", "127.0.0.1:3000"),
        ("puma -p 3000", "127.0.0.1:3000"),
        ("unicorn -l 4000", "127.0.0.1:4000"),
        ("unicorn -l :4000", "127.0.0.1:4000"),
        ("thin start -a 127.0.0.2", "127.0.0.2:3000"),
        ("rails s -b localhost", "127.0.0.1:3000"),
        ("rails server -b 0.0.0.0 -p 4000", "127.0.0.1:4000"),
        ("rails server -b ::1 -p 4000", "[::1]:4000"),
        ("rackup -p 4000", "127.0.0.1:4000"),
    ] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), line);
        assert_eq!(invocation.place, at(address), "{line}");
    }
    for (line, path) in [
        ("puma --bind=unix:///tmp/a.sock?backlog=9", "/tmp/a.sock"),
        ("unicorn -l tmp.sock -l /tmp/a.sock", "/tmp/a.sock"),
        ("thin start -S tmp/a.sock", "/srv/app/tmp/a.sock"),
        ("passenger start --socket /tmp/a.sock", "/tmp/a.sock"),
        ("rails s -b ./a.sock", "/srv/app/a.sock"),
    ] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), line);
        assert_eq!(invocation.place, Place::At(UpstreamAddress::Unix(path.into())), "{line}");
    }
}

#[test]
fn leaves_a_command_with_a_socket_of_ours_as_it_is() {
    let line = "./start --listen unix:{socket}";
    let invocation = complete(line);
    assert_eq!((invocation.command.join(" ").as_str(), invocation.place), (line, at_socket()));
}

#[test]
fn offers_a_port_and_a_socket_to_what_it_does_not_know() {
    for line in ["./start", "rails console", "thin stop", "sh -c puma", "foreman start", "bundle install"] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), line);
        assert_eq!(invocation.place, Place::Either, "{line}");
        assert_eq!(invocation.environment, [("PORT".to_owned(), "45678".to_owned())]);
    }
}

#[test]
fn gives_a_port_to_rails_where_nothing_names_a_server_with_unix_sockets() {
    for (line, becomes) in [
        ("rails s", "rails s -b 127.0.0.1 -p 45678 -P {pid_file}"),
        ("rackup -s webrick", "rackup -o 127.0.0.1 -p 45678 -P {pid_file} -s webrick"),
    ] {
        let invocation = complete(line);
        assert_eq!(invocation.command.join(" "), becomes);
        assert_eq!(invocation.place, at("127.0.0.1:45678"), "{line}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("Gemfile.lock"), "GEM\n  specs:\n    puma (6.0)\n").expect("written");
    let invocation = in_directory(dir.path(), "bin/rails server").expect("it is fine");
    assert_eq!(invocation.command.join(" "), "bin/rails server -b {socket} -P {pid_file}");
    assert_eq!(invocation.server, Server::Puma);
}

#[test]
fn asks_passenger_for_a_port_where_its_file_has_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("Passengerfile.json");
    fs::write(&file, r#"{"port": 80, "engine": "nginx"}"#).expect("written");
    let invocation = in_directory(dir.path(), "passenger start").expect("it is fine");
    assert_eq!(
        invocation.command.join(" "),
        "passenger start --address 127.0.0.1 --port 45678 --pid-file {pid_file} --max-request-queue-size 0"
    );
    assert_eq!(invocation.place, at("127.0.0.1:45678"));
    fs::write(&file, r#"{"daemonize": true}"#).expect("written");
    assert!(in_directory(dir.path(), "passenger start").is_err());
}

#[test]
fn refuses_what_it_cannot_watch_or_reach() {
    for (line, word) in [
        ("unicorn -D -c unicorn.rb", "-D"),
        ("thin start -d", "-d"),
        ("thin start --servers 3", "--servers"),
        ("passenger start --daemonize", "-d"),
        ("rails s -d", "-d"),
        ("rackup -D", "-D"),
        ("puma -b ssl://0.0.0.0:443?key=k", "ssl://"),
        ("rails s -b example.com", "example.com"),
        ("puma -p http", "http"),
    ] {
        let refused = in_directory(Path::new("/srv/app"), line).expect_err(line);
        assert!(refused.to_string().contains(word), "{line}: {refused}");
    }
}
