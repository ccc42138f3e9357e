//! A name and a password (RFC 7617).
//!
//! To check one costs a tenth of a second on purpose, so it is never done on a worker's own thread, nor many times at once, nor again for
//! what was right a moment ago.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use tokio::sync::Semaphore;
use vestibule_config::{Auth, Config};
use vestibule_upstream::Client;

use crate::changes::Changes;
use crate::rate::network;
use crate::recent::Recent;
use crate::request::Request;
use crate::respond::{self, CLIENT_LEFT, Own};
use crate::shared::OfRoute;

/// How long a password that was right need not be checked again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Most of them.
const MOST_REMEMBERED: usize = 4096;
/// Most passwords that are checked at once: a worker has few threads for what takes long, and the disk needs them too.
const MOST_AT_ONCE: usize = 3;
/// Most requests that wait for their password to be checked.
const MOST_WAITING: usize = 256;
/// Most of one client, as rates tell clients apart: nobody who guesses keeps others waiting for long.
const MOST_OF_ONE: usize = 16;
/// Seconds after which one more may try.
const RETRY_AFTER: u32 = 1;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message authentication code over a name, a password and the hash that it fits.
type Mark = [u8; 32];

/// Who has shown a right password lately, and the right to check one now. All workers share it.
#[derive(Debug)]
pub(crate) struct Verified {
    /// For marks that say nothing to who reads our memory without it. `None` where the system had nothing random to give: then nothing is
    /// remembered.
    key: Option<hmac::Key>,
    marks: Mutex<Recent<Mark, Instant>>,
    /// Each a password being checked. They compete with the workers for the processors.
    permits: Arc<Semaphore>,
    /// How many wait, by client.
    waiting: Mutex<HashMap<u64, usize>>,
}

impl Verified {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let mut secret = [0; 32];
        let key = getrandom::fill(&mut secret).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &secret));
        Self {
            key,
            marks: Mutex::new(Recent::new(MOST_REMEMBERED)),
            permits: Arc::new(Semaphore::new((workers / 2).clamp(1, MOST_AT_ONCE))),
            waiting: Mutex::default(),
        }
    }

    fn mark(&self, given: &Given, hash: &str) -> Option<Mark> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        // No hash and no name that is known has a NUL in it.
        for part in [hash.as_bytes(), b"\0", &given.name, b"\0", &given.password] {
            context.update(part);
        }
        context.sign().as_ref().try_into().ok()
    }

    fn knows(&self, mark: &Mark) -> bool {
        let since = self.marks.lock().unwrap_or_else(PoisonError::into_inner).get(mark);
        since.is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    fn remember(&self, mark: Mark) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).put(mark, Instant::now());
    }

    /// Whether the password is right for a name that may come.
    async fn check(
        &self,
        auth: &Auth,
        of_route: &OfRoute,
        given: Given,
        (address, client): (IpAddr, &mut dyn Client),
    ) -> Verdict {
        let place = of_route.users.get(given.name.as_slice());
        let known = place.and_then(|&place| auth.users.get(place));
        let known = known.filter(|(name, _)| name.as_bytes() == given.name);
        // A name that nobody has costs what another costs: nobody is to learn by the time which there are.
        let Some((_, hash)) = known.or(auth.users.first()) else { return Verdict::Wrong };
        let mark = known.and_then(|_| self.mark(&given, hash));
        let is_remembered = || mark.as_ref().is_some_and(|mark| self.knows(mark));
        if is_remembered() {
            return Verdict::Right;
        }
        let Some(waiting) = Waiting::begin(&self.waiting, network(address)) else { return Verdict::TooMany };
        let mut permit = std::pin::pin!(Arc::clone(&self.permits).acquire_owned());
        let permit = poll_fn(|cx| match permit.as_mut().poll(cx) {
            Poll::Ready(permit) => Poll::Ready(permit.map_err(|_| Verdict::TooMany)),
            Poll::Pending => client.poll_left(cx).map(|()| Err(Verdict::Left)),
        });
        let permit = match permit.await {
            Ok(permit) => permit,
            Err(verdict) => return verdict,
        };
        drop(waiting);
        // A browser sends many requests at once: one of them has had it checked meanwhile.
        if is_remembered() {
            return Verdict::Right;
        }
        let hash = hash.clone();
        let checked = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, whether anybody still waits for it or not.
            let _permit = permit;
            fits(&hash, &given.password)
        });
        match (checked.await, known) {
            (Ok(true), Some(_)) => {
                mark.into_iter().for_each(|mark| self.remember(mark));
                Verdict::Right
            }
            (Ok(_), _) => Verdict::Wrong,
            (Err(_), _) => Verdict::TooMany,
        }
    }
}

