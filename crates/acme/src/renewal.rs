//! One certificate, kept for as long as we run.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::Error as Protocol;
use vestibule_config::Acme;
use vestibule_tls::{Certificates, Challenges};

use crate::attempts::{Advice, DAY, HOUR, Reached, Seconds};
use crate::order::Wanted;
use crate::pair::{ENDING, Pair, others, read};
use crate::recipients::Recipients;
use crate::record::{Journal, Record, now, seconds};
use crate::schedule::{Decision, Pace, Situation, Why, decide};
use crate::store::{self, Store};
use crate::transport::{self, Transport};
use crate::{Error, account, order, problem};

/// One attempt, from the directory to the certificate.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(900);
/// How often to see whether another Vestibule is done with the same certificate.
const ANOTHER: Duration = Duration::from_secs(5);

/// What keeps one certificate: gives what the store has to its listeners, gets what is missing, renews what grows old.
pub struct Renewal {
    settings: Acme,
    /// What its file is called.
    name: String,
    /// Its names, in order.
    names: Vec<String>,
    store: Store,
    record: Record,
    challenges: Arc<Challenges>,
    recipients: Recipients,
    pace: Pace,
    /// Made when it is needed: reading the system's roots takes a while.
    transport: Option<Transport>,
    held: Option<Pair>,
    /// The file that `held` came from.
    stamp: Option<store::Stamp>,
    /// What was said last, so that it is said once.
    said: String,
}

impl Renewal {
    /// Keeps the certificate of `settings`, whose challenges stand in `challenges`. Does nothing yet.
    #[must_use]
    pub fn new(settings: Acme, challenges: &Arc<Challenges>) -> Self {
        let store = Store::new(&settings);
        let mut names = settings.domains.clone();
        names.sort_unstable();
        Renewal {
            name: store::name_of(&settings),
            names,
            record: Record::new(store.clone()),
            store,
            settings,
            challenges: Arc::clone(challenges),
            recipients: Recipients::default(),
            pace: Pace::default(),
            transport: None,
            held: None,
            stamp: None,
            said: String::new(),
        }
    }

    /// The same at another pace.
    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Whether it keeps the certificate of `settings` too: the same names, key, directory and store.
    #[must_use]
    pub fn is_for(&self, settings: &Acme) -> bool {
        self.settings.directory == settings.directory
            && self.settings.store == settings.store
            && self.name == store::name_of(settings)
    }

    /// Gives the certificate to `listener` too, now and whenever there is another.
    pub fn give_to(&self, listener: Arc<Certificates>) {
        self.recipients.add(listener);
    }

    /// Who is given the certificate: they may change while it is kept.
    #[must_use]
    pub fn recipients(&self) -> Recipients {
        self.recipients.clone()
    }

