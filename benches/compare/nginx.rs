//! What nginx needs to run out of a directory of its own, as proxy and as backend alike.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes `nginx.conf` with `http`, the inside of its `http` block, and gives the arguments that use it.
///
/// `workers`: worker processes, `None` for one per core, as Debian's own configuration has it.
pub(crate) fn prepare(directory: &Path, workers: Option<usize>, http: &str) -> Result<Vec<OsString>> {
    let workers = workers.map_or_else(|| "auto".to_owned(), |count| count.to_string());
    // A worker under www-data could not enter a directory that only its owner may enter.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let shown = directory.display();
    let text = format!(
        "{user}
daemon off;
worker_processes {workers};
pid {shown}/nginx.pid;
error_log {shown}/error.log;
events {{ worker_connections 16384; }}
http {{
client_body_temp_path {shown}/body;
proxy_temp_path {shown}/proxy;
fastcgi_temp_path {shown}/fastcgi;
uwsgi_temp_path {shown}/uwsgi;
scgi_temp_path {shown}/scgi;
access_log off;
# 1,000 by default: a load as long as this would measure new connections.
keepalive_requests 1000000000;
{http}
}}
"
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).context("cannot write nginx.conf")?;
    let error_log = directory.join("error.log");
    Ok(vec!["-e".into(), error_log.into(), "-c".into(), file.into()])
}
