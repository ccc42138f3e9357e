//! `${NAME}` gives what the environment says, and nobody sees it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use crate::model::{Config, UpstreamAddress};
use crate::problem::Problem;
use crate::web_server::WebServer;

const SECRET: &str = "hunter2-is-secret";

fn environment(name: &str) -> Option<OsString> {
    Some(OsString::from(match name {
        "WORKERS" => "4",
        "YES" => "true",
        "SIZE" => "8 KiB",
        "WAIT" => "7s",
        "EMPTY" => "",
        "SOCKET" => "/run/app.sock",
        "SECRET" => SECRET,
        "DOLLARS" => "a$1b${path}",
        "NESTED" => "${SECRET}",
        "BYTES" => return Some(OsString::from_vec(vec![b'a', 0xff])),
        _ => return None,
    }))
}

fn read(text: &str) -> (Config, Vec<Problem>) {
    let read =
        crate::read(text.to_owned(), Path::new("test.toml"), &WebServer::default(), &environment, false);
    let (config, _, problems) = read.unwrap_or_else(|error| panic!("{error}"));
    (config, problems)
}

fn right(text: &str) -> Config {
    let (config, problems) = read(text);
    assert!(problems.is_empty(), "{text}\n{problems:#?}");
    config
}

fn wrong_once(text: &str) -> Problem {
    let (_, problems) = read(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.into_iter().next().expect("one")
}

#[test]
fn a_variable_gives_texts_sizes_numbers_and_booleans() {
    let config = right(
        "workers = \"${WORKERS}\"\nlimits.head = \"${SIZE}\"\nlimits.fields = \"${FIELDS:-60}\"\nlimits.send_timeout = \"${WAIT}\"\n\
         buffer.request = \"${NO:-false}\"\nfields.forwarded = '${YES}'\nfields.via = \"v${WORKERS}\"\n\
         [upstream.app]\naddress = \"unix:${SOCKET}\"\nin_flight = \"${WORKERS}\"\n",
    );
    assert_eq!((config.workers.get(), config.limits.head, config.limits.fields), (4, 8 << 10, 60));
    assert_eq!(
        (config.limits.send_timeout.as_secs(), config.buffer.request, config.fields.forwarded),
        (7, false, true)
    );
    assert_eq!(config.fields.via.as_deref(), Some("v4"), "a text stays one");
    assert_eq!(config.upstreams[0].address(), &UpstreamAddress::Unix("/run/app.sock".into()));
    assert_eq!(config.upstreams[0].in_flight, Some(4));
    assert_eq!(right("[upstream.app]\nin_flight = \"${X:-auto}\"\n").upstreams[0].in_flight, None);
}

#[test]
fn the_default_stands_for_what_is_not_set_and_what_is_empty() {
    for (text, via) in [
        ("${EMPTY:-else}", Some("else")),
        ("${UNSET:-else}", Some("else")),
        ("${WORKERS:-else}", Some("4")),
        ("a${UNSET:-}b", Some("ab")),
        ("${EMPTY}", None),
        ("${UNSET:-a:-b}", None),
    ] {
        let (config, problems) = read(&format!("fields.via = \"{text}\"\n"));
        if text == "${UNSET:-a:-b}" {
            assert!(problems[0].message.contains("cannot stand in a Via field"), "{problems:?}");
        } else {
            assert_eq!((config.fields.via.as_deref(), problems.len()), (via, 0), "{text}");
        }
    }
}

#[test]
fn two_dollars_escape_and_other_dollars_stay() {
    for (text, via) in
        [("$${A}", "${A}"), ("$$", "$$"), ("$1$A", "$1$A"), ("a$", "a$"), ("$$${WORKERS}", "$${WORKERS}")]
    {
        let problem = wrong_once(&format!("log.output = \"{text}\"\n"));
        assert!(problem.message.contains(&format!("{via:?}")), "{text}: {problem}");
    }
}

#[test]
fn what_a_variable_gives_is_not_looked_into_again() {
    let problem = wrong_once("log.output = \"${NESTED}\"\n");
    assert!(!problem.to_string().contains(SECRET), "{problem}");
}

#[test]
fn what_is_not_set_is_an_error_in_its_place_and_the_only_one() {
    let problem = wrong_once("workers = 2\nlimits.head = \"${NO_SIZE}\"\n");
    assert_eq!(
        problem.to_string(),
        "test.toml:2:15: the variable NO_SIZE is not set\n  |\n2 | limits.head = \"${NO_SIZE}\"\n  |               ^^^^^^^^^^^^\n  \
         = set it where Vestibule is started, or write a default: ${NO_SIZE:-…}"
    );
    let problem = super::wrong_once("workers = \"${WORKERS}\"");
    assert!(problem.message.contains("WORKERS is not set"), "a text alone has no environment: {problem}");
    let problem = wrong_once("fields.via = \"${BYTES}\"\n");
    assert_eq!(problem.message, "the variable BYTES is not UTF-8 text");
}

#[test]
fn refuses_what_begins_as_a_variable_and_is_none() {
    for (text, instead) in [
        ("${}", "write a name, such as ${PORT}"),
        ("${1A}", "write ${1A}"),
        ("${WORKERS", "write ${WORKERS}"),
        ("${WORKERS-2}", "write ${WORKERS} or ${WORKERS:-default}"),
        ("${WORKERS:2}", "write ${WORKERS} or ${WORKERS:-default}"),
        ("${WORKERS:-2", "write ${WORKERS} or ${WORKERS:-default}"),
        ("${a b}", "write ${a}"),
    ] {
        let problem = wrong_once(&format!("fields.via = \"{text}\"\n"));
        assert!(problem.message.contains("`${` begins the name of a variable"), "{text}: {problem}");
        assert!(
            problem.instead.as_ref().is_some_and(|found| found.starts_with(instead)),
            "{text}: {problem}"
        );
    }
}

#[test]
fn no_error_shows_what_a_variable_gave() {
    for text in [
        "workers = \"${SECRET}\"",
        "workers = \"1${SECRET}\"",
        "limits.head = \"${SECRET}\"",
        "limits.send_timeout = \"${SECRET}\"",
        "log.access = \"${SECRET}\"",
        "log.output = \"${SECRET}\"",
        "fields.via = \"a ${SECRET}\"",
        "trusted_proxies = [\"${SECRET}\"]",
        "[[listen]]\naddress = \"${SECRET}\"",
        "[[listen]]\naddress = \"http://${SECRET}/\"",
        "[[listen]]\naddress = \"${SECRET}:99999\"",
        "[[listen]]\ntls.acme.domains = [\"${SECRET}\"]",
        "[[route]]\nupstream = \"${SECRET}\"",
        "[[route]]\nhost = \"${SECRET} \"",
        "[upstream.app]\nhealth.path = \"${SECRET}\"",
        "[process.app]\nuser = \"${SECRET}:\"\ncommand = [\"a\"]",
    ] {
        let (config, problems) = read(text);
        assert!(!problems.is_empty(), "{text}");
        for problem in problems {
            let shown = config.places.hidden(problem).to_string();
            assert!(!shown.to_lowercase().contains("hunter2"), "{text}\n{shown}");
            assert!(shown.contains("${SECRET}"), "{text}\n{shown}");
        }
    }
    let (config, _) = read("error_pages.404 = \"/nowhere/${SECRET}.html\"\n");
    assert_eq!(
        config.without_secrets(&format!("/nowhere/{SECRET}.html is gone")),
        "/nowhere/${SECRET}.html is gone"
    );
}

#[test]
fn what_the_machine_says_of_a_path_names_the_variable_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("v.toml");
    std::fs::write(
        &path,
        "log.output = \"/no/such/${SECRET}/a.log\"\nerror_pages.404 = \"/no/${SECRET}.html\"\n",
    )
    .expect("written");
    let error = crate::load_in(&path, (WebServer::default(), Vec::new()), &environment).expect_err("refused");
    let shown = error.to_string();
    assert!(!shown.contains("hunter2") && shown.matches("${SECRET}").count() >= 3, "{shown}");
}

