//! Of every location that nginx would choose, the route is chosen.

use std::fmt::Write as _;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::nginx::Nginx;
use crate::support::vestibule::Vestibule;

/// So many sites, each with locations of its own.
const SITES: usize = 120;

const PATHS: [&str; 32] = [
    "/",
    "/a",
    "/ab",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/a/x.js",
    "/a/b/x.js",
    "/a/B/x.JS",
    "/b",
    "/b/",
    "/b/x.css",
    "/assets",
    "/assets/",
    "/assets/x.js",
    "/assets/p/x.css",
    "/assets/p/",
    "/api",
    "/api/",
    "/api/v1",
    "/api/v1/x.js",
    "/api/v2/u/7",
    "/u/7",
    "/u/seven",
    "/x.js",
    "/x.css",
    "/admin",
    "/adminx",
    "/admin/x",
    "/z.php",
    "/deep/er/still/x.png",
];

const PREFIXES: [&str; 16] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/b",
    "/b/",
    "/assets/",
    "/assets/p/",
    "/api",
    "/api/",
    "/api/v1",
    "/admin",
    "/admin/",
    "/u/",
    "/deep/er",
];

const EXPRESSIONS: [&str; 10] = [
    r"\.js$",
    r"\.(css|js|png)$",
    "^/a/",
    "^/api/v[0-9]+",
    "^/u/([0-9]+)$",
    r"\.php$",
    "^/assets/.*css$",
    "b",
    "^/(a|b)",
    "^/admin",
];

/// Locations, of which some are in others. `taken` are those that stand beside: nginx wants each only once.
fn locations(random: &mut fastrand::Rng, within: &str, depth: usize, count: &mut usize) -> String {
    let mut text = String::new();
    let mut taken = Vec::new();
    for _ in 0..random.usize(1..if depth == 0 { 8 } else { 4 }) {
        let prefix = PREFIXES[random.usize(..PREFIXES.len())];
        let exact = PATHS[random.usize(..PATHS.len())];
        let expression = EXPRESSIONS[random.usize(..EXPRESSIONS.len())];
        let fits_within = |path: &str| path.starts_with(within) && (depth == 0 || path != within);
        let (head, below) = match random.usize(..8) {
            0 if fits_within(exact) => (format!("= {exact}"), None),
            1 | 2 if fits_within(prefix) => (format!("^~ {prefix}"), Some(prefix)),
            3..=5 if fits_within(prefix) => (prefix.to_owned(), Some(prefix)),
            6 => (format!("~ {expression}"), None),
            7 => (format!("~* {expression}"), None),
            _ => continue,
        };
        let name = head.trim_start_matches("^~ ").to_owned();
        if taken.contains(&name) {
            continue;
        }
        taken.push(name);
        *count += 1;
        let number = *count;
        // Longer ones beside it would be chosen before what is in it.
        let inner = match below.filter(|_| depth < 1 && random.u8(..4) == 0) {
            Some(prefix) => locations(random, prefix, depth + 1, count),
            None => String::new(),
        };
        let _ = writeln!(text, "location {head} {{ {inner} return 200 \"L{number}\"; }}");
    }
    text
}

/// What nginx and Vestibule have of a site.
fn both(site: &str, config: &str, number: usize) -> String {
    let name = format!("s{number}.test");
    let block = site.split("server {").find(|block| block.contains(&format!("server_name {name};")));
    let routes = config.split("[[route]]").filter(|route| route.contains(&format!("\"{name}\"")));
    format!("{}\n{}", block.unwrap_or_default(), routes.collect::<Vec<_>>().join("[[route]]"))
}

#[test]
fn a_route_is_chosen_where_nginx_chooses_its_location() {
    let mut random = fastrand::Rng::with_seed(0x006e_6769_6e78);
    let mut site = String::from("server_names_hash_bucket_size 64;\nserver_names_hash_max_size 4096;\n");
    for number in 0..SITES {
        let inside = locations(&mut random, "", 0, &mut 0);
        let _ =
            writeln!(site, "server {{\nlisten 127.0.0.1:{{port}};\nserver_name s{number}.test;\n{inside}}}");
    }
    let dir = Dir::new();
    let nginx = Nginx::start(&dir, &site);
    let made = super::import(&[nginx.site().to_str().expect("UTF-8")]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    assert!(!made.stderr.contains("To be mended"), "{}", made.stderr);
    let config = made.stdout.replace(&nginx.address().to_string(), "127.0.0.1:0");
    let vestibule = Vestibule::start(&dir, &config);

    let mut wrong = Vec::new();
    let mut first_wrong = String::new();
    let mut told = 0;
    for number in 0..SITES {
        let mut clients = [nginx.address(), vestibule.address()]
            .map(|address| Client::connect(address).expect("a connection"));
        for path in PATHS {
            let answers = clients.each_mut().map(|client| {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: s{number}.test\r\n\r\n")).expect("sent");
                let answer = client.response().expect("an answer");
                // Of a 404 the page is the server's own.
                if answer.status == 404 { "nothing".to_owned() } else { answer.text() }
            });
            if answers[0] != answers[1] {
                // A location of which `import` says that it could not be bounded.
                let line = line_of(&site, number, &answers[0]);
                if made.stderr.contains(&format!("site.conf:{line}: location ")) {
                    told += 1;
                } else {
                    if first_wrong.is_empty() {
                        first_wrong = both(&site, &config, number);
                    }
                    wrong.push(format!(
                        "s{number}.test{path} (line {line}): {} is {} here",
                        answers[0], answers[1]
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}\n{first_wrong}", wrong.len(), wrong.join("\n"));
    // Nearly all can be said in routes.
    assert!(told * 50 < SITES * PATHS.len(), "{told} differ, as told");
}

/// The line of the location that answers so.
fn line_of(site: &str, server: usize, answer: &str) -> usize {
    let lines =
        site.lines().enumerate().skip_while(|(_, line)| *line != format!("server_name s{server}.test;"));
    let mut own = lines.skip(1).take_while(|(_, line)| *line != "server {");
    own.find(|(_, line)| line.contains(&format!("\"{answer}\""))).map_or(0, |(number, _)| number + 1)
}
