//! The configuration as a tool: `check`, `explain`, `schema`, `completions`, `man`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::certificates::{Authority, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::{Told, Vestibule, binary, told};

/// What a command says in a directory.
fn said(dir: &Dir, words: &[&str]) -> Told {
    said_where(dir, words, &[])
}

fn said_where(dir: &Dir, words: &[&str], variables: &[(&str, &str)]) -> Told {
    let mut command = Command::new(binary());
    command.args(words).current_dir(dir.path()).envs(variables.iter().copied());
    command.env_remove("RUST_LOG").env_remove("CUSTOM_WEB_SOCKET_FILE").env_remove("CUSTOM_WEB_PID_FILE");
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    told(command)
}

fn site(files: &[(&str, &str)]) -> Dir {
    let dir = Dir::new();
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

/// A site of two files, with everything that a route may say.
fn shop() -> Dir {
    site(&[
        (
            "vestibule.toml",
            "include = [\"sites/*.toml\"]\n[[listen]]\naddress = \"127.0.0.1:8443\"\n[[listen]]\naddress = \"127.0.0.1:8081\"\n\
             redirect = \"https\"\n[upstream.app]\naddress = \"unix:/tmp/no-such-vestibule-app.sock\"\n",
        ),
        (
            "sites/shop.toml",
            "[[route]]\nhost = \"shop.example\"\npath = \"/api/*\"\nmethod = \"POST\"\nheader = { X-Beta = \"1\" }\nupstream = \"app\"\n\
             rewrite = \"/v2/$1\"\nrate = \"10/s\"\nfields.request.set = { Authorization = \"Bearer ${SHOP_TOKEN}\" }\n\n\
             [[route]]\nhost = \"shop.example\"\ntry = [\"files\", \"upstream\"]\nfiles = \"../public\"\nupstream = \"app\"\n\
             allow = [\"192.0.2.0/24\"]\n\n[[route]]\npath = \"/old/*\"\nredirect = \"https://shop.example/$1\"\n",
        ),
        ("public/a.txt", "12345"),
    ])
}

const TOKEN: &[(&str, &str)] = &[("SHOP_TOKEN", "s3cret-of-the-shop")];

#[test]
fn check_tells_all_errors_of_all_files_with_lines_and_the_nearest_names() {
    let dir = site(&[
        (
            "vestibule.toml",
            "include = [\"sites/*.toml\", \"none.toml\"]\nwrokers = 2\nlimits.body = \"${NO_SUCH_SIZE}\"\n",
        ),
        ("sites/a.toml", "[upstream.app]\naddress = \"unix:/tmp/a.sock\"\n[[route]]\nupstraem = \"app\"\n"),
        ("sites/b.toml", "\n[upstream.app]\naddress = \"unix:/tmp/b.sock\"\n"),
    ]);
    let told = said(&dir, &["check"]);
    assert_eq!(told.status, Some(2), "{told:?}");
    for words in [
        "vestibule.toml:1:28: none.toml cannot be read",
        "vestibule.toml:2:1: unknown key `wrokers` at the top level",
        "= write `workers`",
        "vestibule.toml:3:15: the variable NO_SUCH_SIZE is not set",
        "sites/a.toml:4:1: unknown key `upstraem` in [[route]]",
        "4 | upstraem = \"app\"",
        "= write `upstream`",
        "sites/b.toml:2:11: [upstream.app] is written already, on line 1 of sites/a.toml",
        "5 errors in 3 files",
    ] {
        assert!(told.stderr.contains(words), "no {words:?} in\n{}", told.stderr);
    }
    let found = json(&said(&dir, &["check", "--json"]));
    assert_eq!(found["ok"], false);
    let problems = found["problems"].as_array().expect("a list");
    assert_eq!(problems.len(), 5, "{found:#}");
    let misspelt = problems.iter().find(|problem| problem["file"] == "sites/a.toml").expect("one of a.toml");
    assert_eq!(misspelt["severity"], "error");
    assert_eq!(
        (&misspelt["line"], &misspelt["column"], &misspelt["width"]),
        (&4.into(), &1.into(), &8.into())
    );
    assert_eq!(misspelt["instead"], "write `upstream`");
    let missing = json(&said(&dir, &["check", "--json", "--config", "nowhere.toml"]));
    assert_eq!(missing["problems"][0]["file"], "nowhere.toml", "{missing}");
}

#[test]
fn check_shows_what_is_odd_and_strict_refuses_it() {
    let dir = site(&[(
        "vestibule.toml",
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.pem\", key = \"a.key\" }\n\
         [upstream.app]\naddress = \"unix:/tmp/a.sock\"\n[upstream.spare]\naddress = \"unix:/tmp/b.sock\"\n\
         [[route]]\nupstream = \"app\"\n[[route]]\npath = \"/assets/*\"\nfiles.root = \"nowhere\"\n",
    )]);
    Authority::new().server(&["localhost"], Kind::Ecdsa).write(dir.path(), "a");
    fs::set_permissions(dir.join("a.key"), fs::Permissions::from_mode(0o644)).expect("changed");
    let told = said(&dir, &["check"]);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert!(told.stdout.contains("ok, with 3 warnings"), "{told:?}");
    for words in [
        "warning: vestibule.toml:6:11: no route leads to the upstream `spare`",
        "warning: vestibule.toml:12:14: the directory nowhere does not exist",
        "warning: vestibule.toml:3:",
        "everybody on this machine may use the key (mode 644)",
    ] {
        assert!(told.stderr.contains(words), "no {words:?} in\n{}", told.stderr);
    }
    let strict = said(&dir, &["check", "--strict"]);
    assert_eq!(strict.status, Some(2), "{strict:?}");
    let found = json(&said(&dir, &["check", "--json", "--strict"]));
    assert_eq!(found["ok"], false);
    let severities =
        found["problems"].as_array().expect("a list").iter().map(|problem| problem["severity"].clone());
    assert_eq!(severities.collect::<Vec<_>>(), ["warning"; 3]);
    // Without what is odd, strict is content.
    fs::set_permissions(dir.join("a.key"), fs::Permissions::from_mode(0o600)).expect("changed");
    fs::create_dir(dir.join("nowhere")).expect("made");
    let text = fs::read_to_string(dir.join("vestibule.toml")).expect("read");
    fs::write(
        dir.join("vestibule.toml"),
        text.replace(
            "[[route]]\nupstream = \"app\"",
            "[[route]]\nupstreams = [{ upstream = \"app\" }, { upstream = \"spare\" }]",
        ),
    )
    .expect("written");
    let strict = said(&dir, &["check", "--strict"]);
    assert_eq!((strict.status, strict.stderr.as_str()), (Some(0), ""), "{strict:?}");
    assert!(strict.stdout.ends_with("vestibule.toml: ok"), "{strict:?}");
}

#[test]
fn check_tells_errors_and_what_is_odd_at_once() {
    let dir = site(&[(
        "vestibule.toml",
        "[[listen]]\ntls = { certificate = \"none.pem\", key = \"none.key\" }\n[upstream.a]\naddress = \"unix:/tmp/a.sock\"\n[upstream.b]\naddress = \"unix:/tmp/b.sock\"\n[[route]]\nupstream = \"a\"\n",
    )]);
    let told = said(&dir, &["check"]);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(
        told.stderr.contains("none.pem") && told.stderr.contains("no route leads to the upstream `b`"),
        "{told:?}"
    );
    assert_eq!(told.stdout, "");
}

#[test]
fn what_the_environment_gives_is_used_and_never_shown() {
    let dir = shop();
    let told = said_where(&dir, &["check"], TOKEN);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert!(told.stdout.contains("vestibule.toml and 1 included file: ok"), "{told:?}");
    let told = said(&dir, &["check"]);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(
        told.stderr.contains("sites/shop.toml:9:")
            && told.stderr.contains("the variable SHOP_TOKEN is not set"),
        "{told:?}"
    );
    for words in [
        &["explain", "POST", "http://shop.example:8443/api/x", "-H", "X-Beta: 1"][..],
        &["explain", "POST", "http://shop.example:8443/api/x", "-H", "X-Beta: 1", "--json"],
    ] {
        let told = said_where(&dir, words, TOKEN);
        assert!(told.stdout.contains("Bearer ${SHOP_TOKEN}") && !told.stdout.contains("s3cret"), "{told:?}");
    }
    fs::write(dir.join("vestibule.toml"), "workers = \"${SHOP_TOKEN}\"\n").expect("written");
    let told = said_where(&dir, &["check"], TOKEN);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(told.stderr.contains("${SHOP_TOKEN}") && !told.stderr.contains("s3cret"), "{told:?}");
}

#[test]
fn explain_names_the_route_and_why_and_what_would_happen() {
    let dir = shop();
    let explain = |words: &[&str]| {
        let told = said_where(&dir, &[&["explain"], words].concat(), TOKEN);
        assert_eq!(told.status, Some(0), "{told:?}");
        told.stdout + "\n"
    };
    let has = |text: &str, wanted: &[&str]| {
        for words in wanted {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    };
    let text = explain(&["POST", "http://shop.example:8443/api/users", "-H", "X-Beta: 1"]);
    has(
        &text,
        &[
            "request    POST http://shop.example:8443/api/users from 192.0.2.1\n",
            "listener   127.0.0.1:8443 (http, HTTP/1)  (vestibule.toml:3)\n",
            "route      shop.example/api/*  (sites/shop.toml:1)\n",
            "1. shop.example/api/*  (sites/shop.toml:1): host and path fit, and so does the rest: taken\n",
            "2. shop.example/*  (sites/shop.toml:11): fits less well: not asked\n",
            "1. rate      10 requests per 1s of each client",
            "2. rewrite   to /v2/users\n",
            "3. upstream  app at unix:/tmp/no-such-vestibule-app.sock\n",
            "fields     request   set Authorization: Bearer ${SHOP_TOKEN}\n",
            "limits.body 1 GiB",
        ],
    );
    let text = explain(&["POST", "http://shop.example:8443/api/users"]);
    has(
        &text,
        &[
            "but not the rest: passed over",
            "yes method is POST",
            "no  header x-beta is \"1\"",
            "route      shop.example/*  (sites/shop.toml:11)\n",
        ],
    );
    let text = explain(&["http://shop.example:8443/a.txt"]);
    has(
        &text,
        &["1. access  192.0.2.1 is let in: 192.0.2.0/24 is allowed\n", "public/a.txt, which is there: 5 B\n"],
    );
    let text = explain(&["http://shop.example:8443/none?x=1"]);
    has(&text, &["public/none: not there; the next is asked\n", "3. upstream  app at"]);
    let text = explain(&["http://shop.example:8443/a.txt", "--client", "10.0.0.1"]);
    has(&text, &["403: 10.0.0.1 is not let in"]);
    assert!(!text.contains("which is there"), "it ends there:\n{text}");
    let text = explain(&["https://shop.example/a.txt"]);
    has(
        &text,
        &[
            "listener   none accepts this; there is 127.0.0.1:8443 (http, HTTP/1), 127.0.0.1:8081 (http, HTTP/1)\n",
        ],
    );
    has(
        &explain(&["http://any.example:8081/x?y"]),
        &["308 to https://any.example/x?y, as the listener says\n"],
    );
    has(&explain(&["http://any.example:8443/old/shoes"]), &["308 to https://shop.example/shoes\n"]);
    has(&explain(&["http://any.example:8443/"]), &["route      none takes it\n", "404: no route takes it\n"]);
    let told: Value =
        serde_json::from_str(&explain(&["http://shop.example:8443/a.txt", "--json"])).expect("JSON");
    assert_eq!(told["route"]["place"], "sites/shop.toml:11");
    assert_eq!(told["steps"][1]["status"], 200, "{told:#}");
    assert_eq!(told["candidates"][0]["outcome"], "taken");
}

/// Routes whose layers could be told in the wrong order, and files that could be told wrongly.
fn layered(dir: &Dir) -> String {
    for (name, text) in [
        ("public/a.txt", "12345"),
        ("public/page.html", "page"),
        ("public/sub/index.html", "sub"),
        ("public/.env", "hidden"),
        ("public/bare/x.css", "x"),
        ("out.txt", "out"),
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("made");
        fs::write(path, text).expect("written");
    }
    std::os::unix::fs::symlink("../out.txt", dir.join("public/link.txt")).expect("a link");
    let auth = "auth.users = { a = \"$2y$05$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e\" }";
    format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream.app]\naddress = \"unix:{}\"\n\
         [[route]]\npath = \"/app/*\"\nupstream = \"app\"\n\
         [[route]]\npath = \"/shut/*\"\nupstream = \"app\"\ndeny = \"all\"\ncors = \"https://b.example\"\n{auth}\n\
         [[route]]\npath = \"/asked/*\"\nupstream = \"app\"\nrate = \"1000/s\"\ncors = \"*\"\n{auth}\n\
         [[route]]\npath = \"/files/*\"\nfiles = {{ root = \"public\", strip = \"/files\", fallback = \"$path.html\" }}\n\
         [[route]]\npath = \"/plain/*\"\nfiles = {{ root = \"public\", index = false }}\nrewrite = \"/$1\"\n\
         [[route]]\npath = \"/try/*\"\ntry = [\"files\", \"upstream\"]\nfiles = {{ root = \"public\", strip = \"/try\" }}\nupstream = \"app\"\n\
         [[route]]\npath = \"/old/*\"\nredirect = \"/new/$1\"\n\
         [[route]]\npath = \"/gone\"\nrespond = 410\n",
        dir.socket().display()
    )
}