#[test]
fn keys_and_what_a_program_is_handed_stay_as_they_are() {
    let (_, problems) = read("\"${WORKERS}\" = 1\n");
    assert!(problems[0].message.contains("unknown key `${WORKERS}`"), "{problems:?}");
    let config = right(
        "[process.app]\ncommand = [\"sh\", \"-c\", \"echo ${HOME} ${SECRET}\"]\nenvironment = { A = \"${SECRET}\" }\n\
         alert = [\"${PAGER}\"]\nmemory = \"${UNSET:-1 GiB}\"\ninstances = \"${UNSET:-1}\"\n",
    );
    let process = &config.processes[0];
    assert_eq!(process.environment, [("A".to_owned(), "${SECRET}".to_owned())]);
    assert_eq!(process.alert.as_deref(), Some(&["${PAGER}".to_owned()][..]));
    assert!(process.is_owned());
    assert_eq!(process.memory.map(|memory| memory.above), Some(1 << 30));
}

/// What variables make of the texts of a route, by the offset of each.
fn puts(route: &str) -> Vec<String> {
    use crate::variables::Put;
    let loaded =
        crate::include::load(format!("[[route]]\n{route}"), Path::new("t.toml"), &environment, false);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let texts = loaded.puts.into_values().map(|put| match put {
        Put::Text(text) | Put::Bare(text) => text,
    });
    texts.collect()
}

#[test]
fn in_a_template_names_are_what_the_request_gives_before_they_are_variables() {
    assert_eq!(puts("rewrite = \"/${path}/$1\"\n"), Vec::<String>::new());
    assert_eq!(puts("rewrite = \"/${WORKERS}/${path}\"\n"), ["/4/${path}"]);
    assert_eq!(puts("path = \"~ ^/(?<WORKERS>x)\"\nrewrite = \"/${WORKERS}\"\n"), Vec::<String>::new());
    assert_eq!(
        puts("path = [\"/a\", \"~ ^/(?P<WORKERS>x)\"]\nredirect.to = \"/${WORKERS}\"\n"),
        Vec::<String>::new()
    );
    assert_eq!(puts("fields.request.set = { A = \"Bearer ${SECRET}\" }\n"), [format!("Bearer {SECRET}")]);
    assert_eq!(puts("fields.response.set.A = \"${DOLLARS}\"\n"), ["a$$1b$${path}"], "what it gives is text");
    assert_eq!(puts("redirect = \"$${WORKERS}\"\n"), Vec::<String>::new());
    assert_eq!(puts("redirect = \"https://${UNSET:-example.com}$uri\"\n"), ["https://example.com$uri"]);
    // Elsewhere in a route there are no templates.
    assert_eq!(
        puts("files.root = \"${SOCKET}\"\nfiles.immutable = [\"${UNSET:-/a}\"]\n"),
        ["/run/app.sock", "/a"]
    );
}
