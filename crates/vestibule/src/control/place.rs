//! Where the control socket is.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::geteuid;

/// Names the control socket where the configuration does not.
pub(crate) const VARIABLE: &str = "VESTIBULE_CONTROL";

/// Where the system keeps what a service has while it runs (systemd: `RuntimeDirectory=vestibule`).
const RUN: &str = "/run/vestibule";

const NAME: &str = "control.sock";

/// Where the control socket is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Somebody says so: there or nowhere.
    Named(PathBuf),
    /// In a directory that is there, and that we may write to.
    Run(PathBuf),
    /// In a directory of our own, which may have to be made where everybody may make one.
    Own(PathBuf),
}

impl Place {
    /// Where a Vestibule listens: at what the configuration says, or what [`VARIABLE`] does, or at the first of the usual places
    /// that will do.
    pub(crate) fn of(configured: Option<&Path>) -> Self {
        named(configured, env::var_os(VARIABLE).as_deref())
            .unwrap_or_else(|| usual(Path::new(RUN), Path::new("/tmp")))
    }

    /// Where a Vestibule may be listening, the likeliest first.
    pub(crate) fn candidates(configured: Option<&Path>) -> Vec<PathBuf> {
        match named(configured, env::var_os(VARIABLE).as_deref()) {
            Some(place) => vec![place.into_path()],
            None => vec![Path::new(RUN).join(NAME), own(Path::new("/tmp"))],
        }
    }

    /// The socket.
    pub(crate) fn path(&self) -> &Path {
        let (Place::Named(path) | Place::Run(path) | Place::Own(path)) = self;
        path
    }

    fn into_path(self) -> PathBuf {
        let (Place::Named(path) | Place::Run(path) | Place::Own(path)) = self;
        path
    }
}

fn named(configured: Option<&Path>, variable: Option<&OsStr>) -> Option<Place> {
    let variable = variable.filter(|value| !value.is_empty()).map(Path::new);
    // Made absolute, since it is told to people who stand in other directories.
    configured
        .or(variable)
        .map(|path| Place::Named(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
}

fn usual(run: &Path, temporary: &Path) -> Place {
    let may_write = || rustix::fs::access(run, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    // Where everybody may write, anybody may have laid what is there.
    let is_fit =
        std::fs::symlink_metadata(run).is_ok_and(|found| found.is_dir() && found.mode() & 0o002 == 0);
    if is_fit && may_write() { Place::Run(run.join(NAME)) } else { Place::Own(own(temporary)) }
}

fn own(temporary: &Path) -> PathBuf {
    temporary.join(format!("vestibule-{}", geteuid().as_raw())).join(NAME)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_configuration_goes_before_the_environment() {
        let place = named(Some(Path::new("/a.sock")), Some(OsStr::new("/b.sock")));
        assert_eq!(place, Some(Place::Named("/a.sock".into())));
        assert_eq!(named(None, Some(OsStr::new("/b.sock"))), Some(Place::Named("/b.sock".into())));
        assert_eq!(named(None, Some(OsStr::new(""))), None);
        assert_eq!(named(None, None), None);
    }

    #[test]
    fn a_relative_path_is_made_absolute() {
        let place = named(Some(Path::new("control.sock")), None).expect("named");
        assert!(place.path().is_absolute(), "{place:?}");
    }

    #[test]
    fn the_directory_for_services_is_taken_where_it_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let (run, own) = (dir.path().join("run"), Place::Own(own(dir.path())));
        assert_eq!(usual(&run, dir.path()), own);
        fs::create_dir(&run).expect("a directory");
        fs::set_permissions(&run, Permissions::from_mode(0o755)).expect("mode");
        assert_eq!(usual(&run, dir.path()), Place::Run(run.join("control.sock")));
        fs::set_permissions(&run, Permissions::from_mode(0o1777)).expect("mode");
        assert_eq!(usual(&run, dir.path()), own, "everybody may write there");
        fs::remove_dir(&run).expect("removed");
        std::os::unix::fs::symlink(dir.path(), &run).expect("a link");
        assert_eq!(usual(&run, dir.path()), own, "a link");
    }
}
