//! vestibule.toml(5)

use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::Value;

use super::{page_name, paragraphs, title};

const DESCRIPTION: &str = "\
The configuration of vestibule, in TOML. Every key is optional; an empty file forwards 127.0.0.1:8080 to unix:/tmp/web_server.sock.

Durations have a unit (500ms, 30s, 2m, 1h, 90d, 2w, 1y), and so have sizes (512 B, 64 KiB, 64 MiB, 1 GiB).

${NAME} in a text is what that variable of the environment says, ${NAME:-default} what stands behind :- where it is not set or empty; \
$${ is ${ itself. Not in keys, nor in the commands and the environment of a process. In redirect, rewrite and the values of fields, \
${name} is what the request gives; a name in capitals there is the environment's, unless the path catches something by it.

Which route takes a request: the host decides first (exact, then the longest wildcard, then any), then the path (exact, then the pattern \
that begins with the most literal characters, a glob before a prefix that begins alike, then regular expressions in the order written, then no path at all), \
then the number of conditions (method, header, query, client), more before fewer; where a route's conditions do not hold, the next in \
this order is asked.";

/// The page.
pub(super) fn page() -> String {
    let mut roff = title("VESTIBULE.TOML", "5");
    roff.control("SH", ["NAME"]);
    roff.text([roman("vestibule.toml - the configuration of vestibule")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, DESCRIPTION);
    let schema = vestibule_config::schema();
    roff.control("SH", ["KEYS"]);
    tables(&mut roff, "", "At the top level", &schema);
    roff.control("SH", ["SEE ALSO"]);
    roff.text(page_name("vestibule", "1"));
    roff.render()
}

/// The keys of a table, and then the tables below it.
fn tables(roff: &mut Roff, path: &str, heading: &str, table: &Value) {
    roff.control("SS", [heading]);
    let keys = || table["properties"].as_object().into_iter().flatten();
    for (key, schema) in keys() {
        roff.control("TP", []);
        let mut line = vec![bold(key)];
        if let Some(default) = schema.get("default") {
            line.extend([roman(" = "), italic(default.to_string())]);
        }
        roff.text(line);
        roff.text([roman(schema["description"].as_str().unwrap_or_default())]);
    }
    for (key, schema) in keys() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let ways = schema["anyOf"].as_array().into_iter().flatten().chain([schema]);
        for way in ways {
            // A list of tables, a table for each name, or a table.
            if way["items"]["properties"].is_object() {
                tables(roff, &path, &format!("[[{path}]]"), &way["items"]);
            } else if way["additionalProperties"]["properties"].is_object() {
                let path = format!("{path}.NAME");
                tables(roff, &path, &format!("[{path}]"), &way["additionalProperties"]);
            } else if way["properties"].is_object() {
                tables(roff, &path, &format!("[{path}]"), way);
            }
        }
    }
}
