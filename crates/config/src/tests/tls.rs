use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{assert_wrong, right, wrong, wrong_once};
use crate::model::Config;
use crate::suggestion::OF_TLS;
use crate::tls::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One listener with these keys in its `tls`.
fn with(keys: &str) -> Tls {
    let config = right(&format!("[[listen]]\ntls = {{ {keys} }}"));
    config.listeners[0].tls.clone().expect("tls")
}

/// The error in these keys of `tls`, which have a certificate beside them; its column is counted from the first of them.
fn assert_wrong_with(keys: &str, column: usize, message: &str, instead: &str) {
    let text = format!("[[listen]]\n[listen.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n{keys}");
    assert_wrong(&text, (5, column), message, instead);
}

fn pair(certificate: &str, key: &str) -> CertificateFiles {
    CertificateFiles { certificate: certificate.into(), key: key.into() }
}

#[test]
fn a_pair_is_all_that_tls_needs() {
    let config = right("[[listen]]\ntls = { certificate = \"/a.pem\", key = \"/a.key\" }");
    let expected = Tls {
        certificates: vec![pair("/a.pem", "/a.key")],
        acme: None,
        client: None,
        minimum: TlsVersion::V12,
        hsts: None,
    };
    assert_eq!(config.listeners[0].tls.as_ref(), Some(&expected));
    assert!(config.listeners[0].http2 && config.listeners[0].redirect.is_none());
}

#[test]
fn reads_every_key() {
    let tls = with(
        "certificates = [{ certificate = \"/a.pem\", key = \"/a.key\" }, { key = \"/b.key\", certificate = \"/b.pem\" }], \
         client = { authorities = \"/ca.pem\", required = false, revoked = \"/crl.pem\" }, minimum = \"1.3\", \
         hsts = { age = \"2y\", subdomains = true, preload = true }",
    );
    assert_eq!(tls.certificates, [pair("/a.pem", "/a.key"), pair("/b.pem", "/b.key")]);
    let client =
        ClientAuthority { authorities: "/ca.pem".into(), required: false, revoked: Some("/crl.pem".into()) };
    assert_eq!(tls.client, Some(client));
    assert_eq!(tls.minimum, TlsVersion::V13);
    assert_eq!(tls.hsts, Some(Hsts { age: 730 * DAY, subdomains: true, preload: true }));
}

/// The examples of the document for users, in order.
fn documented() -> Vec<Config> {
    let text = include_str!("../../../../docs/https.md");
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks
        .map(|(example, _)| crate::parse(example, Path::new("/etc/vestibule/vestibule.toml")).expect(example))
        .collect()
}

#[test]
fn what_the_document_shows_means_what_it_says() {
    let all = documented();
    assert_eq!(all.len(), 6);
    let tls = |index: usize| all[index].listeners[0].tls.as_ref().expect("tls");
    let acme = tls(0).acme.as_ref().expect("acme");
    assert_eq!(acme.domains, ["example.com", "www.example.com"]);
    assert_eq!(acme.challenges, [Challenge::TlsAlpn01, Challenge::Http01]);
    let files = pair("/etc/vestibule/fullchain.pem", "/etc/vestibule/privkey.pem");
    assert_eq!(tls(1).certificates, tls(3).certificates);
    for config in &all[..2] {
        assert_eq!(config.listeners[1].redirect, Some(Redirect { port: 443 }));
    }
    let names = ["shop", "wildcard"]
        .map(|name| pair(&format!("/etc/vestibule/{name}.pem"), &format!("/etc/vestibule/{name}.key")));
    assert_eq!(tls(2).certificates, names);
    assert_eq!(tls(3).certificates, [files]);
    assert_eq!(tls(3).hsts, Some(Hsts { age: DAY, subdomains: false, preload: false }));
    assert!(tls(4).client.as_ref().is_some_and(|client| client.required && client.revoked.is_some()));
    assert!(all[5].listeners[0].http2 && all[5].listeners[0].tls.is_none());
}

