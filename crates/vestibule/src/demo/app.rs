//! The demo's application: what stands behind the socket in place of a Rack server.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use vestibule_process::PidFile;

use super::Places;
use super::site::Site;

const PAGE: &str = include_str!("page.html");
/// What a request costs: so long takes a quick page of Rails.
const WORK: Duration = Duration::from_millis(10);
/// Most bytes of a token that is sent as a body.
const LONGEST_TOKEN: usize = 1024;

/// Serves at the socket until SIGTERM, SIGINT, or the end of whoever holds the other end of our standard input.
///
/// # Errors
/// When it cannot listen at the socket or write its PID file.
pub(crate) fn run(places: &Places) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let lifeline = lifeline()?;
        let site = Site::claim(&places.socket)?;
        let pid_file = PidFile::new(&places.pid_file);
        let pid = std::process::id();
        pid_file.write(pid)?;
        let end = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = until_closed(lifeline) => {}
            }
        };
        site.serve(answer, end).await;
        pid_file.remove(pid)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Our standard input, when it is a pipe: at a terminal, or without one, nothing hangs on it.
fn lifeline() -> anyhow::Result<Option<pipe::Receiver>> {
    let input = io::stdin().as_fd().try_clone_to_owned().context("cannot use the standard input")?;
    Ok(pipe::Receiver::from_owned_fd(input).ok())
}

/// Waits until the other end is closed, by the kernel if need be.
async fn until_closed(lifeline: Option<pipe::Receiver>) {
    let Some(mut lifeline) = lifeline else { return pending().await };
    let mut ignored = [0; 64];
    while !matches!(lifeline.read(&mut ignored).await, Ok(0) | Err(_)) {}
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method().clone(), request.uri().path()) {
        (Method::GET | Method::HEAD, "/") => page(),
        (Method::GET | Method::POST, "/work") => work(request).await,
        (Method::GET, "/up") => text(StatusCode::OK, "ok\n"),
        (_, "/" | "/work" | "/up") => text(StatusCode::METHOD_NOT_ALLOWED, "not that method\n"),
        _ => text(StatusCode::NOT_FOUND, "nothing is here\n"),
    }
}

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(PAGE));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'";
    fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Works for a while, and gives the token back that came as the query or as the body, so that whoever asked can tell
/// the answer from that to another request.
async fn work(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let token = if request.method() == Method::POST {
        match Limited::new(request.into_body(), LONGEST_TOKEN).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(_) => return text(StatusCode::PAYLOAD_TOO_LARGE, "too long a token\n"),
        }
    } else {
        request.uri().query().unwrap_or_default().to_owned()
    };
    tokio::time::sleep(WORK).await;
    json(&serde_json::json!({ "pid": std::process::id(), "token": token }))
}

/// An answer in JSON that nobody keeps.
pub(crate) fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A line of text.
pub(crate) fn text(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(line));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
