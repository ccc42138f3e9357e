//! One health check: a request over the same way as the traffic, and what its answer says.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::time::Duration;

use vestibule_config::{Health, UpstreamAddress};
use vestibule_http1::Method;

use crate::connect::{ConnectError, Target};
use crate::connection::{Connection, READ_SIZE};
use crate::pool::Counted;
use crate::upstream::Upstream;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A status that a healthy application gives: 2xx or 3xx.
    Good,
    /// An answer, with another status: somebody is there, and ill.
    Bad(u16),
    /// No answer; why.
    Silent(String),
}

/// Sends one probe.
pub(crate) async fn probe(target: &Target, health: &Health, counted: Counted) -> Outcome {
    match tokio::time::timeout(health.timeout, ask(target, health, counted)).await {
        Ok(Ok(200..=399)) => Outcome::Good,
        Ok(Ok(status)) => Outcome::Bad(status),
        Ok(Err(error)) => Outcome::Silent(error.to_string()),
        Err(_) => Outcome::Silent(format!("no answer within {} s", health.timeout.as_secs_f32())),
    }
}

impl Upstream {
    /// Asks the application for an answer, past the gate: at `socket`, or else where the traffic goes. Gives the status.
    ///
    /// # Errors
    /// Words for why there was no answer `within` this time.
    pub async fn probe(&self, socket: Option<&Path>, within: Duration) -> Result<u16, String> {
        let elsewhere = socket.map(|path| Target::new(&UpstreamAddress::Unix(path.to_owned()))).transpose();
        let elsewhere = elsewhere.map_err(|error| error.to_string())?;
        let member = self.first_member().ok_or("no address is known")?;
        let target = elsewhere.as_ref().unwrap_or(&member.target);
        let health = self.config.health.clone().unwrap_or_else(|| Health::of("/"));
        let asked = ask(target, &health, member.pool.count());
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", within.as_secs_f32())),
        }
    }
}

async fn ask(target: &Target, health: &Health, counted: Counted) -> io::Result<u16> {
    let stream = target.connect(health.timeout).await.map_err(|error| match error {
        ConnectError::Away(_, error) | ConnectError::Ours(error) => error,
        ConnectError::Busy => io::Error::other("its accept queue is full"),
    })?;
    let mut connection = Connection::new(stream, 0, counted);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-Proto: {}\r\nUser-Agent: Vestibule-Probe\r\nConnection: close\r\n\r\n",
        health.path, health.host, health.proto
    );
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let count = poll_fn(|cx| connection.poll_write(cx, rest)).await?;
        rest = rest.get(count..).unwrap_or_default();
    }
    loop {
        if poll_fn(|cx| connection.poll_read(cx, READ_SIZE)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while connection.parse_head(Method::Get).map_err(io::Error::other)? {
            if connection.head.status >= 200 {
                return Ok(connection.head.status);
            }
            connection.skip_head();
        }
    }
}
