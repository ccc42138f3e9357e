//! Whole files: what they become, and that it is what `check` takes.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

mod directives;
mod fields;
mod servers;

fn directory() -> PathBuf {
    // Relative, so that what is written about places is the same everywhere.
    PathBuf::from("crates/vestibule/src/import/tests")
}

/// A site file with this in its `server`, and what it becomes.
fn site(inside: &str) -> Imported {
    whole(&format!("upstream app {{ server unix:/run/app.sock; }}\nserver {{\nlisten 8080;\n{inside}\n}}\n"))
}

fn whole(text: &str) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("site.conf");
    fs::write(&file, text).unwrap();
    let imported = convert(&file, None).unwrap();
    assert_accepted(&imported);
    let shown = dir.path().display().to_string();
    Imported {
        config: imported.config.replace(&format!("{shown}/"), ""),
        said: imported.said.replace(&format!("{shown}/"), ""),
        ..imported
    }
}

fn assert_accepted(imported: &Imported) {
    if let Err(error) = vestibule_config::parse(&imported.config, Path::new("made.toml")) {
        panic!("{error}\n{}", imported.config);
    }
}

fn refused(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("site.conf");
    fs::write(&file, text).unwrap();
    convert(&file, None).unwrap_err().to_string()
}

/// The keys of the route that has this line among them.
fn route(imported: &Imported, line: &str) -> String {
    let routes = imported.config.split("[[route]]\n").skip(1);
    let own = routes.map(|route| route.split("\n\n").next().unwrap_or_default().to_owned());
    let found = own.filter(|route| route.lines().any(|own| own == line)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{line} in\n{}", imported.config);
    found[0].clone()
}

#[test]
fn makes_of_real_sites_what_it_made_of_them() {
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let imported = convert(&file, Some(&directory())).unwrap();
        assert_accepted(&imported);
        let golden = file.with_extension("toml");
        if std::env::var_os("VESTIBULE_WRITE_GOLDEN").is_some() {
            fs::write(&golden, &imported.config).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap();
        let first = wanted.lines().zip(imported.config.lines()).position(|(wanted, found)| wanted != found);
        assert!(
            wanted == imported.config,
            "{}, line {:?}: VESTIBULE_WRITE_GOLDEN=1 writes it anew, to be read with `git diff`\n{}",
            golden.display(),
            first.map(|line| line + 1),
            imported.config
        );
    }
}

#[test]
fn says_the_same_twice() {
    let file = directory().join("rails_guide.conf");
    let (first, second) = (convert(&file, None).unwrap(), convert(&file, None).unwrap());
    assert_eq!((first.config, first.said), (second.config, second.said));
}

#[test]
fn names_every_directive_that_it_leaves_out_with_its_line() {
    let imported = site(
        "location / { proxy_pass http://app; proxy_set_header Host $host;\nsub_filter a b;\nproxy_cache x; }\nfrobnicate on;",
    );
    for line in ["site.conf:5: sub_filter a b;", "site.conf:6: proxy_cache x;", "site.conf:7: frobnicate on;"]
    {
        assert!(imported.said.contains(line), "{line} in\n{}", imported.said);
        assert!(imported.config.contains(&format!("#   {line}")), "{}", imported.config);
    }
    assert_eq!(imported.missing, 3);
}

#[test]
fn asks_files_and_then_the_application() {
    let imported = site(
        "root /srv/app/public;\ntry_files $uri/index.html $uri.html $uri @app;\nlocation @app { proxy_pass http://app; proxy_set_header Host $http_host; }",
    );
    let route = route(&imported, "upstream = \"app\"");
    assert!(route.contains("try = [\"files\", \"upstream\"]"), "{route}");
    assert!(route.contains("index = false, fallback = [\"$path/index.html\", \"$path.html\"]"), "{route}");
}

#[test]
fn lets_links_lead_where_capistrano_has_them_lead() {
    let imported = site("location / { root /srv/app/current/public; }\nlocation /x/ { root /srv/x; }");
    let (of_release, other) = (route(&imported, "path = \"/x/*\""), imported.config.clone());
    assert!(!of_release.contains("links"), "{of_release}");
    assert!(other.contains("links = [\"/srv/app/shared\"]"), "{other}");
    assert!(
        imported.said.contains("site.conf:5: root /srv/x;\n      links that lead out"),
        "{}",
        imported.said
    );
}

#[test]
fn knows_the_way_of_before_try_files() {
    let imported = site(
        "root /srv/app/public;\nlocation / {\nproxy_set_header Host $host;\nif (-f $request_filename/index.html) { rewrite (.*) $1/index.html break; }\n\
         if (!-f $request_filename) { proxy_pass http://app; break; }\n}",
    );
    let route = route(&imported, "upstream = \"app\"");
    assert!(
        route.contains("try = [\"files\", \"upstream\"]")
            && route.contains("fallback = [\"$path/index.html\"]"),
        "{route}"
    );
    assert_eq!(imported.missing, 0, "{}", imported.said);
}

#[test]
fn takes_a_redirect_to_https_for_the_listener() {
    for redirect in [
        "server_name a.example; return 301 https://$host$request_uri;",
        "server_name a.example; return 301 https://a.example$request_uri;",
        "server_name a.example; rewrite ^(.*)$ https://$host$1 permanent;",
        "server_name a.example; rewrite ^ https://$server_name$request_uri? permanent;",
        "server_name a.example; location / { return 301 https://$host$request_uri; }",
        "server_name a.example; if ($host = a.example) { return 301 https://$host$request_uri; } return 404;",
    ] {
        let secure = "server { listen 443 ssl; server_name a.example; ssl_certificate /c.pem; ssl_certificate_key /k.pem; location / { return 204; } }";
        let imported = whole(&format!("server {{ listen 80; {redirect} }}\n{secure}\n"));
        assert!(
            imported.config.contains("address = \"0.0.0.0:80\"\nredirect = \"https\"\n"),
            "{redirect}\n{}",
            imported.config
        );
        assert_eq!(imported.config.matches("[[route]]").count(), 1, "{redirect}\n{}", imported.config);
        assert_eq!(imported.missing, 0, "{redirect}\n{}", imported.said);
    }
}

#[test]
fn does_not_send_a_whole_listener_away_for_one_of_its_servers() {
    let imported = whole(
        "server { listen 80; server_name a.example; return 301 https://$host$request_uri; }\n\
         server { listen 80; server_name b.example; location / { return 204; } }\n",
    );
    assert!(!imported.config.contains("redirect = \"https\""), "{}", imported.config);
    assert!(imported.said.contains("site.conf:1: return 301"), "{}", imported.said);
}

#[test]
fn keeps_the_path_of_a_proxy_pass() {
    let imported = site(
        "location /api/ { proxy_set_header Host $host; proxy_pass http://app/v2/; }\nlocation /x/ { proxy_set_header Host $host; proxy_pass http://app/; }",
    );
    assert!(route(&imported, "path = \"/api/*\"").contains("rewrite = \"/v2/$1\""));
    assert!(route(&imported, "path = \"/x/*\"").contains("strip = \"/x\""));
    // As nginx does where a location that ends with a slash has a proxy_pass.
    assert!(route(&imported, "path = \"/x\"").contains("redirect = { to = \"/x/\", status = 301 }"));
}

#[test]
fn keeps_the_path_of_a_proxy_pass_behind_an_expression() {
    let imported = site(
        "location ~ \\.js$ { return 204; }\nlocation /api/ { proxy_set_header Host $host; proxy_pass http://app/v2/; }",
    );
    assert!(route(&imported, "path = \"~ ^/api/(.*)\"").contains("rewrite = \"/v2/$1\""));
}

#[test]
fn lets_in_whom_nginx_lets_in() {
    for (rules, wanted) in [
        ("allow 10.0.0.0/8; deny all;", "allow = [\"10.0.0.0/8\"]\ndeny = [\"all\"]"),
        (
            "deny 10.0.0.5; allow 10.0.0.0/8; deny all;",
            "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.5\", \"all\"]",
        ),
        ("deny 192.0.2.1;", "deny = [\"192.0.2.1\"]"),
        // The second can never be the first that fits.
        ("allow 10.0.0.0/8; deny 10.0.0.5; deny all;", "allow = [\"10.0.0.0/8\"]\ndeny = [\"all\"]"),
        ("allow 10.0.0.0/8;", "allow = [\"10.0.0.0/8\", \"all\"]"),
    ] {
        let imported =
            site(&format!("location / {{ {rules} proxy_set_header Host $host; proxy_pass http://app; }}"));
        let route = route(&imported, "upstream = \"app\"");
        assert!(route.contains(wanted) && !route.contains(&format!("{wanted},")), "{rules}\n{route}");
    }
}

#[test]
fn a_host_that_a_condition_sends_away_has_a_route() {
    let imported = whole(
        "server { listen 80; server_name www.a.example a.example; if ($host = a.example) { return 301 http://www.a.example$request_uri; } location / { return 204; } }",
    );
    let route = route(&imported, "host = \"a.example\"");
    assert!(route.contains("redirect = { to = \"http://www.a.example$uri\", status = 301 }"), "{route}");
    assert_eq!(imported.missing, 0, "{}", imported.said);
}

#[test]
fn a_rate_of_the_location_that_is_gone_on_to_holds() {
    let imported = whole(
        "limit_req_zone $binary_remote_addr zone=z:1m rate=5r/s;\nupstream app { server unix:/run/a.sock; }\n\
         server { listen 80; root /srv; location / { try_files $uri @app; } location @app { limit_req zone=z burst=9 nodelay; proxy_set_header Host $host; proxy_pass http://app; } }",
    );
    let route = route(&imported, "upstream = \"app\"");
    assert!(route.contains("rate = { requests = 5, per = \"1s\", burst = 10, by = \"client\" }"), "{route}");
}

#[test]
fn inherits_fields_as_nginx_does() {
    let fields = "add_header X-One 1 always;\nproxy_set_header X-Tenant a;\n";
    let imported = site(&format!(
        "{fields}location /a/ {{ proxy_pass http://app; }}\nlocation /b/ {{ add_header X-Two 2 always; proxy_set_header Host $host; proxy_pass http://app; }}"
    ));
    let inherited = route(&imported, "path = \"/a/*\"");
    assert!(inherited.contains("X-One") && inherited.contains("X-Tenant"), "{inherited}");
    let own = route(&imported, "path = \"/b/*\"");
    assert!(own.contains("X-Two") && !own.contains("X-One") && !own.contains("X-Tenant"), "{own}");
}

#[test]
fn tells_hosts_of_one_address_apart() {
    let server = |name: &str, more: &str| {
        format!("server {{ listen 80 {more}; server_name {name}; location / {{ return 200 {name}; }} }}\n")
    };
    let text = server(".b.example", "") + &server("www.b.example", "default_server") + &server("~^c", "");
    let imported = whole(&text);
    assert!(imported.config.contains("host = [\"b.example\", \"*.b.example\"]"), "{}", imported.config);
    // The default one is for any host, and before the wildcard for its own.
    assert!(imported.config.contains("host = \"www.b.example\""), "{}", imported.config);
    assert!(imported.said.contains("~^c is a regular expression"), "{}", imported.said);
}

#[test]
fn reads_what_is_included_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("nginx.conf", "http { include sites-enabled/*.conf; include missing.conf; }"),
        ("sites-enabled/b.conf", "server { listen 82; server_name b; location / { return 204; } }"),
        (
            "sites-enabled/a.conf",
            "server { listen 81; server_name a; location / { return 204; } include snippets/x; }",
        ),
        ("snippets/x", "client_max_body_size 5m;"),
    ] {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), text).unwrap();
    }
    let imported = convert(&dir.path().join("nginx.conf"), None).unwrap();
    let (a, b) = (imported.config.find("0.0.0.0:81"), imported.config.find("0.0.0.0:82"));
    assert!(a.is_some() && a < b, "{}", imported.config);
    assert!(imported.config.contains("body = \"5 MiB\""), "{}", imported.config);
    assert!(imported.said.contains("missing.conf: No such file"), "{}", imported.said);
}

