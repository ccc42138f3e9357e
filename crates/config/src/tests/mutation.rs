//! Whatever is written, there is an answer.

use std::path::Path;

/// Pieces that lead deeper than noise does.
const PIECES: &[&str] = &[
    "[[listen]]",
    "[upstream.app]",
    "[[route]]",
    "[limits]",
    "=",
    "\"",
    "'''",
    "{",
    "}",
    "[",
    "]",
    "\n",
    "\r\n",
    "\t",
    "#",
    "0",
    "-1",
    "99999999999999999999",
    "1.5",
    "inf",
    "true",
    "1979-05-27",
    "unix:/",
    "systemd:",
    "*",
    "/*",
    "*.",
    ":",
    "30s",
    "ä",
    "\u{1b}",
    "\0",
    "\u{feff}",
    "addresses",
    "tls",
    ".",
    ",",
    "[[",
    "18446744073709551615h",
    "\\u0000",
    "upstream",
    "40",
    ".html",
    "[process.app]",
    "{socket}",
    "command = ",
    "\"KILL\"",
    "hsts = ",
    "acme",
    "certificate = ",
    "**",
    "~ ^/(",
    "$1",
    "${",
    "$field:",
    "files",
    "respond",
    "try = ",
    "method = ",
    "[compress]",
];

/// Configurations of processes.
const PROCESSES: &[&str] = &[
    "[process.app]\ncommand = [\"puma\", \"unix://{socket}\"]\nrestart = \"replace\"\nenvironment = { A = \"b\", C = 1 }\n",
    "[process.app]\nstop_sequence = [\"QUIT\", \"30s\", \"term\", 11, \"kill\"]\nrestart_signal = \"USR1\"\nmemory = \"1 GiB\"\n",
    "process.b = { pid_file = \"/a\", start_command = [\"a\"], cpu = { above = 9, times = [3, 5] } }\ncontrol.socket = \"/a\"\n",
];

/// Configurations of listeners with TLS.
const TLS: &[&str] = &[
    "[[listen]]\ntls = { certificate = \"live/a/fullchain.pem\", key = \"/b\", minimum = \"1.3\", hsts = \"1y\" }\nhttp2 = true\n",
    "[[listen]]\nredirect = \"https:8443\"\n[[listen]]\naddress = \"[::]:443\"\ntls.certificates = [{ certificate = \"a\", key = \"b\" }]\n",
    "listen = [{ tls.acme = { domains = [\"a.example\", \"b.example\"], contact = \"mailto:a@b.c\", challenges = [\"tls-alpn-01\"] } }]\n",
    "[[listen]]\ntls.acme = { domains = [\"a.b\"], directory = \"https://a/b\", key = \"rsa\", eab = { id = \"a\", key = \"YWJj\" } }\n",
    "[[listen]]\n[listen.tls]\nclient = { authorities = \"a\", required = false }\nhsts = { age = \"2y\", subdomains = true, preload = true }\nkey = \"a\"\n",
];

/// Configurations of routes.
const ROUTES: &[&str] = &[
    "[[route]]\nhost = [\"a.b\", \"*.c\"]\npath = \"/a/*/b\"\nmethod = [\"GET\"]\nheader = { X-A = \"1\", B = '~ c' }\nquery.a = true\nclient = \"::1\"\n",
    "[[route]]\npath = '~ ^/u/(?P<id>\\d+)$'\nredirect = { to = \"https://$host/${id}?$query\", status = 301 }\nrate = [\"10/s\"]\n",
    "[[route]]\ntry = [\"files\", \"upstream\"]\nfiles = { root = \"a\", fallback = \"$path.html\", links = [\"b\"], precompressed = [\"br\"] }\n",
    "[[route]]\nrespond = { status = 200, body = \"a\", type = \"a/b\" }\ncors = { origins = \"*\" }\nsecurity = true\n[[route]]\npath = \"/b/**/c\"\n",
    "[[route]]\npath = \"/a/*\"\nrewrite = \"/b/$1\"\nallow = [\"10.0.0.0/8\"]\ndeny = \"all\"\nsendfile = { \"/a/\" = \"/b\" }\nlimits.body = 1\n",
    "[[route]]\nauth.users = { a = \"$2y$05$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e\" }\nfields.request.set = { A = \"$client\" }\n",
    "compress = true\n[upstream.a]\naddress = \"unix:/a\"\n[[route]]\nupstreams = [{ upstream = \"a\", weight = 5 }]\nsticky = { cookie = \"a\", age = \"1h\" }\n",
];

fn mutate(random: &mut fastrand::Rng, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..12)).min(bytes.len());
        match random.u8(..4) {
            0 => {
                bytes.drain(at..end);
            }
            1 => {
                let piece = PIECES[random.usize(..PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn mutated_input_gets_an_answer_with_places_in_order() {
    let seeds = [
        "workers = 2\ntrusted_proxies = [\"10.0.0.0/8\"]\n[[listen]]\naddress = \"0.0.0.0:80\"\nreuse_port = true\n",
        "[upstream.app]\naddress = \"unix:/tmp/a.sock\"\nhold = { timeout = \"30s\", requests = 1, memory = \"1 MiB\" }\n",
        "[upstream.app]\nhealth.path = \"/up\"\nhealth.host = \"a\"\ntimeout.idle = \"1h\"\nin_flight = \"auto\"\n",
        "[upstream.a]\naddress = \"unix:/a\"\n[upstream.b]\naddress = \"localhost:1\"\n[[route]]\nhost = \"*.a.b\"\npath = \"/a/*\"\nupstream = \"b\"\n",
        "limits = { head = 70000, body = \"1 GiB\", send_timeout = \"1s\" }\nlog = { access = \"json\", output = \"/tmp/a\" }\n",
        "buffer = { request = true, memory = \"1 KiB\" }\ndisk.most = 0\nfields.via = \"a\"\n[[route]]\nbuffer.disk = \"1 MiB\"\n",
        "[error_pages]\n404 = \"/a.html\"\n503 = [\"/b.html\", \"/b.json\", \"/b.txt\"]\n[[listen]]\nproxy_protocol = true\n",
    ];
    let seeds = [&seeds[..], PROCESSES, TLS, ROUTES].concat();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut right, mut not_toml, mut wrong) = (0, 0, 0);
    for round in 0..40_000 {
        let text = mutate(&mut random, seeds[round % seeds.len()]);
        let Err(error) = crate::parse(&text, Path::new("m.toml")) else {
            right += 1;
            continue;
        };
        if error.problems()[0].message.starts_with("this is not TOML") {
            not_toml += 1;
        } else {
            wrong += 1;
        }
        assert!(!error.to_string().is_empty());
        let lines = text.matches('\n').count() + 1;
        let mut before = (0, 0);
        for problem in error.problems() {
            let place = problem.place.as_ref().unwrap_or_else(|| panic!("no place: {problem}\n{text}"));
            assert!(
                (1..=lines).contains(&place.line) && before <= (place.line, place.column),
                "{problem}\n{text}"
            );
            assert!(
                place.column <= text.lines().nth(place.line - 1).unwrap_or_default().chars().count() + 2,
                "{problem}\n{text}"
            );
            before = (place.line, place.column);
        }
    }
    // Each way was gone often, or the mutations test nothing.
    assert!(
        right > 1000 && wrong > 4000 && not_toml > 4000,
        "{right} right, {wrong} wrong, {not_toml} not TOML"
    );
}
