//! What was probably meant.

use std::collections::BTreeMap;

/// Names that people bring from nginx, Puma and HAProxy, and what says the same here.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("access_log", "write `output` in [log]"),
    ("acme_ca", "write `directory` in `acme` of `tls` in [[listen]]"),
    ("acme_ca_root", "write `authorities` in `acme` of `tls` in [[listen]]"),
    ("acme_eab", "write `eab` in `acme` of `tls` in [[listen]]"),
    (
        "add_header",
        "for Strict-Transport-Security write hsts = \"1y\" in `tls` of [[listen]]; for others `fields` in [[route]]",
    ),
    (
        "auto_https",
        "write tls = { acme = { domains = [\"www.example.com\"] } } in [[listen]], and redirect = \"https\" in the [[listen]] of port 80",
    ),
    ("bind", "write `address` in [[listen]]"),
    ("body_memory", "write `memory` in [buffer], which has taken its place"),
    ("client_body_buffer_size", "write `memory` in [buffer]"),
    ("client_body_temp_path", "write `directory` in [disk]"),
    ("client_header_timeout", "write `request_timeout` in [limits]"),
    ("client_max_body_size", "write `body` in [limits]"),
    ("email", "write `contact` in `acme` of `tls` in [[listen]]"),
    ("error_page", "write [error_pages], and below it 503 = \"/srv/app/public/503.html\""),
    ("gzip", "write [compress], or `compress` in [[route]]"),
    ("http2_max_concurrent_streams", "write `http2_streams` in [limits]"),
    ("keepalive_requests", "write `requests_per_connection` in [limits]"),
    ("keepalive_timeout", "write `idle_timeout` in [limits]"),
    ("limit_conn", "write `connections_per_address` in [limits]"),
    ("listener", "write [[listen]]"),
    ("location", "write `path` in [[route]]"),
    ("max_connections", "write `connections` in [limits]"),
    (
        "on_demand_tls",
        "name the `domains` in `acme` of `tls` in [[listen]]: certificates are fetched for those only",
    ),
    ("port", "write it after the host in `address`, such as \"0.0.0.0:80\""),
    ("proxy_buffering", "write `response` in [buffer], or in the `buffer` of a [[route]]"),
    ("proxy_connect_timeout", "write `timeout = { connect = … }` in [upstream.NAME]"),
    ("proxy_max_temp_file_size", "write `disk` in [buffer], or in the `buffer` of a [[route]]"),
    ("proxy_pass", "write `upstream` in [[route]], and its `address` in [upstream.NAME]"),
    ("proxy_read_timeout", "write `timeout = { response = … }` in [upstream.NAME]"),
    ("proxy_request_buffering", "write `request` in [buffer], or in the `buffer` of a [[route]]"),
    ("proxy_send_timeout", "write `timeout = { idle = … }` in [upstream.NAME]"),
    ("proxy_temp_path", "write `directory` in [disk]"),
    ("queue", "write `hold` in [upstream.NAME]"),
    ("real_ip_header", "write `trusted_proxies` at the top level, or `proxy_protocol = true` in [[listen]]"),
    (
        "return",
        "for 301 https://… write redirect = \"https\" in the [[listen]] of port 80; else `redirect` or `respond` in [[route]]",
    ),
    (
        "rewrite",
        "for https://… write redirect = \"https\" in the [[listen]] of port 80; else `redirect` or `rewrite` in [[route]]",
    ),
    ("send_timeout", "write `send_timeout` in [limits]"),
    ("root", "write `files` in [[route]]"),
    ("server_name", "write `host` in [[route]]"),
    ("set_real_ip_from", "write `trusted_proxies` at the top level"),
    ("socket", "write `address`, such as \"unix:/tmp/web_server.sock\""),
    ("ssl", "write tls = { certificate = \"…\", key = \"…\" } in [[listen]]"),
    ("ssl_certificate", "write tls = { certificate = \"…\", key = \"…\" } in [[listen]]"),
    ("ssl_certificate_key", "write tls = { certificate = \"…\", key = \"…\" } in [[listen]]"),
    ("ssl_ciphers", "leave it out: only what is safe today is spoken"),
    ("ssl_client_certificate", "write client = { authorities = \"…\" } in `tls` of [[listen]]"),
    ("ssl_crl", "write `revoked` in `client` of `tls` in [[listen]]"),
    ("ssl_dhparam", "leave it out: keys are agreed on by elliptic curves only"),
    ("ssl_ecdh_curve", "leave it out: X25519MLKEM768, X25519, P-256 and P-384 are offered"),
    ("ssl_handshake_timeout", "write `handshake_timeout` in [limits]"),
    ("ssl_prefer_server_ciphers", "leave it out: every cipher that is spoken is a good one"),
    ("ssl_protocols", "write minimum = \"1.2\" or \"1.3\" in `tls` of [[listen]]"),
    ("ssl_session_cache", "leave it out: sessions are resumed by tickets, which all workers share"),
    ("ssl_session_tickets", "leave it out: sessions are resumed by tickets, whose keys change by themselves"),
    ("ssl_session_timeout", "leave it out: tickets end by themselves"),
    ("ssl_stapling", "leave it out: Let's Encrypt has ended OCSP, and no answers are stapled"),
    ("ssl_trusted_certificate", "write client = { authorities = \"…\" } in `tls` of [[listen]]"),
    (
        "ssl_verify_client",
        "write client = { authorities = \"…\", required = true } in `tls` of [[listen]]; false is Nginx's `optional`",
    ),
    ("ssl_verify_depth", "leave it out"),
    ("strict_transport_security", "write hsts = \"1y\" in `tls` of [[listen]]"),
    ("try_files", "write try = [\"files\", \"upstream\"] in [[route]]"),
    ("threads", "write `workers`, or `in_flight` in [upstream.NAME] for those of the application"),
    ("underscores_in_headers", "write `underscores` in [fields]"),
    ("worker_connections", "write `connections` in [limits]"),
    ("worker_processes", "write `workers`"),
];

