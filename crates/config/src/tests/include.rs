//! Several files are one configuration.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::upstream_of;
use crate::model::{Config, UpstreamId};
use crate::origins::Origins;
use crate::problem::Problem;

/// A directory with these files, the first of which is the configuration.
struct Files {
    directory: TempDir,
    main: PathBuf,
}

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("in a directory")).expect("created");
            fs::write(path, text).expect("written");
        }
        let main = directory.path().join(files[0].0);
        Files { directory, main }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn right(&self) -> Config {
        crate::load_written(&self.main).unwrap_or_else(|error| panic!("{error}"))
    }

    fn wrong(&self) -> Vec<Problem> {
        match crate::load_written(&self.main) {
            Ok(config) => panic!("taken as right: {config:#?}"),
            Err(error) => error.problems().to_vec(),
        }
    }

    /// The only problem: its file, its line, its message, and what to write instead, with names in place of paths.
    fn wrong_once(&self) -> (String, usize, String, String) {
        let problems = self.wrong();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let Problem { place, message, instead } = &problems[0];
        let place = place.as_ref().expect("a place");
        (
            self.name(&place.file),
            place.line,
            self.shortened(message),
            self.shortened(instead.as_deref().unwrap_or_default()),
        )
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.directory.path()).unwrap_or(path).display().to_string()
    }

    fn shortened(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

#[test]
fn what_is_included_is_as_if_it_stood_here() {
    let files = Files::of(&[
        (
            "vestibule.toml",
            "include = [\"sites/*.toml\"]\nworkers = 3\n[upstream.app]\naddress = \"unix:/run/app.sock\"\n[[route]]\nupstream = \"app\"\n[limits]\nfields = 50\n",
        ),
        (
            "sites/b.toml",
            "[upstream.b]\naddress = \"unix:/run/b.sock\"\n[[route]]\nhost = \"b.example\"\nupstream = \"b\"\n[limits]\nhttp2_streams = 7\n",
        ),
        (
            "sites/a.toml",
            "[[listen]]\naddress = \"127.0.0.1:7000\"\n[upstream.a]\naddress = \"unix:/run/a.sock\"\n[[route]]\nhost = \"a.example\"\nupstream = \"a\"\n",
        ),
        ("sites/.hidden.toml", "nonsense"),
        ("sites/a.txt", "nonsense"),
    ]);
    let config = files.right();
    assert_eq!((config.workers.get(), config.limits.fields, config.limits.http2_streams), (3, 50, 7));
    let names: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["app", "a", "b"], "in the order of the files");
    assert_eq!(upstream_of(&config, b"b.example", b"/"), Some(UpstreamId(2)));
    assert_eq!(upstream_of(&config, b"other.example", b"/"), Some(UpstreamId(0)));
    let read: Vec<_> = config.files().iter().map(|file| files.name(file)).collect();
    assert_eq!(read, ["vestibule.toml", "sites/a.toml", "sites/b.toml"]);
    assert_eq!(config.origins().files, config.files());
    assert_eq!(config.origins().directories().into_iter().collect::<Vec<_>>(), [files.path("sites")]);
    assert_eq!(
        config.places.listener(0).map(|place| (files.name(&place.file), place.line)),
        Some(("sites/a.toml".to_owned(), 2))
    );
}

#[test]
fn a_name_has_to_be_there_and_a_pattern_need_not() {
    let files = Files::of(&[("v.toml", "include = [\"none/*.toml\"]\n")]);
    assert_eq!(files.right().files().len(), 1);
    let files = Files::of(&[("v.toml", "include = [\"none/*.toml\",\n  \"none.toml\"]\n")]);
    let (file, line, message, _) = files.wrong_once();
    assert_eq!((file.as_str(), line), ("v.toml", 2));
    assert!(message.starts_with("none.toml cannot be read: No such file"), "{message}");
    let files = Files::of(&[("v.toml", "include = [\"sites\"]\n"), ("sites/a.toml", "")]);
    let (_, _, message, instead) = files.wrong_once();
    assert_eq!(
        (message.as_str(), instead.as_str()),
        ("sites is a directory", "write \"sites/*.toml\" for the files in it")
    );
}

