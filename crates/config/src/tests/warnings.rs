//! What is odd about a configuration that is right.

use super::right;

/// The warnings about a text: the line and the message of each.
fn odd(text: &str) -> Vec<(usize, String)> {
    let config = right(text);
    let warnings = crate::warnings(&config).into_iter();
    let told = warnings.map(|problem| {
        let place = problem.place.expect("a place");
        assert!(problem.instead.is_some());
        (place.line, problem.message)
    });
    told.collect()
}

#[test]
fn says_which_upstream_no_route_leads_to() {
    let both = "[upstream.a]\naddress = \"unix:/a\"\n[upstream.b]\naddress = \"unix:/b\"\n";
    let expected = [(3, "no route leads to the upstream `b`: it gets no request".to_owned())];
    assert_eq!(odd(&format!("{both}[[route]]\nupstream = \"a\"\n")), expected);
    assert_eq!(
        odd(&format!("{both}[[route]]\nupstreams = [{{ upstream = \"a\" }}, {{ upstream = \"b\" }}]\n")),
        []
    );
    assert_eq!(odd("[upstream.a]\n"), []);
    assert_eq!(odd("[[route]]\nrespond = 404\n"), [], "nobody wrote the default one");
}

#[test]
fn says_which_directory_is_not_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let there = directory.path().display();
    assert_eq!(odd(&format!("[[route]]\nfiles = \"{there}\"\n")), []);
    let expected = [(2, format!("the directory {there}/none does not exist"))];
    assert_eq!(odd(&format!("[[route]]\nfiles = \"{there}/none\"\n")), expected);
    assert_eq!(odd(&format!("[[route]]\nfiles = {{ root = \"{there}/none\" }}\n")), expected);
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    assert_eq!(
        odd(&format!("[[route]]\nfiles = \"{there}/file\"\n")),
        [(2, format!("{there}/file is not a directory"))]
    );
}

#[test]
fn says_which_route_no_request_reaches() {
    let expression = "[[route]]\npath = '~ ^/u/(\\d+)$'\nrespond = 404\n";
    let hidden = |other: &str| odd(&format!("{expression}[[route]]\n{other}respond = 403\n"));
    let found = hidden("path = \"/u/*\"\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, 2);
    assert!(found[0].1.contains("(test.toml:4) takes what it would"), "{found:?}");
    for other in [
        // One without a path is asked after it.
        "",
        "path = \"/*\"\n",
        "path = \"/v/*\"\n",
        "path = \"/u/*\"\nmethod = \"POST\"\n",
        "host = \"a.example\"\n",
        "path = \"/u/*/x\"\n",
        "path = \"/u/5\"\n",
    ] {
        assert_eq!(hidden(other), [], "{other}");
    }
    // By its other path it is reached.
    let both =
        "[[route]]\npath = ['~ ^/u/x', \"/x\"]\nrespond = 404\n[[route]]\npath = \"/u/*\"\nrespond = 403\n";
    assert_eq!(odd(both), []);
    // What it hides is really never found.
    let config = right(&format!("{expression}[[route]]\npath = \"/u/*\"\nrespond = 403\n"));
    let found = config.routes.find(&crate::routes::HostAndPath(b"a", b"/u/5"));
    assert_eq!(found, Some(crate::model::RouteId(1)));
}
