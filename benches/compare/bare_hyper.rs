//! The least that forwards with hyper: what a front-end made of the library alone would cost.
//!
//! One current-thread runtime, a LIFO pool of connections to the application, nothing else: no hold, no log,
//! no limits, and only the fields removed that a hop must remove.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use anyhow::Result;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::{LocalSet, spawn_local};

/// Serves `address` from the application at `socket`, until it is killed.
pub(crate) fn serve(address: SocketAddr, socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let pool = Rc::new(Pool { socket: socket.to_owned(), idle: RefCell::default() });
    LocalSet::new().block_on(&runtime, accept(address, pool))
}

async fn accept(address: SocketAddr, pool: Rc<Pool>) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        spawn_local(async move {
            let service = service_fn(|request| forward(Rc::clone(&pool), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that leaves is no news here.
            let _closed = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(pool: Rc<Pool>, mut request: Request<Incoming>) -> Result<Response<Returning>> {
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().remove("keep-alive");
    let mut sender = pool.take().await?;
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(CONNECTION);
    response.headers_mut().remove("keep-alive");
    Ok(response.map(|body| Returning { body, sender: Some(sender), pool }))
}

/// Connections to the application that wait for a request, the last used on top.
struct Pool {
    socket: PathBuf,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn take(&self) -> Result<SendRequest<Incoming>> {
        loop {
            let popped = self.idle.borrow_mut().pop();
            let Some(mut sender) = popped else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = UnixStream::connect(&self.socket).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}

/// A response body that gives its connection back to the pool when it ends.
struct Returning {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    pool: Rc<Pool>,
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        // hyper drops a body once it is sent; one cut short leaves its connection unusable, and `take` sees that.
        if let Some(sender) = self.sender.take().filter(|_| self.body.is_end_stream()) {
            self.pool.idle.borrow_mut().push(sender);
        }
    }
}