#[test]
fn explain_says_what_the_server_then_does() {
    let dir = Dir::new();
    let config = layered(&dir);
    let _app = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            conversation.answer("app");
        }
    });
    let vestibule = Vestibule::start(&dir, &config);
    let preflight = ["Origin: https://b.example", "Access-Control-Request-Method: PUT"];
    for (method, path, fields) in [
        ("GET", "/app/x", &[][..]),
        ("GET", "/none", &[]),
        ("OPTIONS", "/app/x", &[]),
        ("OPTIONS", "/app/x", &["Max-Forwards: 0"]),
        ("OPTIONS", "/app/x", &["Max-Forwards: 1"]),
        ("OPTIONS", "/app/x", &["Max-Forwards: x"]),
        ("OPTIONS", "/none", &["Max-Forwards: 0"]),
        ("TRACE", "/app/x", &[]),
        ("CONNECT", "/app/x", &[]),
        ("GET", "/app/x", &["Expect: foo"]),
        ("GET", "/none", &["Expect: foo"]),
        ("GET", "/app/x", &["Host: a,b"]),
        ("GET", "/app/x", &["Content-Length: x"]),
        ("OPTIONS", "/shut/x", &preflight),
        ("OPTIONS", "/shut/x", &preflight[..1]),
        ("GET", "/shut/x", &preflight),
        ("GET", "/shut/x", &["Authorization: Basic YTpi"]),
        ("OPTIONS", "/asked/x", &preflight),
        ("GET", "/asked/x", &[]),
        ("GET", "/files/a.txt", &[]),
        ("GET", "/files/a.txt?x", &["Range: bytes=1-2"]),
        ("GET", "/files/a.txt", &["Range: bytes=9-"]),
        ("GET", "/files/a.txt", &["If-None-Match: *"]),
        ("GET", "/files/a.txt", &["If-Match: \"other\""]),
        ("GET", "/files/page", &[]),
        ("GET", "/files/link.txt", &[]),
        ("GET", "/files/.env", &[]),
        ("GET", "/files/bare", &[]),
        ("GET", "/files/bare/", &[]),
        ("GET", "/files/sub", &[]),
        ("GET", "/files/sub?x=1", &[]),
        ("GET", "/files/sub/", &[]),
        ("POST", "/files/a.txt", &[]),
        ("GET", "/plain/sub", &[]),
        ("GET", "/plain/sub/", &[]),
        ("GET", "/plain/sub/index.html", &[]),
        ("GET", "/try/a.txt", &[]),
        ("GET", "/try/link.txt", &[]),
        ("POST", "/try/a.txt", &[]),
        ("GET", "/old/a", &[]),
        ("GET", "/gone", &[]),
    ] {
        let mut words =
            vec!["explain", "--json", "--client", "127.0.0.1", "--config", "vestibule.toml", method, path];
        words.extend(fields.iter().flat_map(|field| ["-H", field]));
        let explained = json(&said(&dir, &words));
        let steps = explained["steps"].as_array().expect("a list");
        let status = steps.last().and_then(|step| step["status"].as_u64());
        let host = if fields.iter().any(|field| field.starts_with("Host:")) { "" } else { "Host: a\r\n" };
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let mut client = Client::connect(vestibule.address()).expect("connected");
        client.send(format!("{method} {path} HTTP/1.1\r\n{host}{fields}\r\n")).expect("sent");
        let answer = client.response().expect("an answer");
        match status {
            Some(status) => assert_eq!(u64::from(answer.status), status, "{method} {path}: {explained:#}"),
            None => assert_eq!(answer.text(), "app", "{method} {path}: {explained:#}"),
        }
        if let Some(to) = answer.field("location") {
            let says = steps.last().and_then(|step| step["says"].as_str()).unwrap_or_default();
            assert!(says.ends_with(&format!(" to {to}")), "{to} and {says}");
        }
    }
}

