//! An authority that misbehaves: answers over TLS what a test wants it to, and counts what it is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is answered at a path: a status line's rest, further fields, the body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) fields: String,
    pub(crate) body: String,
}

/// A fake authority. Its certificate is the one that the test's pebble has.
pub(crate) struct Fake {
    pub(crate) port: u16,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Fake {
    /// One in whose `dir` [`crate::pebble::Pebble::prepare`] has made certificates.
    pub(crate) async fn start(dir: &Path) -> Fake {
        let chain =
            CertificateDer::pem_file_iter(dir.join("pebble.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(dir.join("pebble.key")).unwrap();
        let settings = ServerConfig::builder_with_provider(vestibule_tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Fake {
            port: listener.local_addr().unwrap().port(),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let (answers, asked) = (Arc::clone(&fake.answers), Arc::clone(&fake.asked));
        let nonce = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answers, asked, nonce) =
                    (acceptor.clone(), Arc::clone(&answers), Arc::clone(&asked), Arc::clone(&nonce));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    while let Some((method, path)) = request(&mut stream).await {
                        *asked.lock().unwrap().entry(path.clone()).or_default() += 1;
                        let answer = answers.lock().unwrap().get(&path).cloned();
                        let answer =
                            answer.unwrap_or_else(|| Answer::problem("404 Not Found", "malformed", ""));
                        let nonce = nonce.fetch_add(1, Ordering::Relaxed);
                        let head = format!(
                            "HTTP/1.1 {}\r\nReplay-Nonce: nonce{nonce}\r\nContent-Length: {}\r\n{}\r\n",
                            answer.status,
                            answer.body.len(),
                            answer.fields
                        );
                        let body = if method == "HEAD" { "" } else { &answer.body };
                        let sent =
                            stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await;
                        if sent.and(stream.flush().await).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        fake
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// A directory, nonces and accounts as they should be; `newOrder` is left to the test.
    pub(crate) fn behave(&self) {
        let directory = serde_json::json!({
            "newNonce": self.url("/nonce"), "newAccount": self.url("/account"), "newOrder": self.url("/order"),
        });
        self.answer("/dir", Answer::json("200 OK", &directory.to_string()));
        self.answer("/nonce", Answer::json("200 OK", ""));
        let mut account = Answer::json("201 Created", r#"{"status":"valid"}"#);
        account.fields.push_str(&format!("Location: {}\r\n", self.url("/account/1")));
        self.answer("/account", account);
    }

    /// How often it was asked for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

impl Answer {
    pub(crate) fn json(status: &'static str, body: &str) -> Answer {
        Answer { status, fields: "Content-Type: application/json\r\n".to_owned(), body: body.to_owned() }
    }

    pub(crate) fn problem(status: &'static str, kind: &str, fields: &str) -> Answer {
        let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"said by the fake"}}"#);
        let fields = format!("Content-Type: application/problem+json\r\n{fields}");
        Answer { status, fields, body }
    }
}

/// Reads one request to its end. Gives its method and path.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let mut words = head.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}
