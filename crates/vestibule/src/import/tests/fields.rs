//! Fields of requests and answers, and what caches make of them.

use super::*;

const APP: &str = "proxy_set_header Host $host; proxy_pass http://app;";

#[test]
fn no_error_of_an_application_becomes_cacheable() {
    for directive in ["expires max;", "add_header Cache-Control \"public, max-age=9\";"] {
        let imported = site(&format!("location /assets/ {{ {APP}\n{directive} }}"));
        let text = imported.config.split("\n\n\n#").next().unwrap();
        assert!(!text.contains("Cache-Control") && !text.contains("max-age"), "{}", imported.config);
        assert_eq!(imported.missing, 1, "{}", imported.said);
    }
    let always = site(&format!("location / {{ {APP} add_header Cache-Control private always; }}"));
    assert!(
        always.config.contains("fields.response.add = { Cache-Control = \"private\" }"),
        "{}",
        always.config
    );
    // What files say is theirs alone.
    let both = site(&format!("root /srv; expires 1d; try_files $uri @app; location @app {{ {APP} }}"));
    assert!(both.config.contains("cache_control = \"max-age=86400\""), "{}", both.config);
    assert!(!both.config.contains("fields.response"), "{}", both.config);
}

#[test]
fn fields_of_what_the_application_has_sent_are_told_of() {
    let imported = site(&format!(
        "location / {{ {APP} }}\nlocation /files/ {{ internal; alias /srv/files/;\nadd_header X-Robots-Tag none; }}"
    ));
    assert!(imported.said.contains("site.conf:6: add_header X-Robots-Tag none;"), "{}", imported.said);
    assert_eq!(imported.missing, 1, "{}", imported.said);
    let imported = site(&format!(
        "location / {{ {APP} }}\nlocation /files/ {{ internal; alias /srv/files/; types {{ text/x-own own; }} deny 10.0.0.1; }}"
    ));
    assert_eq!(imported.missing, 2, "{}", imported.said);
}

#[test]
fn several_cookies_stay_several_fields() {
    let imported = site(&format!(
        "location / {{ {APP} add_header Set-Cookie a=1 always; add_header set-cookie b=2 always; }}"
    ));
    assert!(
        imported.config.contains("fields.response.add = { Set-Cookie = [\"a=1\", \"b=2\"] }"),
        "{}",
        imported.config
    );
    let replaced = site(&format!(
        "location / {{ {APP} proxy_hide_header Set-Cookie; add_header Set-Cookie a=1 always; add_header Set-Cookie b=2 always; }}"
    ));
    let route = route(&replaced, "upstream = \"app\"");
    assert!(route.contains("remove = [\"Set-Cookie\"]") && route.contains("[\"a=1\", \"b=2\"]"), "{route}");
}

#[test]
fn what_a_proxy_before_us_says_is_believed_only_of_one_that_is_named() {
    for field in [
        "X-Forwarded-Proto $http_x_forwarded_proto",
        "X-Forwarded-For $http_x_forwarded_for",
        "X-Forwarded-Scheme $http_x_forwarded_proto",
    ] {
        let location = format!("location / {{ {APP}\nproxy_set_header {field}; }}");
        let alone = site(&location);
        assert!(
            alone.said.contains(&format!("{field};\n      what a client sends of this is not believed")),
            "{}",
            alone.said
        );
        let behind = site(&format!("set_real_ip_from 10.0.0.0/8; {location}"));
        assert!(!behind.said.contains("not believed"), "{}", behind.said);
    }
}

#[test]
fn no_client_is_sent_to_http_3() {
    let imported = site("root /srv;\nadd_header Alt-Svc 'h3=\":443\"; ma=86400' always;");
    assert!(!imported.config.contains("fields.response"), "{}", imported.config);
    assert_eq!(imported.missing, 1, "{}", imported.said);
}

#[test]
fn fields_that_a_module_clears_are_removed() {
    let imported = site(&format!("location / {{ {APP} more_clear_headers X-Runtime Server; }}"));
    assert!(
        route(&imported, "upstream = \"app\"")
            .contains("fields.response.remove = [\"X-Runtime\", \"Server\"]"),
        "{}",
        imported.config
    );
    let part = site(&format!("location / {{ {APP} more_clear_headers -s 404 X-Runtime; }}"));
    assert_eq!(part.missing, 1, "{}", part.said);
}
