//! Whom an application runs as.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};
use rustix::thread::{CapabilitySet, capabilities};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A user with its groups, in numbers. The launcher gets this, and asks no name service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// For words.
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Whom an application is to run as, and what it is told about that.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// `None`: as we do, with nothing to change.
    pub(crate) identity: Option<Identity>,
    /// HOME and the other variables that login(1) sets; none if no user was named.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Identity {
    /// Whether the mode of a directory lets this user make files in it; lists of access rights may say otherwise, which are not
    /// read. True where it cannot be seen.
    pub(crate) fn may_write_to(&self, directory: &Path) -> bool {
        /// To write, and to pass through.
        const NEEDED: u32 = 0o3;
        let Ok(found) = std::fs::metadata(directory) else { return true };
        let shift = match (found.uid(), found.gid()) {
            (owner, _) if owner == self.uid => 6,
            (_, group) if group == self.gid || self.groups.contains(&group) => 3,
            _ => 0,
        };
        self.uid == 0 || (found.mode() >> shift) & NEEDED == NEEDED
    }
}

/// Looks up `user` and `group` by name or number. May wait for the name service.
///
/// # Errors
/// [`Error::NoUser`], [`Error::NoGroup`], and [`Error::MayNotChangeUser`] when we are not allowed to become it.
pub(crate) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Resolved, Error> {
    if user.is_none() && group.is_none() {
        return Ok(Resolved::default());
    }
    let account = user.map(find_user).transpose()?;
    let group = group.map(find_group).transpose()?;
    let (ours, our_group) = (geteuid(), getegid());
    let uid = account.as_ref().map_or(ours, |account| account.uid);
    let gid = group.or_else(|| account.as_ref().map(|account| account.gid)).unwrap_or(our_group);
    let environment = account.as_ref().map(login_environment).unwrap_or_default();
    let name = user.map_or_else(|| uid.to_string(), str::to_owned);

    let has = capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    if !has.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) {
        // Without that right we can only stay who we are.
        return if (uid, gid) == (ours, our_group) {
            Ok(Resolved { identity: None, environment })
        } else {
            Err(Error::MayNotChangeUser {
                wanted: words(&name, gid),
                ours: words(&ours.to_string(), our_group),
            })
        };
    }
    let groups = match &account {
        Some(account) => groups_of(account, gid)?,
        None => vec![gid.as_raw()],
    };
    let identity = Identity { name, uid: uid.as_raw(), gid: gid.as_raw(), groups };
    Ok(Resolved { identity: Some(identity), environment })
}

/// A user for a person: `user deploy (1001)`.
pub(crate) fn words_for(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("user {} ({uid})", user.name),
        _ => format!("user {uid}"),
    }
}

fn words(user: &str, group: Gid) -> String {
    format!("user {user}, group {group}")
}

fn find_user(name: &str) -> Result<User, Error> {
    let failed = |source| Error::NoUser { name: name.to_owned(), source };
    let found = User::from_name(name).map_err(|error| failed(Some(error.into())))?;
    let by_number = || name.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    found.or_else(by_number).ok_or_else(|| failed(None))
}

fn find_group(name: &str) -> Result<Gid, Error> {
    let failed = |source| Error::NoGroup { name: name.to_owned(), source };
    let found = Group::from_name(name).map_err(|error| failed(Some(error.into())))?;
    found
        .map(|group| group.gid)
        // The highest number means "as it is" to the kernel.
        .or_else(|| name.parse().ok().filter(|&gid| gid != u32::MAX).map(Gid::from_raw))
        .ok_or_else(|| failed(None))
}

fn groups_of(account: &User, gid: Gid) -> Result<Vec<u32>, Error> {
    let failed = |source: io::Error| Error::NoUser { name: account.name.clone(), source: Some(source) };
    let name = CString::new(account.name.as_str()).map_err(|error| failed(error.into()))?;
    let groups = getgrouplist(&name, gid).map_err(|error| failed(error.into()))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

fn login_environment(account: &User) -> Vec<(OsString, OsString)> {
    let shell = if account.shell.as_os_str().is_empty() { "/bin/sh".into() } else { account.shell.clone() };
    vec![
        ("HOME".into(), account.dir.clone().into()),
        ("USER".into(), account.name.clone().into()),
        ("LOGNAME".into(), account.name.clone().into()),
        ("SHELL".into(), shell.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_name() -> String {
        User::from_uid(geteuid()).expect("looked up").expect("we have a name").name
    }

    #[test]
    fn nobody_named_is_nothing_to_change() {
        let resolved = resolve(None, None).expect("nothing to look up");
        assert_eq!(resolved.identity, None);
        assert!(resolved.environment.is_empty());
    }

    #[test]
    fn sets_what_login_sets() {
        let resolved = resolve(Some(&own_name()), None).expect("we may be ourselves");
        let names: Vec<_> =
            resolved.environment.iter().map(|(name, _)| name.to_str().expect("a name")).collect();
        assert_eq!(names, ["HOME", "USER", "LOGNAME", "SHELL"]);
        assert_eq!(resolved.environment[1].1.to_str(), Some(own_name().as_str()));
    }

    #[test]
    fn only_the_mode_that_is_meant_for_a_user_lets_it_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let owner = std::fs::metadata(directory.path()).expect("metadata");
        let stranger = |groups: Vec<u32>| Identity {
            name: "x".into(),
            uid: owner.uid() + 1,
            gid: owner.gid() + 1,
            groups,
        };
        let with = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(directory.path(), mode).expect("changed");
        };
        let (member, nobody) = (stranger(vec![owner.gid()]), stranger(vec![]));
        for (mode, by_group, by_others) in [
            (0o700, false, false),
            (0o775, true, false),
            (0o1777, true, true),
            (0o702, false, false),
            (0o757, false, true),
        ] {
            with(mode);
            let seen = (member.may_write_to(directory.path()), nobody.may_write_to(directory.path()));
            assert_eq!(seen, (by_group, by_others), "{mode:o}");
        }
        with(0o700);
        assert!(Identity { uid: owner.uid(), ..nobody }.may_write_to(directory.path()));
    }

    #[test]
    fn finds_a_user_by_its_number() {
        let by_number = resolve(Some(&geteuid().to_string()), None).expect("we may be ourselves");
        assert_eq!(by_number.environment, resolve(Some(&own_name()), None).expect("found").environment);
    }

    #[test]
    fn names_the_user_and_the_group_that_do_not_exist() {
        let user = resolve(Some("no-such-user"), None).expect_err("there is none");
        assert_eq!(user.to_string(), "there is no user no-such-user");
        let group = resolve(None, Some("no-such-group")).expect_err("there is none");
        assert_eq!(group.to_string(), "there is no group no-such-group");
        assert!(resolve(Some("4294967294"), None).is_err(), "a number that nobody has");
    }

    #[test]
    fn says_that_it_may_not_become_somebody_without_the_right_to() {
        // Capabilities are a thread's own.
        let tried = std::thread::spawn(|| {
            let mut sets = capabilities(None).expect("ours");
            sets.effective.remove(CapabilitySet::SETUID);
            rustix::thread::set_capabilities(None, sets).expect("dropped");
            let own = resolve(Some(&geteuid().to_string()), Some(&getegid().to_string()));
            assert_eq!(own.expect("nothing to change").identity, None);
            resolve(Some("nobody"), None).expect_err("it may not").to_string()
        });
        let said = tried.join().expect("it ends");
        assert!(said.contains("may not start anything as user nobody, group "), "{said}");
    }
}
