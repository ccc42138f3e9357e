//! Certificates that Vestibule fetches, keeps and renews by itself.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::support::dir::Dir;
use super::support::pebble::{Pebble, Wishes, free_port};
use super::support::process::Signal;
use super::support::vestibule::{Vestibule, binary};
use super::support::wait::{seconds, until, until_true};

/// A site at a port of its own, and what its authority is to be.
struct Site {
    dir: Dir,
    wishes: Wishes,
}

impl Site {
    fn new() -> Site {
        let (http_port, tls_port) = (free_port(), free_port());
        let validity = 90 * 24 * 3600;
        Site {
            dir: Dir::new(),
            wishes: Wishes { http_port, tls_port, validity, external: false, refused_nonces: 0 },
        }
    }

    fn authority(&self) -> Pebble {
        Pebble::start(self.dir.path(), self.wishes.clone())
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn config(&self, directory: &str, root: &str, challenge: &str) -> String {
        let Wishes { http_port, tls_port, .. } = self.wishes;
        format!(
            "workers = 1\n[[listen]]\naddress = \"127.0.0.1:{http_port}\"\n\n[[listen]]\naddress = \"127.0.0.1:{tls_port}\"\n\
             [listen.tls.acme]\ndomains = [\"example.com\"]\ncontact = \"ops@example.com\"\n\
             directory = \"{directory}\"\nauthorities = \"{root}\"\nstore = \"{}\"\nchallenges = [\"{challenge}\"]\n\n\
             [upstream.app]\naddress = \"unix:{}\"\n",
            self.store().display(),
            self.dir.socket().display()
        )
    }

    fn start(&self, authority: &Pebble, challenge: &str) -> Vestibule {
        let root = authority.root();
        Vestibule::start(
            &self.dir,
            &self.config(&authority.directory(), &root.display().to_string(), challenge),
        )
    }

    /// Who signed what a client is shown, and its serial number.
    fn served(&self) -> (String, String) {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &format!("127.0.0.1:{}", self.wishes.tls_port)]);
        client.args(["-servername", "example.com"]).stdin(Stdio::null());
        let said = client.output().expect("openssl runs: install the package of that name");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let begin = said.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no handshake: {said}"));
        let end = said.find("-----END CERTIFICATE-----").expect("its end") + 25;
        let file = self.dir.join("served.pem");
        fs::write(&file, &said[begin..end]).expect("written");
        let mut reader = Command::new("openssl");
        reader.args(["x509", "-noout", "-issuer", "-serial", "-in"]).arg(file);
        let said = reader.output().expect("openssl runs");
        let said = String::from_utf8(said.stdout).expect("text");
        let (issuer, serial) = said.trim().split_once('\n').expect("two lines");
        (issuer.to_owned(), serial.to_owned())
    }

    fn is_issued(&self) -> bool {
        self.served().0.contains("Pebble")
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let place = fs::read_dir(self.store()).ok()?.next()?.ok()?.path();
        fs::read(place.join(name)).ok()
    }

    fn end(vestibule: &mut Vestibule) {
        vestibule.signal(Signal::TERM);
        assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
    }
}

#[test]
fn the_first_certificate_comes_by_tls_alpn_01_and_lasts_over_a_restart() {
    let site = Site::new();
    let mut authority = site.authority();
    let mut vestibule = site.start(&authority, "tls-alpn-01");
    until_true("a certificate of the authority", seconds(60), || site.is_issued());
    let (_, serial) = site.served();
    let account = site.file("account.json").expect("the account is kept");
    Site::end(&mut vestibule);
    authority.stop();
    let mut again = site.start(&authority, "tls-alpn-01");
    assert_eq!(site.served().1, serial, "at once, and without an authority");
    assert_eq!(site.file("account.json").expect("the account is kept"), account);
    Site::end(&mut again);
}

#[test]
fn the_first_certificate_comes_by_http_01() {
    let site = Site::new();
    let authority = site.authority();
    let mut vestibule = site.start(&authority, "http-01");
    until_true("a certificate of the authority", seconds(60), || site.is_issued());
    Site::end(&mut vestibule);
}

#[test]
fn a_name_that_leads_elsewhere_is_served_with_a_certificate_of_our_own_and_not_tried_at_each_start() {
    let site = Site::new();
    let authority = site.authority();
    authority.lead_to(Ipv4Addr::new(127, 0, 0, 2));
    let mut vestibule = site.start(&authority, "tls-alpn-01");
    let told = until("it says why there is no certificate", seconds(60), || {
        let events = vestibule.events().into_iter();
        events.map(|event| event.to_string()).find(|event| event.contains("could not be validated"))
    });
    assert!(told.contains("example.com") && told.contains("tls-alpn-01"), "{told}");
    assert!(!site.is_issued());
    Site::end(&mut vestibule);
    let before = site.file("attempts.json").expect("the attempt is written down");
    let mut again = site.start(&authority, "tls-alpn-01");
    assert!(!site.is_issued());
    Site::end(&mut again);
    assert_eq!(
        site.file("attempts.json").expect("a record"),
        before,
        "within a minute nothing is tried again"
    );
}

#[test]
fn a_renewed_certificate_is_served_without_a_failed_handshake() {
    let mut site = Site::new();
    site.wishes.validity = 25;
    let authority = site.authority();
    let mut vestibule = site.start(&authority, "tls-alpn-01");
    until_true("a certificate of the authority", seconds(60), || site.is_issued());
    let (_, first) = site.served();
    // Each look is a handshake, and one that fails is a panic.
    until_true("another certificate", seconds(90), || site.served().1 != first);
    assert!(site.is_issued());
    Site::end(&mut vestibule);
}

#[test]
fn an_order_under_way_holds_up_no_drain() {
    let site = Site::new();
    // It accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let directory = format!("https://{}/dir", silent.local_addr().expect("its address"));
    let authority = Pebble::prepare(site.dir.path(), site.wishes.clone());
    let root = authority.root().display().to_string();
    let mut vestibule = Vestibule::start(&site.dir, &site.config(&directory, &root, "tls-alpn-01"));
    let (_asked, _) = silent.accept().expect("the directory is asked");
    vestibule.signal(Signal::TERM);
    // Half of the patience that it has with the directory.
    assert_eq!(vestibule.exit(seconds(15)).code(), Some(0), "{}", vestibule.stderr());
}

#[test]
fn a_store_that_cannot_be_used_is_said_by_check_and_keeps_nobody_from_serving() {
    let site = Site::new();
    fs::write(site.store(), "a file, and no directory").expect("written");
    let authority = Pebble::prepare(site.dir.path(), site.wishes.clone());
    let vestibule = site.start(&authority, "tls-alpn-01");
    assert!(!site.is_issued(), "served all the same");
    until_true("it says so", seconds(30), || vestibule.stderr().contains("tls.acme.store"));
    let mut check = Command::new(binary());
    let check =
        check.args(["check", "--config"]).arg(site.dir.join("vestibule.toml")).output().expect("it runs");
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(2), "{said}");
    assert!(said.contains("tls.acme.store"), "{said}");
}
