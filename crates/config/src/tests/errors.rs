use std::fmt::Write as _;
use std::path::Path;

use super::{assert_wrong, wrong, wrong_once};

/// Every line with an error ends in a comment of their columns and parts of their messages, in order.
const BAD: &str = r#"wrokers = 2                                  # 1 unknown key `wrokers`
workers = 0                                  # 11 out of bounds
trusted_proxies = ["nope", "127.0.0.1", 3]   # 20 neither a network | 41 expected text
tls = {}                                     # 1 unknown key `tls` at the top level
connections = 5                              # 1 unknown key `connections` at the top level

[[listen]]
address = "0.0.0.0:99999"                    # 11 not a port
backlog = "many"                             # 11 expected a whole number
tls = { certificate = "a" }                  # 23 this certificate has no key

[[listen]]
address = "127.0.0.1:80"

[[listen]]
	address = "0.0.0.0:80"                      # 12 listener on line 13
reuseport = true                             # 1 unknown key `reuseport`
redirect = "http"                            # 12 nowhere to send clients to

[[listen]]
tls.certificates = [{ certificate = "a.pem" }, { key = "" }] # 37 no key | 56 not the path | 56 no certificate
tls.acme = { domains = ["*.example.com", "a:1"], eab = { id = "a" } } # 25 many names | 42 a port | 56 no `key`
tls.client = { required = 1 }                # 14 which clients' certificates count | 27 expected true or false
tls.minimum = "1.1"                          # 15 no version of TLS here
tls.hsts = { age = "1s", preload = true }    # 36 hstspreload.org

[[listen]]
address = "systemd:web"                      # 11 systemd are not supported yet

[upstream.app]
adress = "unix:/x"                           # 1 unknown key `adress`
server = "pumas"                             # 10 "pumas" is not known
hold = { timeout = 30, requests = -1, memory = "64MB" } # 20 expected a duration | 35 out of bounds | 48 not a size
health = { interval = "0s" }                 # 10 `health` has no path | 23 zero
drain = "30s"                                # 9 `drain` is a table
timeout = { conect = "1s", idle = [] }       # 13 unknown key `conect` | 35 expected a duration

[upstream.b]
addresses = ["unix:/a", "unix:/a"]           # 25 unix:/a stands here a second time

[upstream.c]                                 # 11 `c` has no address

[[route]]
host = "ä.example"                           # 8 not ASCII
upstream = "ap"                              # 12 no upstream "ap"

[[route]]
path = "/a"
upstream = "b"

[[route]]
path = "a/*"                                 # 8 does not begin
method = ["GET", "post"]                     # 18 no method "post"
header = { "X-A:" = "1", X-B = "~ (" }       # 12 not the name of a field | 32 unclosed group
buffer = { memory = "1 MB", disc = 1 }       # 21 not a size | 29 unknown key `disc` in `buffer` of [[route]]
files = { root = "public", indx = 1 }        # 28 unknown key `indx` in `files` of [[route]]

[[route]]                                    # 1 `upstream` and `respond`
path = "/x/*"
upstream = "b"
respond = 404
rewrite = "/y/$2"                            # 11 catches no $2

[[route]]                                    # 1 which upstream
path = "/b"

[[route]]
path = "/c"
upstream = "b"

[[route]]                                    # 1 route on line 67
path = "/c"
upstream = "c"

[limits]
body = "64 MB"                               # 8 not a size
timeout = "1s"                               # 1 unknown key `timeout` in [limits]

[buffer]
memory = true                                # 10 expected a size
response = 1                                 # 12 expected true or false

[disk]
dir = "/var/tmp"                             # 1 unknown key `dir` in [disk]

[error_pages]
404 = "404.html"                             # 7 not absolute
500 = "/a.html"                              # 1 never answers 500

[log]
access = "xml"                               # 10 "xml" is not known
level = "debug"                              # 1 `level` in [log] is not supported yet

[process.app]
command = []                                 # 11 is empty
restart = "usr2"                             # 11 "usr2" is not known
working_dir = "/srv"                         # 1 unknown key `working_dir` in [process.NAME]
"#;

