use crate::model::RouteId;
use crate::routes::{HostAndPath, Routes};

/// Routes 0, 1, … in the order given.
fn routes(routes: &[(Option<&str>, Option<&str>)]) -> Routes {
    let mut builder = Routes::builder();
    for (index, (host, path)) in routes.iter().enumerate() {
        builder.route(*host, *path, RouteId(index)).expect("a right route");
    }
    builder.build()
}

fn assert_finds(routes: &Routes, host: &str, path: &str, upstream: Option<usize>) {
    assert_eq!(
        routes.find(&HostAndPath(host.as_bytes(), path.as_bytes())),
        upstream.map(RouteId),
        "{host:?} {path:?}"
    );
}

#[test]
fn no_routes_fit_nothing_and_a_catch_all_everything() {
    assert_finds(&Routes::default(), "a.example", "/", None);
    let all = Routes::all_to(RouteId(3));
    for path in ["/", "", "*", "/a/b?c", "\u{fffd}"] {
        assert_finds(&all, "a.example", path, Some(3));
    }
}

#[test]
fn the_most_specific_host_wins() {
    let routes = routes(&[
        (None, None),
        (Some("*.example.com"), None),
        (Some("*.b.example.com"), None),
        (Some("a.b.example.com"), None),
        (Some("example.com"), None),
    ]);
    for (host, upstream) in [
        ("other.test", 0),
        ("example.com", 4),
        ("a.example.com", 1),
        ("b.example.com", 1),
        ("x.y.z.example.com", 1),
        ("x.b.example.com", 2),
        ("x.y.b.example.com", 2),
        ("a.b.example.com", 3),
        ("x.a.b.example.com", 2),
        ("notexample.com", 0),
        (".example.com", 0),
        ("", 0),
    ] {
        assert_finds(&routes, host, "/", Some(upstream));
    }
}

#[test]
fn hosts_are_taken_as_clients_send_them() {
    let routes = routes(&[
        (Some("Example.COM."), None),
        (Some("[2001:DB8:0::1]"), None),
        (Some("192.0.2.1"), None),
        (Some("*.Wild.test"), None),
    ]);
    for (host, upstream) in [
        ("example.com", Some(0)),
        ("EXAMPLE.com", Some(0)),
        ("example.com.", Some(0)),
        ("example.com:8080", Some(0)),
        ("example.com.:443", Some(0)),
        ("example.com:", Some(0)),
        ("example.com..", None),
        ("[2001:db8::1]", Some(1)),
        ("[2001:db8::1]:443", Some(1)),
        ("[2001:DB8::1]:443", Some(1)),
        ("[2001:db8::1", None),
        ("192.0.2.1:80", Some(2)),
        ("A.WILD.TEST:80", Some(3)),
        (":80", None),
        ("[", None),
    ] {
        assert_finds(&routes, host, "/", upstream);
    }
    let long = "a".repeat(300);
    assert_finds(&routes, &long, "/", None);
    assert_finds(&routes, &format!("{}.wild.test", "a.".repeat(100) + "a"), "/", Some(3));
    assert_eq!(routes.find(&HostAndPath(b"\xff\xfe", b"/")), None);
}

#[test]
fn an_exact_path_wins_over_the_longest_prefix() {
    let routes = routes(&[
        (None, Some("/*")),
        (None, Some("/assets/*")),
        (None, Some("/assets/img/*")),
        (None, Some("/assets/img/logo.png")),
        (None, Some("/assets")),
        (None, Some("/")),
    ]);
    for (path, upstream) in [
        ("/", 5),
        ("/?q=/assets/", 5),
        ("/x", 0),
        ("/assets", 4),
        ("/assets?v=1", 4),
        ("/assets/", 1),
        ("/assets/a.css", 1),
        ("/assets/img", 1),
        ("/assets/img/", 2),
        ("/assets/img/logo.png", 3),
        ("/assets/img/logo.png?v=2", 3),
        ("/assets/img/logo.png/x", 2),
        ("/assets/img/logo.pn", 2),
        ("/assetsx", 0),
        ("/ASSETS/", 0),
        ("/%61ssets/", 0),
        ("//assets/", 0),
    ] {
        assert_finds(&routes, "a.example", path, Some(upstream));
    }
    assert_eq!(routes.find(&HostAndPath(b"", b"/assets/\xff\x00")), Some(RouteId(1)));
}

#[test]
fn a_prefix_does_not_fit_its_own_directory_without_the_slash() {
    let routes = routes(&[(None, Some("/api/*"))]);
    assert_finds(&routes, "", "/api", None);
    assert_finds(&routes, "", "/api/", Some(0));
    assert_finds(&routes, "", "/api/x", Some(0));
}

