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
        let answer = "x".repeat(70);
        Self::answering(core, &format!("location / {{ default_type text/plain; return 200 {answer}; }}"))
    }

    /// The same, answering with the files in `root` as pages, which have no validators, as what an application makes.
    pub(crate) fn with_pages(core: Option<usize>, root: &Path) -> Result<Self> {
        let say = "types { } default_type text/html; etag off; add_header Last-Modified \"\"; sendfile on;";
        Self::answering(
            core,
            &format!("location = / {{ return 200; }} location / {{ root {}; {say} }}", root.display()),
        )
    }

    fn answering(core: Option<usize>, say: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("backend.sock");
        let direct = client::free_address()?;
        let server = format!(
            "server {{
    listen unix:{};
    listen {direct};
    keepalive_timeout 1h;

    {say}
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
