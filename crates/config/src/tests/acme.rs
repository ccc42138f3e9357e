use super::{assert_wrong, right, wrong_once};
use crate::model::*;
use crate::tls::*;

/// A listener at this address with these keys in its `acme`.
fn listener(address: &str, keys: &str) -> String {
    format!("[[listen]]\naddress = \"{address}\"\ntls.acme = {{ {keys} }}\n")
}

fn acme(config: &Config, index: usize) -> &Acme {
    config.listeners[index].tls.as_ref().and_then(|tls| tls.acme.as_ref()).expect("acme")
}

/// The error in these keys of `acme`, beside domains; its column is counted from the first of them.
fn assert_wrong_with(keys: &str, column: usize, message: &str, instead: &str) {
    let text = format!("[[listen]]\n[listen.tls.acme]\ndomains = [\"a.example\"]\n{keys}");
    assert_wrong(&text, (4, column), message, instead);
}

#[test]
fn domains_are_all_that_it_needs() {
    let config = right(&listener("0.0.0.0:443", "domains = [\"Example.COM.\", \"www.example.com\"]"));
    let expected = Acme {
        domains: vec!["example.com".to_owned(), "www.example.com".to_owned()],
        contact: Vec::new(),
        directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
        store: "/var/lib/vestibule/acme".into(),
        challenges: vec![Challenge::TlsAlpn01],
        authorities: None,
        key: KeyKind::Ecdsa,
        eab: None,
    };
    assert_eq!(acme(&config, 0), &expected);
    assert!(config.listeners[0].http2);
}

#[test]
fn reads_every_key() {
    let config = right(
        "[[listen]]\n[[listen]]\naddress = \"0.0.0.0:443\"\n[listen.tls]\ncertificate = \"/a\"\nkey = \"/b\"\n[listen.tls.acme]\n\
         domains = [\"pebble\"]\ncontact = [\"mailto:a@example.com\", \"b@example.com\"]\ndirectory = \"https://[::1]:14000/dir\"\n\
         store = \"/srv/acme\"\nchallenges = [\"http-01\", \"tls-alpn-01\"]\nauthorities = \"/ca.pem\"\nkey = \"rsa\"\n\
         eab = { id = \"kid\", key = \"YW_-YQ==\" }\n",
    );
    let expected = Acme {
        domains: vec!["pebble".to_owned()],
        contact: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
        directory: "https://[::1]:14000/dir".to_owned(),
        store: "/srv/acme".into(),
        challenges: vec![Challenge::Http01, Challenge::TlsAlpn01],
        authorities: Some("/ca.pem".into()),
        key: KeyKind::Rsa,
        eab: Some(Eab { id: "kid".to_owned(), key: "YW_-YQ".to_owned() }),
    };
    assert_eq!(acme(&config, 1), &expected);
    assert_eq!(config.listeners[1].tls.as_ref().expect("tls").certificates.len(), 1);
    assert!(!format!("{config:?}").contains("YW_-YQ"), "a secret in a log");
}

#[test]
fn chooses_the_challenges_that_can_be_answered() {
    const ALPN: Challenge = Challenge::TlsAlpn01;
    const HTTP: Challenge = Challenge::Http01;
    let plain = "[[listen]]\naddress = \"0.0.0.0:80\"\nredirect = \"https\"\n";
    let domains = "domains = [\"a.example\"]";
    for (text, expected) in [
        (listener("0.0.0.0:443", domains), vec![ALPN]),
        (listener("0.0.0.0:8443", domains), vec![ALPN]),
        (listener("0.0.0.0:443", domains) + plain, vec![ALPN, HTTP]),
        (listener("0.0.0.0:8443", domains) + plain, vec![HTTP, ALPN]),
        (listener("unix:/a", domains) + "[[listen]]\naddress = \"unix:/b\"\n", vec![HTTP, ALPN]),
        // One certificate, one way: the listener at its usual port decides for both.
        (listener("0.0.0.0:8443", domains) + &listener("0.0.0.0:443", domains) + plain, vec![ALPN, HTTP]),
        (listener("0.0.0.0:8443", &format!("{domains}, challenges = [\"tls-alpn-01\"]")) + plain, vec![ALPN]),
    ] {
        assert_eq!(acme(&right(&text), 0).challenges, expected, "{text}");
    }
}

