//! The control socket as a file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener as Dead;

use tokio::task::JoinSet;

use super::super::open;
use super::super::tests::run;
use super::*;

async fn claim(path: &Path) -> Result<Claim, Unclaimed> {
    Claim::new(&Place::Named(path.to_owned())).await
}

#[test]
fn the_socket_is_for_its_owner_alone_and_goes_with_the_claim() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run/control.sock");
        let own = claim(&path).await.expect("a socket");
        let found = fs::symlink_metadata(&path).expect("it is there");
        assert!(found.file_type().is_socket());
        assert_eq!(found.mode() & 0o7777, 0o600);
        let around = fs::metadata(dir.path().join("run")).expect("the directory was made");
        assert_eq!(around.mode() & 0o7777, 0o700);
        drop(own);
        assert!(!path.exists());
    });
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        drop(Dead::bind(&path).expect("bound"));
        let own = claim(&path).await.expect("a socket in place of the stale one");
        let refused = claim(&path).await.expect_err("there is one");
        let words = refused.to_string();
        assert!(matches!(refused, Unclaimed::Occupied { .. }), "{words}");
        assert!(words.contains(&format!("process {}", std::process::id())), "{words}");
        assert!(path.exists());
        drop(own);
        assert!(claim(&path).await.is_ok());
    });
}

#[test]
fn another_ones_socket_is_not_removed() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let own = claim(&path).await.expect("a socket");
        fs::remove_file(&path).expect("removed");
        let other = claim(&path).await.expect("another");
        drop(own);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(other);
        assert!(!path.exists());
    });
}

#[test]
fn what_is_no_socket_is_left_alone() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let precious = dir.path().join("precious");
        fs::write(&precious, "words").expect("written");
        fs::copy(&precious, &path).expect("a file");
        assert!(matches!(claim(&path).await, Err(Unclaimed::Impossible { .. })));
        fs::remove_file(&path).expect("removed");
        // A link, even to where nothing is, is not followed.
        symlink(dir.path().join("nowhere"), &path).expect("a link");
        assert!(matches!(claim(&path).await, Err(Unclaimed::Impossible { .. })));
        assert!(!dir.path().join("nowhere").exists());
        assert_eq!(fs::read_to_string(&precious).expect("read"), "words");
    });
}

#[test]
fn a_directory_that_others_may_have_laid_is_not_used() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let own = dir.path().join("vestibule-0");
        let place = Place::Own(own.join("control.sock"));
        fs::create_dir(&own).expect("a directory");
        fs::set_permissions(&own, Permissions::from_mode(0o755)).expect("mode");
        let words = Claim::new(&place).await.expect_err("others may enter").to_string();
        assert!(words.contains("chmod 700"), "{words}");
        fs::set_permissions(&own, Permissions::from_mode(0o700)).expect("mode");
        drop(Claim::new(&place).await.expect("ours alone"));
        fs::rename(&own, dir.path().join("elsewhere")).expect("renamed");
        symlink(dir.path().join("elsewhere"), &own).expect("a link");
        assert!(Claim::new(&place).await.is_err(), "a link was followed");
        // Only root can give a directory away.
        if geteuid().is_root() {
            fs::remove_file(&own).expect("removed");
            fs::create_dir(&own).expect("a directory");
            chown(&own, Some(65534), None).expect("given away");
            let words = Claim::new(&place).await.expect_err("not ours").to_string();
            assert!(words.contains("65534"), "{words}");
        }
    });
}

#[test]
fn of_many_that_begin_at_once_in_the_place_of_a_dead_one_one_gets_it() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        for _ in 0..10 {
            drop(Dead::bind(&path).expect("bound"));
            let mut claims = JoinSet::new();
            for _ in 0..8 {
                let path = path.clone();
                claims.spawn_local(async move { claim(&path).await });
            }
            let mut got = Vec::new();
            while let Some(claim) = claims.join_next().await {
                match claim.expect("it ends") {
                    Ok(claim) => got.push(claim),
                    Err(Unclaimed::Occupied { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(got.len(), 1);
            drop(got);
            assert!(!path.exists());
        }
    });
}

#[test]
fn a_usual_place_that_is_taken_is_no_reason_not_to_serve() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let first = open(&Place::Run(path.clone())).await.expect("no reason");
        assert!(first.is_some());
        assert!(open(&Place::Run(path.clone())).await.expect("no reason").is_none());
        assert!(open(&Place::Named(path)).await.is_err());
    });
}
