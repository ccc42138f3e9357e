//! `allow`, `deny`, `auth_basic`, `limit_req`.

use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;

use super::directive::Directive;
use super::note::Notes;
use super::scope::Scope;
use super::written::{self, Keys};
use super::zone::Zones;

/// Who may come, and how often. Says whether nobody may.
pub(super) fn write<'d>(
    scope: &Scope<'d>,
    zones: &mut Zones<'d>,
    keys: &mut Keys,
    notes: &mut Notes,
) -> bool {
    let nobody = networks(scope, keys, notes);
    auth(scope, keys, notes);
    rates(scope, zones, keys, notes);
    for directive in scope.own("satisfy") {
        if directive.argument(0) == "any" {
            notes.missing(
                directive,
                "both address and password have to be right; leave out what may be missing",
            );
        }
    }
    nobody
}

/// nginx: the first that fits decides. Here: the longest network does. The same, where none is written behind one that it lies in.
fn networks(scope: &Scope<'_>, keys: &mut Keys, notes: &mut Notes) -> bool {
    let mut rules: Vec<(bool, IpNet)> = Vec::new();
    let mut last = None;
    // Both are one list, inherited as one: by the innermost block that has either.
    for directive in scope.all_of(&["allow", "deny"]) {
        let allows = directive.name == "allow";
        if last.is_some() {
            continue;
        }
        if directive.argument(0) == "all" {
            last = Some(allows);
            continue;
        }
        match network(directive.argument(0)) {
            Some(network) => {
                if !rules.iter().any(|(_, earlier)| earlier.contains(&network)) {
                    rules.push((allows, network));
                }
            }
            None => notes.missing(directive, "write a network, such as \"10.0.0.0/8\""),
        }
    }
    let chosen = |allows: bool| -> Vec<String> {
        let rules = rules.iter().filter(|(rule, _)| *rule == allows);
        rules.map(|(_, network)| short(network)).collect()
    };
    let (mut allow, mut deny) = (chosen(true), chosen(false));
    if rules.is_empty() && last != Some(false) {
        return false;
    }
    match last {
        Some(false) => {
            deny = if allow.is_empty() {
                vec!["all".to_owned()]
            } else {
                [deny, vec!["all".to_owned()]].concat()
            }
        }
        _ if !allow.is_empty() => allow.push("all".to_owned()),
        _ => {}
    }
    let nobody = allow.is_empty() && last == Some(false);
    if !allow.is_empty() {
        keys.set("allow", written::list(&allow));
    }
    if !deny.is_empty() {
        keys.set("deny", written::list(&deny));
    }
    nobody
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .map(|network| network.trunc())
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn short(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

fn auth(scope: &Scope<'_>, keys: &mut Keys, notes: &mut Notes) {
    let Some(basic) = scope.one("auth_basic") else { return };
    let file = scope.one("auth_basic_user_file");
    if basic.argument(0) == "off" {
        return;
    }
    let Some(file) = file else {
        return notes.missing(basic, "there is no auth_basic_user_file: nobody could come in");
    };
    let entries = [
        ("realm".to_owned(), written::text(basic.argument(0))),
        ("file".to_owned(), written::text(file.argument(0))),
    ];
    keys.set("auth", written::table(&entries));
    let advice = "hashes are bcrypt or argon2 here: `htpasswd -B` makes them; others, such as crypt and $apr1$, are refused";
    match fs::read_to_string(file.argument(0)) {
        Ok(text) if text.lines().all(is_strong) => {}
        Ok(_) => notes.different(file, advice),
        Err(error) => notes.different(file, format!("{error}, so it was not looked at; {advice}")),
    }
}

fn is_strong(line: &str) -> bool {
    let line = line.trim();
    let hash = line.split_once(':').map(|(_, hash)| hash);
    line.is_empty()
        || line.starts_with('#')
        || hash.is_some_and(|hash| hash.starts_with("$2") || hash.starts_with("$argon2"))
}

fn rates<'d>(scope: &Scope<'d>, zones: &mut Zones<'d>, keys: &mut Keys, notes: &mut Notes) {
    let mut rates = Vec::new();
    for directive in scope.all("limit_req") {
        match rate(directive, &zones.all, notes) {
            Ok((zone, rate)) => {
                zones.add(zone, directive, &rate);
                rates.push(rate);
            }
            Err(why) => notes.missing(directive, why),
        }
    }
    match rates.as_slice() {
        [] => {}
        [one] => keys.set("rate", one.clone()),
        several => keys.set("rate", format!("[{}]", several.join(", "))),
    }
    for directive in scope.all("limit_req_status") {
        if directive.argument(0) != "429" {
            notes.different(directive, "the answer is 429 with Retry-After (RFC 6585 4)");
        }
    }
}

/// The zone of a `limit_req`, and what both say as a value of `rate`.
fn rate<'d>(
    directive: &Directive,
    zones: &[&'d Directive],
    notes: &mut Notes,
) -> Result<(&'d Directive, String), String> {
    let option = |of: &Directive, name: &str| {
        of.arguments.iter().find_map(|word| word.strip_prefix(name)).map(ToOwned::to_owned)
    };
    let name = option(directive, "zone=").unwrap_or_default();
    let named =
        |zone: &&Directive| option(zone, "zone=").is_some_and(|zone| zone.split(':').next() == Some(&name));
    let zone = zones
        .iter()
        .copied()
        .find(|zone| named(zone))
        .ok_or_else(|| format!("there is no limit_req_zone {name}"))?;
    let by = match zone.argument(0) {
        "$binary_remote_addr" | "$remote_addr" => "client".to_owned(),
        "$server_name" | "$host" | "$http_host" => "all".to_owned(),
        key => match key.strip_prefix("$http_") {
            Some(field) => format!("field:{}", field.replace('_', "-")),
            None => {
                return Err(format!(
                    "its zone counts by {key}; a rate counts by \"client\", \"field:NAME\" or \"all\""
                ));
            }
        },
    };
    let rate = option(zone, "rate=").unwrap_or_default();
    let (number, per) = rate
        .strip_suffix("r/s")
        .map(|number| (number, "\"1s\""))
        .or_else(|| rate.strip_suffix("r/m").map(|number| (number, "\"1m\"")))
        .ok_or_else(|| format!("{rate:?} is no rate"))?;
    let number: u32 = number.parse().map_err(|_| format!("{rate:?} is no rate"))?;
    let burst = option(directive, "burst=").and_then(|burst| burst.parse::<u32>().ok()).unwrap_or(0);
    if burst > 0 && !directive.says("nodelay") {
        notes.different(
            directive,
            "what is above the rate is answered at once as long as `burst` lasts; nginx lets it wait",
        );
    }
    zone.see();
    // nginx counts what is above the one that the rate allows.
    let entries = vec![
        ("requests".to_owned(), number.to_string()),
        ("per".to_owned(), per.to_owned()),
        ("burst".to_owned(), burst.saturating_add(1).to_string()),
        ("by".to_owned(), written::text(&by)),
    ];
    Ok((zone, written::table(&entries)))
}

/// `limit_conn` of the whole server by address, as the limit on connections; the others have nothing that corresponds.
pub(super) fn connections(scope: &Scope<'_>, zones: &[&Directive], notes: &mut Notes) -> Option<u32> {
    let mut limit = None;
    for directive in scope.all("limit_conn") {
        let named = |zone: &&&Directive| zone.says_zone(directive.argument(0));
        let zone = zones.iter().find(named);
        let by_address =
            zone.is_some_and(|zone| matches!(zone.argument(0), "$binary_remote_addr" | "$remote_addr"));
        match directive.argument(1).parse::<u32>() {
            Ok(number) if by_address && number > 0 => {
                limit = Some(limit.map_or(number, |known: u32| known.min(number)));
                notes.different(directive, "idle connections count too (limits.connections_per_address)");
            }
            _ => notes.missing(directive, "only limits.connections_per_address corresponds to it"),
        }
    }
    for zone in zones {
        notes.needless(zone, "limits.connections_per_address counts by itself");
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks_as_nginx_does() {
        assert_eq!(short(&network("10.1.2.3/8").unwrap()), "10.0.0.0/8");
        assert_eq!(short(&network("10.1.2.3").unwrap()), "10.1.2.3");
        assert_eq!(short(&network("2001:db8::/32").unwrap()), "2001:db8::/32");
        assert!(network("unix:").is_none());
    }
}