/// Names that people bring from bluepill, god, monit, systemd and Procfiles to [process.NAME]. They go before keys that only look
/// alike: a `stop_command` is no `start_command`.
pub(crate) const OF_PROCESSES: &[(&str, &str)] = &[
    ("auto_start", "write `start`"),
    ("autostart", "write `start`"),
    ("below", "write `above`: what may not be passed"),
    ("checks", "write `memory`, `cpu` and `answer`"),
    ("cpu_usage", "write `cpu`, such as cpu = { above = 90, times = [3, 5] }"),
    ("cwd", "write `directory`"),
    ("daemonize", "leave it out: what Vestibule starts stays in the foreground"),
    ("dir", "write `directory`"),
    ("env", "write `environment`, such as environment = { RAILS_ENV = \"production\" }"),
    ("gid", "write `group`, with its name"),
    ("grace", "write `start_timeout`"),
    ("http", "write `answer`, such as answer = { within = \"10s\" }"),
    ("interval", "write `every` in `memory`, `cpu` or `answer`"),
    ("log", "write `output`: \"log\", or a file"),
    ("mem_usage", "write `memory`, such as memory = \"1 GiB\""),
    ("memory_usage", "write `memory`, such as memory = \"1 GiB\""),
    ("monitor_children", "leave it out: the whole tree of processes is watched"),
    ("pidfile", "write `pid_file`"),
    ("restart_grace_time", "write `start_timeout`"),
    ("retry_in", "write `most` in `flapping`: the pauses grow up to it"),
    ("running_time", "write `cycle`, such as cycle = { age = \"12h\" }"),
    ("start_grace_time", "write `start_timeout`"),
    ("stderr", "write `output`: \"log\", or a file for both"),
    ("stdout", "write `output`: \"log\", or a file for both"),
    ("stop", "write `stop_sequence`; `vestibule app stop` stops it now"),
    ("stop_command", "write `stop_sequence`, such as [\"TERM\", \"30s\", \"KILL\"]"),
    ("stop_grace_time", "write it as a wait in `stop_sequence`, such as [\"TERM\", \"30s\", \"KILL\"]"),
    ("stop_signal", "write `stop_sequence`, such as [\"TERM\", \"30s\", \"KILL\"]"),
    ("stop_signals", "write `stop_sequence`: the list may stay as it is, with the signals between quotes"),
    ("stop_timeout", "write it as a wait in `stop_sequence`, such as [\"TERM\", \"30s\", \"KILL\"]"),
    ("totalmem", "write `memory`, such as memory = \"1 GiB\""),
    ("uid", "write `user`, with its name"),
    ("working_dir", "write `directory`"),
    ("working_directory", "write `directory`"),
];

