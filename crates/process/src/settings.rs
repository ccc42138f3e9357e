//! What a launcher is told: through a pipe that is its standard input, and so neither in a command line, which everybody on the
//! machine may read, nor in an environment, which the application would get.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// What every pipe holds, pipe(7).
const PIPE: usize = 64 << 10;
/// As long as settings may be: what any user may make a pipe hold. More arguments and environment than a program can be
/// started with anyway are only little more.
const MOST: usize = 1 << 20;

/// How to become an application.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// The whole of it.
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) identity: Option<Identity>,
    pub(crate) limits: Vec<Limit>,
    /// A file to be opened in place of standard output and error, with the rights of the application.
    pub(crate) output: Option<PathBuf>,
    /// Whether the pipe stays its standard input.
    pub(crate) has_lifeline: bool,
}

/// One limit of setrlimit(2); `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) what: Limited,
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Limited {
    OpenFiles,
    Processes,
    Memory,
    Core,
}

impl Limited {
    pub(crate) fn resource(self) -> Resource {
        match self {
            Limited::OpenFiles => Resource::Nofile,
            Limited::Processes => Resource::Nproc,
            Limited::Memory => Resource::As,
            Limited::Core => Resource::Core,
        }
    }

    /// As the configuration has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Limited::OpenFiles => "open_files",
            Limited::Processes => "processes",
            Limited::Memory => "memory",
            Limited::Core => "core",
        }
    }
}

impl Settings {
    /// A pipe with the settings in it: the end to read from, and the other, whose closing ends the reader's input. Never
    /// waits for a reader.
    ///
    /// # Errors
    /// When they are too long for a pipe, or there is none to be had.
    pub(crate) fn into_pipe(self) -> io::Result<(OwnedFd, OwnedFd)> {
        let text = serde_json::to_vec(&self)?;
        let length = u32::try_from(text.len())
            .ok()
            .filter(|_| text.len() <= MOST)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        if text.len() + 4 > PIPE {
            fcntl_setpipe_size(&writer, text.len() + 4)?;
        }
        // Of this end alone: the reader's waits as usual.
        fcntl_setfl(&writer, OFlags::NONBLOCK)?;
        write_all(&writer, &length.to_ne_bytes())?;
        write_all(&writer, &text)?;
        Ok((reader, writer))
    }

    /// Reads the settings, and not a byte more, so that the pipe can go on as somebody's input.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn read(from: impl AsFd) -> io::Result<Self> {
        let mut length = [0; 4];
        read_exact(&from, &mut length)?;
        let length = u32::from_ne_bytes(length) as usize;
        if length > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; length];
        read_exact(&from, &mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_exact(from: &impl AsFd, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match read(from, &mut *bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn settings(value: &str) -> Settings {
        Settings {
            program: "puma".into(),
            // No text in any coding.
            arguments: vec![OsString::from_vec(vec![b'a', 0xff])],
            environment: vec![("SECRET".into(), value.into())],
            directory: Some("/srv/app/current".into()),
            identity: None,
            limits: vec![Limit { what: Limited::Core, soft: Some(0), hard: None }],
            output: None,
            has_lifeline: true,
        }
    }

    #[test]
    fn arrive_as_they_were_and_leave_the_rest_to_the_application() {
        let (reader, writer) = settings("x").into_pipe().expect("a pipe");
        write_all(&writer, b"more").expect("written");
        assert_eq!(Settings::read(&reader).expect("read"), settings("x"));
        let mut rest = [0; 4];
        read_exact(&reader, &mut rest).expect("read");
        assert_eq!(&rest, b"more");
    }

    #[test]
    fn a_large_environment_fits_before_anybody_reads() {
        let value = "v".repeat(100_000);
        let (reader, _writer) = settings(&value).into_pipe().expect("a pipe");
        assert_eq!(Settings::read(&reader).expect("read"), settings(&value));
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused_and_not_waited_for() {
        assert!(settings(&"v".repeat(2 << 20)).into_pipe().is_err());
    }

    #[test]
    fn are_not_found_in_anything_else() {
        for bytes in [&b""[..], b"\x01\x00", b"\x04\x00\x00\x00none", b"\xff\xff\xff\xff"] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            write_all(&writer, bytes).expect("written");
            drop(writer);
            assert!(Settings::read(&reader).is_err(), "{bytes:?}");
        }
    }
}