#[test]
fn explain_refuses_what_is_no_request() {
    let dir = shop();
    for (words, wrong) in [
        (&["explain", "shop.example/x"][..], "write https://shop.example/x"),
        (&["explain", "GET", "ftp://shop.example/"], "is not spoken here"),
        (&["explain", "G T", "/"], "is not a method"),
        (&["explain", "/", "-H", "X-Beta"], "is not a field"),
    ] {
        let told = said_where(&dir, words, TOKEN);
        assert_eq!(told.status, Some(2), "{told:?}");
        assert!(told.stderr.contains(wrong), "{told:?}");
    }
}

#[test]
fn the_schema_is_the_one_that_is_kept() {
    let dir = Dir::new();
    let printed = json(&said(&dir, &["schema"]));
    let kept = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/vestibule.schema.json"))
        .expect("read");
    assert!(
        printed == serde_json::from_str::<Value>(&kept).expect("JSON"),
        "write it anew: vestibule schema > config/vestibule.schema.json"
    );
    assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn bash_completes_the_command_line() {
    let dir = Dir::new();
    let script = said(&dir, &["completions", "bash"]);
    assert_eq!(script.status, Some(0), "{script:?}");
    fs::write(dir.join("vestibule.bash"), script.stdout).expect("written");
    let complete = |words: &str| {
        let mut all: Vec<&str> = words.split(' ').collect();
        all.insert(0, "vestibule");
        let (last, before) = (all[all.len() - 1], all[all.len() - 2]);
        let test = format!(
            "source vestibule.bash && complete -p vestibule > shown && COMP_WORDS=(vestibule {words}) && COMP_CWORD={} && \
             _vestibule vestibule '{last}' '{before}' && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            all.len() - 1
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &test])
            .current_dir(dir.path())
            .output()
            .expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = String::from_utf8(output.stdout).expect("text");
        found.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("exp"), ["explain"]);
    assert_eq!(complete("ch"), ["check"]);
    assert_eq!(complete("app re"), ["restart"]);
    assert_eq!(complete("check --str"), ["--strict"]);
    let shells = complete("completions ");
    assert!(
        ["bash", "zsh", "fish"].iter().all(|shell| shells.iter().any(|found| found == shell)),
        "{shells:?}"
    );
    assert_eq!(complete("d"), ["demo"], "what is hidden stays so");
    let shown = fs::read_to_string(dir.join("shown")).expect("read");
    assert!(shown.contains("-F _vestibule") && shown.trim_end().ends_with(" vestibule"), "{shown}");
}

