use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::web_server::WebServer;
use crate::{Config, Error, Problem, UpstreamAddress, check_environment, load};

/// A directory with a configuration in it; `DIR` in the text stands for it.
struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, text: &str) -> Result<Config, Error> {
        let file = self.path("vestibule.toml");
        fs::write(&file, text.replace("DIR", &self.directory.path().display().to_string())).expect("written");
        load(&file)
    }

    fn problems(&self, text: &str) -> Vec<Problem> {
        self.load(text).err().map_or_else(Vec::new, |error| error.problems().to_vec())
    }

    fn assert_wrong(&self, text: &str, line: usize, message: &str) {
        let problems = self.problems(text);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (line, 11), "{}", problems[0]);
        assert!(problems[0].message.contains(message), "no {message:?} in {}", problems[0]);
        assert!(problems[0].instead.is_some());
    }
}

#[test]
fn refuses_socket_paths_that_are_directories() {
    let case = Case::new();
    fs::create_dir(case.path("d")).expect("made");
    case.assert_wrong("[upstream.app]\naddress = \"unix:DIR/d\"", 2, "is a directory");
    case.assert_wrong("[[listen]]\naddress = \"unix:DIR/d\"", 2, "is a directory");
}

#[test]
fn refuses_socket_paths_in_directories_that_do_not_exist() {
    let case = Case::new();
    case.assert_wrong("[[listen]]\naddress = \"unix:DIR/none/a\"", 2, "none does not exist");
    case.assert_wrong("[log]\n\noutput  = \"DIR/none/a\"", 3, "none does not exist");
    case.assert_wrong("[upstream.app]\naddress = \"unix:DIR/vestibule.toml/a\"", 2, "is not a directory");
}

#[test]
fn refuses_to_listen_in_place_of_a_file() {
    let case = Case::new();
    fs::write(case.path("file"), "").expect("written");
    case.assert_wrong("[[listen]]\naddress = \"unix:DIR/file\"", 2, "not a socket");
    std::os::unix::fs::symlink(case.path("nowhere"), case.path("link")).expect("linked");
    case.assert_wrong("[[listen]]\naddress = \"unix:DIR/link\"", 2, "not a socket");
}

#[test]
fn an_old_socket_is_in_nobodys_way() {
    let case = Case::new();
    drop(UnixListener::bind(case.path("old")).expect("bound"));
    assert!(case.path("old").exists());
    case.load("[[listen]]\naddress = \"unix:DIR/old\"").expect("an old socket is replaced");
    case.load("[upstream.app]\naddress = \"unix:DIR/not-yet\"").expect("the application may come later");
    case.load("[upstream.app]\naddress = \"unix:DIR/none/a\"").expect("and bring its directory");
}

#[test]
fn what_the_machine_says_comes_with_the_other_errors() {
    let case = Case::new();
    let problems = case.problems("wrokers = 1\n[upstream.app]\naddress = \"unix:DIR\"\nserver = \"x\"");
    let lines: Vec<_> =
        problems.iter().filter_map(|problem| problem.place.as_ref()).map(|place| place.line).collect();
    assert_eq!(lines, [1, 3, 4]);
}

#[test]
fn checks_a_configuration_that_no_file_gave() {
    let mut config = Config::default();
    config.upstreams[0].members[0].address = crate::UpstreamAddress::Unix("/proc".into());
    let problems = check_environment(&config);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "/proc is a directory\n  = write a socket's path, in it or elsewhere"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Path::new("/nowhere/vestibule.toml")).expect_err("no such file");
    assert!(matches!(error, Error::Read { .. }));
    assert!(
        error.to_string().starts_with("/nowhere/vestibule.toml: cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_text_is_refused_at_its_first_wrong_byte() {
    let case = Case::new();
    let file = case.path("latin1.toml");
    fs::write(&file, b"workers = 1\n# \xe9t\xe9\n").expect("written");
    let error = load(&file).expect_err("not UTF-8");
    let place = error.problems()[0].place.as_ref().expect("a place");
    assert_eq!((place.line, place.column), (2, 3));
}

#[test]
fn refuses_a_directory_in_which_no_file_can_be_made() {
    let case = Case::new();
    case.load("[disk]\ndirectory = \"DIR\"").expect("a directory");
    assert_eq!(
        fs::read_dir(case.directory.path()).expect("read").count(),
        1,
        "only the configuration is left"
    );
    for (directory, message) in [
        ("DIR/none", "none does not exist"),
        ("DIR/vestibule.toml", "vestibule.toml is not a directory"),
        // Nobody can, not even root.
        ("/proc/self", "no file can be made in /proc/self: "),
    ] {
        let problems = case.problems(&format!("[disk]\ndirectory = \"{directory}\""));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (2, 13), "{}", problems[0]);
        assert!(problems[0].message.contains(message), "{}", problems[0]);
        assert!(problems[0].instead.is_some());
    }
    case.load("[disk]\ndirectory = \"DIR/none\"\nmost = 0").expect("nothing is ever written there");
}