#[test]
fn http2_goes_with_tls_unless_it_is_written() {
    for (keys, http2) in [
        ("", false),
        ("http2 = true", true),
        ("tls = { certificate = \"a\", key = \"b\" }", true),
        ("tls = { certificate = \"a\", key = \"b\" }\nhttp2 = false", false),
    ] {
        assert_eq!(right(&format!("[[listen]]\n{keys}")).listeners[0].http2, http2, "{keys}");
    }
    assert_wrong("[[listen]]\nhttp2 = \"h2c\"", (2, 9), "expected true or false", "without quotes");
}

#[test]
fn paths_begin_at_the_directory_of_the_file() {
    let text = "[[listen]]\ntls = { certificate = \"tls/a.pem\", key = \"/b.key\", client.authorities = \"../ca.pem\" }\n\
                [[listen]]\naddress = \"127.0.0.1:1\"\ntls.acme = { domains = [\"a.example\"], store = \"acme/\" }";
    let of = |file: &str| crate::parse(text, Path::new(file)).expect("right").listeners;
    let listeners = of("/etc/vestibule/vestibule.toml");
    let tls = listeners[0].tls.as_ref().expect("tls");
    assert_eq!(tls.certificates, [pair("/etc/vestibule/tls/a.pem", "/b.key")]);
    let client = tls.client.as_ref().expect("client");
    assert_eq!((&*client.authorities, client.required), (Path::new("/etc/vestibule/../ca.pem"), true));
    let acme = listeners[1].tls.as_ref().and_then(|tls| tls.acme.as_ref()).expect("acme");
    assert_eq!(acme.store, Path::new("/etc/vestibule/acme"));
    let here = of("vestibule.toml");
    assert_eq!(here[0].tls.as_ref().expect("tls").certificates, [pair("tls/a.pem", "/b.key")]);
}

#[test]
fn what_is_wrong_with_a_file_later_names_its_line() {
    let text = "[[listen]]\n[[listen]]\naddress = \"127.0.0.1:1\"\ntls.certificates = [\n  { certificate = \"/a.pem\", key = \"/a.key\" },\n  \
                { certificate = \"b.pem\", key = \"/b.key\" },\n]\ntls.client = { authorities = \"/ca.pem\", revoked = \"/crl.pem\" }\n\
                tls.acme = { domains = [\"a.example\"], authorities = \"/root.pem\" }\n";
    let config = crate::parse(text, Path::new("/etc/v.toml")).expect("right");
    for (path, line, column) in [
        ("/a.pem", 5, 19),
        ("/b.key", 6, 34),
        ("/etc/b.pem", 6, 19),
        ("/ca.pem", 8, 30),
        ("/crl.pem", 8, 51),
        ("/root.pem", 9, 53),
    ] {
        let error = config.tls_file_error(1, Path::new(path), "it is no certificate", "write another");
        let place = error.problems()[0].place.clone().unwrap_or_else(|| panic!("no place of {path}"));
        assert_eq!((place.line, place.column), (line, column), "{error}");
    }
    // A path that is nowhere written is one that `tls` has by default.
    assert!(config.places.tls(1).is_some());
    assert_eq!(config.places.tls_file(1, Path::new(Acme::STORE)), config.places.tls(1));
    assert_eq!(config.places.tls_file(0, Path::new("/a.pem")), None);
    assert_eq!(config.places.tls(2), None);
}

