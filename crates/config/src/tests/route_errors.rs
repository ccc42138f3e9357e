//! What is wrong in a `[[route]]`, each with what to write.

use super::assert_wrong;

/// One error in the second line, at this column.
#[track_caller]
fn assert_refused(keys: &str, column: usize, message: &str, instead: &str) {
    assert_wrong(&format!("[[route]]\n{keys}"), (2, column), message, instead);
}

#[test]
fn refuses_wrong_conditions() {
    for (keys, column, message, instead) in [
        ("method = \"post\"", 10, "no method \"post\"", "\"POST\""),
        ("method = [\"GET\", \"DELTE\"]", 18, "no method \"DELTE\"", "\"DELETE\""),
        ("method = \"TRACE\"", 10, "refused before", "leave it out"),
        ("method = \"FOO BAR\"", 10, "not a method", "capital letters"),
        ("method = []", 10, "nothing in the list", "leave it out"),
        ("method = 1", 10, "expected text", "quotes"),
        ("header = { \"X:\" = \"1\" }", 12, "not the name of a field", "without the colon"),
        ("header = { \"X Y\" = \"1\" }", 12, "not the name of a field", "X-Beta"),
        ("header = { X = 1 }", 16, "a value is text", "\"1\""),
        ("header = { X = [] }", 16, "expected a value", "false where"),
        ("header = { X = '~ (' }", 16, "character 1: unclosed group", "docs.rs/regex"),
        ("header = { X = '~' }", 16, "no regular expression", "write one"),
        ("header = { X-A = true, x-a = \"1\" }", 24, "asked about twice", "leave one"),
        ("header = {}", 10, "nothing in `header`", "leave it out"),
        ("header = \"X\"", 10, "is a table", "header = {"),
        ("query = { a = 1.5 }", 15, "expected a value", "true where"),
        ("client = \"10.0.0.0/33\"", 10, "neither a network", "10.0.0.0/8"),
    ] {
        assert_refused(keys, column, message, instead);
    }
}

#[test]
fn refuses_wrong_expressions() {
    for (expression, message, instead) in [
        ("^/a(", "character 4: unclosed group", "docs.rs/regex"),
        ("(?=a)", "look-around", "docs.rs/regex"),
        ("(a)\\\\1", "backreferences are not supported", "docs.rs/regex"),
        ("a{100}{100}{100}", "takes more than 1 MiB", "smaller counts"),
        ("\\\\pL", "Unicode", "in ASCII"),
    ] {
        assert_refused(&format!("path = \"~ {expression}\""), 8, message, instead);
    }
    assert_refused(&format!("path = '~ {}'", "(a)".repeat(33)), 8, "has 33 groups", "(?:…)");
    assert_refused("path = \"^/a\"", 8, "does not begin with `/`", "'~ ^/a'");
    assert_refused(&format!("path = \"~ {}\"", "a".repeat(5000)), 8, "too long", "4096");
    assert_refused(&format!("path = \"/{}\"", "a*".repeat(17)), 8, "17 times `*`", "at most 16");
}

#[test]
fn refuses_places_that_nothing_fills() {
    for (path, to, message, instead) in [
        ("/a/*", "/b/$2", "the path `/a/*` catches no $2", "write $1"),
        ("/a", "/b/$1", "the path `/a` catches no $1", "\"/old/*\""),
        ("/a/*/*", "/b/$3", "catches no $3", "$1 to $2"),
        ("/a/*", "/b/$0", "catches no $0", "$path"),
        ("/a/*", "/b/$99999999999999999999", "catches no $", "write $1"),
        ("/a/*", "/b/$hots", "no $hots", "write $host"),
        ("/a/*", "/b/${uri", "has no `}`", "${name}"),
        ("/a/*", "/b/$", "no name after it", "$$"),
        ("/a/*", "/b/$-", "no name after it", "$path"),
        ("/a/*", "/b/$request_uri", "no $request_uri", "write $uri"),
        ("/a/*", "/b/$args", "no $args", "write $query"),
        ("/a/*", "/b/$http_x_one", "no $http_x_one", "$field:x-one"),
        ("/a/*", "/b/${rest}", "no $rest", "$$ for a dollar"),
        ("~ ^/(?P<rest>.*)$", "/b/${rset}", "no $rset", "${rest}"),
        ("/a/*", "/b/$field:", "not the name of a field", "X-Beta"),
        ("/a/*", "/b\\n", "'\\n' in it", "one line"),
    ] {
        assert_wrong(
            &format!("[[route]]\npath = \"{path}\"\nredirect = \"{to}\""),
            (3, 12),
            message,
            instead,
        );
    }
    // Each of the paths has to catch it.
    let text = "[[route]]\npath = [\"/a/*\", \"/b\"]\nredirect = \"/c/$1\"";
    assert_wrong(text, (3, 12), "the path `/b` catches no $1", "regular expression");
    // What is wrong with the path is told once.
    assert_wrong("[[route]]\npath = \"a/*\"\nredirect = \"/c/$7\"", (2, 8), "does not begin", "\"/a/*\"");
}

