//! Users and groups of this machine.

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::problem::Problem;

/// Why no process can be started as this user, by name or number; `None` when it can.
pub(crate) fn user(name: &str) -> Option<Problem> {
    let by_number = || name.parse().map_or(Ok(None), |uid| User::from_uid(Uid::from_raw(uid)));
    match User::from_name(name).and_then(|found| found.map_or_else(by_number, |user| Ok(Some(user)))) {
        Ok(Some(user)) => other("user", name, user.uid == geteuid() || may_choose()),
        Ok(None) => Some(missing("user", name)),
        Err(error) => Some(unknown("user", name, error)),
    }
}

/// Why no process can be started with this group, by name or number; `None` when it can. A number needs no entry.
pub(crate) fn group(name: &str) -> Option<Problem> {
    let by_number = || name.parse().ok().map(Gid::from_raw);
    match Group::from_name(name) {
        Ok(found) => match found.map(|group| group.gid).or_else(by_number) {
            Some(gid) => other("group", name, gid == getegid() || may_choose()),
            None => Some(missing("group", name)),
        },
        Err(error) => Some(unknown("group", name, error)),
    }
}

/// Root may, or who has these of its rights (capabilities(7)).
fn may_choose() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Another than ours, which not everybody may take (setuid(2), setgid(2)).
fn other(what: &str, name: &str, is_allowed: bool) -> Option<Problem> {
    (!is_allowed).then(|| {
        Problem::new(format!("only root can start a process as another {what}, and this is {name}"))
            .instead(format!(
                "start Vestibule as root or with CAP_SETUID and CAP_SETGID, or with that {what}, and leave `{what}` out"
            ))
    })
}

fn missing(what: &str, name: &str) -> Problem {
    Problem::new(format!("there is no {what} {name:?} on this machine"))
        .instead("create it, or write another one")
}

fn unknown(what: &str, name: &str, error: nix::Error) -> Problem {
    Problem::new(format!("the {what} {name:?} cannot be looked up: {}", error.desc()))
        .instead("see what /etc/nsswitch.conf names as sources, or write another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said on a thread that has no right to become anybody else: capabilities are a thread's own.
    fn without_rights(said: fn(&str) -> Option<Problem>, name: &str) -> Option<Problem> {
        let name = name.to_owned();
        let tried = std::thread::spawn(move || {
            let mut sets = capabilities(None).expect("ours");
            sets.effective.remove(CapabilitySet::SETUID | CapabilitySet::SETGID);
            rustix::thread::set_capabilities(None, sets).expect("dropped");
            said(&name)
        });
        tried.join().expect("it ends")
    }

    fn us() -> User {
        User::from_uid(geteuid()).expect("looked up").expect("we are somebody")
    }

    #[test]
    fn only_root_becomes_somebody_else() {
        let somebody = if us().name == "daemon" { "bin" } else { "daemon" };
        let problem = without_rights(user, somebody).expect("refused");
        let words = format!("only root can start a process as another user, and this is {somebody}");
        assert_eq!(problem.message, words);
        let problem = without_rights(group, "4242").expect("refused");
        assert_eq!(problem.message, "only root can start a process as another group, and this is 4242");
        assert_eq!(without_rights(user, &us().name), None);
        assert_eq!(without_rights(group, &getegid().to_string()), None);
    }

    #[test]
    fn finds_who_is_there_and_who_is_not() {
        assert_eq!(user(&us().name), None);
        assert_eq!(user(&geteuid().to_string()), None);
        let ours = Group::from_gid(getegid()).expect("looked up").expect("we are in a group");
        assert_eq!(group(&ours.name), None);
        let problem = user("no-such-user").expect("refused");
        assert_eq!(problem.message, "there is no user \"no-such-user\" on this machine");
        assert!(user("4294967294").is_some());
        let problem = group("no-such-group").expect("refused");
        assert_eq!(problem.message, "there is no group \"no-such-group\" on this machine");
    }
}
