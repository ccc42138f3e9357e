//! What is odd about a configuration that is taken all the same.

use std::fs;
use std::path::Path;

use crate::model::{Config, RouteId, Step, UpstreamId};
use crate::problem::Problem;

/// What is odd about a configuration that is right: an upstream that no route leads to, a route that no request reaches, a directory of files that is not there. Each
/// with its place and with what to write instead; in order of position.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    unused_upstreams(config, &mut found);
    missing_roots(config, &mut found);
    unreached_routes(config, &mut found);
    let mut found: Vec<_> = found.into_iter().map(|problem| config.places.hidden(problem)).collect();
    found.sort_by_key(Problem::offset);
    found
}

fn unused_upstreams(config: &Config, found: &mut Vec<Problem>) {
    let steps = || config.route_settings.iter().flat_map(|route| &route.steps);
    let leads = |id: UpstreamId| {
        steps().any(|step| match step {
            Step::Upstream(split) => split.shares.iter().any(|(upstream, _)| *upstream == id),
            _ => false,
        })
    };
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let id = UpstreamId(index);
        // The default one is there for whoever writes none.
        let Some(place) = config.places.upstream_name(id).filter(|_| !leads(id)) else { continue };
        let problem =
            Problem::new(format!("no route leads to the upstream `{}`: it gets no request", upstream.name));
        let instead = format!("write upstream = \"{}\" in a [[route]], or leave it out", upstream.name);
        found.push(problem.instead(instead).at(Some(place)));
    }
}

fn unreached_routes(config: &Config, found: &mut Vec<Problem>) {
    for &(route, by) in config.routes.never_reached() {
        let name = config.route(by).map_or("", |route| &route.name);
        let at = config.places.route(by).map(|place| format!(" ({}:{})", place.file.display(), place.line));
        let at = at.unwrap_or_default();
        let problem = Problem::new(format!(
            "no request reaches this route: {name}{at} takes what it would, and regular expressions are asked last"
        ));
        let instead = "write its path without a regular expression, such as \"/u/*\", or give the other route a condition";
        found.push(problem.instead(instead).at(config.places.route_key(route, "path")));
    }
}

fn missing_roots(config: &Config, found: &mut Vec<Problem>) {
    for (index, route) in config.route_settings.iter().enumerate() {
        let id = RouteId(index);
        let files = route.steps.iter().filter_map(|step| match step {
            Step::Files(files) => Some(("files", files.root.as_path())),
            _ => None,
        });
        let handed_over = route.sendfile.iter().map(|sendfile| ("sendfile", sendfile.root.as_path()));
        for (key, root) in files.chain(handed_over) {
            let problem = unusable(root).map(|problem| problem.at(config.places.route_key(id, key)));
            found.extend(problem);
        }
    }
}

/// A directory from which nothing can be sent now. It may come later, with a first release.
fn unusable(root: &Path) -> Option<Problem> {
    let shown = root.display();
    let instead = "create it, or write another one; until then there is no file in it";
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => Some(
            Problem::new(format!("{shown} is not a directory"))
                .instead("write the directory that the files are in"),
        ),
        Ok(_) => fs::read_dir(root).err().map(|error| {
            Problem::new(format!("the directory {shown} cannot be read: {error}"))
                .instead("let the user that Vestibule runs as read it")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(Problem::new(format!("the directory {shown} does not exist")).instead(instead))
        }
        Err(error) => Some(
            Problem::new(format!("the directory {shown} cannot be looked into: {error}")).instead(instead),
        ),
    }
}