#[test]
fn a_file_that_includes_itself_comes_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.conf"), "include a.conf;").unwrap();
    let error = convert(&dir.path().join("a.conf"), None).unwrap_err().to_string();
    assert!(error.contains("deep"), "{error}");
    fs::write(dir.path().join("b.conf"), "include b.conf; include b.conf; include b.conf;").unwrap();
    assert!(convert(&dir.path().join("b.conf"), None).is_err());
}

#[test]
fn refuses_what_nginx_would_refuse_with_its_line() {
    for (text, wanted) in [
        ("server {\nlisten 80;\n", "site.conf:1: the `{` is never closed"),
        ("server {\n}\n}\n", "site.conf:3: there is a `}` too many"),
        ("server {\nlisten 80\n}\n", "site.conf:2: `listen` is not ended by a `;`"),
        ("a \"b", "site.conf:1: the \" is never closed"),
        ("a \"b\"c;", "no blank after the \""),
        (";", "site.conf:1: a directive begins with its name"),
        ("a_by_lua_block { if x then", "never closed"),
    ] {
        let error = refused(text);
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    let deep = "a { ".repeat(100_000);
    assert!(refused(&deep).contains("nested"));
}

#[test]
fn lua_is_skipped_whole() {
    let imported = site(
        "location / { content_by_lua_block {\n local t = { a = \"}\" } -- }\n if x then y() end\n}\n}\nlocation = /up { return 204; }",
    );
    assert!(imported.said.contains("content_by_lua_block"), "{}", imported.said);
    assert!(imported.config.contains("path = \"/up\""), "{}", imported.config);
}

#[test]
fn rewrites_before_one_of_all_paths_stay() {
    let imported =
        site("rewrite ^/old/(.*)$ /new/$1 permanent;\nrewrite ^ https://b.example$request_uri permanent;");
    assert!(route(&imported, "path = \"~ ^/old/(.*)$\"").contains("/new/$1"), "{}", imported.config);
    assert!(imported.config.contains("to = \"https://b.example$uri\""), "{}", imported.config);
    let imported = site("rewrite ^ https://b.example/ permanent;");
    assert!(imported.said.contains("the query is left out"), "{}", imported.said);
    // A location's own too.
    let imported =
        site("location /x { rewrite ^/x/a$ /b permanent; rewrite ^ https://b.example/ permanent; }");
    assert!(route(&imported, "path = \"~ ^/x/a$\"").contains("to = \"/b\""), "{}", imported.config);
}

#[test]
fn pages_of_a_location_are_told_of() {
    for page in ["error_page 404 =200 /x.html;", "error_page 502 /api502.json;", "error_page 404 = @none;"] {
        let imported =
            site(&format!("location / {{ proxy_set_header Host $host; proxy_pass http://app;\n{page} }}"));
        assert!(imported.said.contains(&format!("site.conf:5: {page}")), "{}", imported.said);
        assert_eq!(imported.missing, 1, "{}", imported.said);
    }
}

#[test]
fn a_page_that_is_the_application_is_a_step_behind_the_files() {
    let imported = site(
        "location / { root /srv/public; error_page 404 = @app; }\nlocation @app { proxy_set_header Host $host; proxy_pass http://app; }",
    );
    assert!(
        route(&imported, "upstream = \"app\"").contains("try = [\"files\", \"upstream\"]"),
        "{}",
        imported.config
    );
    assert_eq!(imported.missing, 0, "{}", imported.said);
}

#[test]
fn writes_nothing_that_check_refuses() {
    let redirect = site(
        "root /srv;\nlocation / { try_files $uri @j; }\nlocation @j { return 302 https://b.example$request_uri; }",
    );
    let route = route(&redirect, "try = [\"files\", \"redirect\"]");
    assert!(route.contains("redirect = { to = \"https://b.example$uri\", status = 302 }"), "{route}");
    let text = site("root /srv;\nlocation / { try_files $uri @j; }\nlocation @j { return 410 gone; }");
    assert!(text.config.contains("respond = { status = 410, body = \"gone\""), "{}", text.config);
    // `site` has all of these read.
    let any = site("gzip on; gzip_types *; root /srv;");
    assert!(!any.config.contains("types = "), "{}", any.config);
    assert!(any.said.contains("is not compressed again"), "{}", any.said);
    assert!(site("root /srv;\nlocation / { try_files $uri =302; }").missing == 1);
    assert!(site("location / { return 199; }").missing == 1);
    site("gzip on; gzip_min_length 2g; root /srv;");
    let proxied = |more: &str| {
        whole(&format!("server {{ listen 8080 proxy_protocol; {more} location / {{ return 204; }} }}"))
    };
    assert!(!proxied("").config.contains("\nproxy_protocol") && proxied("").missing == 1);
    let named = proxied("set_real_ip_from 10.0.0.0/8;");
    assert!(named.config.contains("\nproxy_protocol = true") && named.missing == 0, "{}", named.said);
}

#[test]
fn faults_of_what_was_made_are_not_all_of_it() {
    let line = |missing, is_faulty| ending(Path::new("a.conf"), missing, is_faulty, Path::new("b.toml"));
    assert!(line(0, false).contains("all of it is carried over"));
    assert!(!line(0, true).contains("all of it") && line(0, true).contains("by hand"));
    assert!(line(2, true).contains("2 directives are not carried over") && line(2, true).contains("by hand"));
}

#[test]
fn a_redirect_to_the_slash_says_what_becomes_of_the_query() {
    let imported = site("location /x/ { proxy_set_header Host $host; proxy_pass http://app; }");
    assert!(imported.said.contains("is sent on without its query"), "{}", imported.said);
}

#[test]
fn says_when_a_file_is_looked_for_later_than_nginx_does() {
    let tries = |names: &str| {
        site(&format!(
            "root /srv;\nlocation / {{ try_files {names} @app; }}\nlocation @app {{ proxy_set_header Host $host; proxy_pass http://app; }}"
        ))
    };
    let later = "is looked for behind the file itself";
    assert!(tries("/system/maintenance.html $uri").said.contains(later));
    assert!(tries("$uri.html $uri").said.contains(later));
    assert!(!tries("$uri/index.html $uri").said.contains(later));
    assert!(!tries("$uri $uri.html /system/maintenance.html").said.contains(later));
}

#[test]
fn types_of_files_are_carried_over() {
    let imported = site("location / { root /srv; types { text/x-own own OWNED; } }");
    assert!(
        imported.config.contains("types = { own = \"text/x-own\", owned = \"text/x-own\" }"),
        "{}",
        imported.config
    );
    let other = site("location / { root /srv; default_type text/html; }");
    assert_eq!(other.missing, 1, "{}", other.said);
}

#[test]
fn a_head_may_be_as_long_as_it_was() {
    assert!(site("large_client_header_buffers 4 128k; root /srv;").config.contains("head = \"512 KiB\""));
    let small = site("large_client_header_buffers 4 16k; root /srv;");
    assert!(!small.config.contains("head = ") && small.missing == 0, "{}", small.said);
    assert!(site("http2_max_concurrent_streams 64; root /srv;").config.contains("http2_streams = 64"));
}

#[test]
fn nothing_that_is_read_panics() {
    // Each piece of a real file, cut anywhere, and each of its words left out.
    for name in ["rails_guide", "capistrano"] {
        let text = fs::read_to_string(directory().join(name).with_extension("conf")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.conf");
        for at in (0..text.len()).step_by(37).filter(|at| text.is_char_boundary(*at)) {
            for cut in
                [text[..at].to_owned(), text[at..].to_owned(), format!("{} {}", &text[..at], &text[at..])]
            {
                fs::write(&file, cut).unwrap();
                let _ = convert(&file, Some(dir.path()));
            }
        }
    }
}