    /// Whether the store of `settings` can be used, and what they name can be read. Makes the store's directories. Blocks.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub fn check(settings: &Acme) -> Result<(), Error> {
        if transport::parse_https(&settings.directory).is_none() {
            return Err(Error::Directory { directory: settings.directory.clone() });
        }
        if let Some(path) = &settings.authorities {
            transport::roots(path)?;
        }
        Store::new(settings).prepare()
    }

    /// Gives its listeners what lies in the store: the certificate, or as long as there is none those that have some of its
    /// names. For names that no certificate has, theirs stands: signed by nobody else. Blocks.
    pub fn start(&mut self) {
        if let Err(error) = Self::check(&self.settings) {
            // What is there is served all the same.
            tracing::error!(domain = self.domain(), "certificates cannot be kept: {error}");
        }
        match read(&self.store, &self.file(), &self.settings) {
            Ok((Some(pair), stamp)) => {
                self.tell(&pair, "serving the certificate of the store");
                self.take(pair, stamp);
            }
            Ok((None, stamp)) => {
                self.stamp = stamp;
                self.stand_in();
            }
            Err(error) => {
                tracing::error!(domain = self.domain(), "{error}");
                self.stand_in();
            }
        }
    }

    /// Keeps the certificate. Never ends; dropped, it takes its challenges down and gives its locks back.
    pub async fn run(mut self) {
        loop {
            let pause = self.turn().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at everything once, and does what is due. Gives how long to wait then.
    async fn turn(&mut self) -> Duration {
        match self.step().await {
            Ok(pause) => pause,
            Err(error) => {
                // Of the store: without it nothing is tried, as it would not be counted.
                self.say_once(format!("nothing can be done about the certificate: {error}"));
                Duration::from_secs(self.pace.look)
            }
        }
    }

    async fn step(&mut self) -> Result<Duration, Error> {
        self.look().await?;
        self.ask_for_advice().await?;
        match self.decide(false).await? {
            Decision::Wait { until, why } => return Ok(self.pause(until, why)),
            Decision::Try => {}
        }
        let lock = format!("{}.lock", self.name);
        let Some(_lock) = self.store.run(move |store| store.lock(&lock)).await? else {
            self.say_once("another Vestibule is getting this certificate".to_owned());
            return Ok(ANOTHER.min(Duration::from_secs(self.pace.look)));
        };
        // It may have been done by who had the lock.
        self.look().await?;
        match self.decide(true).await? {
            Decision::Wait { until, why } => Ok(self.pause(until, why)),
            Decision::Try => {
                self.attempt().await?;
                Ok(Duration::ZERO)
            }
        }
    }

    /// Takes the certificate from the store if it is another than before.
    async fn look(&mut self) -> Result<(), Error> {
        let (file, settings, known) = (self.file(), self.settings.clone(), self.stamp);
        let found = self.store.run(move |store| {
            let is_same = store.stamp(&file) == known;
            if is_same { Ok(None) } else { read(store, &file, &settings).map(Some) }
        });
        match found.await? {
            Some((Some(pair), stamp)) => {
                self.tell(&pair, "serving the certificate that another Vestibule got");
                self.take(pair, stamp);
            }
            Some((None, stamp)) => self.stamp = stamp,
            None => {}
        }
        Ok(())
    }

    /// Asks the schedule. With `begin`, an attempt that may be made is written down before anybody else can ask.
    async fn decide(&self, begin: bool) -> Result<Decision, Error> {
        let held = self.held.as_ref().filter(|pair| pair.counts(now())).cloned();
        let (name, names, pace) = (self.name.clone(), self.names.clone(), self.pace);
        let has_account = self.store.run(|store| Ok(store.stamp(account::FILE).is_some())).await?;
        let jitter = self.jitter();
        self.record
            .update(move |attempts, now| {
                let advice = attempts.history(&name).advice;
                let held = held.map(|pair| {
                    let advice = advice.filter(|advice| advice.certificate == pair.id());
                    pair.held(advice.and_then(|advice| advice.window))
                });
                let situation = Situation {
                    now,
                    held,
                    attempts,
                    certificate: &name,
                    names: &names,
                    has_account,
                    pace,
                    jitter,
                };
                let decision = decide(&situation);
                if begin && decision == Decision::Try {
                    attempts.begin(now, &name, &names);
                }
                decision
            })
            .await
    }

    /// How long to wait, and says what for.
    fn pause(&mut self, until: Seconds, why: Why) -> Duration {
        let at = date(until);
        match why {
            Why::Good => self.said = String::new(),
            Why::Failed => {}
            _ => self.say_once(format!("the next attempt is not before {at}: {why}")),
        }
        let left = until.saturating_sub(now());
        // By the wall clock, so in short steps: it may be set, and does not stand still while the machine sleeps.
        Duration::from_secs(left.clamp(1, self.pace.look.max(1)))
    }

    /// Tries once. What the authority does wrong is told and counted; only a store that fails us is an error.
    async fn attempt(&mut self) -> Result<(), Error> {
        let history = {
            let name = self.name.clone();
            self.record.update(move |attempts, _| attempts.history(&name)).await?
        };
        tracing::info!(
            domain = self.domain(),
            domains = self.names.join(" "),
            directory = self.settings.directory,
            attempt = history.failures,
            "ordering a certificate"
        );
        let (record, name) = (self.record.clone(), self.name.clone());
        let journal = Journal::new(&record, &name);
        // An answer that told when to come again before this attempt is none to it.
        if let Some(transport) = &self.transport {
            transport.told();
        }
        let tried = tokio::time::timeout(LONGEST_ATTEMPT, self.fetch(&journal, &history)).await;
        let tried =
            tried.unwrap_or(Err(Error::TooLong { step: "getting a certificate", after: LONGEST_ATTEMPT }));
        match tried {
            Ok(pair) => {
                journal.reach(Reached::Issued(pair.life())).await?;
                self.tell(&pair, "serving a new certificate");
                Ok(())
            }
            Err(error) => self.failed(error, &journal).await,
        }
    }

    /// Gets a certificate, checks it, keeps it and gives it to the listeners.
    async fn fetch(
        &mut self,
        journal: &Journal<'_>,
        history: &crate::attempts::History,
    ) -> Result<Pair, Error> {
        let transport = self.transport().await?;
        let account = account::open(&self.settings, &self.store, &self.record, &transport).await?;
        let held = self.held.as_ref().map(Pair::id).unwrap_or_default();
        // Only an authority that gave advice about it knows what that is.
        let advised =
            history.advice.as_ref().filter(|advice| advice.certificate == held && advice.window.is_some());
        let wanted = Wanted {
            settings: &self.settings,
            challenges: &self.challenges,
            failed: history.challenges_failed,
            replaces: advised.and_then(|_| self.held.as_ref()?.id.clone()),
        };
        let pem = order::fetch(&account, wanted, journal).await?;
        let path = self.store.path(&self.file());
        let pair = Pair::parse(pem.as_bytes(), &path).map_err(|why| Error::Unfit(why.to_string()))?;
        pair.fits(&self.settings, now())?;
        // Served even if it cannot be kept: it is ours, and there may be no other for a week.
        let file = self.file();
        let kept = self.store.run(move |store| {
            store.write_bytes(&file, pem.as_bytes())?;
            Ok(store.stamp(&file))
        });
        let stamp = match kept.await {
            Ok(stamp) => stamp,
            Err(error) => {
                tracing::error!(
                    domain = self.domain(),
                    "the new certificate is served, but not kept: {error}"
                );
                self.stamp
            }
        };
        self.take(pair.clone(), stamp);
        Ok(pair)
    }

    /// Tells of a failure, and writes down what it means for the next attempt.
    async fn failed(&mut self, error: Error, journal: &Journal<'_>) -> Result<(), Error> {
        if error.is_unknown_account() {
            tracing::warn!(
                directory = self.settings.directory,
                "the authority has lost our account: making another"
            );
            account::forget(&self.store).await?;
        }
        let told = self.transport.as_ref().and_then(Transport::told);
        let told = match told {
            None if error.is_rate_limit() => Some(HOUR),
            told => told,
        };
        let was_challenge = matches!(error, Error::Unproven { .. });
        // What happens before there is an order concerns all certificates there.
        let is_general = journal.reached() == Reached::Begun;
        let name = self.name.clone();
        let update = self.record.update(move |attempts, now| {
            if was_challenge {
                attempts.challenge_failed(&name);
            }
            if let Some(told) = told {
                let certificate = (!is_general).then_some(name.as_str());
                attempts.wait(certificate, now.saturating_add(told));
            }
        });
        update.await?;
        let next = match self.decide(false).await? {
            Decision::Try => 0,
            Decision::Wait { until, .. } => until.saturating_sub(now()),
        };
        tracing::warn!(domain = self.domain(), next_attempt_in_s = next, "no certificate: {error}");
        Ok(())
    }

    /// Asks when the authority wants the certificate renewed (RFC 9773), if it is time to ask.
    async fn ask_for_advice(&mut self) -> Result<(), Error> {
        let Some(pair) = self.held.clone() else { return Ok(()) };
        let Some(id) = pair.id.clone() else { return Ok(()) };
        let (name, known) = (self.name.clone(), pair.id());
        let last = self.record.update(move |attempts, _| attempts.history(&name).advice).await?;
        let last = last.filter(|advice| advice.certificate == known);
        if last.as_ref().is_some_and(|advice| advice.ask_again > now()) {
            return Ok(());
        }
        let asked = async {
            let transport = self.transport().await?;
            let Some(account) = account::existing(&self.store, &transport).await? else { return Ok(None) };
            let step = "asking when to renew";
            match account.renewal_info(&id).await {
                Ok((info, after)) => Ok(Some((info, after))),
                Err(Protocol::Unsupported(_)) => Ok(None),
                Err(why) => Err(problem::of(step, why)),
            }
        };
        let mut advice = Advice {
            certificate: pair.id(),
            // What it said last counts until it says something else (RFC 9773 4.3.3).
            window: last.and_then(|advice| advice.window),
            ask_again: now().saturating_add(transport::ask_again_after_failure()),
        };
        match asked.await {
            Ok(Some((info, after))) => {
                let seconds = |at: i64| Seconds::try_from(at).unwrap_or(0);
                let window = &info.suggested_window;
                let window = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
                advice.ask_again = now().saturating_add(transport::ask_again_after(after));
                if advice.window != Some(window) {
                    let [opens, closes] = [window.0, window.1].map(date);
                    let why = info.explanation_url.as_deref().map(problem::printable).unwrap_or_default();
                    tracing::info!(
                        domain = self.domain(),
                        opens,
                        closes,
                        why,
                        "the authority says when to renew the certificate"
                    );
                }
                advice.window = Some(window);
            }
            Ok(None) => advice.ask_again = now().saturating_add(DAY),
            Err(error) => tracing::info!(domain = self.domain(), "no advice on when to renew: {error}"),
        }
        let name = self.name.clone();
        self.record.update(move |attempts, _| attempts.advise(&name, advice)).await
    }

    async fn transport(&mut self) -> Result<Transport, Error> {
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        let settings = self.settings.clone();
        let transport = self.store.run(move |_| Transport::new(&settings)).await?;
        self.transport = Some(transport.clone());
        Ok(transport)
    }

    fn take(&mut self, pair: Pair, stamp: Option<store::Stamp>) {
        self.recipients.give(vec![Arc::clone(&pair.certificate)]);
        self.held = Some(pair);
        self.stamp = stamp;
    }

    /// Until there is a certificate: others of the store that have some of its names, and for the rest one that nobody vouches for. So a
    /// site that gets a further name goes on with what it has.
    fn stand_in(&self) {
        let mut missing = self.settings.domains.clone();
        let mut serve = Vec::new();
        for pair in others(&self.store) {
            let names = pair.certificate.names();
            let has = |name: &String| names.iter().any(|one| **one == **name);
            if pair.counts(now()) && missing.iter().any(has) {
                missing.retain(|name| !has(name));
                serve.push(pair.certificate);
            }
        }
        if !missing.is_empty() {
            match vestibule_tls::self_signed(&missing) {
                Ok(made) => serve.push(Arc::new(made.certificate)),
                Err(error) => tracing::error!(domain = self.domain(), "{error}"),
            }
            let names = missing.join(" ");
            tracing::warn!(names, "serving a certificate that nobody vouches for, until the first comes");
        }
        if !serve.is_empty() {
            self.recipients.give(serve);
        }
    }

    fn tell(&self, pair: &Pair, what: &'static str) {
        let until = date(seconds(pair.certificate.not_after()));
        tracing::info!(domain = self.domain(), domains = self.names.join(" "), until, "{what}");
    }

    fn say_once(&mut self, words: String) {
        if words != self.said {
            tracing::warn!(domain = self.domain(), "{words}");
            self.said = words;
        }
    }

    fn domain(&self) -> &str {
        self.settings.domains.first().map_or("", String::as_str)
    }

    fn file(&self) -> String {
        format!("{}{ENDING}", self.name)
    }

    /// Always the same for one certificate on one machine, and another for others.
    fn jitter(&self) -> u16 {
        let id = self.held.as_ref().map(Pair::id).unwrap_or_default();
        let hash =
            digest(&SHA256, format!("{}\n{}\n{id}", self.name, self.settings.store.display()).as_bytes());
        match hash.as_ref() {
            [high, low, ..] => u16::from_be_bytes([*high, *low]) % 1001,
            _ => 0,
        }
    }
}

/// No date beyond the year 9999 can be written.
const FAR: Seconds = 253_402_300_799;

fn date(at: Seconds) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(at.min(FAR)))
}