#[test]
fn reports_every_error_at_its_place() {
    let mut expected = Vec::new();
    for (index, line) in BAD.lines().enumerate() {
        let Some((_, errors)) = line.split_once("# ") else { continue };
        for error in errors.split(" | ") {
            let (column, message) = error.split_once(' ').expect("column and message");
            expected.push((index + 1, column.parse::<usize>().expect("a column"), message.to_owned()));
        }
    }
    let problems = wrong(BAD);
    let mut report = String::new();
    for problem in &problems {
        let place = problem.place.as_ref().expect("a place");
        assert_eq!(Some(&*place.source), BAD.lines().nth(place.line - 1));
        assert!(problem.instead.is_some(), "no advice: {problem}");
        writeln!(report, "{}:{} {}", place.line, place.column, problem.message).unwrap();
    }
    assert_eq!(problems.len(), expected.len(), "{report}");
    for (problem, (line, column, message)) in problems.iter().zip(expected) {
        let place = problem.place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (line, column), "{message}\n{report}");
        assert!(problem.message.contains(&message), "{message}\n{report}");
    }
}

#[test]
fn shows_each_error_as_a_block_and_counts_them() {
    let text = "wrokers = 2\n\n[limits]\n\tbody = \"1 GB\"\n";
    let error = crate::parse(text, Path::new("/etc/vestibule.toml")).unwrap_err();
    let expected = "\
/etc/vestibule.toml:1:1: unknown key `wrokers` at the top level
  |
1 | wrokers = 2
  | ^^^^^^^
  = write `workers`

/etc/vestibule.toml:4:9: \"1 GB\" is not a size
  |
4 | \tbody = \"1 GB\"
  | \t       ^^^^^^
  = write \"1 GiB\"

2 errors in /etc/vestibule.toml";
    assert_eq!(error.to_string(), expected);
    let one = crate::parse("a = 1", Path::new("a.toml")).unwrap_err().to_string();
    assert!(one.ends_with("\n\n1 error in a.toml"), "{one}");
}

#[test]
fn reports_what_is_not_toml_in_the_same_form() {
    for (text, at, instead) in [
        ("workers = ", (1, 11), "a value after the `=`"),
        ("workers 2", (1, 9), "key = value"),
        ("workers = 2;", (1, 11), "the semicolon"),
        ("listen {", (1, 8), "key = value"),
        ("\n[limits\nhead = 1", (2, 8), "close the bracket"),
        ("a = \"open", (1, 10), "close the quote"),
        ("log.access = json # or line", (1, 14), "write \"json\""),
        ("[[listen]]\naddress = 127.0.0.1:80", (2, 16), "write \"127.0.0.1:80\""),
        ("workers = 2\nworkers = 3", (2, 1), "one of them out"),
        ("[log]\n[log]", (2, 2), "one of them out"),
        ("a = \"\\q\"", (1, 7), "one to a line"),
    ] {
        let problem = wrong_once(text);
        let place = problem.place.as_ref().expect("a place");
        assert!(problem.message.starts_with("this is not TOML: "), "{problem}");
        assert_eq!((place.line, place.column), at, "{text}\n{problem}");
        assert!(problem.instead.as_ref().is_some_and(|text| text.contains(instead)), "{problem}");
    }
    let problems = wrong("a = \"ä\"; \"é\" = 1\nb = 5m; c = 6m\nd = 1\n");
    let places = problems.iter().filter_map(|problem| problem.place.as_ref());
    assert_eq!(places.map(|place| (place.line, place.column)).collect::<Vec<_>>(), [(1, 8), (2, 5)]);
}