#[test]
fn each_error_names_its_own_file_and_line() {
    let files = Files::of(&[
        ("v.toml", "include = [\"sites/*.toml\"]\nwrokers = 2\n[upstream.app]\nhold.timeout = 3\n"),
        ("sites/a.toml", "# ä\n\n[[route]]\nupstream = \"ap\"\n"),
        ("sites/b.toml", "[[listen]]\naddress = \"127.0.0.1:7000\"\n\n[[listen]]\naddress = \"80\"\n"),
        ("sites/c.toml", "[[listen]]\naddress = \"127.0.0.1:7000\"\n"),
    ]);
    let problems = files.wrong();
    let told: Vec<_> = problems
        .iter()
        .map(|problem| {
            let place = problem.place.as_ref().expect("a place");
            (files.name(&place.file), place.line, place.column, files.shortened(&problem.message))
        })
        .collect();
    let expected = [
        ("v.toml", 2, 1, "unknown key `wrokers` at the top level"),
        ("v.toml", 4, 16, "expected a duration, found the number 3"),
        ("sites/a.toml", 4, 12, "there is no upstream \"ap\""),
        ("sites/b.toml", 5, 11, "\"80\" is a port without a host"),
        ("sites/c.toml", 2, 11, "this address is taken by the listener on line 2 of sites/b.toml"),
    ];
    let expected: Vec<_> = expected
        .map(|(file, line, column, message)| (file.to_owned(), line, column, message.to_owned()))
        .into();
    assert_eq!(told, expected);
    let shown = crate::load_written(&files.main).unwrap_err().to_string();
    assert!(shown.ends_with("5 errors in 4 files"), "{shown}");
    assert!(shown.contains("4 | upstream = \"ap\"\n"), "{shown}");
}

#[test]
fn what_is_no_toml_is_told_of_every_file() {
    let files = Files::of(&[
        ("v.toml", "include = [\"a.toml\", \"b.toml\", \"c.toml\"]\n"),
        ("a.toml", "\n= 1\n"),
        ("b.toml", "x = y\n"),
    ]);
    let places: Vec<_> = files.wrong().iter().filter_map(|problem| problem.place.clone()).collect();
    let places: Vec<_> = places.iter().map(|place| (files.name(&place.file), place.line)).collect();
    assert_eq!(places, [("v.toml".to_owned(), 1), ("a.toml".to_owned(), 2), ("b.toml".to_owned(), 1)]);
}

#[test]
fn what_stands_once_cannot_stand_in_two_files() {
    let main = "include = [\"a.toml\"]\nworkers = 1\n[limits]\nhead = \"8 KiB\"\n[upstream.app]\n[error_pages]\n404 = \"/a.html\"\n[log]\n";
    for (text, line, message) in [
        ("workers = 2\n", 1, "`workers` is written already, on line 2 of v.toml"),
        ("workers = [2]\n", 1, "`workers` is written already, on line 2 of v.toml"),
        (
            "limits.fields = 5\nlimits.head = \"9 KiB\"\n",
            2,
            "`head` in [limits] is written already, on line 4 of v.toml",
        ),
        ("\n[upstream.app]\n", 2, "[upstream.app] is written already, on line 5 of v.toml"),
        (
            "[error_pages]\n404 = \"/b.html\"\n",
            2,
            "`404` in [error_pages] is written already, on line 7 of v.toml",
        ),
        ("log = 5\n", 1, "`log` is written already, on line 8 of v.toml"),
    ] {
        let files = Files::of(&[("v.toml", main), ("a.toml", text)]);
        let (file, found_line, found, instead) = files.wrong_once();
        assert_eq!((file.as_str(), found_line, found.as_str()), ("a.toml", line, message));
        assert_eq!(instead, "leave one of them out: it can stand in one file only");
    }
    let twice = "trusted_proxies = [\"10.0.0.1\"]\n";
    let files = Files::of(&[
        ("v.toml", "include = [\"a.toml\", \"b.toml\"]\n"),
        ("a.toml", twice),
        ("b.toml", twice),
    ]);
    assert_eq!(files.wrong_once().2, "`trusted_proxies` is written already, on line 1 of a.toml");
}

#[test]
fn a_circle_of_includes_is_refused() {
    let files = Files::of(&[("v.toml", "\ninclude = [\"*.toml\"]\n"), ("w.toml", "workers = 2\n")]);
    let (file, line, message, instead) = files.wrong_once();
    assert_eq!((file.as_str(), line, message.as_str()), ("v.toml", 2, "this file includes itself"));
    assert!(instead.contains("a directory of their own"), "{instead}");
    let files = Files::of(&[
        ("v.toml", "include = [\"a.toml\"]\n"),
        ("a.toml", "include = [\"sub/b.toml\"]\n"),
        ("sub/b.toml", "include = [\"../v.toml\"]\n"),
    ]);
    let (file, line, message, _) = files.wrong_once();
    assert_eq!((file.as_str(), line), ("sub/b.toml", 1));
    assert!(message.contains("v.toml includes this file"), "{message}");
}

#[test]
fn a_file_is_read_once_however_often_it_is_named() {
    let route = "[[route]]\npath = \"/a\"\n";
    let files = Files::of(&[
        ("v.toml", "include = [\"s/first.toml\", \"s/*.toml\", \"./s/../s/first.toml\"]\n"),
        ("s/a.toml", route),
        ("s/first.toml", "workers = 2\n"),
    ]);
    let config = files.right();
    let read: Vec<_> = config.files().iter().map(|file| files.name(file)).collect();
    assert_eq!(read, ["v.toml", "s/first.toml", "s/a.toml"]);
    assert_eq!(config.route_settings.len(), 1);
}