/// Names that people bring from nginx, Caddy, certbot and Puma to `tls` and the tables in it. They go before keys that only look alike:
/// an `ssl_certificate_key` is no `ssl_certificate`.
pub(crate) const OF_TLS: &[(&str, &str)] = &[
    ("ca", "write `authorities`"),
    ("ca_file", "write `authorities`"),
    ("cert", "write `certificate`"),
    ("cert_file", "write `certificate`"),
    ("certfile", "write `certificate`"),
    ("chain", "write `certificate`, a file with the certificate and its chain"),
    ("ciphers", "leave it out: only what is safe today is spoken"),
    ("client_auth", "write `client`, such as client = { authorities = \"clients.pem\" }"),
    ("crl", "write `revoked`"),
    ("crt", "write `certificate`"),
    ("curves", "leave it out: only what is safe today is spoken"),
    ("domain", "write `domains`, a list"),
    ("email", "write `contact`"),
    ("fullchain", "write `certificate`"),
    ("hmac", "write `key`"),
    ("hmac_key", "write `key`"),
    ("hosts", "write `domains`"),
    ("includesubdomains", "write `subdomains`"),
    ("key_file", "write `key`"),
    ("key_id", "write `id`"),
    ("key_type", "write `key`: \"ecdsa\" or \"rsa\""),
    ("keyfile", "write `key`"),
    ("kid", "write `id`"),
    ("mac_key", "write `key`"),
    ("mail", "write `contact`"),
    ("max_age", "write `age`, such as \"1y\""),
    ("max_version", "leave it out: the newest version that both sides know is spoken"),
    ("min_version", "write `minimum`: \"1.2\" or \"1.3\""),
    ("mode", "write `required`: true or false"),
    ("names", "write `domains`"),
    ("preferred_challenges", "write `challenges`"),
    ("private_key", "write `key`"),
    ("privkey", "write `key`"),
    ("protocols", "write `minimum`: \"1.2\" or \"1.3\""),
    ("server", "write `directory`, the URL of the authority"),
    ("ssl_certificate", "write `certificate`"),
    ("ssl_certificate_key", "write `key`"),
    ("staging", "write `directory`: \"https://acme-staging-v02.api.letsencrypt.org/directory\""),
    ("storage", "write `store`"),
    ("verify", "write `required`: true or false"),
    ("verify_mode", "write `required`: true or false"),
    ("version", "write `minimum`: \"1.2\" or \"1.3\""),
    ("webroot", "leave it out: Vestibule answers http-01 itself"),
];

/// Names for what stands in `tls` that are written beside it.
const OF_LISTENERS: &[(&str, &str)] = &[
    ("acme", "write tls = { acme = { domains = [\"www.example.com\"] } }"),
    ("cert", "write tls = { certificate = \"…\", key = \"…\" }"),
    ("certificate", "write tls = { certificate = \"…\", key = \"…\" }"),
    ("client", "write tls = { client = { authorities = \"…\" }, … }"),
    ("force_ssl", "write redirect = \"https\""),
    ("h2c", "write http2 = true"),
    ("hsts", "write tls = { hsts = \"1y\", … }"),
    ("https", "write tls = { certificate = \"…\", key = \"…\" }; `redirect` sends plain HTTP there"),
    ("key", "write tls = { certificate = \"…\", key = \"…\" }"),
    ("minimum", "write tls = { minimum = \"1.2\", … }"),
];

