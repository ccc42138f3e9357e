//! Files that change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::support::{Authority, Dir, acceptor, asking, client, client_of, logged, meet, settings};
use crate::{Acceptor, Changed, Error, Files};

const SECOND: Duration = Duration::from_secs(1);

struct Stand {
    authority: Authority,
    dir: Dir,
    acceptor: Arc<Acceptor>,
    files: Files,
    now: Instant,
}

impl Stand {
    fn new() -> Self {
        let (authority, dir) = (Authority::new("root"), Dir::new());
        let acceptor = acceptor(&settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]));
        let files = acceptor.files();
        Self { authority, dir, acceptor, files, now: Instant::now() }
    }

    fn shown(&self) -> CertificateDer<'static> {
        meet(&self.acceptor, &Arc::new(client(&self.authority)), "example.com").unwrap().shown().clone()
    }

    /// One look per second, as the server does it.
    fn look(&mut self) -> Vec<Result<Changed, Error>> {
        self.now += SECOND;
        self.files.check(self.now)
    }

    fn told_within(&mut self, seconds: u32) -> Vec<String> {
        (0..seconds).flat_map(|_| self.look()).map(|outcome| format!("{outcome:?}")).collect()
    }
}

#[test]
fn says_nothing_while_nothing_changes() {
    let mut stand = Stand::new();
    assert_eq!(stand.told_within(10), [""; 0]);
    // Touched, but the same.
    let text = fs::read(stand.dir.path("a.pem")).unwrap();
    stand.dir.write("a.pem", text);
    assert_eq!(stand.told_within(10), [""; 0]);
    assert!(stand.files.reload_now().is_empty());
}

#[test]
fn takes_a_changed_pair_and_says_whose_it_is() {
    let mut stand = Stand::new();
    let old = stand.shown();
    let new = stand.authority.issue(&["example.com", "*.example.com"]);
    stand.dir.keep("a", &new);
    assert!(stand.shown() == old);
    let (told, lines) = logged(|| stand.look());
    let [Ok(Changed::Certificate { file, names, not_after })] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*file, stand.dir.path("a.pem"));
    assert_eq!(names[..], ["example.com".into(), "*.example.com".into()]);
    assert!(*not_after > std::time::SystemTime::now());
    assert!(stand.shown() == new.der);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected =
        ["INFO", "took the new certificate", "names=\"example.com, *.example.com\"", "not_after=\"20"];
    assert!(expected.iter().all(|part| lines[0].contains(part)), "{lines:?}");
    assert_eq!(stand.told_within(10), [""; 0]);
}

#[test]
fn sees_a_symbolic_link_that_leads_elsewhere() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    for version in ["1", "2"] {
        dir.keep(version, &authority.issue(&["example.com"]));
    }
    let point = |version: &str| {
        for kind in ["pem", "key"] {
            let (new, link) = (dir.path("new"), dir.path(&format!("live.{kind}")));
            symlink(format!("{version}.{kind}"), &new).unwrap();
            fs::rename(new, link).unwrap();
        }
    };
    point("1");
    let acceptor = acceptor(&settings(vec![dir.files("live")]));
    let mut files = acceptor.files();
    let now = Instant::now();
    assert!(files.check(now).is_empty());
    point("2");
    assert!(matches!(files.check(now)[..], [Ok(Changed::Certificate { .. })]));
    let second = crate::Certificate::read(&dir.files("2")).unwrap().0;
    assert!(acceptor.certificates().all()[0].chain() == second.chain());
}

#[test]
fn waits_for_the_second_half_of_a_pair() {
    let mut stand = Stand::new();
    let old = stand.shown();
    let new = stand.authority.issue(&["example.com"]);
    // The certificate comes, the key is late.
    stand.dir.write("a.pem", &new.chain);
    let ((), lines) = logged(|| {
        for _ in 0..4 {
            assert!(stand.look().is_empty());
        }
    });
    assert_eq!(lines, [""; 0]);
    assert!(stand.shown() == old);
    stand.dir.write("a.key", new.key.serialize_pem());
    assert!(matches!(stand.look()[..], [Ok(_)]));
    assert!(stand.shown() == new.der);
}