#[test]
fn refuses_half_a_certificate() {
    for (keys, column, message, instead) in [
        ("", 7, "no certificate", "acme = { domains ="),
        ("minimum = \"1.2\"", 7, "no certificate", "certificate = \"…/fullchain.pem\""),
        ("certificate = \"a.pem\"", 23, "no key", "write key ="),
        ("key = \"a.key\"", 15, "no certificate", "write certificate ="),
        ("certificates = []", 24, "no certificate in the list", "certificates = [{"),
        ("certificates = [{}]", 25, "no certificate in this table", "certificates = [{"),
        ("certificates = [{ key = \"a\" }]", 33, "no certificate", "write certificate ="),
        ("certificates = \"a.pem\"", 24, "is a list of tables", "certificates = [{"),
        ("certificates = [\"a.pem\"]", 25, "each of the `certificates` is a table", "certificates = [{"),
        ("certificate = [\"a.pem\"], key = \"a\"", 23, "one file, not a list", "certificates = [{"),
        ("certificate = \"a\", key = 1", 34, "expected text", "between quotes"),
        (
            "certificate = \"a\", key = \"b\", certificates = [{ certificate = \"c\", key = \"d\" }]",
            23,
            "exclude each other",
            "into `certificates`",
        ),
        (
            "certificates = [{ certificate = \"c\", key = \"d\" }, { certificate = \"c\", key = \"e\" }]",
            75,
            "the one on line 2",
            "one of them out",
        ),
    ] {
        assert_wrong(&format!("[[listen]]\ntls = {{ {keys} }}"), (2, column), message, instead);
    }
    for (value, instead) in [
        ("true", "acme = { domains ="),
        ("false", "leave it out"),
        ("\"a.pem\"", "tls = { certificate ="),
        ("\"internal\"", "vestibule demo --tls"),
    ] {
        assert_wrong(&format!("[[listen]]\ntls = {value}"), (2, 7), "`tls` is a table, not", instead);
    }
}

#[test]
fn refuses_what_is_no_path_of_a_file() {
    for (path, message, instead) in [
        ("", "not the path of a file", "fullchain.pem"),
        ("certificates/", "not the path of a file", "fullchain.pem"),
        ("a\\u0000b", "NUL", "fullchain.pem"),
        ("~/a.pem", "only a shell knows", "from the root"),
        ("$HOME/a.pem", "only a shell knows", "from the root"),
        ("file:///a.pem", "a URL", "\"/a.pem\""),
        ("-----BEGIN CERTIFICATE-----\\nMII", "what is in a file", "save it as a file"),
    ] {
        let text = format!("[[listen]]\ntls = {{ key = \"a\", certificate = \"{path}\" }}");
        assert_wrong(&text, (2, 34), message, instead);
    }
    let secret =
        "[[listen]]\ntls = { certificate = \"a\", key = '''-----BEGIN PRIVATE KEY-----\nMC4CAQA=\n''' }";
    assert!(!wrong_once(secret).to_string().contains("MC4CAQA"));
}