#[test]
fn the_other_shells_have_scripts_of_their_own() {
    let dir = Dir::new();
    let zsh = said(&dir, &["completions", "zsh"]).stdout;
    assert!(zsh.starts_with("#compdef vestibule") && zsh.contains("explain"), "{zsh}");
    let fish = said(&dir, &["completions", "fish"]).stdout;
    assert!(fish.contains("complete -c vestibule") && fish.contains("explain"), "{fish}");
    assert_eq!(said(&dir, &["completions", "csh"]).status, Some(2));
}

#[test]
fn the_manual_pages_render_without_a_warning() {
    let dir = Dir::new();
    for (page, words) in [
        (
            "vestibule",
            &[
                "EXIT STATUS",
                "SIGNALS",
                "FILES",
                "ENVIRONMENT",
                "vestibule app restart",
                "--strict",
                "SIGUSR1",
                "/run/vestibule/control.sock",
            ][..],
        ),
        (
            "vestibule.toml",
            &[
                "[limits]",
                "[[route]]",
                "[upstream.NAME.hold]",
                "requests = 10000",
                "trusted_proxies",
                "${NAME:-default}",
            ],
        ),
    ] {
        let roff = said(&dir, &["man", page]).stdout;
        fs::write(dir.join("page"), &roff).expect("written");
        let rendered = Command::new("groff")
            .args(["-man", "-ww", "-Tascii", "-P-cbou", "page"])
            .current_dir(dir.path())
            .output();
        let rendered = rendered.expect("groff runs: install groff-base");
        assert_eq!(String::from_utf8_lossy(&rendered.stderr), "", "{page}");
        let text = String::from_utf8_lossy(&rendered.stdout);
        for words in words {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    }
}
