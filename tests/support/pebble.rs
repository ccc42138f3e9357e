//! Let's Encrypt's test server as an authority of the test's own, and a name server that leads every name to one address.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// How long either of the programs may take to listen, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a test wants of its authority.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    /// Where it looks for http-01.
    pub(crate) http_port: u16,
    /// Where it looks for tls-alpn-01.
    pub(crate) tls_port: u16,
    /// How long its certificates count, in seconds.
    pub(crate) validity: u64,
    /// Whether it asks for an external account: `key-1`, whose key is [`EXTERNAL_KEY`].
    pub(crate) external: bool,
    /// Of a hundred nonces, how many it refuses to know.
    pub(crate) refused_nonces: u8,
}

/// The key of the external account, base64url.
#[allow(dead_code, reason = "not in each binary that has this file")]
pub(crate) const EXTERNAL_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// An authority: its address is known before it is there.
pub(crate) struct Pebble {
    dir: PathBuf,
    wishes: Wishes,
    port: u16,
    server: Option<Child>,
    names: Option<Names>,
}

struct Names {
    server: Child,
    dns: u16,
    management: u16,
}

impl Pebble {
    /// Makes the authority's own certificate and configuration in `dir`; starts nothing.
    pub(crate) fn prepare(dir: &Path, wishes: Wishes) -> Pebble {
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = authority.self_signed(&key).expect("a root");
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let own = CertificateParams::new(names).expect("names");
        let own = own.signed_by(&key, &issuer).expect("a certificate");
        fs::write(dir.join("pebble-root.pem"), root.pem()).expect("written");
        fs::write(dir.join("pebble.pem"), own.pem()).expect("written");
        fs::write(dir.join("pebble.key"), key.serialize_pem()).expect("written");
        Pebble { dir: dir.to_owned(), wishes, port: free_port(), server: None, names: None }
    }

    /// The same, started.
    pub(crate) fn start(dir: &Path, wishes: Wishes) -> Pebble {
        let mut pebble = Pebble::prepare(dir, wishes);
        pebble.run();
        pebble
    }

    /// Starts it, or starts it anew: it has then forgotten everything.
    pub(crate) fn run(&mut self) {
        self.stop();
        let names = self.names.get_or_insert_with(Names::start);
        let Wishes { http_port, tls_port, validity, external, refused_nonces } = self.wishes;
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{}", "managementListenAddress": "",
                "certificate": "pebble.pem", "privateKey": "pebble.key", "httpPort": {http_port}, "tlsPort": {tls_port},
                "ocspResponderURL": "", "externalAccountBindingRequired": {external},
                "externalAccountMACKeys": {{"key-1": "{EXTERNAL_KEY}"}}, "certificateValidityPeriod": {validity}}}}}"#,
            self.port
        );
        fs::write(self.dir.join("pebble.json"), config).expect("written");
        let mut command = Command::new("pebble");
        command.args(["-config", "pebble.json", "-dnsserver", &format!("127.0.0.1:{}", names.dns)]);
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", refused_nonces.to_string());
        // Each order has its names validated.
        command.env("PEBBLE_AUTHZREUSE", "0");
        let said = fs::File::create(self.dir.join("pebble.log")).expect("a log");
        command.stderr(said);
        let mut server = command.spawn().expect("pebble starts: install the package of that name");
        if !listens(&mut server, self.port) {
            let said = fs::read_to_string(self.dir.join("pebble.log")).unwrap_or_default();
            panic!("pebble does not listen: {said}");
        }
        self.server = Some(server);
    }

    /// Ends it; its address stays the same.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            end(&mut server);
        }
    }

    /// The address of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// The file with the root of its own certificate.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("pebble-root.pem")
    }

    /// Leads every name to `address`, as the authority sees it.
    pub(crate) fn lead_to(&self, address: Ipv4Addr) {
        self.names.as_ref().expect("it runs").tell("set-default-ipv4", &format!(r#"{{"ip":"{address}"}}"#));
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if let Some(names) = &mut self.names {
            end(&mut names.server);
        }
    }
}

impl Names {
    /// Ports may be taken by another test between finding and using them: then with others.
    fn start() -> Names {
        for _ in 0..5 {
            let (dns, management) = (free_port(), free_port());
            let mut command = Command::new("pebble-challtestsrv");
            command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
            command.args(["-dns01", &format!("127.0.0.1:{dns}")]);
            command.args(["-management", &format!("127.0.0.1:{management}")]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = command.spawn().expect("pebble-challtestsrv starts: install the package pebble");
            if listens(&mut server, management) && listens(&mut server, dns) {
                return Names { server, dns, management };
            }
            end(&mut server);
        }
        panic!("pebble-challtestsrv does not listen");
    }

    fn tell(&self, what: &str, body: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.management)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!("POST /{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains(" 200 "), "{what}: {answer}");
    }
}

/// A port that nobody has now, neither by TCP nor by UDP.
pub(crate) fn free_port() -> u16 {
    loop {
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn listens(server: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if server.try_wait().expect("its state").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn end(server: &mut Child) {
    let _ = server.kill();
    let _ = server.wait();
}