#[test]
fn a_path_that_a_host_has_not_is_looked_for_in_wider_hosts() {
    let routes = routes(&[
        (Some("a.b.example"), Some("/exact")),
        (Some("*.b.example"), Some("/narrow/*")),
        (Some("*.example"), Some("/wide/*")),
        (None, Some("/any/*")),
    ]);
    for (path, upstream) in [
        ("/exact", Some(0)),
        ("/narrow/x", Some(1)),
        ("/wide/x", Some(2)),
        ("/any/x", Some(3)),
        ("/none", None),
    ] {
        assert_finds(&routes, "a.b.example", path, upstream);
    }
    assert_finds(&routes, "c.b.example", "/exact", None);
}

#[test]
fn signs_that_other_matchers_give_a_meaning_have_none() {
    let routes = routes(&[(None, Some("/{id}")), (None, Some("/:name/*")), (None, Some("/(a|b).c+"))]);
    assert_finds(&routes, "", "/{id}", Some(0));
    assert_finds(&routes, "", "/5", None);
    assert_finds(&routes, "", "/:name/x", Some(1));
    assert_finds(&routes, "", "/x/x", None);
    assert_finds(&routes, "", "/(a|b).c+", Some(2));
}

#[test]
fn the_builder_refuses_what_a_file_may_not_say() {
    let mut builder = Routes::builder();
    for (host, path) in [
        (Some("a:80"), None),
        (Some("a.*"), None),
        (None, Some("a")),
        (None, Some("/a**")),
        (None, Some("~ (")),
    ] {
        assert!(builder.route(host, path, RouteId(0)).is_err(), "{host:?} {path:?}");
    }
    builder.route(Some("a"), Some("/x"), RouteId(0)).expect("right");
    let error = builder.route(Some("A."), Some("/x"), RouteId(1)).expect_err("the same again").to_string();
    assert!(error.starts_with("two routes have the same host and path"), "{error}");
    assert_finds(&builder.build(), "a", "/x", Some(0));
}

/// The rules once more, as slowly and plainly as can be.
fn slow(routes: &[(Option<String>, Option<String>)], host: &str, path: &str) -> Option<RouteId> {
    let fits_host = |pattern: &Option<String>| match pattern {
        None => Some(0),
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len()),
            None => (pattern == host).then_some(usize::MAX),
        },
    };
    let fits_path = |pattern: &Option<String>| match pattern {
        None => Some(0),
        Some(pattern) => match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix).then_some(prefix.len()),
            None => (pattern == path).then_some(usize::MAX),
        },
    };
    let fits = |(index, (host, path)): (usize, &(Option<String>, Option<String>))| {
        Some((fits_host(host)?, fits_path(path)?, RouteId(index)))
    };
    routes
        .iter()
        .enumerate()
        .filter_map(fits)
        .max_by_key(|&(host, path, _)| (host, path))
        .map(|(_, _, upstream)| upstream)
}

#[test]
fn finds_what_the_plain_rules_say() {
    let mut random = fastrand::Rng::with_seed(11);
    let word = |random: &mut fastrand::Rng| ["a", "b", "ab", "ba", "aab"][random.usize(..5)];
    let words = |random: &mut fastrand::Rng, separator: &str| {
        (0..random.usize(1..4)).map(|_| word(random)).collect::<Vec<_>>().join(separator)
    };
    let mut found = 0;
    for _ in 0..300 {
        let mut builder = Routes::builder();
        let mut list = Vec::new();
        for _ in 0..random.usize(..40) {
            let host = words(&mut random, ".");
            let host = [None, Some(host.clone()), Some(format!("*.{host}"))][random.usize(..3)].clone();
            let path = format!("/{}", words(&mut random, "/"));
            let path = [None, Some(path.clone()), Some(format!("{path}/*"))][random.usize(..3)].clone();
            if builder.route(host.as_deref(), path.as_deref(), RouteId(list.len())).is_ok() {
                list.push((host, path));
            }
        }
        let routes = builder.build();
        for _ in 0..200 {
            let host = words(&mut random, ".");
            let path = format!("/{}{}", words(&mut random, "/"), ["", "/"][random.usize(..2)]);
            let expected = slow(&list, &host, &path);
            assert_eq!(
                routes.find(&HostAndPath(host.as_bytes(), path.as_bytes())),
                expected,
                "{host} {path} in {list:?}"
            );
            found += usize::from(expected.is_some());
        }
    }
    assert!(found > 1000, "too few requests fit a route: {found}");
}
