//! What only this machine can tell: whether the paths in a configuration can be what they are to be.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::account;
use crate::model::{Config, ListenAddress, LogOutput, UpstreamAddress, UpstreamId};
use crate::problem::Problem;
use crate::process::{Output, Process};

/// Finds paths that cannot work: a socket's path that is a directory, a listener's path that is a file other than a
/// socket or has no directory, a log file or a maintenance page that is a directory or has none to be in, a directory of
/// temporary files in which none can be made; a process whose directory, user or group does not exist or cannot be taken, or
/// whose output has no directory to be in; a control socket that has none, or is another file.
///
/// An upstream's socket that does not exist yet, or its directory, is no problem: its requests wait for it.
#[must_use]
pub fn check_environment(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        if let ListenAddress::Unix(path) = &listener.address {
            let found = directory_of(path).or_else(|| listener_socket(path));
            problems.extend(found.map(|problem| problem.at(config.places.listener(index))));
        }
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        for member in &upstream.members {
            let UpstreamAddress::Unix(path) = &member.address else { continue };
            // Its directory may come with the application (systemd's RuntimeDirectory); a file there may not.
            let parent =
                path.parent().filter(|parent| fs::metadata(parent).is_ok_and(|found| !found.is_dir()));
            let found = parent.map_or_else(|| not_directory(path, "a socket's path"), |_| directory_of(path));
            problems.extend(found.map(|problem| problem.at(config.places.upstream(UpstreamId(index)))));
        }
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Some(path) = &upstream.maintenance {
            let found = directory_of(path).or_else(|| not_directory(path, "a file's path"));
            problems.extend(found.map(|problem| problem.at(config.places.maintenance(UpstreamId(index)))));
        }
    }
    // Who writes nothing to disk may run where nothing can be written.
    if config.disk.most > 0 {
        let found = directory(&config.disk.directory).or_else(|| writable(&config.disk.directory));
        problems.extend(found.map(|problem| problem.at(config.places.disk_directory())));
    }
    if let LogOutput::File(path) = &config.log.output {
        let found = directory_of(path).or_else(|| not_directory(path, "a file's path"));
        problems.extend(found.map(|problem| problem.at(config.places.log_output())));
    }
    for (index, process) in config.processes.iter().enumerate() {
        problems.extend(processes(index, process, config));
    }
    if let Some(path) = &config.control.socket {
        let found = directory_of(path).or_else(|| listener_socket(path));
        problems.extend(found.map(|problem| problem.at(config.places.control_socket())));
    }
    problems
}

/// What a process cannot have on this machine.
fn processes(index: usize, process: &Process, config: &Config) -> impl Iterator<Item = Problem> {
    let places = &config.places;
    let in_directory = process.directory.as_deref().and_then(directory);
    let as_user = process.user.as_deref().and_then(account::user);
    let as_group = process.group.as_deref().and_then(account::group);
    let to_output = match &process.output {
        Output::File(path) => directory_of(path).or_else(|| not_directory(path, "a file's path")),
        Output::Log => None,
    };
    [
        in_directory.map(|problem| problem.at(places.process(index, |process| &process.directory))),
        as_user.map(|problem| problem.at(places.process(index, |process| &process.user))),
        as_group.map(|problem| problem.at(places.process(index, |process| &process.group))),
        to_output.map(|problem| problem.at(places.process(index, |process| &process.output))),
    ]
    .into_iter()
    .flatten()
}

/// A path that is a directory, where `instead` is needed.
fn not_directory(path: &Path, instead: &str) -> Option<Problem> {
    let is_directory = fs::metadata(path).is_ok_and(|found| found.is_dir());
    is_directory.then(|| {
        Problem::new(format!("{} is a directory", path.display()))
            .instead(format!("write {instead}, in it or elsewhere"))
    })
}

/// A file that is in the way of a listener. An old socket is not: it is replaced.
fn listener_socket(path: &Path) -> Option<Problem> {
    if let Some(problem) = not_directory(path, "a socket's path") {
        return Some(problem);
    }
    // The link itself, not what it leads to: bind() does not follow it.
    let found = fs::symlink_metadata(path).ok()?;
    (!found.file_type().is_socket()).then(|| {
        Problem::new(format!("{} exists and is not a socket", path.display()))
            .instead("remove that file, or choose another path")
    })
}

/// A directory in which no temporary file can be made.
fn writable(path: &Path) -> Option<Problem> {
    let error = tempfile::tempfile_in(path).err()?;
    Some(
        Problem::new(format!("no file can be made in {}: {error}", path.display())).instead(
            "let the user that Vestibule runs as write there, or write another `directory` in [disk]",
        ),
    )
}

/// A path whose directory does not exist, or is none.
fn directory_of(path: &Path) -> Option<Problem> {
    directory(path.parent()?)
}

/// A directory that does not exist, or is none.
fn directory(path: &Path) -> Option<Problem> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(
            Problem::new(format!("{} is not a directory", path.display()))
                .instead("choose a path in a directory"),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(
            Problem::new(format!("the directory {} does not exist", path.display()))
                .instead("create it, or choose another path"),
        ),
        Err(error) => Some(
            Problem::new(format!("the directory {} cannot be looked into: {error}", path.display()))
                .instead("let the user that Vestibule runs as enter it, or choose another path"),
        ),
    }
}