#[test]
fn a_broken_file_is_told_once_and_the_old_goes_on() {
    let mut stand = Stand::new();
    let old = stand.shown();
    let new = stand.authority.issue(&["example.com"]);
    for broken in ["", "hello", &new.chain] {
        stand.dir.write("a.pem", broken);
        let (told, lines) = logged(|| stand.told_within(60));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("Err"), "{told:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("ERROR") && lines[0].contains("goes on being served"), "{lines:?}");
        assert!(stand.shown() == old);
    }
    fs::remove_file(stand.dir.path("a.pem")).unwrap();
    assert_eq!(stand.told_within(60).len(), 1);
    assert!(stand.shown() == old);
    stand.dir.keep("a", &new);
    assert!(matches!(stand.look()[..], [Ok(_)]));
    assert!(stand.shown() == new.der);
}

#[test]
fn on_order_it_reads_at_once_and_tells_at_once() {
    let mut stand = Stand::new();
    let new = stand.authority.issue(&["example.com"]);
    stand.dir.write("a.pem", &new.chain);
    assert!(matches!(stand.files.reload_now()[..], [Err(Error::NotAPair { .. })]));
    // It was told; the looks that follow do not tell it again.
    assert_eq!(stand.told_within(20), [""; 0]);
    assert!(matches!(stand.files.reload_now()[..], [Err(Error::NotAPair { .. })]));
    stand.dir.write("a.key", new.key.serialize_pem());
    assert!(matches!(stand.files.reload_now()[..], [Ok(_)]));
    assert!(stand.shown() == new.der);
}

#[test]
fn one_broken_file_does_not_hold_up_the_others() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let names: Vec<_> = (0..20).map(|number| format!("{number}.example.com")).collect();
    let keep = |name: &String| dir.keep(name, &authority.issue(&[name]));
    let acceptor = acceptor(&settings(names.iter().map(keep).collect()));
    let mut files = acceptor.files();
    let before = acceptor.certificates().all();
    names.iter().map(keep).for_each(drop);
    dir.write("7.example.com.pem", "");
    let told = files.check(Instant::now());
    assert_eq!(told.len(), 19);
    assert!(told.iter().all(Result::is_ok));
    for (index, (old, new)) in before.iter().zip(acceptor.certificates().all()).enumerate() {
        assert_eq!(old.chain() == new.chain(), index == 7);
    }
}

#[test]
fn a_handshake_under_way_keeps_the_certificate_that_it_began_with() {
    let mut stand = Stand::new();
    let config = Arc::new(client(&stand.authority));
    let met = meet(&stand.acceptor, &config, "example.com").unwrap();
    let old = met.shown().clone();
    // A session that began with the old certificate goes on after it was replaced.
    stand.dir.keep("a", &stand.authority.issue(&["example.com"]));
    assert!(matches!(stand.look()[..], [Ok(_)]));
    let again = meet(&stand.acceptor, &config, "example.com").unwrap();
    assert_eq!(again.server.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    assert!(*again.shown() == old);
}

#[test]
fn takes_new_authorities_of_clients_and_ends_the_sessions_of_the_old() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let files = vec![dir.keep("a", &authority.issue(&["example.com"]))];
    let acceptor = acceptor(&asking(files, dir.write("clients.pem", one.pem()), true));
    let mut files = acceptor.files();
    let come = |config| meet(&acceptor, config, "example.com");
    let config = |pair| Arc::new(client_of(&[&rustls::version::TLS13], &authority, Some(&pair)));
    let (of_one, of_two) = (config(one.issue(&["a"])), config(two.issue(&["b"])));
    come(&of_one).unwrap();
    come(&of_one).unwrap();
    come(&of_two).unwrap_err();
    dir.write("clients.pem", two.pem());
    let told = files.check(Instant::now());
    assert!(
        matches!(&told[..], [Ok(Changed::Clients { file })] if *file == dir.path("clients.pem")),
        "{told:?}"
    );
    come(&of_two).unwrap();
    // It still has a ticket of the time before.
    come(&of_one).unwrap_err();
    dir.write("clients.pem", "");
    assert!(matches!(files.reload_now()[..], [Err(Error::Empty { .. })]));
    come(&of_two).unwrap();
}

#[test]
fn a_file_younger_than_the_clocks_tick_is_looked_at_again() {
    let dir = Dir::new();
    let file = dir.write("a", "1");
    let stamp = crate::stamp::Stamp::of(&[&file, Path::new("/nonexistent")]);
    let changed = std::time::SystemTime::now();
    assert!(stamp.is_young(changed));
    assert!(!stamp.is_young(changed + 5 * SECOND));
    assert_eq!(stamp, crate::stamp::Stamp::of(&[&file, Path::new("/nonexistent")]));
    dir.write("a", "22");
    assert_ne!(stamp, crate::stamp::Stamp::of(&[&file, Path::new("/nonexistent")]));
}
