//! Paths in a `[[route]]` begin at the directory of the configuration, and what is in files is read when it is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::model::*;

struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn load(&self, text: &str) -> Result<Config, Error> {
        crate::load(&self.write("vestibule.toml", text))
    }

    /// The only problem: its line, and all that it says.
    fn problem(&self, text: &str) -> (usize, String) {
        let error = self.load(text).expect_err("wrong");
        let [problem] = error.problems() else { panic!("not one problem: {error}") };
        let line = problem.place.as_ref().expect("a place").line;
        (line, format!("{} = {}", problem.message, problem.instead.clone().unwrap_or_default()))
    }
}

const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e";

#[test]
fn paths_begin_at_the_directory_of_the_file() {
    let text = "[[route]]\ntry = [\"files\", \"upstream\"]\nfiles = { root = \"public\", links = [\"../shared\"] }\n\
                sendfile = { \"/private/\" = \"private\" }\n[[route]]\npath = \"/a/*\"\nfiles = \"/srv\"\n";
    let config = crate::parse(text, Path::new("/etc/vestibule/site.toml")).expect("right");
    let [Step::Files(files), _] = &*config.route_settings[0].steps else { panic!() };
    assert_eq!(files.root, Path::new("/etc/vestibule/public"));
    assert_eq!(files.links, Links::Into(vec!["/etc/vestibule/../shared".into()]));
    assert_eq!(config.route_settings[0].sendfile[0].root, Path::new("/etc/vestibule/private"));
    let [Step::Files(files)] = &*config.route_settings[1].steps else { panic!() };
    assert_eq!(files.root, Path::new("/srv"));
}

#[test]
fn a_body_is_read_from_its_file() {
    let case = Case::new();
    case.write("down.html", "<p>down");
    let config = case
        .load("[[route]]\npath = \"/a\"\nrespond = 404\n[[route]]\nrespond = { status = 503, body_file = \"down.html\" }")
        .expect("right");
    let [Step::Respond(fixed)] = &*config.route_settings[1].steps else { panic!() };
    assert_eq!(fixed.body.as_deref(), Some(&b"<p>down"[..]));
    assert_eq!((fixed.status, &*fixed.content_type), (503, "text/html; charset=utf-8"));
    let (line, said) = case.problem("[[route]]\nrespond = { body_file = \"none.txt\" }");
    assert_eq!(line, 2);
    assert!(said.contains("none.txt cannot be read") && said.contains("Vestibule runs as"), "{said}");
    case.write("large.txt", &"x".repeat((1 << 20) + 1));
    let (_, said) = case.problem("[[route]]\nrespond = { body_file = \"large.txt\" }");
    assert!(said.contains("larger than 1 MiB") && said.contains("`files`"), "{said}");
    let (_, said) = case.problem("[[route]]\nrespond = { body_file = \"/dev\", type = \"text/plain\" }");
    assert!(said.contains("is not a file"), "{said}");
}

#[test]
fn users_are_read_from_their_file() {
    let case = Case::new();
    case.write("htpasswd", &format!("# ours\nbob:{HASH}\n\neve:{HASH}:a remark\r\n"));
    let text = format!("[[route]]\nauth = {{ users = {{ ann = \"{HASH}\" }}, file = \"htpasswd\" }}");
    let config = case.load(&text).expect("right");
    let users: Vec<_> = config.route_settings[0].auth.iter().flat_map(|auth| auth.users.clone()).collect();
    assert_eq!(users, ["ann", "bob", "eve"].map(|name| (name.to_owned(), HASH.to_owned())));
}

#[test]
fn every_wrong_line_of_a_file_of_users_is_told_and_no_secret() {
    let case = Case::new();
    case.write("htpasswd", &format!("ann:$apr1$salt$secret\nsecret\nbob:{HASH}\nbob:{HASH}\n:{HASH}\n"));
    let error = case.load("\n[[route]]\nauth.file = \"htpasswd\"").expect_err("wrong");
    let said = error.to_string();
    for part in [
        "line 1: the password of \"ann\" is hashed with MD5",
        "line 2: there is no colon",
        "line 4: ",
        "line 5: ",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(said.contains("htpasswd -nB ann") && !said.contains("secret"), "{said}");
    assert_eq!(error.problems().len(), 4);
    assert!(
        error.problems().iter().all(|problem| problem.place.as_ref().is_some_and(|place| place.line == 3))
    );
    case.write("htpasswd", "# nobody\n");
    assert!(case.problem("[[route]]\nauth.file = \"htpasswd\"").1.contains("has no user in it"));
    assert!(case.problem("[[route]]\nauth.file = \"none\"").1.contains("cannot be read"));
}
