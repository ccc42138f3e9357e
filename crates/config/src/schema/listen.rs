//! `[[listen]]`

use super::Shape::{Any, Boolean, Duration, Integer, List, OneOf, Pattern, Text};
use super::{Shape, Table, key, needs, or, table};

pub(super) static LISTEN: Table = table(
    "in [[listen]]",
    &[
        or("address", "\"127.0.0.1:8080\"", Text, "host:port with an IP address as host, or unix:/path."),
        or("reuse_port", "true", Boolean, "TCP only: an accept queue for each worker (SO_REUSEPORT)."),
        or("backlog", "4096", Integer(1, 65535), "Connections that the kernel keeps until we accept them."),
        or(
            "proxy_protocol",
            "false",
            Boolean,
            "Whether each connection begins with a PROXY protocol header; only `trusted_proxies` may connect then.",
        ),
        key("tls", Shape::Table(&TLS), "HTTPS: a certificate and its key, or `acme`."),
        or("http2", "false", Boolean, "HTTP/2 beside HTTP/1. Default: true with `tls`, false without."),
        key(
            "redirect",
            Pattern("^https(:[0-9]{1,5})?$"),
            "Without `tls` only: every request is answered 308 to https; \"https:8443\" for another port than 443.",
        ),
    ],
);

const CERTIFICATE: &str =
    "The certificate with those that lead to its authority behind it (certbot's fullchain.pem), PEM.";
const PRIVATE_KEY: &str = "The certificate's private key, PEM.";

static TLS: Table = table(
    "in `tls` of [[listen]]",
    &[
        key("certificate", Text, CERTIFICATE),
        key("key", Text, PRIVATE_KEY),
        key(
            "certificates",
            List(&Shape::Table(&PAIR)),
            "Several certificates: the one with the name that a client asks for; the first for all other names.",
        ),
        or("minimum", "\"1.2\"", OneOf(&["1.2", "1.3"]), "The lowest version of TLS that is spoken."),
        key(
            "hsts",
            Any(&[Duration, Shape::Table(&HSTS)]),
            "How long browsers keep to https once they have seen it (Strict-Transport-Security).",
        ),
        key("client", Shape::Table(&CLIENT), "Clients' certificates. Default: nobody is asked for one."),
        key("acme", Shape::Table(&ACME), "A certificate that is fetched and renewed by itself."),
    ],
);

static PAIR: Table = needs(
    &["certificate", "key"],
    table(
        "in `certificates` of `tls`",
        &[key("certificate", Text, CERTIFICATE), key("key", Text, PRIVATE_KEY)],
    ),
);

static HSTS: Table = needs(
    &["age"],
    table(
        "in `hsts` of `tls`",
        &[
            key("age", Duration, "How long."),
            or("subdomains", "false", Boolean, "Whether names below this one are meant too."),
            or("preload", "false", Boolean, "For names in the browsers' own list (hstspreload.org)."),
        ],
    ),
);

static CLIENT: Table = needs(
    &["authorities"],
    table(
        "in `client` of `tls`",
        &[
            key("authorities", Text, "Who signs them (PEM)."),
            or("required", "true", Boolean, "Whether a client without one is turned away."),
            key("revoked", Text, "A list of those that count no more (CRL)."),
        ],
    ),
);

static ACME: Table = needs(
    &["domains"],
    table(
        "in `acme` of `tls`",
        &[
            key("domains", List(&Text), "The names that it is for, at most 100."),
            key("contact", Any(&[Text, List(&Text)]), "Whom the authority may write to. Default: nobody."),
            or(
                "directory",
                "\"https://acme-v02.api.letsencrypt.org/directory\"",
                Text,
                "The authority: Let's Encrypt.",
            ),
            or(
                "store",
                "\"/var/lib/vestibule/acme\"",
                Text,
                "Where account, keys and certificates are kept.",
            ),
            key(
                "challenges",
                List(&OneOf(&["tls-alpn-01", "http-01"])),
                "How it is proved that the names are ours, the preferred way first.",
            ),
            key(
                "authorities",
                Text,
                "For an authority of your own: who signs the certificate of its directory (PEM).",
            ),
            or("key", "\"ecdsa\"", OneOf(&["ecdsa", "rsa"]), "The kind of the certificate's key."),
            key("eab", Shape::Table(&EAB), "The account, for authorities that ask for one made beforehand."),
        ],
    ),
);

static EAB: Table = needs(
    &["id", "key"],
    table(
        "in `eab` of `acme`",
        &[
            key("id", Text, "The account's name."),
            key("key", Text, "Its key, in base64url: best from the environment, \"${EAB_KEY}\"."),
        ],
    ),
);
