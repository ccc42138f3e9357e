//! The requests that gunicorn's own tests are made of: what is invalid is refused and reaches nobody, what is valid
//! arrives in canonical form. Where we differ from gunicorn on purpose, the case is listed with the reason.

mod case;

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use self::case::{Case, Expected};
use crate::support::canonical::{Canonical, Chunks};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::origin::{Origin, Seen, echo};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// Invalid only to gunicorn. Each of these has to arrive, once and canonical.
const POLICY_OF_GUNICORN: [(&str, &str); 17] = [
    ("003c", "a method is any token (RFC 9110 9.1); gunicorn wants three to twenty letters"),
    ("006", "a request line of 4 KiB; we take heads up to limits.head"),
    ("007", "a field of 8 KiB; we take heads up to limits.head"),
    ("008", "a field of 12 KiB; we take heads up to limits.head"),
    ("010", "gunicorn is set to fields of 10 bytes"),
    ("011", "gunicorn is set to 2 fields"),
    ("012", "gunicorn is set to fields of 98 bytes"),
    ("017", "a field of 8 KiB; we take heads up to limits.head"),
    ("019", "contradicting X-Forwarded-Proto and -Ssl of a stranger; we replace them"),
    ("040", "gunicorn is set to refuse underscores; we drop such fields"),
    ("041", "two Content-Type lines frame nothing; the application gets them as they came"),
    ("chunked_07", "gunicorn is set to refuse underscores; we drop such fields"),
    ("limit_header_default_01", "a field of 8 KiB; we take heads up to limits.head"),
    (
        "rfc9110_trailer_forbidden_cl_01",
        "we drop all trailers, so that none becomes a field (RFC 9110 6.5.1)",
    ),
    (
        "rfc9110_trailer_forbidden_host_01",
        "we drop all trailers, so that none becomes a field (RFC 9110 6.5.1)",
    ),
    (
        "rfc9110_trailer_forbidden_te_01",
        "we drop all trailers, so that none becomes a field (RFC 9110 6.5.1)",
    ),
    ("rfc9112_leading_crlf_02", "up to four empty lines before a request are ignored (RFC 9112 2.2)"),
];

/// Valid to gunicorn, refused by us.
const REFUSED_BY_US: [(&str, &str); 14] = [
    ("005", "a fragment is no part of a target (RFC 9112 3.2)"),
    ("025", "no transfer coding but chunked: two parsers may read others differently"),
    ("025_line", "no transfer coding but chunked"),
    ("028", "gunicorn is set to allow a space before the colon (RFC 9112 5.1 forbids it)"),
    ("029", "no transfer coding but chunked; identity is gone since RFC 7230"),
    ("030", "no transfer coding but chunked; identity is gone since RFC 7230"),
    ("099", "its Content-Length promises more than comes: not a whole request"),
    ("compat_obs_fold", "gunicorn is set to allow folded fields (RFC 9112 5.2 lets a server refuse them)"),
    ("compat_obs_fold_huge", "gunicorn is set to allow folded fields"),
    ("rfc9112_smuggle_gzip_chunked_01", "no transfer coding but chunked"),
    ("rfc9112_smuggle_te_identity_chunked_01", "no transfer coding but chunked"),
    ("rfc9112_target_absolute_userinfo_01", "a user in a target is refused (RFC 9110 4.2.4)"),
    ("rfc9112_target_authority_connect_01", "CONNECT asks for a forward proxy"),
    ("rfc9112_target_authority_ipv6_01", "CONNECT asks for a forward proxy"),
];

/// Valid, and not for the application.
const ANSWERED_BY_US: (&str, &str) =
    ("rfc9112_target_asterisk_options_01", "OPTIONS * asks the server itself (RFC 9110 9.3.7)");

/// How long a first answer may take before the client says that nothing more will come from it.
const PAUSE: Duration = Duration::from_millis(300);

/// A Vestibule before an origin that records bytes.
struct Rig {
    origin: Origin,
    /// How much of the origin's record has been looked at: bytes, requests, faults.
    looked_at: RefCell<(usize, usize, usize)>,
    vestibule: Vestibule,
    /// What every connection of a test's own has to begin with.
    preface: &'static str,
    _dir: Dir,
}

/// What reached the origin since the last look.
struct Came {
    bytes: usize,
    requests: Vec<Canonical>,
    faults: Vec<Fault>,
}

/// What is wrong with a case.
type Fault = String;

impl Rig {
    fn start() -> Rig {
        Rig::with("", "", "")
    }

    /// One whose listener asks for a PROXY header.
    fn asking_for_a_proxy_header() -> Rig {
        Rig::with(
            "trusted_proxies = [\"127.0.0.1\"]\n",
            "proxy_protocol = true\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1025 80\r\n",
        )
    }