/// Names that people bring from nginx, Apache and Caddy to `[[route]]`.
const OF_ROUTES: &[(&str, &str)] = &[
    ("access_control_allow_origin", "write `cors`"),
    ("add_header", "write fields = { response = { set = { X-Name = \"value\" } } }"),
    ("alias", "write files = { root = \"…\", strip = \"/the/path\" }"),
    ("auth_basic", "write auth = { realm = \"…\", file = \"/etc/vestibule/htpasswd\" }"),
    ("auth_basic_user_file", "write auth = { file = \"…\" }"),
    ("autoindex", "leave it out: directories are not listed"),
    ("balance", "write it in [upstream.NAME]"),
    ("basic_auth", "write auth = { users = { ann = \"$2y$…\" } }"),
    (
        "canary",
        "write upstreams = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }]",
    ),
    ("client_max_body_size", "write limits = { body = \"10 MiB\" }"),
    ("encode", "write `compress`"),
    ("error_page", "write [error_pages] at the top level"),
    ("expires", "write files = { cache_control = \"public, max-age=60\", … }, or its `immutable`"),
    ("gzip", "write `compress`: true, or { codings = [\"gzip\"] }"),
    ("gzip_min_length", "write compress = { least = \"1 KiB\" }"),
    ("gzip_static", "write files = { precompressed = [\"gzip\"], … }"),
    ("gzip_types", "write compress = { types = [\"text/*\"] }"),
    ("index", "write files = { index = \"index.html\", … }"),
    (
        "internal",
        "write `sendfile` in the route of the application: what it names is reached in no other way",
    ),
    ("limit_req", "write rate = { requests = 10, per = \"1s\", burst = 20 }"),
    ("location", "write `path`"),
    ("proxy_hide_header", "write fields = { response = { remove = [\"X-Name\"] } }"),
    ("proxy_pass", "write `upstream`, and its `address` in [upstream.NAME]"),
    ("proxy_pass_header", "leave it out: all fields of the application pass"),
    ("proxy_read_timeout", "write timeout = { response = \"60s\" }"),
    ("proxy_send_timeout", "write timeout = { idle = \"60s\" }"),
    (
        "proxy_set_header",
        "write fields = { request = { set = { X-Name = \"value\" } } }; X-Forwarded-* are set by themselves",
    ),
    ("return", "write redirect = { to = \"https://…\", status = 301 }, or respond = 404"),
    ("root", "write files = { root = \"…\" }"),
    ("server_name", "write `host`"),
    ("try_files", "write try = [\"files\", \"upstream\"], and below it `files` and `upstream`"),
    (
        "weight",
        "write upstreams = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }]",
    ),
];

/// Names from elsewhere that mean something in tables of this kind.
fn of_kind(kind: &str) -> &'static [(&'static str, &'static str)] {
    if kind.contains("[process") {
        OF_PROCESSES
    } else if kind.contains("`tls`") || kind.contains("`acme`") {
        OF_TLS
    } else if kind.contains("[[listen]]") {
        OF_LISTENERS
    } else if kind == "in [[route]]" {
        OF_ROUTES
    } else {
        &[]
    }
}

/// Whether `written` is what others call `key` in a table of this kind.
pub(crate) fn is_foreign(written: &str, key: &str, kind: &str) -> bool {
    let written = written.to_ascii_lowercase().replace('-', "_");
    let mut names = of_kind(kind).iter();
    names.any(|(name, instead)| *name == written && instead.starts_with(&format!("write `{key}`")))
}

/// What to write instead of an unknown key of a table of this kind, given the keys of all kinds.
pub(crate) fn for_key(key: &str, kind: &str, known: &BTreeMap<&'static str, Vec<&'static str>>) -> String {
    let here = known.get(kind).map_or(&[][..], Vec::as_slice);
    let folded = key.to_ascii_lowercase().replace('-', "_");
    if let Some((_, instead)) = of_kind(kind).iter().find(|(name, _)| *name == folded) {
        return (*instead).to_owned();
    }
    if let Some(near) = nearest(key, here.iter().copied()) {
        return format!("write `{near}`");
    }
    let elsewhere = known.iter().filter(|(_, keys)| keys.contains(&key)).map(|(other, _)| *other);
    let elsewhere = elsewhere.collect::<Vec<_>>().join(" or ");
    if !elsewhere.is_empty() {
        return format!("`{key}` belongs {elsewhere}");
    }
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(name, _)| *name == folded) {
        return (*instead).to_owned();
    }
    let mut names = here.to_vec();
    names.sort_unstable();
    format!("known here: {}", names.join(", "))
}

/// The candidate that `written` is most likely a misspelling of, if any is near enough.
pub(crate) fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // The distance takes time with the product of the lengths, and nobody misspells a name into a page.
    if written.len() > 64 {
        return None;
    }
    let folded = written.to_ascii_lowercase().replace('-', "_");
    let allowed = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= allowed && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