#[test]
fn refuses_redirects_to_nowhere() {
    for (keys, column, message, instead) in [
        ("redirect = \"example.com/a\"", 12, "not an address", "https://example.com/a"),
        ("redirect = \"\"", 12, "not an address", "https://"),
        ("redirect = \"$uri\"", 12, "can lead anywhere", "$scheme://$host$uri"),
        ("redirect = \"https\"", 12, "does not say where to", "https://$host$uri"),
        ("redirect = { status = 301 }", 12, "leads nowhere", "to = "),
        ("redirect = { to = \"/a\", status = 200 }", 34, "no status of a redirect", "301 or 308"),
        ("redirect = { to = \"/a\", code = 301 }", 25, "unknown key `code`", "known here: status, to"),
        ("redirect = 301", 12, "expected text", "https://example.com$uri"),
    ] {
        assert_refused(keys, column, message, instead);
    }
}

#[test]
fn refuses_answers_that_say_nothing() {
    for (keys, column, message, instead) in [
        ("respond = 600", 11, "out of bounds", "200 to 599"),
        ("respond = \"ok\"", 11, "expected a status", "body = "),
        ("respond = 301", 11, "has to say where to", "status = 301"),
        ("respond = {}", 11, "does not say what to answer", "status = 404"),
        ("respond = { status = 204, body = \"a\" }", 22, "has no body", "leave the body out"),
        ("respond = { body = \"a\", body_file = \"b.txt\" }", 37, "both written", "leave one"),
        ("respond = { body_file = \"b.foo\" }", 25, "does not say what it is", "type = "),
        ("respond = { body = \"a\", type = \"text\" }", 32, "not a type", "text/html"),
    ] {
        assert_refused(keys, column, message, instead);
    }
}

#[test]
fn refuses_files_that_are_nowhere() {
    for (keys, column, message, instead) in [
        ("files = {}", 9, "does not say where", "root = "),
        ("files = \"\"", 9, "not the path", "\"public\""),
        ("files = \"https://a.example/\"", 9, "a URL", "a path"),
        ("files = { root = \"a\", indx = \"b\" }", 23, "unknown key `indx`", "write `index`"),
        ("files = { root = \"a\", index = \"a/b\" }", 31, "not the name of a file", "index.html"),
        ("files = { root = \"a\", index = true }", 31, "does not say which", "false for none"),
        ("files = { root = \"a\", fallback = \"index.html\" }", 34, "does not begin", "\"/index.html\""),
        ("files = { root = \"a\", fallback = \"$uri.html\" }", 34, "no $uri here", "$path"),
        ("files = { root = \"a\", fallback = \"@app\" }", 34, "no file", "try = [\"files\", \"upstream\"]"),
        ("files = { root = \"a\", fallback = \"/../b\" }", 34, "below the root", "$path.html"),
        ("files = { root = \"a\", fallback = \"$path\" }", 34, "tried first", "leave it out"),
        ("files = { root = \"a\", precompressed = \"brotli\" }", 39, "not known here", "\"br\""),
        ("files = { root = \"a\", precompressed = [\"br\", \"br\"] }", 46, "twice", "leave one"),
        ("files = { root = \"a\", cache_control = \"1h\" }", 39, "who may keep it", "max-age=60"),
        ("files = { root = \"a\", cache_control = \"a\\nb\" }", 39, "cannot stand", "max-age=60"),
        ("files = { root = \"a\", immutable = \"assets/*\" }", 35, "does not begin", "\"/assets/*\""),
        ("files = { root = \"a\", immutable = '~ a' }", 35, "has no place here", "\"/assets/*\""),
        ("files = { root = \"a\", links = \"all\" }", 31, "not known here", "\"any\""),
        ("files = { root = \"a\", links = \"/srv\" }", 31, "not known here", "[\"/srv\"]"),
        ("files = { root = \"a\", links = true }", 31, "expected a name", "\"inside\""),
        ("files = { root = \"a\", types = { \".foo\" = \"a/b\" } }", 33, "begins with a dot", "\"foo\""),
        ("files = { root = \"a\", types = { foo = \"a\" } }", 39, "not a type", "text/html"),
        ("files = { root = \"a\", check = \"2h\" }", 31, "out of bounds", "\"0h\" to \"1h\""),
        ("files = { root = \"a\", strip = \"assets\" }", 31, "does not begin", "\"/assets\""),
        ("files = { root = \"a\", strip = \"/\" }", 31, "leaves nothing out", "\"/api\""),
    ] {
        assert_refused(keys, column, message, instead);
    }
}