#[test]
fn depth_and_number_are_bounded() {
    let names: Vec<_> = (0..12).map(|depth| format!("f{depth}.toml")).collect();
    let texts: Vec<_> = (1..13).map(|depth| format!("include = [\"f{depth}.toml\"]\n")).collect();
    let all: Vec<_> = names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let files = Files::of(&all);
    let (file, _, message, _) = files.wrong_once();
    assert_eq!((file.as_str(), message.as_str()), ("f8.toml", "includes go deeper than 8 files here"));

    let names: Vec<_> = (0..1001).map(|number| format!("s/{number}.toml")).collect();
    let mut all = vec![("v.toml", "include = [\"s/*\"]\n")];
    all.extend(names.iter().map(|name| (name.as_str(), "")));
    let (file, _, message, _) = Files::of(&all).wrong_once();
    assert_eq!((file.as_str(), message.as_str()), ("v.toml", "these are more than 1000 files"));
}

#[test]
fn refuses_what_names_no_files() {
    for (text, column, message) in [
        ("include = \"a.toml\"", 11, "`include` is a list, not the text \"a.toml\""),
        ("include = [1]", 12, "each `include` is the path of files, not the number 1"),
        ("include = [\"\"]", 12, "this is not the path of a file"),
        ("include = [\"a[.toml\"]", 12, "\"a[.toml\" is not a pattern: invalid range pattern"),
    ] {
        let files = Files::of(&[("v.toml", text)]);
        let problems = files.wrong();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].place.as_ref().map(|place| place.column), Some(column), "{}", problems[0]);
        assert_eq!(problems[0].message, message);
    }
    let files = Files::of(&[("v.toml", "include = [\"p\"]")]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        files.path("p"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    assert_eq!(files.wrong_once().2, "p is not a file");
    fs::write(files.path("q"), b"\xff").expect("written");
    fs::write(&files.main, "include = [\"q\"]").expect("written");
    let (file, _, message, _) = files.wrong_once();
    assert_eq!((file.as_str(), message.as_str()), ("q", "this is not UTF-8 text"));
}

#[test]
fn paths_begin_at_the_directory_of_their_own_file() {
    let tls = "[[listen]]\ntls = { certificate = \"a.pem\", key = \"a.key\" }\n";
    let files = Files::of(&[("v.toml", "include = [\"sites/a.toml\"]\n"), ("sites/a.toml", tls)]);
    let config = files.right();
    let tls = config.listeners[0].tls.as_ref().expect("tls");
    assert_eq!(tls.certificates[0].key, files.path("sites/a.key"));
}

#[test]
fn a_text_alone_reads_no_other_file() {
    let config = super::right("include = [\"/etc/*\", \"none\"]\nworkers = 2\n");
    assert_eq!((config.workers.get(), config.files().len()), (2, 1));
}

#[test]
fn origins_are_followed_whatever_is_wrong() {
    let files = Files::of(&[
        ("v.toml", "include = [\"new.toml\", \"none.toml\", \"sites/*/*.conf\"]\nwrokers = 2\n"),
        ("new.toml", "include = [\"deeper.toml\"]\nnonsense = \"\"\n"),
        ("deeper.toml", "nonsense"),
        ("sites/a/x.conf", "nonsense"),
        ("sites/a/x.toml", ""),
        ("sites/b/.hidden.conf", ""),
    ]);
    let names =
        |paths: &mut dyn Iterator<Item = &PathBuf>| paths.map(|path| files.name(path)).collect::<Vec<_>>();
    let origins = Origins::of(&files.main);
    assert_eq!(
        names(&mut origins.now().iter()),
        ["deeper.toml", "new.toml", "none.toml", "sites/a/x.conf", "v.toml"]
    );
    fs::write(files.path("sites/b/y.conf"), "").expect("written");
    assert!(origins.now().contains(&files.path("sites/b/y.conf")), "it would be included now");
    assert_eq!(names(&mut origins.directories().iter()), ["sites", "sites/a", "sites/b"]);
    let gone = files.path("gone.toml");
    assert_eq!(Origins::of(&gone), Origins { files: vec![gone], patterns: Vec::new() });
}

#[test]
fn a_configuration_is_a_file_of_a_bounded_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let told = |path: &Path| crate::load_written(path).expect_err("it is refused").to_string();
    assert!(told(&pipe).ends_with("cannot be read: it is not a file"), "{}", told(&pipe));
    let large = directory.path().join("large.toml");
    fs::File::create(&large).and_then(|file| file.set_len(crate::MOST_BYTES + 1)).expect("made");
    assert!(told(&large).ends_with("it is larger than 64 MiB"), "{}", told(&large));
}

#[test]
fn a_file_of_remarks_alone_is_empty() {
    assert!(Files::of(&[("v.toml", "# begun\n")]).right().is_empty());
    assert!(!Files::of(&[("v.toml", "include = []\n")]).right().is_empty());
}
