//! Hashes of passwords: which are taken, by their form.

use crate::problem::Problem;

/// The highest cost of bcrypt: each more doubles the time that every log-in takes, and 14 is about a second.
const HIGHEST_COST: u32 = 14;

/// The most memory of argon2, in KiB: every log-in takes it.
const MOST_MEMORY: u32 = 256 << 10;

/// The most passes of argon2.
const MOST_PASSES: u32 = 32;

/// The hash, if it is one of bcrypt (`$2b$`, `$2y$`, `$2a$`) or of argon2 in the PHC form. No hash is shown in a message.
pub(super) fn check(hash: &str, user: &str) -> Result<String, Problem> {
    let refused = |what: &str| {
        Err(Problem::new(format!("the password of {user:?} is {what}"))
            .instead(format!("write what `htpasswd -nB {}` prints after the colon", plain(user))))
    };
    let wrong = |what: &str| {
        Err(Problem::new(format!("the hash of {user:?} {what}"))
            .instead(format!("write what `htpasswd -nB {}` prints after the colon, whole", plain(user))))
    };
    if let Some(rest) = ["$2y$", "$2b$", "$2a$"].iter().find_map(|prefix| hash.strip_prefix(prefix)) {
        return match bcrypt(rest) {
            Ok(cost) if cost > HIGHEST_COST => wrong(&format!(
                "has a cost of {cost}, so that a log-in takes longer than anybody waits; at most {HIGHEST_COST}"
            )),
            Ok(_) => Ok(hash.to_owned()),
            Err(what) => wrong(what),
        };
    }
    if let Some(rest) =
        ["$argon2id$", "$argon2i$", "$argon2d$"].iter().find_map(|prefix| hash.strip_prefix(prefix))
    {
        return match argon2(rest) {
            Ok(()) => Ok(hash.to_owned()),
            Err(what) => wrong(&what),
        };
    }
    let is_crypt = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/');
    match hash {
        "" => refused("empty"),
        _ if hash.starts_with("$apr1$") || hash.starts_with("$1$") => {
            refused("hashed with MD5, which is too fast to keep it")
        }
        _ if hash.starts_with("$5$") || hash.starts_with("$6$") => {
            refused("hashed with SHA-crypt, which is not known here")
        }
        _ if hash.starts_with("{SHA}") || hash.starts_with("{SSHA}") => {
            refused("hashed with SHA-1, which is too fast to keep it")
        }
        _ if hash.starts_with('$') => {
            refused("hashed in a way that is not known here: bcrypt and argon2 are")
        }
        _ if hash.len() == 13 && hash.chars().all(is_crypt) => {
            refused("not hashed, or with crypt(), which keeps 8 characters")
        }
        _ => refused("not hashed"),
    }
}

/// A name that can stand on a command line as it is.
fn plain(user: &str) -> &str {
    let is_plain = user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
    if is_plain { user } else { "NAME" }
}

/// The cost of what follows `$2y$`: two digits, `$`, 22 characters of salt and 31 of hash.
fn bcrypt(rest: &str) -> Result<u32, &'static str> {
    const SHORT: &str = "is not whole: one of bcrypt has 60 characters";
    let (cost, rest) = rest.split_once('$').ok_or(SHORT)?;
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/');
    if rest.len() != 53 || !rest.chars().all(is_digit) {
        return Err(SHORT);
    }
    let cost = Some(cost).filter(|cost| cost.len() == 2).and_then(|cost| cost.parse::<u32>().ok());
    cost.filter(|cost| (4..=31).contains(cost)).ok_or("has no cost from 04 to 31")
}

/// What follows `$argon2id$`: `v=19$m=19456,t=2,p=1$SALT$HASH`.
fn argon2(rest: &str) -> Result<(), String> {
    let shape = || "is not in the form $argon2id$v=19$m=…,t=…,p=…$SALT$HASH".to_owned();
    let parts: Vec<_> = rest.split('$').collect();
    let [version, numbers, salt, hash] = *parts.as_slice() else { return Err(shape()) };
    if version != "v=19" {
        return Err("is not of version 19 of argon2".to_owned());
    }
    let numbers: Vec<_> = numbers.split(',').collect();
    let [memory, passes, lanes] = *numbers.as_slice() else { return Err(shape()) };
    let number = |text: &str, name: &str| text.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok();
    let memory = number(memory, "m").ok_or_else(shape)?;
    let passes = number(passes, "t").ok_or_else(shape)?;
    let lanes = number(lanes, "p").ok_or_else(shape)?;
    if !(1..=64).contains(&lanes)
        || !(1..=MOST_PASSES).contains(&passes)
        || !(8 * lanes..=MOST_MEMORY).contains(&memory)
    {
        return Err(format!(
            "asks for m={memory},t={passes},p={lanes}; at most m={MOST_MEMORY},t={MOST_PASSES},p=64"
        ));
    }
    let is_base64 = |text: &str, least: usize| {
        text.len() >= least && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'))
    };
    if is_base64(salt, 11) && is_base64(hash, 14) { Ok(()) } else { Err(shape()) }
}
