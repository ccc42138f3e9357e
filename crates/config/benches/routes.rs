//! The cost of finding a route does not grow with the number of routes, and nothing is allocated.

use divan::{AllocProfiler, Bencher, black_box};
use vestibule_config::RouteId;
use vestibule_config::routes::{HostAndPath, Routes, RoutesBuilder};

/// Shows the allocations of each bench; a bench without them shows none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const COUNTS: [usize; 3] = [1, 100, 10_000];

fn main() {
    divan::main();
}

fn routes(count: usize, add: impl Fn(&mut RoutesBuilder, usize) -> bool) -> Routes {
    let mut builder = Routes::builder();
    for number in 0..count {
        assert!(add(&mut builder, number), "route {number} is refused");
    }
    builder.build()
}

/// Looks up one request after the other.
fn find(bencher: Bencher<'_, '_>, routes: &Routes, requests: &[(String, String)]) {
    let mut next = requests.iter().cycle();
    bencher.bench_local(move || {
        let (host, path) = next.next()?;
        let found = routes.find(&HostAndPath(black_box(host.as_bytes()), black_box(path.as_bytes())));
        assert!(found.is_some());
        found
    });
}

/// Requests to some of the routes, as many for a few routes as for many: else the bench would measure how large the
/// processor's caches are.
fn shuffled(count: usize, request: impl Fn(usize) -> (String, String)) -> Vec<(String, String)> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..64).map(|_| request(random.usize(..count))).collect()
}

#[divan::bench]
fn catch_all(bencher: Bencher<'_, '_>) {
    let routes = Routes::all_to(RouteId(0));
    find(bencher, &routes, &[("www.example.com".to_owned(), "/posts/1?page=2".to_owned())]);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_host(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(Some(&format!("site{number}.example.com")), None, RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| (format!("site{number}.example.com"), "/posts/1?page=2".to_owned()));
    find(bencher, &routes, &requests);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_wildcard(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(Some(&format!("*.site{number}.example.com")), None, RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| (format!("www.site{number}.example.com"), "/posts/1?page=2".to_owned()));
    find(bencher, &routes, &requests);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_path(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!("/section{number}/*")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/section{number}/posts/1?page=2")));
    find(bencher, &routes, &requests);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_exact_path(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!("/section{number}/posts")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/section{number}/posts?page=2")));
    find(bencher, &routes, &requests);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_host_and_path(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        let host = format!("site{}.example.com", number % 100);
        builder.route(Some(&host), Some(&format!("/section{number}/*")), RouteId(number)).is_ok()
    });
    let requests = shuffled(count, |number| {
        (format!("site{}.example.com", number % 100), format!("/section{number}/posts/1?page=2"))
    });
    find(bencher, &routes, &requests);
}

/// Globs that begin differently.
#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_glob(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!("/section{number}/*/edit")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/section{number}/17/edit?page=2")));
    find(bencher, &routes, &requests);
}

/// Globs that begin alike and end differently.
#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_ending_of_glob(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!("/*/section{number}")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/posts/section{number}?page=2")));
    find(bencher, &routes, &requests);
}

/// Globs that differ only between their stars.
#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_middle_of_glob(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!("/*/section{number}/*")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/posts/section{number}/1?page=2")));
    find(bencher, &routes, &requests);
}

#[divan::bench(args = COUNTS, sample_size = 256)]
fn by_expression(bencher: Bencher<'_, '_>, count: usize) {
    let routes = routes(count, |builder, number| {
        builder.route(None, Some(&format!(r"~ ^/section{number}/(\d+)$")), RouteId(number)).is_ok()
    });
    let requests =
        shuffled(count, |number| ("www.example.com".to_owned(), format!("/section{number}/17?page=2")));
    find(bencher, &routes, &requests);
}