/// What comes of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// It was not checked: too many wait for it already.
    TooMany,
    Left,
}

/// One that waits for its password to be checked, of this client.
struct Waiting<'a>(&'a Mutex<HashMap<u64, usize>>, u64);

impl<'a> Waiting<'a> {
    fn begin(counts: &'a Mutex<HashMap<u64, usize>>, client: u64) -> Option<Self> {
        let mut waiting = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.values().sum::<usize>() >= MOST_WAITING {
            return None;
        }
        let own = waiting.entry(client).or_default();
        if *own >= MOST_OF_ONE {
            return None;
        }
        *own += 1;
        Some(Waiting(counts, client))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut own) = waiting.entry(self.1) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

/// A name and a password as they were sent.
struct Given {
    name: Vec<u8>,
    password: Vec<u8>,
}

impl Given {
    /// `None` when there are none, or more than one, or they are not in the form of RFC 7617.
    fn of(request: &Request<'_>) -> Option<Self> {
        let mut values = request.fields(b"authorization");
        let value = values.next()?;
        let (scheme, rest) = value.split_at_checked(6)?;
        if values.next().is_some() || !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let mut name = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = name.iter().position(|&byte| byte == b':')?;
        let password = name.split_off(colon + 1);
        name.truncate(colon);
        Some(Given { name, password })
    }
}

/// Whether a password fits a hash, in the form of bcrypt or of argon2. Takes its time, and compares in constant time.
fn fits(hash: &str, password: &[u8]) -> bool {
    if hash.starts_with("$argon2") {
        let parsed = PasswordHash::new(hash);
        return parsed.is_ok_and(|hash| argon2::Argon2::default().verify_password(password, &hash).is_ok());
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// Lets in who has a name and a password of the route's; others get 401.
pub(crate) async fn check(
    (config, auth): (&Config, &Auth),
    (verified, of_route): (&Verified, &OfRoute),
    request: &Request<'_>,
    (address, client): (IpAddr, &mut dyn Client),
    changes: &mut Changes,
) -> ControlFlow<Own> {
    let verdict = match Given::of(request) {
        Some(given) => verified.check(auth, of_route, given, (address, client)).await,
        None => Verdict::Wrong,
    };
    let own = match verdict {
        Verdict::Right => return ControlFlow::Continue(()),
        Verdict::Left => respond::refused(config, CLIENT_LEFT, "the client left", request),
        Verdict::TooMany => {
            let why = "too many requests wait for their passwords to be checked";
            let mut own = respond::refused(config, 503, why, request);
            own.retry_after = Some(RETRY_AFTER);
            own
        }
        Verdict::Wrong => {
            write_challenge(&auth.realm, &mut changes.lines);
            respond::refused(config, 401, "no name with its password", request)
        }
    };
    ControlFlow::Break(own)
}

/// Writes what a browser asks its user by (RFC 7617 2).
fn write_challenge(realm: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"WWW-Authenticate: Basic realm=\"");
    for character in realm.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            out.push(b'\\');
        }
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(b"\", charset=\"UTF-8\"\r\n");
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use vestibule_config::{Route, RouteId, UpstreamId};
    use vestibule_upstream::ClientError;

    use super::*;
    use crate::shared::Shared;
    use crate::testing::Asked;

    /// A client that stays, and sends no body.
    struct Stays;

    impl Client for Stays {
        fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
        fn poll_body(&mut self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<Result<usize, ClientError>> {
            Poll::Ready(Ok(0))
        }
        fn limit_body(&mut self, _: u64) {}
        fn poll_interim(
            &mut self,
            _: &mut Context<'_>,
            _: &[u8],
            _: &mut usize,
        ) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn auth() -> Auth {
        let bcrypt = |password: &str| bcrypt::hash(password, 4).unwrap();
        Auth {
            realm: "A \"quoted\"\r\nrealm".to_owned(),
            users: vec![
                ("ann".to_owned(), bcrypt("secret")),
                ("bob".to_owned(), ARGON2.to_owned()),
                ("cat".to_owned(), bcrypt("pass:word")),
            ],
        }
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Of `hunter2`, by the reference implementation.
    const ARGON2: &str =
        "$argon2id$v=19$m=4096,t=2,p=1$c2FsdHNhbHRzYWx0$zZbJIFoOwOvlj2GaUuoBA3Vyxy0o7zg8S2arQTnVPR4";

    async fn status(shared: &Shared, auth: &Auth, fields: &str) -> (Option<u16>, String) {
        let asked = Asked::new(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let mut changes = Changes::default();
        let of_route = shared.route(RouteId(0)).unwrap();
        let state = (&*shared.verified, of_route);
        let flow = check((&asked.config, auth), state, &asked.request(), (CLIENT, &mut Stays), &mut changes)
            .await
            .break_value();
        (flow.map(|own| own.status), String::from_utf8(changes.lines).unwrap())
    }

    fn shared(auth: &Auth) -> Shared {
        let route = Route { auth: Some(auth.clone()), ..Route::to(UpstreamId(0)) };
        Shared::new(&Config { route_settings: vec![route], ..Config::default() })
    }

    fn basic(text: &str) -> String {
        format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(text))
    }

    #[tokio::test]
    async fn lets_in_the_right_password_of_a_known_name_and_nothing_else() {
        let auth = auth();
        let shared = shared(&auth);
        for right in ["ann:secret", "bob:hunter2", "cat:pass:word"] {
            for _ in 0..2 {
                assert_eq!(status(&shared, &auth, &basic(right)).await.0, None, "{right}");
            }
        }
        let two = basic("ann:secret").repeat(2);
        for wrong in [
            "",
            "Authorization: Basic\r\n",
            "Authorization: Basic !!!\r\n",
            "Authorization: Bearer YW5uOnNlY3JldA==\r\n",
            &two,
            &basic("ann:secret "),
            &basic("ann:"),
            &basic("ann"),
            &basic(":secret"),
            &basic("Ann:secret"),
            &basic("bob:secret"),
            &basic("nobody:secret"),
            &basic("ann\0:secret"),
            &basic("ann:secret\0"),
        ] {
            let (status, lines) = status(&shared, &auth, wrong).await;
            assert_eq!(status, Some(401), "{wrong}");
            let challenge = "WWW-Authenticate: Basic realm=\"A \\\"quoted\\\"realm\", charset=\"UTF-8\"\r\n";
            assert_eq!(lines, challenge);
        }
        assert_eq!(
            status(&shared, &auth, "authorization: bAsIc YW5uOnNlY3JldA\r\n").await.0,
            None,
            "unpadded"
        );
    }

    #[tokio::test]
    async fn a_password_that_was_changed_is_not_remembered() {
        let mut auth = auth();
        let shared = shared(&auth);
        assert_eq!(status(&shared, &auth, &basic("ann:secret")).await.0, None);
        auth.users[0].1 = bcrypt::hash("other", 4).unwrap();
        assert_eq!(status(&shared, &auth, &basic("ann:secret")).await.0, Some(401));
        assert_eq!(status(&shared, &auth, &basic("ann:other")).await.0, None);
    }

    /// What is checked is counted by the permits that are there: without any, only what is remembered passes.
    #[tokio::test]
    async fn checks_only_so_many_at_once_and_what_is_remembered_not_at_all() {
        let auth = auth();
        let shared = shared(&auth);
        assert_eq!(status(&shared, &auth, &basic("ann:secret")).await.0, None);
        let _all = Arc::clone(&shared.verified.permits).acquire_owned().await.unwrap();
        assert_eq!(status(&shared, &auth, &basic("ann:secret")).await.0, None);
        let limit = Duration::from_millis(50);
        let unknown = basic("ann:wrong");
        let waits = tokio::time::timeout(limit, status(&shared, &auth, &unknown)).await;
        assert!(waits.is_err(), "{waits:?}");
        let waiting = |client: u64| shared.verified.waiting.lock().unwrap().get(&client).copied();
        assert_eq!(waiting(network(CLIENT)), None, "who left waits no more");
        let fill = |client: u64, count: usize| -> Vec<_> {
            (0..count).map(|_| Waiting::begin(&shared.verified.waiting, client).unwrap()).collect()
        };
        let one = fill(network(CLIENT), MOST_OF_ONE);
        assert_eq!(status(&shared, &auth, &unknown).await.0, Some(503), "one client has few places");
        assert!(Waiting::begin(&shared.verified.waiting, 7).is_some(), "others have theirs");
        drop(one);
        let _others: Vec<_> = (0..16).map(|client| fill(client, MOST_OF_ONE)).collect();
        assert_eq!(status(&shared, &auth, &unknown).await.0, Some(503), "all places are taken");
        assert_eq!(waiting(network(CLIENT)), None);
    }

    #[test]
    fn a_hash_of_another_kind_fits_nothing() {
        for hash in ["", "$apr1$a$b", "plain", "{SHA}x", "$2y$", "$argon2id$", "$argon2id$v=19$m=0,t=0,p=0$$"]
        {
            assert!(!fits(hash, b"plain"), "{hash}");
        }
    }
}