#[test]
fn refuses_a_challenge_that_nobody_would_answer() {
    let tls = "[[listen]]\naddress = \"0.0.0.0:8443\"\ntls = { certificate = \"a\", key = \"b\" }\n";
    for challenges in ["[\"http-01\"]", "[\"http-01\", \"tls-alpn-01\"]"] {
        let text =
            listener("0.0.0.0:443", &format!("domains = [\"a.example\"], challenges = {challenges}")) + tls;
        assert_wrong(&text, (3, 53), "nobody would answer", "redirect = \"https\"");
        right(&(text + "[[listen]]\naddress = \"0.0.0.0:80\""));
    }
}

#[test]
fn refuses_two_ways_to_one_certificate() {
    let one = listener("0.0.0.0:443", "domains = [\"a.example\", \"b.example\"]");
    for (keys, column) in [
        ("domains = [\"c.example\", \"b.example\"]", 38),
        ("domains = [\"b.example\", \"a.example\"]", 25),
        ("domains = [\"a.example\", \"b.example\"], contact = \"a@b.example\"", 25),
        ("domains = [\"a.example\", \"b.example\"], key = \"rsa\"", 25),
        ("domains = [\"a.example\", \"b.example\"], store = \"/srv/acme\"", 25),
    ] {
        let text = format!("{one}{}", listener("[::]:443", keys));
        assert_wrong(&text, (6, column), "fetched already, as line 3 says", "the same `acme` in both");
    }
    right(&format!("{one}{}", listener("[::]:443", "domains = [\"a.example\", \"b.example\"]")));
    right(&format!("{one}{}", listener("[::]:443", "domains = [\"c.example\"], key = \"rsa\"")));
    // What is wrong by itself differs too, which is no news.
    let text = format!("{one}{}", listener("[::]:443", "domains = [\"a.example\", \"b.example:1\"]"));
    assert!(wrong_once(&text).message.contains("a port"));
    let text = format!("{one}{}", listener("[::]:443", "domains = [\"a.example\", \"b.example\"], keys = 1"));
    assert!(wrong_once(&text).message.contains("unknown key"));
}

#[test]
fn refuses_names_that_no_authority_signs() {
    let long = format!("{}.example", "a".repeat(64));
    for (name, message, instead) in [
        ("", "no name that an authority signs", "www.example.com"),
        (".", "no name that an authority signs", "www.example.com"),
        ("a..example", "no name that an authority signs", "www.example.com"),
        ("-a.example", "no name that an authority signs", "www.example.com"),
        ("a_b.example", "no name that an authority signs", "www.example.com"),
        (&long, "no name that an authority signs", "www.example.com"),
        ("*.example.com", "dns-01", "\"www.example.com\""),
        ("www.*.com", "dns-01", "another program"),
        ("192.0.2.1", "is an address", "`certificate`"),
        ("2001:db8::1", "is an address", "`certificate`"),
        ("[::1]", "is an address", "`certificate`"),
        ("a.example:443", "has a port", "write \"a.example\""),
        ("https://a.example/", "a URL", "\"a.example\""),
        ("a.example/b", "has a path", "write \"a.example\""),
        ("ops@a.example", "a mail address", "`contact`"),
        ("bücher.example", "not ASCII", "Punycode"),
        ("localhost", "no public authority signs \"localhost\"", "authority of your own"),
    ] {
        assert_wrong(&listener("0.0.0.0:443", &format!("domains = [\"{name}\"]")), (3, 25), message, instead);
    }
    let many = |number: usize| {
        let names: Vec<_> = (0..number).map(|number| format!("\"a{number}.example\"")).collect();
        listener("0.0.0.0:443", &format!("domains = [{}]", names.join(", ")))
    };
    assert_wrong(&many(101), (3, 24), "101 names are too many", "at most 100");
    assert_eq!(acme(&right(&many(100)), 0).domains.len(), 100);
}

