//! `vestibule demo --tls`: HTTPS with a certificate of this machine, and how to have it believed.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use vestibule_config::{CertificateFiles, ListenAddress, Listener, Tls, TlsVersion};
use vestibule_tls::LocalAuthority;

use super::Refused;

/// HTTPS at an address, with a certificate for `localhost` that the authority of this machine has signed.
#[derive(Debug)]
pub(crate) struct Https {
    address: SocketAddr,
    /// The authority's certificate: what is to be trusted.
    authority: PathBuf,
    files: CertificateFiles,
}

impl Https {
    /// With the authority kept below `XDG_DATA_HOME`, else below `~/.local/share`; made when there is none. The port of
    /// `address` is one that can be told, and another than that of `plain`, which is without TLS. Blocks.
    ///
    /// # Errors
    /// The certificate is not for `address`, or the port is not free; there is no home; the directory cannot be used.
    pub(crate) fn at(address: SocketAddr, plain: SocketAddr) -> Result<Self, Refused> {
        // Both would be bound (SO_REUSEPORT), and each connection come to one of them by chance.
        if address.port() == plain.port() {
            return Err(Refused(format!(
                "--listen and --tls are both at port {}: choose another for one of them",
                plain.port()
            )));
        }
        if !is_vouched_for(address.ip()) {
            return Err(Refused(format!(
                "--tls={address}: its certificate is for localhost, 127.0.0.1 and ::1 alone\n  write --tls=127.0.0.1:{port}; \
                 for other names use `vestibule serve` with a certificate of yours",
                port = address.port(),
            )));
        }
        let directory = directory(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))?;
        let refused = |error: vestibule_tls::Error| {
            Refused(format!("{error}\n  another place is chosen by the variable XDG_DATA_HOME"))
        };
        let authority = LocalAuthority::open(&directory).map_err(refused)?;
        let files = authority.localhost().map_err(refused)?;
        Ok(Https { address, authority: authority.certificate().to_owned(), files })
    }

    /// As a configuration would have it.
    pub(crate) fn listener(&self) -> Listener {
        let tls = Tls {
            certificates: vec![self.files.clone()],
            acme: None,
            client: None,
            minimum: TlsVersion::V12,
            // A browser would keep it for all ports of localhost, long after the demo.
            hsts: None,
        };
        Listener {
            address: ListenAddress::Tcp(self.address),
            tls: Some(tls),
            http2: true,
            ..Listener::default()
        }
    }

    /// What to type into a browser on this machine.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// How to have the certificate believed, and how to use it elsewhere: lines to read, and lines to copy, which are
    /// indented.
    pub(crate) fn words(&self) -> String {
        let authority = &self.authority;
        let (ca, url) = (quoted(authority), self.url());
        let (certificate, key) = (in_toml(&self.files.certificate), in_toml(&self.files.key));
        let shown = authority.display();
        format!(
            "HTTPS and HTTP/2; the certificate was signed by an authority of this machine, {shown}
        curl --cacert {ca} {url}/up
demo: browsers warn of it until they trust that authority, which can vouch for localhost, 127.0.0.1 and ::1 alone. Debian's curl,
      Ruby and others:
        sudo cp {ca} /usr/local/share/ca-certificates/vestibule-local.crt && sudo update-ca-certificates
      Chromium and Chrome, which keep a list of their own (certutil is in libnss3-tools):
        mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n vestibule-local -i {ca}
      Firefox: Settings, Privacy & Security, View Certificates, Authorities, Import: that file, for websites
demo: the same certificate in a vestibule.toml of yours (it counts for 90 days; this command makes it anew in time):
        [[listen]]
        address = \"127.0.0.1:{port}\"
        tls = {{ certificate = {certificate}, key = {key} }}",
            port = self.address.port(),
        )
    }
}

/// Whether a client on this machine that goes to a listener at `ip` is content with the certificate.
fn is_vouched_for(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// Where the authority is kept, by the XDG base directory specification: a path that is not absolute does not count.
fn directory(data: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, Refused> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute(data).or_else(|| absolute(home).map(|home| home.join(".local/share")));
    let words =
        "nowhere to keep the certificate\n  set HOME, or XDG_DATA_HOME, to the absolute path of a directory";
    data.map(|data| data.join("vestibule")).ok_or_else(|| Refused(words.to_owned()))
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A path as a string of TOML, whose escapes are those of JSON and more.
fn in_toml(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_authority_where_the_users_data_is() {
        let at = |data: &str, home: &str| directory(Some(data.into()), Some(home.into())).ok();
        assert_eq!(at("/data", "/home/kim"), Some("/data/vestibule".into()));
        for ignored in ["", "data"] {
            assert_eq!(at(ignored, "/home/kim"), Some("/home/kim/.local/share/vestibule".into()));
        }
        let Refused(why) = directory(None, None).expect_err("nowhere");
        assert!(why.contains("XDG_DATA_HOME"), "{why}");
        assert!(directory(None, Some("".into())).is_err());
    }

    #[test]
    fn listens_only_where_its_certificate_is_good() {
        for good in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
            assert!(is_vouched_for(good.parse().expect("an address")), "{good}");
        }
        for bad in ["127.0.0.2", "192.0.2.1", "2001:db8::1"] {
            assert!(!is_vouched_for(bad.parse().expect("an address")), "{bad}");
        }
    }

    #[test]
    fn writes_paths_that_can_be_copied() {
        assert_eq!(quoted(Path::new("/home/kim/ca.pem")), "/home/kim/ca.pem");
        assert_eq!(quoted(Path::new("/home/Kim's Mac/ca.pem")), r"'/home/Kim'\''s Mac/ca.pem'");
        assert_eq!(in_toml(Path::new(r#"/home/a"b\c"#)), r#""/home/a\"b\\c""#);
    }
}
