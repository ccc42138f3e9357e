//! The application of the suites that measure the proxy alone: nginx, answering 70 bytes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::client;
use crate::nginx;
use crate::program::{Launch, Program};

/// A running backend on a Unix socket.
pub(crate) struct Backend {
    _program: Program,
    socket: PathBuf,
    direct: SocketAddr,
    _directory: TempDir,
}

impl Backend {
    /// Starts it, on `core` only if one is given.
    pub(crate) fn start(core: Option<usize>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("backend.sock");
        let direct = client::free_address()?;
        let answer = "x".repeat(70);
        let server = format!(
            "server {{
    listen unix:{};
    listen {direct};
    keepalive_timeout 1h;
    location / {{ default_type text/plain; return 200 {answer}; }}
}}",
            socket.display()
        );
        let arguments = nginx::prepare(directory.path(), Some(1), &server)?;
        let mut program = Launch::new("nginx", directory.path()).args(arguments).core(core).start()?;
        program.wait_until(Duration::from_secs(10), || client::answers(direct))?;
        Ok(Self { _program: program, socket, direct, _directory: directory })
    }

    /// The Unix socket that the proxies forward to.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The same server over TCP, for wrk, which cannot reach a Unix socket: the ceiling of the measurement.
    pub(crate) fn direct(&self) -> SocketAddr {
        self.direct
    }
}
