//! Which route a request takes, by what it asks beside host and path; and what its path catches.

use std::net::IpAddr;

use super::{assert_wrong, right};
use crate::model::{Config, Files, RouteId};
use crate::routes::{Asked, HostAndPath};

/// A request in full.
struct Request {
    method: &'static str,
    target: &'static str,
    fields: &'static [(&'static str, &'static str)],
    client: &'static str,
}

const GET: Request = Request { method: "GET", target: "/", fields: &[], client: "192.0.2.1" };

impl Asked for Request {
    fn host(&self) -> &[u8] {
        b"a.example"
    }

    fn path(&self) -> &[u8] {
        self.target.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.target.split_once('?').map(|(_, query)| query.as_bytes())
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn client(&self) -> IpAddr {
        self.client.parse().expect("an address")
    }

    fn any_field(&self, name: &[u8], test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let named = self.fields.iter().filter(|(other, _)| other.as_bytes().eq_ignore_ascii_case(name));
        named.into_iter().any(|(_, value)| test(value.as_bytes()))
    }
}

/// Routes to one upstream, each written as the keys of one.
fn routes(written: &[&str]) -> Config {
    right(&written.iter().map(|keys| format!("[[route]]\n{keys}\n")).collect::<String>())
}

#[track_caller]
fn assert_takes(config: &Config, request: &Request, route: Option<usize>) {
    assert_eq!(config.routes.find(request), route.map(RouteId), "{} {}", request.method, request.target);
}

fn found(config: &Config, path: &str) -> Option<usize> {
    config.routes.find(&HostAndPath(b"a.example", path.as_bytes())).map(|RouteId(index)| index)
}

#[test]
fn a_method_is_one_of_a_list_and_get_is_head_too() {
    let config =
        routes(&["method = [\"POST\", \"PUT\"]", "method = \"GET\"\npath = \"/a\"", "path = \"/b\""]);
    for (method, target, route) in [
        ("POST", "/", Some(0)),
        ("PUT", "/b?x", Some(2)),
        ("PUT", "/a", Some(0)),
        ("GET", "/a", Some(1)),
        ("HEAD", "/a", Some(1)),
        ("post", "/", None),
        ("GET", "/", None),
    ] {
        assert_takes(&config, &Request { method, target, ..GET }, route);
    }
}

#[test]
fn a_field_is_asked_by_value_by_expression_or_for_being_there() {
    let config = routes(&[
        "header = { X-Beta = \"1\" }",
        "header = { Accept = '~ (^|,)text/html' }",
        "header = { X-There = true, X-Gone = false }",
        "",
    ]);
    for (fields, route) in [
        (&[][..], 3),
        (&[("x-beta", "1")], 0),
        (&[("X-BETA", "2"), ("X-Beta", "1")], 0),
        (&[("X-Beta", "11")], 3),
        (&[("accept", "image/png,text/html")], 1),
        (&[("accept", "xtext/html")], 3),
        (&[("x-there", "")], 2),
        (&[("x-there", "1"), ("x-gone", "")], 3),
        // More conditions go before fewer.
        (&[("x-there", "1"), ("x-beta", "1")], 2),
        // Equally many: as they are written.
        (&[("accept", "text/html"), ("x-beta", "1")], 0),
    ] {
        assert_takes(&config, &Request { fields, ..GET }, Some(route));
    }
}

#[test]
fn a_query_is_asked_decoded() {
    let config = routes(&[
        "query = { preview = \"1\" }",
        "query = { \"a b\" = \"ä&\" }",
        "query = { q = '~ ^x+$' }",
        "query = { debug = true, off = false }",
        "",
    ]);
    for (target, route) in [
        ("/", 4),
        ("/?preview=1", 0),
        ("/?x&preview=1&y", 0),
        ("/?preview=0&preview=1", 0),
        ("/?preview=%31", 0),
        ("/?%70review=1", 0),
        ("/?preview=11", 4),
        ("/?preview", 4),
        ("/preview=1", 4),
        ("/?a+b=%C3%a4%26", 1),
        ("/?a%20b=%C3%A4%26", 1),
        ("/?a+b=%C3%A4&", 4),
        ("/?q=xxx", 2),
        ("/?q=x%78", 2),
        ("/?q=xyx", 4),
        ("/?q=%zz%x", 4),
        ("/?debug", 3),
        ("/?debug=1&off", 4),
    ] {
        assert_takes(&config, &Request { target, ..GET }, Some(route));
    }
}

#[test]
fn a_client_is_in_one_of_the_networks() {
    let config = routes(&["client = [\"10.0.0.0/8\", \"2001:db8::/32\"]", "client = \"192.0.2.7\"", ""]);
    for (client, route) in [
        ("10.1.2.3", 0),
        ("::ffff:10.1.2.3", 0),
        ("2001:db8::1", 0),
        ("192.0.2.7", 1),
        ("11.0.0.1", 2),
        ("::1", 2),
    ] {
        assert_takes(&config, &Request { client, ..GET }, Some(route));
    }
}

#[test]
fn where_conditions_do_not_hold_the_next_in_order_is_asked() {
    let config = routes(&[
        "host = \"a.example\"\npath = \"/up\"\nmethod = \"POST\"",
        "host = \"a.example\"\npath = \"/u*\"\nheader = { X-A = true }",
        "host = \"a.example\"\npath = '~ p$'\nclient = \"10.0.0.0/8\"",
        "host = \"*.example\"\npath = \"/up\"\nquery = { a = true }",
        "path = \"/up\"\nmethod = \"GET\"",
        "",
    ]);
    let up = Request { target: "/up", ..GET };
    assert_takes(&config, &Request { method: "POST", fields: &[("x-a", "")], ..up }, Some(0));
    assert_takes(&config, &Request { fields: &[("x-a", "")], client: "10.0.0.1", ..up }, Some(1));
    assert_takes(&config, &Request { client: "10.0.0.1", target: "/up?a", ..up }, Some(2));
    assert_takes(&config, &Request { target: "/up?a", ..up }, Some(3));
    assert_takes(&config, &up, Some(4));
    assert_takes(&config, &Request { method: "PUT", ..up }, Some(5));
    let mut order = Vec::new();
    let asked = Request { target: "/up?a", ..up };
    config.routes.candidates(&asked, &mut |RouteId(index), holds| order.push((index, holds)));
    assert_eq!(order, [(0, false), (1, false), (2, false), (3, true), (4, true), (5, true)]);
    assert_eq!(config.routes.conditions(RouteId(0), &asked), [("method is POST".to_owned(), false)]);
    assert_eq!(config.routes.conditions(RouteId(3), &asked), [("query a is there".to_owned(), true)]);
    assert_eq!(config.routes.conditions(RouteId(5), &asked), []);
}

#[test]
fn globs_go_by_what_they_begin_with() {
    let config = routes(&[
        "path = \"/*\"",
        "path = \"/*/edit\"",
        "path = \"/files/**/*.pdf\"",
        "path = \"/files/*\"",
        "path = \"/files/a/*/c\"",
        "path = \"/files/b.pdf\"",
        "path = \"/a*b*c\"",
        "path = \"/x/**/y/**/z\"",
    ]);
    for (path, route) in [
        ("/", 0),
        ("/1/edit", 1),
        ("/1/2/edit", 0),
        ("/edit", 0),
        ("/files/x.pdf", 2),
        ("/files/a/b/c/x.pdf", 2),
        ("/files/.pdf", 2),
        ("/files/x.pdf/", 3),
        ("/files/edit", 3),
        ("/files/a/b/c", 4),
        ("/files/a/b/d", 3),
        ("/files/b.pdf", 5),
        ("/abc", 6),
        ("/a-b-b-c", 6),
        ("/a/b/c", 0),
        ("/x/y/z", 7),
        ("/x/1/y/2/3/y/z", 7),
        ("/x/y/y", 0),
    ] {
        assert_eq!(found(&config, path), Some(route), "{path}");
    }
}

#[test]
fn paths_that_never_change_go_by_the_patterns_of_routes() {
    let immutable = ["/assets/*", "/packs/**/*-*.js", "/logo.svg"].map(str::to_owned).to_vec();
    let files = Files { immutable, ..Files::of("/srv") };
    for (path, is_immutable) in [
        ("/assets/", true),
        ("/assets/a/b.css", true),
        ("/assets", false),
        ("/packs/app-12.js", true),
        ("/packs/a/b/app-12.js", true),
        ("/packs/app.js", false),
        ("/logo.svg", true),
        ("/logo.svgz", false),
    ] {
        assert_eq!(files.is_immutable(path.as_bytes()), is_immutable, "{path}");
    }
}

#[test]
fn globs_take_no_more_time_than_both_lengths_multiplied() {
    let path = format!("/{}", "a".repeat(1 << 20));
    let config = routes(&["path = \"/*a*a*a*a*a*a*a*a*b\"", "path = \"/**/*a*a*a*a*a*b/**/c\"", ""]);
    assert_eq!(found(&config, &path), Some(2));
    assert_eq!(found(&config, &"/a".repeat(1 << 19)), Some(2));
}

#[test]
fn many_globs_and_expressions_are_found_by_a_piece_of_them() {
    let written: Vec<String> = (0..60)
        .map(|number| match number % 6 {
            0 => format!("path = \"/*/section{number}\""),
            1 => format!("path = \"/*/section{number}/*\""),
            2 => format!("path = \"/**/*.ext{number}\""),
            3 => format!("path = \"/**/last{number}\""),
            4 => format!("path = '~ ^/section{number}/(\\d+)$'"),
            _ => format!("path = '~ \\.end{number}$'"),
        })
        .collect();
    let config = routes(&written.iter().map(String::as_str).collect::<Vec<_>>());
    for number in 0..60 {
        let path = match number % 6 {
            0 => format!("/a/section{number}"),
            1 => format!("/a/section{number}/b/c"),
            2 => format!("/a/b/c.ext{number}"),
            3 => format!("/last{number}"),
            4 => format!("/section{number}/17"),
            _ => format!("/a/b.end{number}"),
        };
        assert_eq!(found(&config, &path), Some(number), "{path}");
    }
    assert_eq!(found(&config, "/a/section"), None);
}

#[test]
fn expressions_come_last_and_in_the_order_written() {
    let config = routes(&[
        "path = '~ ^/u/(\\d+)$'",
        "path = '~ ^/u/'\nmethod = \"POST\"",
        "path = '~ ^/u/'",
        "path = '~ ^/u/x'",
        "path = \"/u/*\"\nmethod = \"PUT\"",
        "path = '~ (?i)\\.PHP$'",
    ]);
    for (method, target, route) in [
        ("GET", "/u/12?x", Some(0)),
        ("POST", "/u/12", Some(0)),
        ("POST", "/u/x", Some(1)),
        ("GET", "/u/x", Some(2)),
        ("PUT", "/u/12", Some(4)),
        ("GET", "/a/b.Php", Some(5)),
        ("GET", "/a/b.php/", None),
        // Digits are those of ASCII.
        ("GET", "/v/\u{663}", None),
    ] {
        assert_takes(&config, &Request { method, target, ..GET }, route);
    }
}

#[test]
fn each_host_with_each_path_leads_to_the_route() {
    let config = routes(&[
        "host = [\"a.example\", \"*.b.example\"]\npath = [\"/x\", \"/y/*\", '~ z$']\nrespond = 404",
    ]);
    for (host, path, is_found) in [
        ("a.example", "/x", true),
        ("a.example", "/y/1", true),
        ("c.b.example", "/y/", true),
        ("c.b.example", "/1z", true),
        ("b.example", "/x", false),
        ("a.example", "/y", false),
    ] {
        let found = config.routes.find(&HostAndPath(host.as_bytes(), path.as_bytes()));
        assert_eq!(found, is_found.then_some(RouteId(0)), "{host}{path}");
    }
    assert_eq!(config.route_settings[0].name, "a.example (+1)/x (+2)");
}

#[test]
fn what_a_path_catches_can_be_told() {
    let config = routes(&[
        "path = \"/old/*\"",
        "path = [\"/a/*/edit\", \"/f/**/x/*.pdf\"]",
        "path = '~ ^/u/(?P<id>\\d+)(/(?P<rest>.*))?$'",
        "path = \"/exact\"",
        "",
        "path = \"/m-*-*\"",
    ]);
    for (route, path, caught) in [
        (0, "/old/", &[""][..]),
        (0, "/old/a/b?c", &["a/b"]),
        (0, "/new", &[]),
        (1, "/a/17/edit", &["17"]),
        (1, "/f/x/a.pdf", &["", "a"]),
        (1, "/f/1/2/x/a.pdf", &["1/2", "a"]),
        (1, "/f/x/x/.pdf", &["x", ""]),
        (2, "/u/12", &["12", "", ""]),
        (2, "/u/12/a/b", &["12", "/a/b", "a/b"]),
        (2, "/u/x", &[]),
        (3, "/exact", &[]),
        (4, "/a/b", &["a/b"]),
        (4, "*", &[""]),
        (5, "/m-1-2-3", &["1", "2-3"]),
        (9, "/", &[]),
    ] {
        let mut places = Vec::new();
        config.routes.caught(RouteId(route), path.as_bytes(), &mut places);
        let texts: Vec<_> = places.into_iter().map(|place| &path[place]).collect();
        assert_eq!(texts, caught, "{path}");
    }
}

#[test]
fn refuses_routes_that_tie_in_everything() {
    let one = "[[route]]\nhost = \"a.example\"\npath = \"/x/*\"\n";
    for (first, second, ties) in [
        ("", "", true),
        ("method = \"POST\"", "method = [\"POST\"]", true),
        ("method = [\"GET\", \"PUT\"]", "method = [\"PUT\", \"HEAD\", \"GET\"]", true),
        ("header = { X-A = \"1\", X-B = true }", "header = { x-b = true, x-a = \"1\" }", true),
        ("header = { X-A = '~ 1' }", "header = { X-A = \"~1\" }", true),
        ("client = [\"10.0.0.0/8\", \"::1\"]", "client = [\"::1\", \"10.1.1.1/8\"]", true),
        ("", "method = \"POST\"", false),
        ("method = \"PUT\"", "method = \"POST\"", false),
        ("header = { X-A = \"1\" }", "header = { X-A = \"2\" }", false),
        ("header = { X-A = \"1\" }", "query = { X-A = \"1\" }", false),
        ("header = { X-A = true }", "header = { X-A = false }", false),
    ] {
        let text = format!("{one}{first}\n{one}{second}\n");
        if ties {
            assert_wrong(&text, (5, 1), "route on line 1 has the same host and path", "a condition");
        } else {
            right(&text);
        }
    }
    let lists = "[[route]]\npath = [\"/a\", \"/b\"]\n[[route]]\npath = [\"/c\", \"/b\"]\n";
    assert_wrong(lists, (3, 1), "route on line 1", "leave one");
    assert_wrong(
        "[[route]]\npath = '~ ^/a'\n[[route]]\npath = '~  ^/a '\n",
        (3, 1),
        "route on line 1",
        "leave one",
    );
    // The same path with and without stars' names: `/a/**` is `/a/*`.
    assert_wrong(
        "[[route]]\npath = \"/a/**\"\n[[route]]\npath = \"/a/*\"\n",
        (3, 1),
        "route on line 1",
        "leave one",
    );
}
