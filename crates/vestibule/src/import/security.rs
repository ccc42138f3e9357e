//! `ssl_*`: the `tls` of a listener.

use super::fields;
use super::note::Notes;
use super::scope::Scope;
use super::server::Server;
use super::written::{self, Keys};

/// Writes what the servers at one address say; the default one first. Gives whether Strict-Transport-Security is said.
pub(super) fn write(servers: &[&Server<'_>], keys: &mut Keys, notes: &mut Notes) -> bool {
    let mut certificates: Vec<Vec<(String, String)>> = Vec::new();
    for server in servers {
        let files = |name: &str| server.scope.all(name);
        for (certificate, key) in files("ssl_certificate").iter().zip(files("ssl_certificate_key")) {
            if certificate.argument(0).contains('$') || key.argument(0).contains('$') {
                notes.missing(certificate, "write the certificate of each name in tls.certificates");
                continue;
            }
            if !certificate.argument(0).starts_with('/') {
                notes.different(certificate, "nginx looks for it beside its nginx.conf, Vestibule beside its own configuration: write it from the root");
            }
            let pair = vec![
                ("certificate".to_owned(), written::text(certificate.argument(0))),
                ("key".to_owned(), written::text(key.argument(0))),
            ];
            if !certificates.contains(&pair) {
                certificates.push(pair);
            }
        }
    }
    match certificates.as_slice() {
        [] => {
            if let Some(server) = servers.first() {
                notes.missing(
                    server.directive,
                    "it has no ssl_certificate: write tls.certificate and tls.key, or tls.acme",
                );
            }
        }
        [only] => {
            for (name, value) in only {
                keys.set(format!("tls.{name}"), value.clone());
            }
        }
        several => {
            let several: Vec<_> = several.iter().map(|pair| written::table(pair)).collect();
            keys.set("tls.certificates", format!("[\n    {},\n]", several.join(",\n    ")));
        }
    }
    let Some(first) = servers.first() else { return false };
    versions(&first.scope, keys, notes);
    clients(&first.scope, keys, notes);
    let said = hsts(servers, keys);
    for server in servers {
        rest(&server.scope, notes);
    }
    said
}

fn versions(scope: &Scope<'_>, keys: &mut Keys, notes: &mut Notes) {
    let Some(directive) = scope.one("ssl_protocols") else { return };
    let says = |version: &str| directive.says(version);
    if says("TLSv1.3") && !says("TLSv1.2") && !says("TLSv1.1") && !says("TLSv1") {
        keys.set("tls.minimum", "\"1.3\"");
    } else {
        notes.needless_part(directive, "TLS 1.2 and 1.3 are spoken; older versions must not be (RFC 8996)");
    }
}

fn clients(scope: &Scope<'_>, keys: &mut Keys, notes: &mut Notes) {
    let Some(verify) = scope.one("ssl_verify_client") else { return };
    let required = match verify.argument(0) {
        "on" => "true",
        "optional" => "false",
        "off" => return,
        _ => return notes.missing(verify, "a client's certificate is checked, or not asked for"),
    };
    let Some(authorities) = scope.word("ssl_client_certificate") else {
        return notes.missing(verify, "there is no ssl_client_certificate");
    };
    let mut entries = vec![
        ("authorities".to_owned(), written::text(authorities)),
        ("required".to_owned(), required.to_owned()),
    ];
    if let Some(revoked) = scope.word("ssl_crl") {
        entries.push(("revoked".to_owned(), written::text(revoked)));
    }
    keys.set("tls.client", written::table(&entries));
}

/// Where all servers that answer here say the same; else it is for their routes to say.
fn hsts(servers: &[&Server<'_>], keys: &mut Keys) -> bool {
    let of = |server: &Server<'_>| {
        let headers = server.scope.all("add_header");
        let header = headers
            .iter()
            .find(|directive| directive.argument(0).eq_ignore_ascii_case("strict-transport-security"));
        header.and_then(|directive| fields::hsts(directive.argument(1)))
    };
    let mut said = servers.iter().filter(|server| !server.refuses()).map(|server| of(server));
    let Some(Some(value)) = said.next() else { return false };
    if said.any(|other| other.as_ref() != Some(&value)) {
        return false;
    }
    keys.set("tls.hsts", value);
    true
}

/// What has nothing to be written for it.
fn rest(scope: &Scope<'_>, notes: &mut Notes) {
    for (name, why) in [
        ("ssl_ciphers", "the suites of TLS 1.2 and 1.3 that are held to be safe are offered, the best first"),
        (
            "ssl_prefer_server_ciphers",
            "the suites of TLS 1.2 and 1.3 that are held to be safe are offered, the best first",
        ),
        ("ssl_ecdh_curve", "X25519MLKEM768, X25519, P-256 and P-384 are offered"),
        ("ssl_dhparam", "no suite with finite-field Diffie-Hellman is offered"),
        ("ssl_session_cache", "sessions are resumed by tickets, whose key changes by itself"),
        ("ssl_session_timeout", "sessions are resumed by tickets, whose key changes by itself"),
        ("ssl_session_tickets", "sessions are resumed by tickets, whose key changes by itself"),
        ("ssl_buffer_size", "records are as long as the client's speed suggests"),
        ("ssl_verify_depth", "chains are checked as a whole"),
        ("ssl", "the listener has `tls`"),
        ("http2", "HTTP/2 is spoken wherever TLS is"),
    ] {
        for directive in scope.all(name) {
            notes.needless(directive, why);
        }
    }
    for (name, why) in [
        (
            "ssl_session_ticket_key",
            "the key of tickets is made anew every few hours; a session of another machine begins anew",
        ),
        ("ssl_stapling", "revocation is not stapled; authorities are giving OCSP up"),
        ("ssl_stapling_verify", "revocation is not stapled; authorities are giving OCSP up"),
        ("ssl_stapling_file", "revocation is not stapled; authorities are giving OCSP up"),
        ("ssl_trusted_certificate", "it is for stapling, which is not done"),
        ("ssl_password_file", "write the key without a password, readable for Vestibule only"),
        ("ssl_early_data", "0-RTT is not offered: what is sent in it can be replayed"),
        ("ssl_reject_handshake", "a client that asks for an unknown name gets the first certificate"),
    ] {
        for directive in scope.all(name) {
            if directive.argument(0) != "off" {
                notes.missing(directive, why);
            } else {
                notes.needless(directive, "it is off here too");
            }
        }
    }
}