#[test]
fn refuses_wrong_lists_of_domains() {
    for (keys, column, message, instead) in [
        ("domains = []", 24, "no name in the list", "\"www.example.com\""),
        ("domains = \"a.example\"", 24, "is a list", "domains = ["),
        ("domains = [1]", 25, "expected text", "www.example.com"),
        (
            "domains = [\"a.example\", \"A.Example.\"]",
            38,
            "\"a.example\" stands in the list already",
            "leave it out",
        ),
        ("contact = \"a@b.c\"", 12, "which names", "domains = ["),
        ("domain = \"a.example\"", 14, "unknown key `domain`", "write `domains`"),
    ] {
        assert_wrong(&listener("0.0.0.0:443", keys), (3, column), message, instead);
    }
    for (value, instead) in [
        ("true", "[\"www.example.com\"]"),
        ("\"A.example\"", "[\"a.example\"]"),
        ("[\"a.example\"]", "domains = ["),
    ] {
        let text = format!("[[listen]]\ntls = {{ acme = {value} }}");
        assert_wrong(&text, (2, 16), "`acme` is a table", instead);
    }
}

#[test]
fn refuses_wrong_contacts_and_directories() {
    for contact in
        ["ops", "@b", "a@", "a@b@c", "a b@c.d", "a@b.c,d@e.f", "a@b.c?subject=x", "mailto:", "tel:1", "ä@b.c"]
    {
        assert_wrong_with(&format!("contact = \"{contact}\""), 11, "not a mail address", "ops@example.com");
    }
    assert_wrong_with("contact = [\"a@b.c\", \"d\"]", 21, "not a mail address", "ops@example.com");
    let many = ["\"a@b.c\""; 11].join(", ");
    assert_wrong_with(&format!("contact = [{many}]"), 11, "11 addresses", "at most 10");
    for (directory, message, instead) in [
        ("http://ca.example/dir", "not an https URL", "\"https://ca.example/dir\""),
        ("ca.example/dir", "not an https URL", "acme-v02.api.letsencrypt.org"),
        ("staging", "not a URL", "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("LetsEncrypt", "not a URL", "https://acme-v02.api.letsencrypt.org/directory"),
        ("https://", "not the URL of a directory", "acme-v02"),
        ("https://:1/", "not the URL of a directory", "acme-v02"),
        ("https://a b/", "not the URL of a directory", "acme-v02"),
        ("https://me@ca.example/", "not the URL of a directory", "acme-v02"),
        ("https://ca.example/\\r\\n", "not the URL of a directory", "acme-v02"),
    ] {
        assert_wrong_with(&format!("directory = \"{directory}\""), 13, message, instead);
    }
}

#[test]
fn refuses_wrong_challenges_keys_and_accounts() {
    for (keys, column, message, instead) in [
        ("challenges = []", 14, "without a challenge", "leave `challenges` out"),
        ("challenges = \"http-01\"", 14, "is a list", "[\"http-01\"]"),
        ("challenges = [\"dns-01\"]", 15, "not offered", "another program"),
        ("challenges = [\"http-1\"]", 15, "not known", "write \"http-01\""),
        ("challenges = [\"tls-alpn-01\", \"tls-alpn-01\"]", 30, "already", "leave it out"),
        ("key = \"ec\"", 7, "not known", "\"ecdsa\""),
        ("key = \"/a.key\"", 7, "not known", "\"ecdsa\", \"rsa\""),
        ("store = \"\"", 9, "not the path", "/var/lib/vestibule/acme"),
        ("authorities = 1", 15, "expected text", "/etc/vestibule/authority.pem"),
        ("eab = { id = \"a\" }", 7, "`eab` has no `key`", "base64url"),
        ("eab = { key = \"YWJj\" }", 7, "`eab` has no `id`", "the name of the account"),
        ("eab = { kid = \"a\", key = \"YWJj\" }", 9, "unknown key `kid`", "write `id`"),
        ("eab = { id = \"\", key = \"YWJj\" }", 14, "the name of no account", "as the authority shows it"),
        ("eab = { id = \"a\", key = \"\" }", 25, "not base64url", "plain base64"),
        ("eab = { id = \"a\", key = \"YWJj/+\" }", 25, "not base64url", "stands for its `+`"),
        ("eab = { id = \"a\", key = \"YWJjY\" }", 25, "not base64url", "as the authority shows it"),
        ("eab = { id = \"a\", key = 1 }", 25, "the key is text", "between quotes"),
        ("eab = \"a\"", 7, "`eab` is a table", "eab = {"),
        ("email = \"a@b.c\"", 1, "unknown key `email`", "write `contact`"),
        ("directry = \"a\"", 1, "unknown key `directry`", "write `directory`"),
    ] {
        assert_wrong_with(keys, column, message, instead);
    }
}
