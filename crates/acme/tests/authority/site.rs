//! A site: a plain listener, one with TLS, and the certificate that they are about.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use vestibule_acme::Renewal;
use vestibule_acme::schedule::Pace;
use vestibule_config::{Acme, Challenge, Eab, KeyKind, Tls, TlsVersion};
use vestibule_tls::{Acceptor, Certificate, Challenges, Tickets};

use crate::pebble::{Pebble, Wishes};

/// No wait for anything is longer; a machine may be slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Pauses of seconds, where the product's are of minutes.
pub(crate) const BRISK: Pace = Pace { first: 1, most: 4, look: 1 };

pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) settings: Acme,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) acceptor: Arc<Acceptor>,
    pub(crate) wishes: Wishes,
}

impl Site {
    /// A site with these names, both of whose listeners run on this event loop. `challenges` are those that it may use.
    pub(crate) async fn new(domains: &[&str], challenges: &[Challenge]) -> Site {
        // What it says is shown where a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::INFO).try_init();
        let dir = tempfile::tempdir().unwrap();
        let settings = Acme {
            domains: domains.iter().map(|&name| name.to_owned()).collect(),
            contact: vec!["ops@example.com".to_owned()],
            directory: "https://127.0.0.1:1/dir".to_owned(),
            store: dir.path().join("store"),
            challenges: challenges.to_vec(),
            authorities: Some(dir.path().join("pebble-root.pem")),
            key: KeyKind::Ecdsa,
            eab: None,
        };
        let standing = Arc::new(Challenges::default());
        let acceptor = acceptor(&settings, &standing);
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wishes = Wishes {
            http_port: plain.local_addr().unwrap().port(),
            tls_port: tls.local_addr().unwrap().port(),
            validity: 90 * 24 * 3600,
            external: false,
            refused_nonces: 5,
        };
        tokio::spawn(answer_plain(plain, Arc::clone(&standing)));
        tokio::spawn(answer_tls(tls, Arc::clone(&acceptor)));
        Site { dir, settings, challenges: standing, acceptor, wishes }
    }

    /// Its authority, at which its settings point then.
    pub(crate) fn authority(&mut self) -> Pebble {
        let pebble = Pebble::start(self.dir.path(), self.wishes.clone());
        self.settings.directory = pebble.directory();
        self.settings.authorities = Some(pebble.root());
        pebble
    }

    /// What a Vestibule that starts now has for it, and serves.
    pub(crate) fn renewal(&self) -> Renewal {
        let mut renewal = Renewal::new(self.settings.clone(), &self.challenges).at(BRISK);
        renewal.give_to(Arc::clone(self.acceptor.certificates()));
        renewal.start();
        renewal
    }

    pub(crate) fn served(&self) -> Arc<Certificate> {
        self.acceptor.certificates().all().into_iter().next().expect("something is served at any time")
    }

    /// Waits until the renewal serves a certificate of an authority that is another than `other`.
    pub(crate) async fn issued(&self, renewal: Renewal, other: Option<&Certificate>) -> Arc<Certificate> {
        let look = || {
            let served = self.served();
            (!is_self_signed(&served) && other.is_none_or(|other| other.chain() != served.chain()))
                .then_some(served)
        };
        let served = during(renewal, until("a certificate of the authority", look));
        served.await
    }

    /// The one directory of an authority in the store.
    pub(crate) fn place(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(&self.settings.store).expect("the store is there");
        entries.next().expect("a directory of an authority").unwrap().path()
    }

    /// The names of the files there that begin and end so.
    pub(crate) fn files(&self, begin: &str, end: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place()).unwrap().map(|entry| entry.unwrap().path());
        let fits = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(begin) && name.contains(end)
        };
        entries.filter(|path| fits(path)).collect()
    }

    /// The record of attempts.
    pub(crate) fn record(&self) -> serde_json::Value {
        let text = std::fs::read(self.place().join("attempts.json")).unwrap_or_else(|_| b"{}".to_vec());
        serde_json::from_slice(&text).unwrap()
    }

    /// How many attempts since the last success the record has.
    pub(crate) fn failures(&self) -> u64 {
        if !self.settings.store.exists() {
            return 0;
        }
        let record = self.record();
        let histories = record["certificates"].as_object().into_iter().flatten();
        histories.map(|(_, history)| history["failures"].as_u64().unwrap()).sum()
    }
}

pub(crate) fn is_self_signed(certificate: &Certificate) -> bool {
    certificate.chain().len() == 1
}

pub(crate) fn acceptor(settings: &Acme, challenges: &Arc<Challenges>) -> Arc<Acceptor> {
    let tls = Tls {
        certificates: Vec::new(),
        acme: Some(settings.clone()),
        client: None,
        minimum: TlsVersion::V12,
        hsts: None,
    };
    Acceptor::new(&tls, false, &Tickets::new().unwrap(), challenges).unwrap()
}

pub(crate) fn external(id: &str, key: &str) -> Option<Eab> {
    Some(Eab { id: id.to_owned(), key: key.to_owned() })
}

/// Has the renewal run until `what` is there, and ends it then as a drain does.
pub(crate) async fn during<T>(renewal: Renewal, what: impl Future<Output = T>) -> T {
    tokio::select! {
        () = renewal.run() => panic!("it never ends by itself"),
        seen = what => seen,
    }
}

/// Waits for `look`, by name, with a deadline.
pub(crate) async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn answer_plain(listener: TcpListener, challenges: Arc<Challenges>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer_request(stream, Arc::clone(&challenges)));
    }
}

async fn answer_request(mut stream: TcpStream, challenges: Arc<Challenges>) {
    let mut head = vec![0; 4096];
    let length = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let token = head.strip_prefix("GET /.well-known/acme-challenge/").and_then(|rest| rest.split(' ').next());
    let answer = match token.and_then(|token| challenges.key_authorization(token)) {
        Some(proof) => {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{proof}", proof.len())
        }
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn answer_tls(listener: TcpListener, acceptor: Arc<Acceptor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = Arc::clone(&acceptor);
        tokio::spawn(async move {
            let Ok(start) = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await else {
                return;
            };
            let settings = acceptor.settings_for(&start.client_hello());
            if let Ok(mut stream) = start.into_stream(settings).await {
                let _ = stream.shutdown().await;
            }
        });
    }
}
