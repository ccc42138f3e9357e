//! What is the same for all routes: `[limits]`, `[compress]`, `[log]`, workers, trusted proxies.

use super::access;
use super::action::Shared;
use super::known;
use super::measure;
use super::note::Notes;
use super::output::Output;
use super::scope::Scope;
use super::written;

/// By what the default server says; `around` is what all servers inherit.
pub(super) fn write(
    scope: &Scope<'_>,
    shared: &Shared<'_>,
    around: &Scope<'_>,
    output: &mut Output,
    notes: &mut Notes,
) {
    if let Some(workers) = scope.one("worker_processes") {
        match workers.argument(0).parse::<u32>() {
            Ok(number) if number > 0 => output.top.set("workers", number.to_string()),
            _ => notes.needless(workers, "one worker per core is the default"),
        }
    }
    proxies(scope, output, notes);
    if let Some(body) = shared.body {
        output.limits.set("body", measure::written_size(body));
    }
    let times: [(&[&str], &str); 3] = [
        (&["client_header_timeout", "client_body_timeout"], "request_timeout"),
        (&["keepalive_timeout"], "idle_timeout"),
        (&["send_timeout"], "send_timeout"),
    ];
    for (names, key) in times {
        let written: Vec<_> = names.iter().filter_map(|name| scope.one(name)).collect();
        let longest = written.iter().filter_map(|directive| measure::time(directive.argument(0))).max();
        match longest {
            Some(time) if time.is_zero() => {
                for directive in written {
                    notes.missing(directive, "connections are kept for a while; limits.requests_per_connection = 1 closes each after its answer");
                }
            }
            Some(time) => output.limits.set(key, measure::written_time(time)),
            None => written.iter().for_each(|directive| notes.missing(directive, "it is no time")),
        }
    }
    if let Some(directive) = scope.one("keepalive_requests") {
        match directive.argument(0).parse::<u32>() {
            Ok(number) if number > 0 => output.limits.set("requests_per_connection", number.to_string()),
            _ => notes.missing(directive, "limits.requests_per_connection is 1 or more"),
        }
    }
    if let Some(directive) = scope.one("large_client_header_buffers") {
        match measure::head(directive) {
            Some(head) if head > known::HEAD => {
                output.limits.set("head", measure::written_size(head.min(16 << 20)));
            }
            Some(_) => notes.needless(directive, "a head may have limits.head bytes, 64 KiB"),
            None => notes.missing(directive, "it is no size"),
        }
    }
    if let Some(directive) = scope.one("http2_max_concurrent_streams") {
        match directive.argument(0).parse::<u32>() {
            Ok(number) if (1..=1000).contains(&number) => {
                output.limits.set("http2_streams", number.to_string());
            }
            _ => notes.missing(directive, "limits.http2_streams is 1 to 1000"),
        }
    }
    let zones = around.all("limit_conn_zone");
    if let Some(number) = access::connections(scope, &zones, notes) {
        output.limits.set("connections_per_address", number.to_string());
    }
    if scope.is_on("underscores_in_headers") {
        output.top.set("fields.underscores", "true");
    }
    match shared.compress.as_deref() {
        // Files too stay as they are then, as with nginx.
        Some("false") => output.top.set("compress", "false"),
        compress => output.compress = compress.map(ToOwned::to_owned),
    }
    log(scope, output, notes);
}

/// `set_real_ip_from`, `real_ip_header`
fn proxies(scope: &Scope<'_>, output: &mut Output, notes: &mut Notes) {
    let mut trusted: Vec<String> = Vec::new();
    for directive in scope.all("set_real_ip_from") {
        let network = directive.argument(0);
        if network == "unix:" {
            notes.needless(directive, "who comes over a Unix socket is trusted");
        } else if network.parse::<ipnet::IpNet>().is_ok() || network.parse::<std::net::IpAddr>().is_ok() {
            if !trusted.iter().any(|known| known == network) {
                trusted.push(network.to_owned());
            }
        } else {
            notes.missing(directive, "write the network in `trusted_proxies`");
        }
    }
    if let Some(header) = scope.one("real_ip_header") {
        match header.argument(0).to_ascii_lowercase().as_str() {
            "x-forwarded-for" | "proxy_protocol" => notes.needless(header, "X-Forwarded-For and the PROXY protocol are read"),
            _ => notes.missing(header, "of trusted proxies X-Forwarded-For is read, and no other field; those that send another send this one too, as a rule"),
        }
    }
    if !trusted.is_empty() {
        output.top.set("trusted_proxies", written::list(&trusted));
    }
}

/// `access_log`: one for all.
fn log(scope: &Scope<'_>, output: &mut Output, notes: &mut Notes) {
    let Some(directive) = scope.all("access_log").first().copied() else { return };
    let path = directive.argument(0);
    if path == "off" {
        output.log.set("access", "\"off\"");
        return;
    }
    if !path.starts_with('/') || path.contains('$') {
        return notes.missing(
            directive,
            "the access log goes to standard output, or to one file: log.output = \"/path\"",
        );
    }
    output.log.set("access", "\"combined\"");
    output.log.set("output", written::text(path));
    let format = directive.argument(1);
    if !format.is_empty() && format != "combined" && !format.contains('=') && format != "main" {
        notes.different(directive, "the format is \"combined\"; \"json\" has more in it");
    }
}

/// `[compress]` of what a route would have as `compress`.
pub(super) fn compress_section(compress: &str) -> String {
    let inside = compress.trim_start_matches("{ ").trim_end_matches(" }");
    // Commas within the lists are followed by a quote.
    let lines = inside.replace("], ", "]\n").replace("\", types", "\"\ntypes");
    format!(
        "# What the application answers is compressed too: where a page shows a secret beside what a visitor typed, see BREACH.\n[compress]\n{lines}\n"
    )
}