#[test]
fn refuses_an_order_that_is_none() {
    for (keys, line, column, message, instead) in [
        ("files = \"a\"\nrespond = 404", 1, 1, "`files` and `respond`", "try = [\"files\", \"respond\"]"),
        (
            "redirect = \"/a\"\nrespond = 404",
            1,
            1,
            "`redirect` and `respond`, and each of them always answers",
            "leave all but one of them out",
        ),
        (
            "files = \"a\"\nupstream = \"app\"\nrespond = 404",
            1,
            1,
            "`upstream` and `respond`, and each",
            "leave all but one of them out",
        ),
        (
            "files = \"a\"\nupstream = \"app\"",
            1,
            1,
            "`files` and `upstream`",
            "try = [\"files\", \"upstream\"]",
        ),
        ("try = [\"files\", \"upstream\"]", 2, 8, "no `files` in this route", "write it"),
        ("try = [\"file\"]\nfiles = \"a\"", 2, 8, "\"file\" is not known", "\"files\""),
        ("try = [\"upstream\", \"files\"]\nfiles = \"a\"", 2, 20, "never asked", "put it first"),
        ("try = [\"files\", \"files\"]\nfiles = \"a\"", 2, 17, "twice", "leave one"),
        (
            "try = [\"files\"]\nfiles = \"a\"\nrespond = 404",
            2,
            7,
            "`respond` of this route is not in",
            "\"respond\"",
        ),
        ("try = []\nfiles = \"a\"", 2, 7, "nothing in the list", "leave it out"),
    ] {
        assert_wrong(&format!("[[route]]\n{keys}"), (line, column), message, instead);
    }
}

#[test]
fn refuses_shares_of_nothing() {
    const TWO: &str =
        "[upstream.app]\naddress = \"unix:/app\"\n[upstream.canary]\naddress = \"unix:/canary\"\n[[route]]\n";
    for (keys, line, column, message, instead) in [
        ("upstream = [\"app\", \"canary\"]", 6, 12, "one `upstream`", "upstreams = ["),
        ("upstreams = []", 6, 13, "nothing in `upstreams`", "`upstream`"),
        ("upstreams = \"app\"", 6, 13, "is a list", "weight = 95"),
        ("upstreams = [\"app\"]", 6, 14, "each of `upstreams` is a table", "{ upstream = "),
        ("upstreams = [{ upstream = \"ap\" }]", 6, 27, "no upstream \"ap\"", "\"app\""),
        ("upstreams = [{ weight = 1 }]", 6, 14, "does not say which upstream", "upstream = "),
        (
            "upstreams = [{ upstream = \"app\" }, { upstream = \"app\" }]",
            6,
            49,
            "a weight already",
            "leave one",
        ),
        ("upstreams = [{ upstream = \"app\", weight = 0 }]", 6, 13, "nobody gets", "a weight"),
        ("upstream = \"app\"\nsticky = \"a\"", 7, 10, "for several `upstreams`", "leave it out"),
        ("upstreams = [{ upstream = \"app\" }]\nsticky = \"a b\"", 7, 10, "name of a cookie", "letters"),
        ("upstreams = [{ upstream = \"app\" }]\nsticky = {}", 7, 10, "does not name its cookie", "cookie = "),
        (
            "try = [\"files\", \"upstream\"]\nfiles = \"a\"",
            6,
            17,
            "does not say which",
            "\"app\" or \"canary\"",
        ),
    ] {
        assert_wrong(&format!("{TWO}{keys}"), (line, column), message, instead);
    }
}

