//! Users and groups of this machine.

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

use crate::problem::Problem;

/// Why no process can be started as this user; `None` when it can.
pub(crate) fn user(name: &str) -> Option<Problem> {
    match User::from_name(name) {
        Ok(Some(user)) => other_user(name, user.uid, geteuid()),
        Ok(None) => Some(missing("user", name)),
        Err(error) => Some(unknown("user", name, error)),
    }
}

/// Why no process can be started with this group; `None` when it can.
pub(crate) fn group(name: &str) -> Option<Problem> {
    match Group::from_name(name) {
        Ok(Some(group)) => other_group(name, group.gid, geteuid(), getegid()),
        Ok(None) => Some(missing("group", name)),
        Err(error) => Some(unknown("group", name, error)),
    }
}

/// Only root becomes another user (setuid(2)).
fn other_user(name: &str, wanted: Uid, ours: Uid) -> Option<Problem> {
    (wanted != ours && !ours.is_root()).then(|| {
        Problem::new(format!("only root can start a process as the user {name:?}"))
            .instead("start Vestibule as root, or as that user and leave `user` out")
    })
}

/// Only root takes another group than that which it has (setgid(2)).
fn other_group(name: &str, wanted: Gid, our_user: Uid, ours: Gid) -> Option<Problem> {
    (wanted != ours && !our_user.is_root()).then(|| {
        Problem::new(format!("only root can start a process with the group {name:?}"))
            .instead("start Vestibule as root, or with that group and leave `group` out")
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

    const US: u32 = 1000;

    #[test]
    fn only_root_becomes_somebody_else() {
        let user = |wanted, ours| other_user("deploy", Uid::from_raw(wanted), Uid::from_raw(ours));
        assert!(user(US, US).is_none() && user(US, 0).is_none() && user(0, 0).is_none());
        let problem = user(US + 1, US).expect("refused");
        assert!(
            problem.message.contains("only root can start a process as the user \"deploy\""),
            "{problem}"
        );
        assert!(user(0, US).is_some());

        let group = |wanted, our_user, ours| {
            other_group("deploy", Gid::from_raw(wanted), Uid::from_raw(our_user), Gid::from_raw(ours))
        };
        assert!(group(US, US, US).is_none() && group(US, 0, 0).is_none());
        let problem = group(0, US, US).expect("refused");
        assert!(problem.message.contains("with the group \"deploy\""), "{problem}");
    }

    #[test]
    fn finds_who_is_there_and_who_is_not() {
        let ours = User::from_uid(geteuid()).expect("looked up").expect("we are somebody");
        assert_eq!(user(&ours.name), None);
        let ours = Group::from_gid(getegid()).expect("looked up").expect("we are in a group");
        assert_eq!(group(&ours.name), None);
        let problem = user("nobody-of-this-name").expect("refused");
        assert_eq!(problem.message, "there is no user \"nobody-of-this-name\" on this machine");
        let problem = group("nobody-of-this-name").expect("refused");
        assert_eq!(problem.message, "there is no group \"nobody-of-this-name\" on this machine");
    }
}
