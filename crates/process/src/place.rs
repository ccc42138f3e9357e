//! Where an application is found: its socket and its PID file, and which of two instances of it they lead to.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where one instance of an application listens and writes its PID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its Unix socket, if it has one.
    pub(crate) socket: Option<PathBuf>,
    /// Its PID file, if it has one.
    pub(crate) pid_file: Option<PathBuf>,
}

impl Place {
    /// The place of one of the two instances that replace each other: `web_server.sock.1` and `.2`, `web_server.pid.1` and `.2`.
    pub(crate) fn instance(&self, number: u8) -> Self {
        let numbered = |path: &PathBuf| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        Place { socket: self.socket.as_ref().map(numbered), pid_file: self.pid_file.as_ref().map(numbered) }
    }

    /// Which instance this public place leads to now: 1 or 2, or `None` where it is no link of ours.
    pub(crate) fn present(&self) -> Option<u8> {
        let target = fs::read_link(self.socket.as_ref()?).ok()?;
        [1, 2].into_iter().find(|&number| {
            let socket = self.instance(number).socket;
            socket.is_some_and(|socket| socket.file_name() == target.file_name())
        })
    }

    /// Lets this public place lead to an instance, from one moment to the next: who connects finds the old or the new.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub(crate) fn lead_to(&self, instance: &Place) -> io::Result<()> {
        let (Some(public), Some(socket)) = (&self.socket, &instance.socket) else { return Ok(()) };
        link(public, socket)
    }

    /// Takes the link of this public place away, if it is one of ours that leads to nothing any more: no server can bind there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn withdraw(&self) -> io::Result<()> {
        match &self.socket {
            Some(public) if self.present().is_some() && !public.exists() => fs::remove_file(public),
            _ => Ok(()),
        }
    }
}

fn link(public: &Path, target: &Path) -> io::Result<()> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = public.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Relative: the directory may be seen under another name by the application.
    symlink(name, &beside)?;
    fs::rename(&beside, public)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn leads_to_one_instance_or_the_other_and_never_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let public = Place { socket: Some(directory.path().join("s")), pid_file: None };
        assert_eq!(public.present(), None);
        let listeners: Vec<_> = [1, 2]
            .map(|number| UnixListener::bind(public.instance(number).socket.unwrap()).unwrap())
            .into_iter()
            .collect();
        public.lead_to(&public.instance(1)).unwrap();
        assert_eq!(public.present(), Some(1));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    UnixStream::connect(public.socket.as_ref().unwrap()).expect("somebody listens");
                    for listener in &listeners {
                        listener.set_nonblocking(true).unwrap();
                        while listener.accept().is_ok() {}
                    }
                }
            });
            for number in [2, 1].into_iter().cycle().take(1000) {
                public.lead_to(&public.instance(number)).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(public.present(), Some(1));
    }

    #[test]
    fn a_link_is_taken_away_when_it_leads_to_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let public = Place { socket: Some(directory.path().join("s")), pid_file: None };
        let path = public.socket.as_ref().unwrap();
        let _listener = UnixListener::bind(public.instance(2).socket.unwrap()).unwrap();
        public.lead_to(&public.instance(2)).unwrap();
        public.withdraw().unwrap();
        assert_eq!(public.present(), Some(2), "somebody is there");
        fs::remove_file(public.instance(2).socket.unwrap()).unwrap();
        public.withdraw().unwrap();
        assert!(fs::symlink_metadata(path).is_err(), "nobody is there");
        symlink("elsewhere", path).unwrap();
        public.withdraw().unwrap();
        assert!(fs::symlink_metadata(path).is_ok(), "not ours");
    }

    #[test]
    fn a_socket_that_lies_there_itself_is_no_instance() {
        let directory = tempfile::tempdir().unwrap();
        let public = Place { socket: Some(directory.path().join("s")), pid_file: None };
        let _listener = UnixListener::bind(directory.path().join("s")).unwrap();
        assert_eq!(public.present(), None);
    }
}
