//! Templates, filled with the request that is asked about.

use vestibule_config::{Config, Part, RouteId, Template};

use super::request::Request;

/// The text that a request makes of a template of its route.
pub(super) fn fill(config: &Config, route: RouteId, template: &Template, request: &Request) -> String {
    let mut caught = Vec::new();
    if template.wants_caught() {
        config.routes.caught(route, request.canonical_path.as_bytes(), &mut caught);
    }
    let path = request.path_alone();
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let mut out = String::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Caught(number) => {
                let range = number.checked_sub(1).and_then(|index| caught.get(index).cloned());
                out.push_str(range.and_then(|range| request.canonical_path.get(range)).unwrap_or_default());
            }
            Part::Host => out.push_str(request.host_without_port()),
            Part::Path => out.push_str(path),
            Part::Stripped(prefix) => {
                out.push_str(&String::from_utf8_lossy(Template::without(
                    prefix,
                    request.canonical_path.as_bytes(),
                )));
            }
            Part::Query => out.push_str(query),
            Part::Uri => out.push_str(&request.target),
            Part::Scheme => out.push_str(request.scheme),
            Part::Client => out.push_str(&request.client.to_string()),
            Part::Id => out.push_str("(the request's id)"),
            Part::Field(name) => out.push_str(request.field(name).unwrap_or_default()),
        }
    }
    out
}