#[test]
fn refuses_passwords_that_anybody_could_find() {
    for (hash, message) in [
        ("$apr1$abcdefgh$0123456789abcdefghijkl", "MD5"),
        ("$1$abcdefgh$0123456789abcdefghijkl", "MD5"),
        ("{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", "SHA-1"),
        ("$5$salt$hash", "SHA-crypt"),
        ("$6$salt$hash", "SHA-crypt"),
        ("$7$salt", "not known here: bcrypt and argon2"),
        ("abcdefghijklm", "crypt()"),
        ("geheim", "not hashed"),
        ("", "empty"),
        ("$2y$05$short", "60 characters"),
        ("$2y$03$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e", "no cost from 04"),
        ("$2y$15$abcdefghijklmnopqrstuuRXCpiV4fE.5oBvSGOKYo3mbjHjKfJ8e", "at most 14"),
        ("$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89", "version 19"),
        ("$argon2id$v=19$m=9999999,t=1,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89", "at most m="),
        ("$argon2id$v=19$m=64$c29tZXNhbHQ$9sTbSlTio3Biev89", "in the form"),
    ] {
        assert_refused(&format!("auth.users = {{ ann = \"{hash}\" }}"), 22, message, "htpasswd -nB ann");
    }
    assert_refused("auth.users = { \"a:b\" = \"x\" }", 16, "name of a user", "colons");
    assert_refused("auth = {}", 8, "lets nobody in", "htpasswd -B");
    assert_refused("auth.users = {}", 14, "lets nobody in", "$2y$");
    assert_refused("auth = { realm = \"a\\\"b\", file = \"f\" }", 18, "as a realm", "quotes");
}