    fn with(first: &str, listener: &str, preface: &'static str) -> Rig {
        let dir = Dir::new();
        let origin = Origin::scripted(&dir.socket(), Chunks::Refused, |seen| match seen {
            Seen::Head(_) => Vec::new(),
            Seen::Whole(request) => vec![echo(request)],
        });
        let config = config(&dir, "").replace("[[listen]]\n", &format!("[[listen]]\n{listener}"));
        let vestibule = Vestibule::start(&dir, &format!("{first}{config}"));
        Rig { origin, looked_at: RefCell::default(), vestibule, preface, _dir: dir }
    }

    fn look(&self) -> Came {
        let record = self.origin.record();
        let bytes = record.wires.iter().map(|wire| wire.bytes.len()).sum();
        let faults = record.faults();
        let now = (bytes, record.requests.len(), faults.len());
        let before = self.looked_at.replace(now);
        Came {
            bytes: now.0 - before.0,
            requests: record.requests[before.1..].to_vec(),
            // Those of one connection stay the first of all.
            faults: faults.into_iter().skip(before.2).collect(),
        }
    }

    /// Sends `bytes` and returns all that comes back until the connection ends.
    fn exchange(&self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut client = Client::connect(self.vestibule.address()).expect("a connection").patience(PAUSE);
        // What refuses a request early may close before all of it is sent.
        let _ = client.send(bytes);
        let mut back = Vec::new();
        if !receive(&client, &mut back) {
            let _ = client.stream().shutdown(Shutdown::Write);
            client = client.patience(seconds(20));
            if !receive(&client, &mut back) {
                return Err("the connection stays open".to_owned());
            }
        }
        Ok(back)
    }

    /// Another client is still answered, on another connection, and by its own answer. Nothing else has reached the
    /// origin since the last look.
    fn goes_on(&self, case: &Case) -> Result<(), Fault> {
        let path = format!("/after/{}", case.name);
        let mut client =
            Client::connect(self.vestibule.address()).expect("a connection").patience(seconds(20));
        client.send(self.preface).expect("sent");
        let answer = client.get(&path).map_err(|error| format!("then nobody is answered: {error}"))?;
        if answer.text() != format!("GET {path}") {
            return Err(format!("then another client gets {:?}", answer.text()));
        }
        let Came { requests, faults, .. } = self.look();
        match &requests[..] {
            [one] if one.target == path && faults.is_empty() => Ok(()),
            _ => Err(format!("later reached the origin: {requests:?}, {faults:?}")),
        }
    }

    /// It is refused: no 2xx, and the origin sees not one byte.
    fn refuses(&self, bytes: &[u8], how: &str) -> Result<(), Fault> {
        let answers = statuses(&self.exchange(bytes)?);
        let Came { bytes, requests, faults } = self.look();
        if bytes > 0 {
            return Err(format!(
                "{how}: answered {answers:?}, reached the origin as {requests:?}, {faults:?}"
            ));
        }
        let refused = answers.len() <= 1 && answers.iter().all(|status| *status >= 400);
        refused.then_some(()).ok_or_else(|| format!("{how}: answered {answers:?}"))
    }

    /// It is refused as it is, with a Host, and with a second request behind it that would be the prize of a smuggler.
    fn refuses_in_every_form(&self, case: &Case) -> Result<(), Fault> {
        let with_host = case.with_host();
        let second = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        self.refuses(&case.bytes, "as it is")?;
        self.refuses(&with_host, "with a Host")?;
        self.refuses(&[&with_host[..], second].concat(), "with a request behind it")
    }

    /// It arrives: as many requests as there are answers, each canonical.
    fn passes(&self, case: &Case) -> Result<Vec<Canonical>, Fault> {
        let answers = statuses(&self.exchange(&case.with_host())?);
        let Came { requests, faults, .. } = self.look();
        let fine = !requests.is_empty() && faults.is_empty() && answers == vec![200; requests.len()];
        let fault = || format!("answered {answers:?}, reached the origin as {requests:?}, {faults:?}");
        if fine { Ok(requests) } else { Err(fault()) }
    }
}

/// Reads until the end; false when nothing came for the time of the client's patience.
fn receive(client: &Client<TcpStream>, into: &mut Vec<u8>) -> bool {
    match client.stream().read_to_end(into) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// The statuses of all answers in these bytes.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    let status = |(at, _): (usize, &str)| text.get(at + 9..at + 12)?.parse().ok();
    text.match_indices("HTTP/1.1 ").map(|found| status(found).unwrap_or(0)).collect()
}

