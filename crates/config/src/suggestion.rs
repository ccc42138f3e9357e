//! What was probably meant.

use std::collections::BTreeMap;

/// Names that people bring from nginx, Puma and HAProxy, and what says the same here.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("access_log", "write `output` in [log]"),
    ("bind", "write `address` in [[listen]]"),
    ("body_memory", "write `memory` in [buffer], which has taken its place"),
    ("client_body_buffer_size", "write `memory` in [buffer]"),
    ("client_body_temp_path", "write `directory` in [disk]"),
    ("client_header_timeout", "write `request_timeout` in [limits]"),
    ("client_max_body_size", "write `body` in [limits]"),
    ("error_page", "write [error_pages], and below it 503 = \"/srv/app/public/503.html\""),
    ("keepalive_requests", "write `requests_per_connection` in [limits]"),
    ("keepalive_timeout", "write `idle_timeout` in [limits]"),
    ("limit_conn", "write `connections_per_address` in [limits]"),
    ("listener", "write [[listen]]"),
    ("location", "write `path` in [[route]]"),
    ("max_connections", "write `connections` in [limits]"),
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
    ("send_timeout", "write `send_timeout` in [limits]"),
    ("server_name", "write `host` in [[route]]"),
    ("set_real_ip_from", "write `trusted_proxies` at the top level"),
    ("socket", "write `address`, such as \"unix:/tmp/web_server.sock\""),
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

/// What to write instead of an unknown key of a table of this kind, given the keys of all kinds.
pub(crate) fn for_key(key: &str, kind: &str, known: &BTreeMap<&'static str, Vec<&'static str>>) -> String {
    let here = known.get(kind).map_or(&[][..], Vec::as_slice);
    let of_processes = OF_PROCESSES.iter().filter(|_| kind.contains("[process"));
    if let Some((_, instead)) = of_processes.into_iter().find(|(name, _)| *name == key) {
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
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(name, _)| *name == key) {
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
