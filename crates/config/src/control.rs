//! `[control]`

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::address::LONGEST_PATH;
use crate::document::{Reader, Section};
use crate::listener::ReadListener;
use crate::model::{ListenAddress, UpstreamAddress};
use crate::problem::Problem;
use crate::process::Control;
use crate::upstream::ReadUpstream;
use crate::value;

const EXAMPLE: &str = "/run/vestibule/control.sock";

/// The control socket that a configuration names, whatever is wrong with the rest of it; for who wants to reach the Vestibule that
/// runs, and tell it of that file.
#[must_use]
pub fn control_socket_in(text: &str) -> Option<PathBuf> {
    let (document, _) = DeTable::parse_recoverable(text);
    let control = document.get_ref().get("control")?.get_ref().as_table()?;
    value::path(control.get("socket")?.get_ref(), EXAMPLE).ok()
}

/// What is written, and where the path of the socket is, if it is.
pub(crate) fn read(
    reader: &Reader,
    section: Section<'_>,
    listeners: &[ReadListener],
    upstreams: &[ReadUpstream],
) -> (Control, Option<Range<usize>>) {
    let socket = section.read("socket", socket);
    section.finish();
    let Some(found) = socket else { return (Control::default(), None) };
    let listens =
        |listener: &&ReadListener| listener.meaning.address == ListenAddress::Unix(found.value.clone());
    let there = UpstreamAddress::Unix(found.value.clone());
    let serves =
        |upstream: &&ReadUpstream| upstream.meaning.members.iter().any(|member| member.address == there);
    let taken = if listeners.iter().any(|listener| listens(&listener)) {
        Some("the public comes in there".to_owned())
    } else {
        let upstream = upstreams.iter().find(serves);
        upstream.map(|upstream| format!("the upstream `{}` listens there", upstream.meaning.name))
    };
    if let Some(taken) = taken {
        let problem = Problem::new(format!("the control socket cannot be here: {taken}"));
        reader.report(
            found.span.clone(),
            problem.instead(format!("choose a path of its own, such as \"{EXAMPLE}\"")),
        );
    }
    (Control { socket: Some(found.value) }, Some(found.span))
}

/// The path of a socket.
fn socket(value: &DeValue<'_>) -> Result<PathBuf, Problem> {
    if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("unix:")) {
        return Err(
            Problem::new("the control socket is a path, not an address").instead(format!("write {path:?}"))
        );
    }
    let path = value::path(value, EXAMPLE)?;
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(Problem::new(format!("the socket path has {length} bytes, more than a socket can have"))
            .instead(format!("choose one of at most {LONGEST_PATH} bytes")));
    }
    if value.as_str().is_some_and(|text| text.ends_with('/')) {
        return Err(Problem::new("this is a directory, not a socket").instead(format!("write \"{EXAMPLE}\"")));
    }
    Ok(path)
}