#[test]
fn names_the_key_that_was_meant() {
    for (text, instead) in [
        ("[[listen]]\nadress = \"127.0.0.1:80\"", "write `address`"),
        ("[[listen]]\nreuse-port = true", "write `reuse_port`"),
        ("[[listen]]\nBacklog = 1", "write `backlog`"),
        ("[limits]\nconnection = 1", "write `connections`"),
        ("[limits]\npid_file = 1", "`pid_file` belongs in [process.NAME] or in [upstream.NAME]"),
        (
            "[log]\nrequests = 1",
            "`requests` belongs in `cycle` of [process.NAME] or in `hold` of [upstream.NAME]",
        ),
        ("[log]\nclient_max_body_size = 1", "write `body` in [limits]"),
        ("[limits]\nbody_memory = \"64 KiB\"", "write `memory` in [buffer]"),
        ("[limits]\nclient_body_buffer_size = 1", "write `memory` in [buffer]"),
        ("[buffer]\nmemroy = 1", "write `memory`"),
        ("route = [{ buffer.requests = true }]", "write `request`"),
        ("[limits]\nmemory = 1", "`memory` belongs in [buffer]"),
        ("[[listen]]\nport = 80", "after the host in `address`"),
        ("tls = {}", "`tls` belongs in [[listen]]"),
        ("[[listen]]\nhtpp2 = true", "write `http2`"),
        ("[[listen]]\ncertificate = \"a\"", "write tls = { certificate = "),
        ("[[listen]]\nssl_certificate = \"a\"", "write tls = { certificate = "),
        ("[[listen]]\nssl = \"on\"", "write tls = { certificate = "),
        ("[[listen]]\nhsts = \"1y\"", "write tls = { hsts = "),
        ("[[listen]]\nssl_protocols = \"TLSv1.2 TLSv1.3\"", "write minimum = \"1.2\" or \"1.3\" in `tls`"),
        ("[[listen]]\nssl_ciphers = \"HIGH\"", "leave it out"),
        ("[[listen]]\nssl_client_certificate = \"ca.pem\"", "write client = { authorities = "),
        ("[[listen]]\nssl_verify_client = \"on\"", "required = true } in `tls`"),
        ("[[listen]]\nadd_header = \"Strict-Transport-Security max-age=1\"", "write hsts = \"1y\" in `tls`"),
        ("[[listen]]\nreturn = \"301 https://$host$request_uri\"", "write redirect = \"https\""),
        ("[[listen]]\nredirects = \"https\"", "write `redirect`"),
        ("email = \"ops@example.com\"", "write `contact` in `acme`"),
        ("[limits]\nhttp2_max_concurrent_streams = 1", "write `http2_streams`"),
        ("[limits]\nconnections_per_adress = 1", "write `connections_per_address`"),
        ("[limits]\nlimit_conn = 1", "write `connections_per_address` in [limits]"),
        ("[[listen]]\nproxy-protocol = true", "write `proxy_protocol`"),
        ("[[route]]\nproxy_buffering = false", "write `response` in [buffer]"),
        ("[[route]]\nproxy_request_buffering = false", "write `request` in [buffer]"),
        ("proxy_max_temp_file_size = 0", "write `disk` in [buffer]"),
        ("upstream.app.timeout.tunel = \"1h\"", "write `tunnel`"),
        ("error_page = { 404 = \"/a.html\" }", "write `error_pages`"),
        ("[log]\nxyzzy = 1", "known here: access, output"),
    ] {
        let problem = wrong_once(text);
        assert!(problem.message.starts_with("unknown key"), "{problem}");
        assert!(problem.instead.as_ref().is_some_and(|text| text.contains(instead)), "{problem}");
    }
}

#[test]
fn every_name_known_from_elsewhere_is_unknown_here() {
    for (name, _) in crate::suggestion::ELSEWHERE {
        let problem = wrong_once(&format!("{name} = 1"));
        assert_eq!(problem.message, format!("unknown key `{name}` at the top level"));
    }
}

#[test]
fn says_how_a_table_is_written() {
    assert_wrong("[listen]\naddress = \"127.0.0.1:80\"", (1, 1), "two brackets", "[[listen]]");
    assert_wrong("listen = \"127.0.0.1:80\"", (1, 10), "two brackets", "[[listen]]");
    assert_wrong("listen = []", (1, 10), "must be a listener", "[[listen]]");
    assert_wrong("listen = [1]", (1, 11), "each `listen` is a table", "[[listen]]");
    assert_wrong("[route]\npath = \"/\"", (1, 1), "two brackets", "[[route]]");
    assert_wrong(
        "[upstream]\naddress = \"unix:/a\"\nserver = \"puma\"",
        (2, 1),
        "has a name",
        "[upstream.app]",
    );
    assert_wrong("upstream = \"unix:/a\"", (1, 12), "is a table", "upstream = {");
    assert_wrong("limits = 1", (1, 10), "is a table", "limits = {");
}

#[test]
fn a_hostile_line_cannot_reach_the_terminal() {
    let text = format!("a{} = \"\\u001b\" # {}", "b".repeat(5000), "c".repeat(5000));
    let shown = crate::parse(&text, Path::new("a.toml")).unwrap_err().to_string();
    assert!(shown.lines().skip(1).all(|line| line.chars().count() <= 450), "{shown}");
    let text = "a = '\u{1b}[31m'";
    let shown = crate::parse(text, Path::new("a.toml")).unwrap_err().to_string();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let shown = crate::parse("\"\\u001b[31m\" = 1", Path::new("a.toml")).unwrap_err().to_string();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_long_line_is_shown_around_its_error() {
    let text = format!(
        "trusted_proxies = [{}\"nope\", {}]",
        "\"10.0.0.1\", ".repeat(1000),
        "\"10.0.0.1\",".repeat(1000)
    );
    let problem = wrong_once(&text);
    let shown = problem.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[3].find('^').expect("a caret");
    assert!(lines[2][caret..].starts_with("\"nope\"") && lines[3].ends_with(" ^^^^^^"), "{shown}");
    assert_eq!(problem.place.map(|place| place.column), Some(20 + 12 * 1000));
}
