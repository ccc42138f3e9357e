//! Every key of a `[[route]]` means what it says.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::{right, upstream_of};
use crate::model::*;

const TWO: &str =
    "[upstream.app]\naddress = \"unix:/app\"\n[upstream.canary]\naddress = \"unix:/canary\"\n[[route]]\n";

/// The only route of a text with these keys.
fn route(keys: &str) -> Route {
    let config = right(&format!("[[route]]\n{keys}\n"));
    assert_eq!(config.route_settings.len(), 1);
    config.route_settings[0].clone()
}

/// The only step of a route with these keys.
fn step(keys: &str) -> Step {
    let mut steps = route(keys).steps;
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps.remove(0)
}

fn files(keys: &str) -> Files {
    let Step::Files(files) = step(keys) else { panic!("no files: {keys}") };
    *files
}

fn redirection(keys: &str) -> Redirection {
    let Step::Redirect(redirection) = step(keys) else { panic!("no redirect: {keys}") };
    redirection
}

fn fixed(keys: &str) -> Fixed {
    let Step::Respond(fixed) = step(keys) else { panic!("no answer: {keys}") };
    *fixed
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[test]
fn a_route_that_says_nothing_is_as_by_default() {
    assert_eq!(route(""), Route::to(UpstreamId(0)));
}

#[test]
fn a_route_has_the_name_that_is_written() {
    for (keys, name) in [
        ("", "*"),
        ("host = \"A.example\"", "a.example/*"),
        ("path = \"/assets/*\"", "/assets/*"),
        ("path = \"/*\"", "/*"),
        ("host = \"*.a.example\"\npath = \"/x/*/y\"", "*.a.example/x/*/y"),
        ("path = '~ ^/u'", "~ ^/u"),
        ("host = [\"a\", \"b\", \"c\"]\npath = [\"/1\", \"/2\"]", "a (+2)/1 (+1)"),
    ] {
        assert_eq!(route(keys).name, name, "{keys}");
    }
}

#[test]
fn files_are_a_directory_or_a_table() {
    assert_eq!(files("files = \"/srv/public\""), Files::of("/srv/public"));
    assert_eq!(files("files = \"/srv/public/\""), Files::of("/srv/public"));
    assert_eq!(files("files.root = \"/srv/public\""), Files::of("/srv/public"));
    let written = files(
        "files = { root = \"/srv\", strip = \"/assets/\", index = false, fallback = [\"$path.html\", \"/index.html\"], \
         precompressed = [\"gzip\", \"br\"], cache_control = \"no-cache\", immutable = \"/assets/*\", links = \"none\", \
         types = { FOO = \"text/x-foo\" }, check = \"0s\" }\ncompress = false",
    );
    let expected = Files {
        strip: "/assets".to_owned(),
        index: None,
        fallback: vec!["$path.html".to_owned(), "/index.html".to_owned()],
        precompressed: vec![Coding::Gzip, Coding::Brotli],
        cache_control: Some("no-cache".to_owned()),
        immutable: vec!["/assets/*".to_owned()],
        links: Links::None,
        types: vec![("foo".to_owned(), "text/x-foo".to_owned())],
        check: Duration::ZERO,
        compress: Compress { codings: Vec::new(), ..Compress::all() },
        ..Files::of("/srv")
    };
    assert_eq!(written, expected);
    assert_eq!(files("files = { root = \"/a\", links = \"any\" }").links, Links::Any);
    assert_eq!(files("files = { root = \"/a\", links = \"inside\" }").links, Links::Inside);
    let into = Links::Into(vec![PathBuf::from("/srv/shared"), PathBuf::from("shared")]);
    assert_eq!(files("files = { root = \"/a\", links = [\"/srv/shared/\", \"shared\"] }").links, into);
    assert_eq!(files("files = { root = \"/a\", precompressed = true }").precompressed.len(), 3);
    assert_eq!(files("files = { root = \"/a\", precompressed = \"br\" }").precompressed, [Coding::Brotli]);
}

#[test]
fn a_redirect_is_an_address_or_a_table() {
    let to = redirection("redirect = \"https://www.example.com$uri\"");
    assert_eq!((to.status, to.to.parts), (308, vec![text("https://www.example.com"), Part::Uri]));
    let to = redirection("path = \"/old/*\"\nredirect = { to = \"/new/$1?from=old\", status = 302 }");
    assert_eq!((to.status, to.to.parts), (302, vec![text("/new/"), Part::Caught(1), text("?from=old")]));
    for right in
        ["/", "/a", "//cdn.example/a", "http://a.example", "$scheme://a.example$uri", "mailto:a@b.example"]
    {
        redirection(&format!("redirect = \"{right}\""));
    }
}

#[test]
fn an_answer_is_a_status_or_a_table() {
    assert_eq!(fixed("respond = 404"), Fixed { status: 404, content_type: String::new(), body: None });
    assert_eq!(fixed("respond = 444").status, 444);
    let plain = fixed("respond = { body = \"fine\\n\" }");
    assert_eq!((plain.status, &*plain.content_type), (200, "text/plain; charset=utf-8"));
    assert_eq!(plain.body.as_deref(), Some(&b"fine\n"[..]));
    let written = fixed("respond = { status = 503, body = \"{}\", type = \"application/json\" }");
    assert_eq!((written.status, &*written.content_type), (503, "application/json"));
    // What it says is read by `load` only.
    let later = fixed("respond = { body_file = \"down.HTML\" }");
    assert_eq!((&*later.content_type, later.body), ("text/html; charset=utf-8", None));
    assert_eq!(fixed("respond = { status = 204 }").body, None);
}

#[test]
fn requests_are_split_by_weight() {
    let split = |keys: &str| {
        let config = right(&format!("{TWO}{keys}"));
        let [Step::Upstream(split)] = &*config.route_settings[0].steps else { panic!("{keys}") };
        split.clone()
    };
    let shares = "upstreams = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\" }]";
    let expected = Split { shares: vec![(UpstreamId(0), 95), (UpstreamId(1), 1)], sticky: None };
    assert_eq!(split(shares), expected);
    let sticky = |age| Some(Sticky { cookie: "release".to_owned(), age });
    assert_eq!(split(&format!("{shares}\nsticky = \"release\"")).sticky, sticky(None));
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(
        split(&format!("{shares}\nsticky = {{ cookie = \"release\", age = \"1h\" }}")).sticky,
        sticky(hour)
    );
    assert_eq!(
        split("upstreams = [{ upstream = \"canary\", weight = 0 }, { upstream = \"app\" }]").shares.len(),
        2
    );
}

#[test]
fn several_things_are_tried_in_their_order() {
    let steps = route("try = [\"files\", \"upstream\"]\nfiles = \"/srv\"").steps;
    assert_eq!(steps, [Step::Files(Box::new(Files::of("/srv"))), Step::Upstream(Split::to(UpstreamId(0)))]);
    let steps = route("respond = 410\nfiles = \"/srv\"\ntry = [\"files\", \"respond\"]").steps;
    assert!(matches!(&*steps, [Step::Files(_), Step::Respond(_)]));
    assert!(matches!(&*route("try = \"files\"\nfiles = \"/srv\"").steps, [Step::Files(_)]));
    let config =
        right(&format!("{TWO}try = [\"files\", \"upstream\"]\nfiles = \"/srv\"\nupstream = \"canary\""));
    assert_eq!(upstream_of(&config, b"a", b"/"), Some(UpstreamId(1)));
}

#[test]
fn templates_have_all_their_places() {
    let written = redirection(
        "path = '~ ^/(\\w+)/(?P<rest>.*)$'\n\
         redirect = \"https://$host/$1/${2}x${rest}?p=$path&q=$query&s=$scheme&c=$client&i=$id&f=$field:X-One-x&g=${field:X}&$$1\"",
    );
    let expected = vec![
        text("https://"),
        Part::Host,
        text("/"),
        Part::Caught(1),
        text("/"),
        Part::Caught(2),
        text("x"),
        Part::Caught(2),
        text("?p="),
        Part::Path,
        text("&q="),
        Part::Query,
        text("&s="),
        Part::Scheme,
        text("&c="),
        Part::Client,
        text("&i="),
        Part::Id,
        text("&f="),
        Part::Field("x-one-x".to_owned()),
        text("&g="),
        Part::Field("x".to_owned()),
        text("&$1"),
    ];
    assert_eq!(written.to.parts, expected);
}

#[test]
fn a_path_is_rewritten_or_stripped() {
    let rewrite = |keys: &str| route(keys).rewrite.map(|template| template.parts);
    assert_eq!(rewrite(""), None);
    let parts = vec![text("/v2/"), Part::Caught(1)];
    assert_eq!(rewrite("path = \"/v1/*\"\nrewrite = \"/v2/$1\""), Some(parts));
    assert_eq!(rewrite("rewrite = \"$path?a=b\""), Some(vec![Part::Path, text("?a=b")]));
    for strip in ["/api", "/api/", "/api/*"] {
        let parts = vec![Part::Stripped("/api".to_owned())];
        assert_eq!(rewrite(&format!("path = \"/api/*\"\nstrip = \"{strip}\"")), Some(parts), "{strip}");
    }
}

#[test]
fn what_is_stripped_is_whole_segments() {
    for (path, left) in [
        ("/api/users", "/users"),
        ("/api/", "/"),
        ("/api", "/"),
        ("/apiary", "/apiary"),
        ("/other", "/other"),
        ("/api//x", "//x"),
        ("", ""),
    ] {
        assert_eq!(Template::without("/api", path.as_bytes()), left.as_bytes(), "{path}");
    }
}

#[test]
fn networks_are_allowed_and_denied() {
    let access = route("allow = [\"10.0.0.0/8\", \"::1\"]\ndeny = \"all\"").access;
    for (address, admitted) in [("10.1.1.1", true), ("11.0.0.1", false), ("::1", true), ("::2", false)] {
        assert_eq!(access.admits(address.parse().unwrap()), admitted, "{address}");
    }
    assert_eq!(route("").access, Access::default());
}

#[test]
fn users_have_hashes() {
    let bcrypt = "$2y$05$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e";
    let argon =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
    let auth =
        route(&format!("auth.users = {{ ann = \"{bcrypt}\", bob = \"{argon}\" }}")).auth.expect("users");
    assert_eq!(auth.realm, "Restricted");
    assert_eq!(auth.users, [("ann".to_owned(), bcrypt.to_owned()), ("bob".to_owned(), argon.to_owned())]);
    assert!(!format!("{auth:?}").contains("$2y$"), "{auth:?}");
    // Those of a file are read by `load` only.
    let auth = route("auth = { realm = \"Staging area\", file = \"htpasswd\" }").auth.expect("users");
    assert_eq!((&*auth.realm, auth.users.len()), ("Staging area", 0));
}

#[test]
fn rates_are_short_or_long_one_or_many() {
    let count = |count| NonZeroU32::new(count).unwrap();
    let rate = |requests, seconds, burst, by| Rate {
        requests: count(requests),
        per: Duration::from_secs(seconds),
        burst: count(burst),
        by,
    };
    for (keys, expected) in [
        ("rate = \"10/s\"", vec![rate(10, 1, 10, RateKey::Client)]),
        ("rate = \"100/m\"", vec![rate(100, 60, 100, RateKey::Client)]),
        ("rate = \"5/10s\"", vec![rate(5, 10, 5, RateKey::Client)]),
        ("rate = \"10r/s\"", vec![rate(10, 1, 10, RateKey::Client)]),
        ("rate = { requests = 3 }", vec![rate(3, 1, 3, RateKey::Client)]),
        (
            "rate = { requests = 3, per = \"1h\", burst = 9, by = \"field:X-Api-Key\" }",
            vec![rate(3, 3600, 9, RateKey::Field("x-api-key".to_owned()))],
        ),
        (
            "rate = [\"1/s\", { requests = 2, by = \"all\" }]",
            vec![rate(1, 1, 1, RateKey::Client), rate(2, 1, 2, RateKey::All)],
        ),
    ] {
        assert_eq!(route(keys).rates, expected, "{keys}");
    }
}

#[test]
fn fields_are_changed_both_ways() {
    let route = route(
        "path = \"/a/*\"\nsecurity = true\n\
         fields.request = { set = { X-Rest = \"$1\" }, add = { X-Two = [\"a\", \"b\"] }, remove = \"X-Gone\" }\n\
         fields.response.remove = [\"Server\", \"X-Powered-By\"]",
    );
    let named = |name: &str, template: Template| (name.to_owned(), template);
    let request = FieldChanges {
        remove: vec!["x-gone".to_owned()],
        set: vec![named("X-Rest", Template { parts: vec![Part::Caught(1)] })],
        add: vec![named("X-Two", Template::text("a")), named("X-Two", Template::text("b"))],
        default: Vec::new(),
    };
    assert_eq!(route.request_fields, request);
    assert_eq!(route.response_fields.remove, ["server", "x-powered-by"]);
    let names: Vec<_> = route.response_fields.default.iter().map(|(name, _)| &**name).collect();
    let preset =
        ["X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "X-Permitted-Cross-Domain-Policies"];
    assert_eq!(names, preset);
}

#[test]
fn other_sites_may_read() {
    let cors = |keys: &str| route(keys).cors.expect("cors");
    let any = cors("cors = \"*\"");
    let hour = Duration::from_secs(3600);
    assert_eq!((any.origins.len(), any.credentials, any.age), (0, false, hour));
    assert_eq!(cors("cors = \"https://app.example.com:8443\"").origins, ["https://app.example.com:8443"]);
    let written = cors(
        "cors = { origins = [\"https://a.example\", \"http://localhost:3000\"], methods = \"PUT\", fields = [\"Authorization\"], \
         expose = [\"X-Total\"], credentials = true, age = \"10m\" }",
    );
    let expected = Cors {
        origins: vec!["https://a.example".to_owned(), "http://localhost:3000".to_owned()],
        methods: vec!["PUT".to_owned()],
        fields: vec!["Authorization".to_owned()],
        expose: vec!["X-Total".to_owned()],
        credentials: true,
        age: Duration::from_secs(600),
    };
    assert_eq!(written, expected);
}

#[test]
fn compression_is_of_the_route_else_of_the_whole_else_of_files_alone() {
    let both = |text: &str| {
        let config = right(text);
        let route = &config.route_settings[0];
        let Step::Files(files) = &route.steps[0] else { panic!("{text}") };
        (route.compress.clone(), files.compress.clone())
    };
    let all = Compress::all();
    let none = Compress { codings: Vec::new(), ..Compress::all() };
    let gzip = Compress { codings: vec![Coding::Gzip], least: 4096, ..Compress::all() };
    let route = "[[route]]\nfiles = \"/srv\"\n";
    assert_eq!(both(route), (none.clone(), all.clone()));
    assert_eq!(both(&format!("{route}compress = true")), (all.clone(), all.clone()));
    assert_eq!(both(&format!("{route}compress = false")), (none.clone(), none.clone()));
    assert_eq!(both(&format!("compress = true\n{route}")), (all.clone(), all.clone()));
    assert_eq!(both(&format!("compress = false\n{route}")), (none.clone(), none));
    let top = format!("{route}[compress]\ncodings = \"gzip\"\nleast = \"4 KiB\"");
    assert_eq!(both(&top), (gzip.clone(), gzip.clone()));
    assert_eq!(both("[compress]\n[[route]]\nfiles = \"/srv\""), (all.clone(), all.clone()));
    // Key by key, and `true` is what the top says if that is not off.
    let keys = "[compress]\ncodings = [\"gzip\"]\nleast = 4096\n[[route]]\nfiles = \"/srv\"\ncompress";
    assert_eq!(both(&format!("{keys} = true")), (gzip.clone(), gzip.clone()));
    let text = Compress { types: vec!["text/*".to_owned()], ..gzip };
    assert_eq!(both(&format!("{keys}.types = \"text/*\"")), (text.clone(), text));
    assert_eq!(both("compress = false\n[[route]]\nfiles = \"/srv\"\ncompress = true"), (all.clone(), all));
}

#[test]
fn a_route_has_limits_and_time_limits_of_its_own() {
    let text = "[limits]\nbody = \"2 MiB\"\n[[route]]\nlimits.body = \"1 MiB\"\ntimeout = { response = \"5m\", tunnel = \"1s\" }\n\
                [[route]]\npath = \"/a\"";
    let config = right(text);
    let [first, second] = &*config.route_settings else { panic!() };
    assert_eq!((first.body_limit, second.body_limit), (1 << 20, 2 << 20));
    let timeout = RouteTimeouts {
        response: Some(Duration::from_secs(300)),
        idle: None,
        tunnel: Some(Duration::from_secs(1)),
    };
    assert_eq!((first.timeout, second.timeout), (timeout, RouteTimeouts::default()));
}

#[test]
fn directories_to_send_from_go_by_the_longest_name() {
    let written = route("sendfile = { \"/a\" = \"/srv/a/\", \"/a/b/\" = \"b\" }").sendfile;
    let sendfile = |from: &str, root: &str| Sendfile { from: from.to_owned(), root: root.into() };
    assert_eq!(written, [sendfile("/a/b/", "b"), sendfile("/a/", "/srv/a")]);
}
