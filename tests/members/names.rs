//! Members that the DNS knows.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::zone::{Records, Zone};
use super::{NamedPort, config, get, in_background, wait_until_only, who};
use crate::support::dir::Dir;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until, until_true};

const HOSTS: [[u8; 4]; 3] = [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]];

/// Servers with these names on addresses of their own, all on one port.
fn servers<const N: usize>(names: [&'static str; N]) -> ([NamedPort; N], u16) {
    until("a port that is free on every address", seconds(10), || {
        let first = TcpListener::bind((Ipv4Addr::from(HOSTS[0]), 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        let others = HOSTS[1..].iter().map(|&host| TcpListener::bind((Ipv4Addr::from(host), port)));
        others.collect::<Result<Vec<_>, _>>().ok()?;
        drop(first);
        let mut hosts = HOSTS.iter();
        let servers = names.map(|name| {
            let host = *hosts.next().expect("a host for each");
            NamedPort::start(SocketAddr::from((host, port)), name)
        });
        Some((servers, port))
    })
}

fn asking(zone: &Zone, upstream: &str) -> String {
    let dns = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"300ms\"\nleast_ttl = \"50ms\"\n", zone.address);
    config(upstream, &dns)
}

#[test]
fn members_come_and_go_as_the_dns_says() {
    let (_servers, port) = servers(["a", "b", "c"]);
    let (dir, zone) = (Dir::new(), Zone::start(1));
    zone.set_a("app.test", &HOSTS[..2]);
    let vestibule = Vestibule::start(&dir, &asking(&zone, &format!("address = \"app.test:{port}\"")));
    wait_until_only(&vestibule, &["a", "b"]);
    zone.set_a("app.test", &HOSTS[1..]);
    wait_until_only(&vestibule, &["b", "c"]);
    zone.set_a("app.test", &HOSTS[..1]);
    wait_until_only(&vestibule, &["a"]);
    let line = vestibule.access_line("a request", |line| line["status"] == 200);
    let member = line["member"].as_str().expect("a member").to_owned();
    assert!(HOSTS.iter().any(|&host| member == format!("{}:{port}", Ipv4Addr::from(host))), "{member}");
}

#[test]
fn a_name_is_asked_for_again_when_its_ttl_is_over_and_not_before() {
    let (_servers, port) = servers(["a"]);
    let (dir, zone) = (Dir::new(), Zone::start(3600));
    zone.set_a("app.test", &HOSTS[..1]);
    let vestibule = Vestibule::start(&dir, &asking(&zone, &format!("address = \"app.test:{port}\"")));
    wait_until_only(&vestibule, &["a"]);
    let asked = zone.asked();
    std::thread::sleep(seconds(2));
    assert_eq!(zone.asked(), asked, "it was to be believed for an hour");
    drop(vestibule);
    let zone = Zone::start(1);
    zone.set_a("app.test", &HOSTS[..1]);
    let _vestibule = Vestibule::start(&dir, &asking(&zone, &format!("address = \"app.test:{port}\"")));
    until_true("it is asked for again", seconds(30), || zone.asked() >= 3);
}

#[test]
fn a_name_that_nobody_knows_yet_holds_its_requests() {
    let (_servers, port) = servers(["a"]);
    let (dir, zone) = (Dir::new(), Zone::start(1));
    let vestibule = Vestibule::start(&dir, &asking(&zone, &format!("address = \"app.test:{port}\"")));
    let waiting = in_background(&vestibule, "/");
    until_true("it is told", seconds(30), || vestibule.stderr().contains("cannot look up a name"));
    assert!(!waiting.is_finished(), "held");
    zone.set_a("app.test", &HOSTS[..1]);
    let response = waiting.join().expect("a thread");
    assert_eq!((response.status, response.text().as_str()), (200, "a"));
}

#[test]
fn a_dns_that_fails_later_leaves_the_members_as_they_are() {
    let (_servers, port) = servers(["a", "b"]);
    let (dir, zone) = (Dir::new(), Zone::start(1));
    zone.set_a("app.test", &HOSTS[..2]);
    let vestibule = Vestibule::start(&dir, &asking(&zone, &format!("address = \"app.test:{port}\"")));
    wait_until_only(&vestibule, &["a", "b"]);
    for break_it in [(|zone: &Zone| zone.forget("app.test")) as fn(&Zone), |zone| zone.set_mute(true)] {
        let told = || vestibule.stderr().matches("the addresses of before stay").count();
        let before = told();
        break_it(&zone);
        until_true("it is told", seconds(30), || told() > before);
        assert_eq!(who(&vestibule, 40).len(), 2);
        zone.set_mute(false);
        zone.set_a("app.test", &HOSTS[..2]);
        until_true("it is well again", seconds(60), || {
            vestibule.stderr().matches("the DNS answers again").count() == told()
        });
    }
}

#[test]
fn a_service_has_ports_weights_and_backups_in_its_records() {
    let [a, b, c] = ["a", "b", "c"].map(|name| NamedPort::start(SocketAddr::from(([127, 0, 0, 1], 0)), name));
    let (dir, zone) = (Dir::new(), Zone::start(1));
    for host in ["one.test", "two.test"] {
        zone.set_a(host, &[[127, 0, 0, 1]]);
    }
    let record =
        |priority, weight, server: &NamedPort, target| (priority, weight, server.address.port(), target);
    zone.set(
        "_http._tcp.app.test",
        Records::Srv(vec![
            record(10, 30, &a, "one.test"),
            record(10, 10, &b, "two.test"),
            record(20, 1, &c, "two.test"),
        ]),
    );
    let vestibule = Vestibule::start(&dir, &asking(&zone, "address = \"srv:_http._tcp.app.test\""));
    let shares = who(&vestibule, 1000);
    assert!(!shares.contains_key("c") && (670..830).contains(&shares["a"]), "{shares:?}");
    zone.set("_http._tcp.app.test", Records::Srv(vec![record(20, 1, &c, "two.test")]));
    wait_until_only(&vestibule, &["c"]);
    assert_eq!(get(vestibule.address(), "/").text(), "c");
}