#[test]
fn refuses_wrong_networks_rates_fields_and_origins() {
    for (keys, column, message, instead) in [
        ("allow = \"all\"\ndeny = \"10.0.0.0/40\"", 0, "neither a network", "\"all\""),
        ("rate = \"10\"", 8, "is not a rate", "\"10/s\""),
        ("rate = \"10/fortnight\"", 8, "is not a rate", "\"100/m\""),
        ("rate = \"0/s\"", 8, "is not a rate", "requests = 10"),
        ("rate = []", 8, "no rate in the list", "leave it out"),
        ("rate = { per = \"1s\" }", 8, "how many requests", "requests = 10"),
        ("rate = { requests = 0 }", 21, "out of bounds", "from 1"),
        ("rate = { requests = 1, per = \"2d\" }", 30, "out of bounds", "\"24h\""),
        ("rate = { requests = 1, by = \"ip\" }", 29, "not known here", "\"client\""),
        ("rate = { requests = 1, by = \"header:X\" }", 29, "not known here", "\"field:X\""),
        ("rate = { requests = 1, by = \"field:a b\" }", 29, "not the name of a field", "X-Beta"),
        ("fields.request.set = { Content-Length = \"1\" }", 24, "belongs to the connection", "leave it out"),
        ("fields.response.remove = \"connection\"", 26, "belongs to the connection", "leave it out"),
        ("fields.response.set = { A = \" b\" }", 29, "a blank", "\"b\""),
        ("fields.response.set = { A = \"a\\r\\nb\" }", 29, "in it", "one line"),
        ("fields.response.add = { A = \"$9\" }", 29, "catches no $9", "write $1"),
        ("fields.response.set = { A = \"1\", a = \"2\" }", 34, "there already", "leave one"),
        ("fields.response = { set = { A = \"1\" }, remove = [\"a\"] }", 50, "in `set` too", "leave one"),
        ("fields.reply = {}", 8, "unknown key `reply`", "request, response"),
        ("security = \"yes\"", 12, "expected true or false", "without quotes"),
        ("cors = \"app.example.com\"", 8, "not an origin", "https://app.example.com"),
        ("cors = \"https://a.example/\"", 8, "not an origin", "\"https://a.example\""),
        ("cors = \"https://a.example:443\"", 8, "not an origin", "\"https://a.example\""),
        ("cors = \"https://*.example\"", 8, "not an origin", "name each"),
        ("cors = \"https://A.example\"", 8, "not an origin", "small letters"),
        ("cors = {}", 8, "whose scripts", "origins = "),
        ("cors = { origins = \"*\", credentials = true }", 20, "any site could act", "name the origins"),
        ("compress = \"gzip\"", 12, "expected true or false", "codings = "),
        ("compress = { codings = \"deflate\" }", 24, "not known here", "\"gzip\""),
        ("compress = { types = \"text\" }", 22, "not a type", "text/*"),
        ("compress = { level = 4 }", 14, "unknown key `level`", "known here: codings, least, types"),
        ("limits = { head = \"1 KiB\" }", 12, "unknown key `head`", "belongs in [limits]"),
        ("limits.body = 0", 15, "refuse every body", "1 GiB"),
        ("timeout = { connect = \"1s\" }", 13, "unknown key `connect`", "[upstream.NAME]"),
        ("sendfile = true", 12, "does not say which directories", "\"/srv/app/private/\" = "),
        ("sendfile = false", 12, "is a table", "leave it out"),
        ("sendfile = {}", 12, "nothing in `sendfile`", "/srv/app/private"),
        ("sendfile = { \"private\" = \"/a\" }", 14, "not the beginning of a name", "from the root"),
        ("sendfile = { \"/a/../b\" = \"/a\" }", 14, "not the beginning of a name", "from the root"),
        ("sendfile = { \"/a\" = \"/b\", \"/a/\" = \"/c\" }", 27, "there already", "leave one"),
        ("strip = \"/a\"\nrewrite = \"/b\"", 9, "both are written", "leave one"),
        ("rewrite = \"b\"", 11, "does not begin", "\"/b\""),
        ("rewrite = \"https://a.example/\"", 11, "another address", "`redirect`"),
        ("rewrite = \"/a b\"", 11, "no client sends", "percent-encoded"),
        ("strip = \"/*/a\"", 9, "not the beginning of a path", "`rewrite`"),
        ("cache = {}", 1, "not supported yet", "leave it out"),
    ] {
        let (line, column) = if column == 0 { (3, 8) } else { (2, column) };
        assert_wrong(&format!("[[route]]\n{keys}"), (line, column), message, instead);
    }
    let both = "[[route]]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"::1\", \"10.0.0.0/8\"]";
    assert_wrong(both, (3, 16), "in `allow` and in `deny`", "leave one");
    assert_wrong(
        "[[route]]\nfiles = \"a\"\nsendfile = { \"/a\" = \"/b\" }",
        (3, 12),
        "none answers",
        "`upstream`",
    );
}

#[test]
fn names_the_key_for_names_known_from_nginx() {
    for (key, instead) in [
        ("root = \"/srv\"", "files = "),
        ("alias = \"/srv\"", "strip"),
        ("try_files = \"$uri\"", "try = "),
        ("return = 404", "respond"),
        ("auth_basic = \"a\"", "auth = "),
        ("auth_basic_user_file = \"a\"", "auth = "),
        ("limit_req = \"a\"", "rate = "),
        ("gzip = true", "compress"),
        ("gzip_static = true", "precompressed"),
        ("expires = \"1y\"", "cache_control"),
        ("client_max_body_size = \"1m\"", "limits = "),
        ("proxy_set_header = \"a\"", "fields = "),
        ("proxy_hide_header = \"a\"", "fields = "),
        ("add_header = \"a\"", "fields = "),
        ("headers = {}", "write `header`"),
        ("hosts = []", "write `host`"),
        ("paths = []", "write `path`"),
        ("methods = []", "write `method`"),
        ("weight = 1", "upstreams"),
    ] {
        assert_refused(key, 1, "unknown key", instead);
    }
}