#[test]
fn refuses_a_maintenance_page_that_cannot_come_to_be() {
    let case = Case::new();
    for (path, message) in [("DIR/none/down.html", "none does not exist"), ("DIR", "is a directory")] {
        let problems = case.problems(&format!("[upstream.app]\nmaintenance = \"{path}\""));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (2, 15), "{}", problems[0]);
        assert!(problems[0].message.contains(message), "{}", problems[0]);
    }
    case.load("[upstream.app]\nmaintenance = \"DIR/down.html\"")
        .expect("it is there during maintenance only");
}

#[test]
fn refuses_places_that_a_process_cannot_have() {
    let case = Case::new();
    let process = |key: &str| format!("[process.app]\ncommand = [\"puma\"]\n{key}");
    for (key, column, message) in [
        ("directory = \"DIR/none\"", 13, "none does not exist"),
        ("directory = \"DIR/vestibule.toml\"", 13, "is not a directory"),
        ("output = \"DIR/none/app.log\"", 10, "none does not exist"),
        ("output = \"DIR\"", 10, "is a directory"),
        ("user = \"nobody-of-this-name\"", 8, "there is no user"),
        ("group = \"nobody-of-this-name\"", 9, "there is no group"),
    ] {
        let problems = case.problems(&process(key));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (3, column), "{}", problems[0]);
        assert!(problems[0].message.contains(message) && problems[0].instead.is_some(), "{}", problems[0]);
    }
    case.load(&process("directory = \"DIR\"\noutput = \"DIR/app.log\"")).expect("they are there");
    case.load(&process("output = \"/dev/null\"")).expect("it is no directory");
}

#[test]
fn refuses_places_that_the_control_socket_cannot_have() {
    let case = Case::new();
    fs::write(case.path("file"), "").expect("written");
    for (path, message) in
        [("DIR/none/a", "none does not exist"), ("DIR", "is a directory"), ("DIR/file", "not a socket")]
    {
        let problems = case.problems(&format!("[control]\n\nsocket = \"{path}\""));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (3, 10), "{}", problems[0]);
        assert!(problems[0].message.contains(message) && problems[0].instead.is_some(), "{}", problems[0]);
    }
    drop(UnixListener::bind(case.path("old")).expect("bound"));
    case.load("[control]\nsocket = \"DIR/old\"").expect("an old socket is replaced");
    case.load("[control]\nsocket = \"DIR/new\"").expect("a new one is made");
}

/// Loads with these as CUSTOM_WEB_SOCKET_FILE and CUSTOM_WEB_PID_FILE.
fn load_with(case: &Case, text: &str, socket: Option<&str>, pid_file: Option<&str>) -> Result<Config, Error> {
    let file = case.path("vestibule.toml");
    fs::write(&file, text).expect("written");
    let web_server = WebServer::from_variables(|name| {
        let value = if name == crate::SOCKET_VARIABLE { socket } else { pid_file };
        value.map(OsString::from)
    });
    crate::load_at(&file, web_server)
}

#[test]
fn the_environment_names_the_socket_and_the_pid_file() {
    let case = Case::new();
    let upstream = |text: &str, socket, pid_file| {
        let config = load_with(&case, text, socket, pid_file).expect("right");
        let upstream = &config.upstreams[0];
        let pid_file = upstream.pid_file.as_ref().map(|path| path.display().to_string());
        // What is kept follows.
        assert_eq!(config.processes.first().and_then(|process| process.pid_file.clone()), upstream.pid_file);
        (upstream.address().clone(), pid_file)
    };
    let unix = |path: &str| UpstreamAddress::Unix(path.into());
    let (socket, pid_file) = (Some("/run/a.sock"), Some("/run/a.pid"));
    for (text, socket, pid_file, at, by) in [
        ("", None, None, "/tmp/web_server.sock", Some("/tmp/web_server.pid")),
        ("", socket, None, "/run/a.sock", Some("/tmp/web_server.pid")),
        ("", None, pid_file, "/tmp/web_server.sock", Some("/run/a.pid")),
        ("[upstream.web]", socket, pid_file, "/run/a.sock", Some("/run/a.pid")),
        ("[process.app]\ncommand = [\"a\"]", socket, pid_file, "/run/a.sock", Some("/run/a.pid")),
        ("[upstream.web]\npid_file = \"/b\"", socket, pid_file, "/run/a.sock", Some("/b")),
        (
            "[upstream.web]\naddress = \"unix:/run/a.sock\"",
            socket,
            pid_file,
            "/run/a.sock",
            Some("/run/a.pid"),
        ),
        ("[upstream.web]\naddress = \"unix:/b\"", socket, pid_file, "/b", None),
    ] {
        let expected = (unix(at), by.map(str::to_owned));
        assert_eq!(upstream(text, socket, pid_file), expected, "{text} {socket:?} {pid_file:?}");
    }
}

#[test]
fn a_wrong_variable_comes_with_the_other_errors() {
    let case = Case::new();
    let error = load_with(&case, "wrokers = 1", Some("a.sock"), Some("")).expect_err("wrong").to_string();
    let expected = [
        "unknown key `wrokers`",
        "the variable CUSTOM_WEB_SOCKET_FILE is not an absolute path: a.sock",
        "the variable CUSTOM_WEB_PID_FILE is empty",
        "3 errors in ",
    ];
    let mut rest = error.as_str();
    for words in expected {
        let found = rest.find(words).unwrap_or_else(|| panic!("no {words:?} in {error}"));
        rest = &rest[found..];
    }
}
