//! Where a Rack application is found by default: `/tmp/web_server.sock`, or what its environment and ours say.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::address::LONGEST_PATH;
use crate::problem::Problem;

/// The variable that names the socket of an application instead of `/tmp/web_server.sock`.
pub const SOCKET_VARIABLE: &str = "CUSTOM_WEB_SOCKET_FILE";
/// The variable that names the PID file of an application instead of `/tmp/web_server.pid`.
pub const PID_FILE_VARIABLE: &str = "CUSTOM_WEB_PID_FILE";

/// The socket and the PID file of an upstream for which no others are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebServer {
    pub(crate) socket: PathBuf,
    pub(crate) pid_file: PathBuf,
}

impl Default for WebServer {
    fn default() -> Self {
        WebServer {
            socket: PathBuf::from("/tmp/web_server.sock"),
            pid_file: PathBuf::from("/tmp/web_server.pid"),
        }
    }
}

impl WebServer {
    /// As our environment says, and what is wrong with what it says.
    pub(crate) fn from_environment() -> (Self, Vec<Problem>) {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As the variables say that `variable` gives.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> (Self, Vec<Problem>) {
        let mut found = WebServer::default();
        let mut problems = Vec::new();
        let mut set = |place: &mut PathBuf, name: &str, longest| {
            let Some(value) = variable(name) else { return };
            let value = PathBuf::from(value);
            match refuse(name, &value, place, longest) {
                Some(problem) => problems.push(problem),
                None => *place = value,
            }
        };
        set(&mut found.socket, SOCKET_VARIABLE, LONGEST_PATH);
        set(&mut found.pid_file, PID_FILE_VARIABLE, usize::MAX);
        (found, problems)
    }
}

/// What is wrong with a path in the environment.
fn refuse(name: &str, value: &Path, usual: &Path, longest: usize) -> Option<Problem> {
    let bytes = value.as_os_str().as_bytes();
    let what = if bytes.is_empty() {
        format!("the variable {name} is empty")
    } else if bytes.starts_with(b"unix:") {
        format!("the variable {name} is an address, not a path: {}", value.display())
    } else if !value.is_absolute() {
        format!("the variable {name} is not an absolute path: {}", value.display())
    } else if bytes.ends_with(b"/") {
        format!("the variable {name} is a directory, not a file: {}", value.display())
    } else if bytes.len() > longest {
        format!("the path in the variable {name} has {} bytes, more than a socket can have", bytes.len())
    } else {
        return None;
    };
    let instead = format!("set it to a path from the root, or unset it for {}", usual.display());
    Some(Problem::new(what).instead(instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(socket: Option<&str>, pid_file: Option<&str>) -> (WebServer, Vec<Problem>) {
        WebServer::from_variables(|name| {
            let value = match name {
                SOCKET_VARIABLE => socket,
                PID_FILE_VARIABLE => pid_file,
                other => panic!("asked for {other}"),
            };
            value.map(OsString::from)
        })
    }

    #[test]
    fn each_variable_replaces_its_own_path() {
        assert_eq!(of(None, None), (WebServer::default(), Vec::new()));
        let (found, problems) = of(Some("/run/a.sock"), None);
        assert_eq!((found.socket, problems.len()), ("/run/a.sock".into(), 0));
        assert_eq!(found.pid_file, WebServer::default().pid_file);
        let (found, problems) = of(None, Some("/run/a.pid"));
        assert_eq!((found.pid_file, problems.len()), ("/run/a.pid".into(), 0));
        assert_eq!(found.socket, WebServer::default().socket);
    }

    #[test]
    fn refuses_what_is_no_path_by_the_name_of_the_variable() {
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        for (value, message) in [
            ("", "CUSTOM_WEB_SOCKET_FILE is empty"),
            ("a.sock", "CUSTOM_WEB_SOCKET_FILE is not an absolute path: a.sock"),
            ("unix:/a.sock", "CUSTOM_WEB_SOCKET_FILE is an address, not a path: unix:/a.sock"),
            ("/run/", "CUSTOM_WEB_SOCKET_FILE is a directory, not a file: /run/"),
            (long.as_str(), "CUSTOM_WEB_SOCKET_FILE has 108 bytes"),
        ] {
            let (found, problems) = of(Some(value), Some(value));
            let wrong = if value == long { 1 } else { 2 };
            assert_eq!(problems.len(), wrong, "{problems:?}");
            assert!(problems[0].message.contains(message), "{}", problems[0]);
            assert!(problems[0].instead.as_ref().is_some_and(|text| text.contains("/tmp/web_server.sock")));
            assert_eq!(found.socket, WebServer::default().socket);
        }
        let (_, problems) = of(None, Some("web.pid"));
        assert_eq!(
            problems[0].to_string(),
            "the variable CUSTOM_WEB_PID_FILE is not an absolute path: web.pid\n  \
             = set it to a path from the root, or unset it for /tmp/web_server.pid"
        );
    }
}
