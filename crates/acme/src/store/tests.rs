use std::os::unix::fs::symlink;

use super::*;

fn settings(root: &Path) -> Acme {
    Acme {
        domains: vec!["example.com".to_owned(), "www.example.com".to_owned()],
        contact: Vec::new(),
        directory: "https://acme.example:14000/dir".to_owned(),
        store: root.join("acme"),
        challenges: Vec::new(),
        authorities: None,
        key: KeyKind::Ecdsa,
        eab: None,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn nobody_else_can_read_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    store.prepare().unwrap();
    store.write_bytes("key", b"secret").unwrap();
    let _lock = store.lock("lock").unwrap().unwrap();
    assert_eq!(mode(&dir.path().join("acme")), 0o700);
    assert_eq!(mode(&store.place), 0o700);
    for file in ["key", "lock"] {
        assert_eq!(mode(&store.path(file)), 0o600, "{file}");
    }
    assert_eq!(store.read("key").unwrap().unwrap(), b"secret");
    let left: Vec<_> = fs::read_dir(&store.place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing unfinished is left: {left:?}");
}

#[test]
fn a_store_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    fs::create_dir(dir.path().join("acme")).unwrap();
    fs::set_permissions(dir.path().join("acme"), fs::Permissions::from_mode(0o777)).unwrap();
    let error = store.prepare().unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
    assert!(error.to_string().contains("chmod go-w"), "{error}");
}

#[test]
fn a_store_that_cannot_be_written_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    // Not even root makes a directory below a file.
    fs::write(dir.path().join("file"), b"").unwrap();
    let store = Store::new(&settings(&dir.path().join("file")));
    let words = store.prepare().unwrap_err().to_string();
    assert!(words.contains("file") && words.contains("tls.acme.store"), "{words}");
}

#[test]
fn readers_find_the_old_or_the_new_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    store.prepare().unwrap();
    let versions: Vec<Vec<u8>> = (0..3_u8).map(|byte| vec![byte; 100_000]).collect();
    store.write_bytes("file", &versions[0]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let found = store.read("file").unwrap().unwrap();
                assert!(versions.contains(&found), "torn: {} bytes", found.len());
            }
        });
        for version in versions.iter().cycle().take(60) {
            store.write_bytes("file", version).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn only_one_has_a_lock_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    store.prepare().unwrap();
    let first = store.lock("lock").unwrap().unwrap();
    assert!(store.lock("lock").unwrap().is_none());
    assert!(store.lock("another").unwrap().is_some());
    drop(first);
    assert!(store.lock("lock").unwrap().is_some());
}

#[test]
fn names_of_files_are_plain_and_differ_where_the_certificates_do() {
    let dir = Path::new("/");
    let one = settings(dir);
    let names = [
        name_of(&one),
        name_of(&Acme { key: KeyKind::Rsa, ..one.clone() }),
        name_of(&Acme { domains: vec!["example.com".to_owned()], ..one.clone() }),
    ];
    assert!(names[0].starts_with("example.com-ecdsa-"), "{names:?}");
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
    let mut turned = one.clone();
    turned.domains.reverse();
    assert_eq!(name_of(&turned), names[0], "the order is no difference");
    for hostile in ["../../etc/passwd", "..", "a/b", ".hidden", "", "ä\0"] {
        let name = name_of(&Acme { domains: vec![hostile.to_owned()], ..one.clone() });
        assert!(!name.contains(['/', '\0']) && !name.starts_with('.'), "{name}");
        let place = Store::new(&Acme { directory: hostile.to_owned(), ..one.clone() }).place;
        assert!(place.starts_with("/acme") && place.components().count() == 3, "{}", place.display());
    }
    let staging = Acme { directory: "https://acme.example:14000/staging".to_owned(), ..one.clone() };
    assert_ne!(Store::new(&one).place, Store::new(&staging).place);
}

#[test]
fn what_lies_there_instead_of_a_file_holds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    store.prepare().unwrap();
    assert!(store.read("none").unwrap().is_none());
    fs::create_dir(store.path("directory")).unwrap();
    store.read("directory").unwrap_err();
    symlink("/dev/zero", store.path("endless")).unwrap();
    let error = store.read("endless").unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&settings(dir.path()));
    store.prepare().unwrap();
    let [old, young] = [".new-old", ".new-young"].map(|name| store.path(name));
    for path in [&old, &young] {
        fs::write(path, b"half").unwrap();
    }
    let then = SystemTime::now() - Duration::from_secs(7200);
    File::options().write(true).open(&old).unwrap().set_modified(then).unwrap();
    store.prepare().unwrap();
    assert!(!old.exists() && young.exists());
}
