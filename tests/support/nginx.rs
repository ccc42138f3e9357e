//! A real nginx with a site file, beside which Vestibule is held.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::dir::Dir;
use super::wait::{seconds, until};

/// What a site file has in the place of its port.
pub(crate) const PORT: &str = "{port}";

/// A running nginx. It is killed when it goes.
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    site: PathBuf,
    log: PathBuf,
}

impl Nginx {
    /// Starts it with a site file, the text of what an `http` block includes, in the directory.
    pub(crate) fn start(dir: &Dir, site: &str) -> Nginx {
        let home = dir.join("nginx");
        fs::create_dir(&home).expect("a directory");
        let file = home.join("site.conf");
        let shown = home.display();
        // As Debian's nginx.conf, but for what belongs to the machine. One process, so that none is left behind.
        let main = format!(
            "pid {shown}/pid;\nerror_log {shown}/error.log;\ndaemon off;\nmaster_process off;\nevents {{ worker_connections 512; }}\n\
             http {{\nsendfile on;\ntcp_nopush on;\ninclude /etc/nginx/mime.types;\ndefault_type application/octet-stream;\n\
             access_log off;\nclient_body_temp_path {shown}/body;\nproxy_temp_path {shown}/proxy;\n\
             fastcgi_temp_path {shown}/fastcgi;\nuwsgi_temp_path {shown}/uwsgi;\nscgi_temp_path {shown}/scgi;\n\
             include {};\n}}\n",
            file.display()
        );
        fs::write(home.join("nginx.conf"), main).expect("written");
        let log = home.join("error.log");
        until("nginx listens", seconds(60), || {
            // Another may take the port before nginx does: then with the next one.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let address = free.expect("a free port");
            fs::write(&file, site.replace(PORT, &address.port().to_string())).expect("written");
            let mut child = Command::new("nginx")
                .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
                .args(["-p", &shown.to_string(), "-c", "nginx.conf"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("install Debian's package `nginx-light`, or run `make deps`");
            let listens =
                until("nginx listens or ends", seconds(20), || match child.try_wait().expect("its status") {
                    Some(_) => Some(false),
                    None => TcpStream::connect(address).is_ok().then_some(true),
                });
            if !listens {
                let said = fs::read_to_string(&log).unwrap_or_default();
                assert!(said.contains("in use"), "nginx does not start:\n{said}");
                return None;
            }
            Some(Nginx { child, address, site: file.clone(), log: log.clone() })
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The site file that it reads.
    pub(crate) fn site(&self) -> &PathBuf {
        &self.site
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- nginx said:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}
