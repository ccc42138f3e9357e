//! What several servers of one file have in common, and what they must not.

use super::*;

const KEYS: &str = "ssl_certificate /c.pem; ssl_certificate_key /k.pem;";

#[test]
fn the_default_server_keeps_its_traffic_from_another_of_its_name() {
    for (first, second) in [("80", "81"), ("10.0.0.1:80", "10.0.0.2:80")] {
        let imported = whole(&format!(
            "upstream app {{ server unix:/run/app.sock; }}\n\
             server {{ listen {first}; server_name a.test; location / {{ proxy_set_header Host $host; proxy_pass http://app; }} }}\n\
             server {{ listen {second}; server_name a.test; return 200; }}\n"
        ));
        assert!(!imported.config.contains("host = \"a.test\""), "{}", imported.config);
        assert!(route(&imported, "upstream = \"app\"").starts_with("upstream"), "{}", imported.config);
        assert!(imported.said.contains("nobody asks for it by a name of its own"), "{}", imported.said);
    }
    // Wherever it stands.
    let imported = whole(&format!(
        "server {{ listen 80; server_name a.test; return 200; }}\n\
         server {{ listen 443 ssl; server_name a.test b.test; {KEYS} return 404; }}\n"
    ));
    assert!(!imported.config.contains("respond = 200"), "{}", imported.config);
    assert!(imported.said.contains("site.conf:1: server"), "{}", imported.said);
}

#[test]
fn gzip_of_one_server_is_not_that_of_another() {
    let imported = whole(
        "upstream app { server unix:/run/app.sock; }\n\
         server { listen 80; server_name a.test; gzip on; location / { proxy_set_header Host $host; proxy_pass http://app; } }\n\
         server { listen 80; server_name b.test; location / { proxy_set_header Host $host; proxy_pass http://app; } }\n",
    );
    assert!(imported.config.contains("[compress]\ncodings = [\"gzip\"]"), "{}", imported.config);
    assert!(route(&imported, "host = \"b.test\"").contains("\ncompress = false"), "{}", imported.config);
}

#[test]
fn says_which_servers_get_the_pages_of_others() {
    let imported = whole(
        "server { listen 80; server_name a.test; root /srv/a; error_page 404 /404.html; }\n\
         server { listen 80; server_name b.test; root /srv/b; }\n",
    );
    assert!(
        imported.said.contains("site.conf:2: server { … }\n      its errors have the pages of the other"),
        "{}",
        imported.said
    );
}

#[test]
fn files_of_a_server_without_gzip_stay_as_they_are() {
    let imported = site("gzip off;\nroot /srv;");
    assert!(imported.config.contains("\ncompress = false\n"), "{}", imported.config);
    assert!(!imported.config.contains("[compress]"), "{}", imported.config);
}

#[test]
fn strict_transport_security_is_said_once() {
    let hsts = "add_header Strict-Transport-Security \"max-age=31536000\" always;";
    let imported = whole(&format!(
        "server {{ listen 443 ssl; server_name a.test; {KEYS} {hsts} return 404; }}\n\
         server {{ listen 443 ssl; listen 8443 ssl; server_name b.test; {KEYS} {hsts} root /srv; }}\n\
         server {{ listen 8443 ssl default_server; server_name c.test; {KEYS} root /srv; }}\n"
    ));
    assert!(!imported.config.contains("tls.hsts"), "{}", imported.config);
    assert!(
        route(&imported, "host = \"b.test\"").contains("Strict-Transport-Security"),
        "{}",
        imported.config
    );
    let c = route(&imported, "host = \"c.test\"");
    assert!(!c.contains("Strict-Transport-Security"), "{c}");
    let imported = whole(&format!(
        "server {{ listen 443 ssl; listen [::]:443 ssl; server_name a.test; {KEYS} {hsts} root /srv; }}\n"
    ));
    assert_eq!(imported.config.matches("tls.hsts").count(), 2, "{}", imported.config);
    assert!(!imported.config.contains("Strict-Transport-Security"), "{}", imported.config);
}

#[test]
fn what_holds_for_all_is_not_what_a_server_says_that_refuses() {
    let imported = whole(
        "upstream app { server unix:/run/app.sock; }\n\
         server { listen 80 default_server; return 444; }\n\
         server { listen 80; server_name a.test; keepalive_timeout 10; client_max_body_size 20m; underscores_in_headers on;\n\
         location / { proxy_set_header Host $host; proxy_pass http://app; } }\n\
         server { listen 80; server_name b.test; keepalive_timeout 33;\nroot /srv; }\n",
    );
    for line in ["idle_timeout = \"10s\"", "body = \"20 MiB\"", "fields.underscores = true"] {
        assert!(imported.config.contains(line), "{line}\n{}", imported.config);
    }
    assert!(
        imported.said.contains("keepalive_timeout 33;\n      limits.idle_timeout is the same for all"),
        "{}",
        imported.said
    );
}

#[test]
fn a_zone_that_several_routes_count_by_is_told_of() {
    let limited = |more: &str| {
        whole(&format!(
            "limit_req_zone $binary_remote_addr zone=z:1m rate=5r/s;\nupstream app {{ server unix:/run/a.sock; }}\n\
             server {{ listen 80; limit_req zone=z burst=5 nodelay; proxy_set_header Host $host; location / {{ proxy_pass http://app; }} {more} }}"
        ))
    };
    let said = "each route has a count of its own";
    assert!(!limited("").said.contains(said), "{}", limited("").said);
    let two = limited("location /api { proxy_pass http://app; }");
    assert!(two.said.contains(said), "{}", two.said);
}