/// Runs `check` on each case, and panics with what is wrong with all of them.
fn each(cases: &[Case], rig: &Rig, mut check: impl FnMut(&Case) -> Result<(), Fault>) {
    let mut faults = Vec::new();
    for case in cases {
        if let Err(fault) = check(case).and_then(|()| rig.goes_on(case)) {
            faults.push(format!("{}: {fault}", case.name));
            // What the one did wrong is not the next one's.
            rig.look();
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

fn reason<'a>(list: &'a [(&str, &str)], case: &Case) -> Option<&'a str> {
    list.iter().find(|(listed, _)| *listed == case.name).map(|(_, reason)| *reason)
}

/// The cases of a folder that begin with a PROXY header, or may, and the others.
fn split(folder: &str, count: usize) -> (Vec<Case>, Vec<Case>) {
    let cases = case::all(folder);
    assert_eq!(cases.len(), count, "another corpus than the one that was read");
    cases.into_iter().partition(|case| case.proxy)
}

#[test]
fn refuses_every_invalid_request_of_the_corpus() {
    let rig = Rig::start();
    let (_, cases) = split("invalid", 81);
    let mut refused = 0;
    each(&cases, &rig, |case| match reason(&POLICY_OF_GUNICORN, case) {
        None => {
            refused += 1;
            rig.refuses_in_every_form(case)
        }
        Some(reason) => match rig.passes(case)?.len() {
            1 => Ok(()),
            count => Err(format!("{reason}, but it became {count} requests")),
        },
    });
    println!("{refused} of {} invalid requests refused; the others are only gunicorn's policy:", cases.len());
    for (name, reason) in POLICY_OF_GUNICORN {
        println!("  {name}: {reason}");
    }
    assert_eq!(refused + POLICY_OF_GUNICORN.len(), cases.len(), "a listed case is gone");
}

#[test]
fn passes_every_valid_request_of_the_corpus_on_in_canonical_form() {
    let rig = Rig::start();
    let (_, cases) = split("valid", 62);
    let mut passed = 0;
    each(&cases, &rig, |case| match reason(&REFUSED_BY_US, case) {
        None if case.name == ANSWERED_BY_US.0 => {
            let answers = statuses(&rig.exchange(&case.bytes)?);
            let fine = answers == [200] && rig.look().bytes == 0;
            fine.then_some(()).ok_or_else(|| format!("answered {answers:?}, or passed on"))
        }
        None => {
            passed += 1;
            same(&rig.passes(case)?, &case.requests)
        }
        Some(reason) => rig.refuses(&case.with_host(), reason),
    });
    println!("{passed} of {} valid requests passed on; the others we answer or refuse:", cases.len());
    for (name, reason) in REFUSED_BY_US.iter().chain([&ANSWERED_BY_US]) {
        println!("  {name}: {reason}");
    }
    assert_eq!(passed + REFUSED_BY_US.len() + 1, cases.len(), "a listed case is gone");
}

#[test]
fn reads_the_proxy_headers_of_the_corpus() {
    let rig = Rig::asking_for_a_proxy_header();
    let (invalid, _) = split("invalid", 81);
    each(&invalid, &rig, |case| rig.refuses_in_every_form(case));
    let (valid, _) = split("valid", 62);
    each(&valid, &rig, |case| {
        // gunicorn takes a request without the header too: then anybody could be anybody.
        if case.name == "pp_03" {
            return rig.refuses(&case.with_host(), "without a PROXY header");
        }
        let came = rig.passes(case)?;
        same(&came, &case.requests)?;
        let client = came[0].field("x-real-ip");
        let told = ["192.168.0.1", "192.168.1.10", "2001:db8::1"].iter().any(|told| client == Some(told));
        told.then_some(()).ok_or_else(|| format!("the application is told {client:?}"))
    });
    println!("{} invalid PROXY headers refused, {} valid ones read", invalid.len(), valid.len() - 1);
}

/// Says what gunicorn's tests expect, as far as it is not ours to say: the framing and the fields of this hop.
fn same(came: &[Canonical], expected: &[Expected]) -> Result<(), Fault> {
    const OURS: [&str; 5] = ["connection", "keep-alive", "transfer-encoding", "content-length", "host"];
    if came.len() != expected.len() {
        return Err(format!("{} requests instead of {}", came.len(), expected.len()));
    }
    for (came, expected) in came.iter().zip(expected) {
        let (authority, target) = match expected.target.split_once("://") {
            Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", expected.target.as_str()),
        };
        // A method is case-sensitive; that gunicorn may be set to change its case is its own affair.
        let line = came.method.eq_ignore_ascii_case(&expected.method) && came.target == target;
        let host = authority.is_empty() || came.field("host") == Some(authority);
        let field = |(name, value): &&(String, String)| {
            let ours = OURS.contains(&name.as_str()) || name.contains('_');
            // Python shows each byte as one character.
            let bytes = |of: &&[u8]| of.iter().map(|byte| char::from(*byte)).eq(value.chars());
            ours || came.all(name).iter().any(bytes)
        };
        let missing = expected.fields.iter().find(|expected| !field(expected));
        if !line || !host || came.body != expected.body || missing.is_some() {
            return Err(format!("became {came:?}; not as expected (missing field: {missing:?})"));
        }
    }
    Ok(())
}