#[test]
fn names_the_file_of_certbot_that_was_meant() {
    let live = "/etc/letsencrypt/live/example.com";
    let archive = "/etc/letsencrypt/archive/example.com";
    for (certificate, key) in [
        (format!("{live}/fullchain.pem"), format!("{live}/privkey.pem")),
        ("/etc/ssl/cert.pem".to_owned(), "/etc/ssl/cert.pem".to_owned()),
        ("live/cert.pem".to_owned(), "archive/privkey1.pem".to_owned()),
        ("cert.pem".to_owned(), format!("{archive}/example.pem")),
    ] {
        let tls = with(&format!("certificate = \"{certificate}\", key = \"{key}\""));
        assert_eq!(tls.certificates[0].key, PathBuf::from(key));
    }
    for (certificate, key, column, message, instead) in [
        ("live/a/cert.pem", "k", 23, "without its chain", "write \"live/a/fullchain.pem\""),
        ("/x/live/a/chain.pem", "k", 23, "without the certificate", "write \"/x/live/a/fullchain.pem\""),
        ("live/a/privkey.pem", "k", 23, "has the private key", "write \"live/a/fullchain.pem\""),
        ("c", "live/a/fullchain.pem", 34, "no private key", "write \"live/a/privkey.pem\""),
        ("archive/a/fullchain12.pem", "k", 23, "when certbot renews", "write \"live/a/fullchain.pem\""),
        ("c", "/e/archive/a/privkey3.pem", 34, "when certbot renews", "write \"/e/live/a/privkey.pem\""),
    ] {
        let text = format!("[[listen]]\ntls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
        assert_wrong(&text, (2, column), message, instead);
    }
}

#[test]
fn says_why_a_version_is_not_there() {
    for (value, instead) in [
        ("1.2", "write \"1.2\", between quotes"),
        ("\"TLSv1.2\"", "write \"1.2\""),
        ("\"tls1_3\"", "write \"1.3\""),
        ("\"1.1\"", "RFC 8996"),
        ("\"1.0\"", "RFC 8996"),
        ("1", "RFC 8996"),
        ("\"TLSv1\"", "RFC 8996"),
        ("\"SSLv3\"", "RFC 7568"),
        ("\"1.4\"", "write \"1.2\" or \"1.3\""),
        ("[\"1.2\", \"1.3\"]", "write \"1.2\" or \"1.3\""),
    ] {
        assert_wrong_with(&format!("minimum = {value}"), 11, "no version of TLS here", instead);
    }
}

#[test]
fn reads_how_long_browsers_keep_to_https() {
    for (value, days, subdomains, preload) in [
        ("\"1y\"", 365, false, false),
        ("\"10y\"", 3650, false, false),
        ("\"0s\"", 0, false, false),
        ("{ age = \"2w\" }", 14, false, false),
        ("{ age = \"1d\", subdomains = true }", 1, true, false),
        ("{ age = \"1d\", preload = false }", 1, false, false),
        ("{ age = \"365d\", subdomains = true, preload = true }", 365, true, true),
    ] {
        let tls = with(&format!("certificate = \"a\", key = \"b\", hsts = {value}"));
        assert_eq!(tls.hsts, Some(Hsts { age: days * DAY, subdomains, preload }), "{value}");
    }
}

#[test]
fn refuses_wrong_hsts() {
    for (value, column, message, instead) in [
        ("true", 8, "how long", "hsts = \"1y\""),
        ("false", 8, "how long", "leave it out"),
        ("31536000", 8, "expected a duration", "\"31536000s\""),
        ("\"11y\"", 8, "too long", "at most \"10y\""),
        ("\"1500ms\"", 8, "whole number of seconds", "\"2s\""),
        ("\"max-age=31536000\"", 8, "this is the field", "write hsts = \"1y\""),
        (
            "\"max-age=63072000; includeSubDomains; preload\"",
            8,
            "this is the field",
            "write hsts = { age = \"2y\", subdomains = true, preload = true }",
        ),
        ("\"max-age=15552000; includesubdomains\"", 8, "the field", "{ age = \"180d\", subdomains = true }"),
        ("\"max-age=99999999999999999999\"", 8, "the field", "write hsts = \"1y\""),
        ("{ subdomains = true }", 8, "how long", "`age`"),
        ("{ max_age = \"1y\" }", 10, "unknown key", "write `age`"),
        ("{ age = \"1y\", includeSubDomains = true }", 22, "unknown key", "write `subdomains`"),
        ("{ age = \"1y\", preload = true }", 32, "hstspreload.org", "subdomains = true"),
        ("{ age = \"180d\", subdomains = true, preload = true }", 53, "hstspreload.org", "age = \"1y\""),
        ("{ age = \"1y\", subdomains = 1, preload = true }", 35, "true or false", "without quotes"),
    ] {
        assert_wrong_with(&format!("hsts = {value}"), column, message, instead);
    }
}

#[test]
fn refuses_wrong_clients() {
    for (value, column, message, instead) in [
        ("true", 10, "is a table", "client = { authorities ="),
        ("\"ca.pem\"", 10, "is a table", "client = { authorities = \"ca.pem\" }"),
        ("{}", 10, "which clients' certificates count", "authorities = "),
        ("{ ca = \"ca.pem\" }", 12, "unknown key", "write `authorities`"),
        ("{ authorities = [] }", 26, "expected text", "/etc/vestibule/clients.pem"),
        ("{ authorities = \"a\", required = \"optional\" }", 42, "true or false", "write false: then"),
        (
            "{ authorities = \"a\", required = \"optional_no_ca\" }",
            42,
            "true or false",
            "refused all the same",
        ),
        ("{ authorities = \"a\", required = \"on\" }", 42, "true or false", "write true"),
        ("{ authorities = \"a\", required = \"off\" }", 42, "true or false", "leave `client` out"),
        ("{ authorities = \"a\", crl = \"b\" }", 31, "unknown key", "write `revoked`"),
    ] {
        assert_wrong_with(&format!("client = {value}"), column, message, instead);
    }
}

#[test]
fn reads_where_plain_http_is_sent() {
    for (value, port) in [("https", 443), ("https:443", 443), ("https:8443", 8443)] {
        let config = right(&format!("[[listen]]\nredirect = \"{value}\""));
        assert_eq!(config.listeners[0].redirect, Some(Redirect { port }), "{value}");
    }
    for (value, message, instead) in [
        ("true", "says where to", "redirect = \"https\""),
        ("false", "says where to", "leave it out"),
        ("301", "is text", "redirect = \"https:301\"; the status is always 308"),
        ("8443", "is text", "redirect = \"https:8443\""),
        ("\"http\"", "nowhere to send", "write \"https\""),
        ("\"https:0\"", "not a port", "from 1 to 65535"),
        ("\"https:+1\"", "not a port", "from 1 to 65535"),
        ("\"https:\"", "not a port", "from 1 to 65535"),
        ("\"https://example.com\"", "more than where to", "write redirect = \"https\""),
        ("\"301 https://$host$request_uri\"", "more than where to", "308"),
        ("[]", "expected text", "\"https\""),
    ] {
        assert_wrong(&format!("[[listen]]\nredirect = {value}"), (2, 12), message, instead);
    }
    let both = "[[listen]]\nredirect = \"https\"\ntls = { certificate = \"a\", key = \"b\" }";
    assert_wrong(both, (2, 12), "every request is https already", "for plain HTTP");
    // TLS may end elsewhere.
    right("[[listen]]\nredirect = \"https:9\"");
}

#[test]
fn tls_may_come_behind_a_proxy_header_and_over_a_unix_socket() {
    let config = right(
        "trusted_proxies = [\"127.0.0.1\"]\n[[listen]]\naddress = \"unix:/run/public.sock\"\nproxy_protocol = true\n\
         tls = { certificate = \"a\", key = \"b\" }",
    );
    assert!(config.listeners[0].proxy_protocol && config.listeners[0].tls.is_some());
}

#[test]
fn names_the_key_for_names_known_from_elsewhere() {
    for (name, instead) in OF_TLS {
        let text = format!("[[listen]]\ntls = {{ certificate = \"a\", key = \"b\", {name} = 1 }}");
        let problem = wrong_once(&text);
        assert_eq!(problem.message, format!("unknown key `{name}` in `tls` of [[listen]]"));
        assert_eq!(problem.instead.as_deref(), Some(*instead));
    }
    // What is called otherwise is not missing too.
    for keys in [
        "ssl_certificate = \"a\", ssl_certificate_key = \"b\"",
        "cert = \"a\", privkey = \"b\"",
        "fullchain = \"a\", key = \"b\"",
    ] {
        let problems = wrong(&format!("[[listen]]\ntls = {{ {keys} }}"));
        assert!(problems.iter().all(|problem| problem.message.starts_with("unknown key")), "{problems:#?}");
    }
    assert_wrong_with("minimun = \"1.2\"", 1, "unknown key `minimun`", "write `minimum`");
    assert_wrong_with("Client-Auth = 1", 1, "unknown key `Client-Auth`", "write `client`");
    assert_wrong_with(
        "xyzzy = 1",
        1,
        "unknown key `xyzzy`",
        "known here: acme, certificate, certificates, client, hsts, key",
    );
}
