//! The control socket: how a running Vestibule is asked how its applications are, and told what to do with them.
//!
//! It is a Unix socket for its own user and root. [`Claim`] is the socket as a file, [`Place`] where it is; [`Server`] is who
//! answers, on the control thread; what is said there stands in [`protocol`].

mod claim;
mod journal;
mod place;
pub(crate) mod protocol;
mod quit;
mod session;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, JoinSet};
use vestibule_process::Handle;

pub(crate) use claim::{Claim, Unclaimed};
pub(crate) use place::{Place, VARIABLE};
pub(crate) use quit::Quit;

use crate::keep::Handles;
use crate::reload::Reloads;
use protocol::{Kind, Reply};
use session::Session;

/// Connections that are served at a time.
const MOST_CONNECTIONS: usize = 64;

/// Whoever has said nothing for so long gives way to a newcomer when there is no room.
const SILENCE: Duration = Duration::from_secs(1);

/// After an accept that failed: most likely there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the control socket, or says why there is none. One at a usual place is not worth a site that is down: then a warning is
/// all. To be called inside a tokio runtime.
///
/// # Errors
/// What keeps it from a place that somebody named.
pub(crate) async fn open(place: &Place) -> Result<Option<Claim>, Unclaimed> {
    match Claim::new(place).await {
        Ok(claim) => {
            tracing::debug!(socket = %claim.path().display(), "control socket");
            Ok(Some(claim))
        }
        Err(error) if matches!(place, Place::Named(_)) => Err(error),
        Err(error) => {
            tracing::warn!(
                "{error}: `vestibule app` will not reach this Vestibule; name another place with [control] socket, or \
                 {VARIABLE}"
            );
            Ok(None)
        }
    }
}

/// Who answers at the control socket.
pub(crate) struct Server {
    /// The applications, in the order of the configuration.
    pub(crate) handles: Handles,
    /// Asked when somebody wants Vestibule to end.
    pub(crate) quit: Quit,
    /// Asked when somebody wants the configuration to be read anew.
    pub(crate) reloads: Reloads,
}

/// The connections whose request has not come yet, oldest first.
type Silent = Rc<RefCell<VecDeque<Newcomer>>>;

struct Newcomer {
    number: u64,
    came: Instant,
    task: AbortHandle,
}

impl Server {
    /// Answers whoever comes to `claim`, for ever. Runs on the control thread's `LocalRuntime`; connections end with it.
    pub(crate) async fn serve(self, claim: Rc<Claim>) {
        let server = Rc::new(self);
        let silent = Silent::default();
        let mut connections = JoinSet::new();
        let mut count = 0_u64;
        loop {
            tokio::select! {
                accepted = claim.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let Some(stream) = admit(stream, &connections, &silent) else { continue };
                        count += 1;
                        let number = count;
                        let session = Session::new(stream, Rc::clone(&server));
                        let still_silent = Rc::clone(&silent);
                        let heard = move || still_silent.borrow_mut().retain(|other| other.number != number);
                        let task = connections.spawn_local(session.run(heard));
                        silent.borrow_mut().push_back(Newcomer { number, came: Instant::now(), task });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept at the control socket");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The applications that are meant, in order; `None` means all.
    ///
    /// # Errors
    /// When there are none.
    fn choose(&self, name: Option<&str>) -> Result<Vec<Handle>, Reply> {
        let handles = self.handles.borrow().clone();
        let names: Vec<String> = handles.iter().map(|handle| handle.status().name).collect();
        let Some(name) = name else { return Ok(handles) };
        let choose = |is_meant: &dyn Fn(&str) -> bool| -> Vec<Handle> {
            let chosen = handles.iter().zip(&names).filter(|(_, known)| is_meant(known));
            chosen.map(|(handle, _)| handle.clone()).collect()
        };
        let exact = choose(&|known| known == name);
        if !exact.is_empty() {
            return Ok(exact);
        }
        // Several instances have the name of their process and a number each.
        let instances = choose(&|known| is_instance(known, name));
        if !instances.is_empty() {
            return Ok(instances);
        }
        let words = if names.is_empty() {
            format!("there is no process {name:?}, nor any other: {}", session::NO_PROCESS)
        } else {
            format!("there is no process {name:?}: there is {}", names.join(", "))
        };
        Err(Reply::error(Kind::Unknown, words))
    }
}

/// Whether `known` is `name.1`, `name.2`, …
fn is_instance(known: &str, name: &str) -> bool {
    known
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lets in who may come in, and for whom there is room; the others are told.
fn admit(stream: UnixStream, connections: &JoinSet<()>, silent: &Silent) -> Option<UnixStream> {
    let refuse = |kind, words: String| {
        // The kernel has room for this line; a peer that is gone needs none.
        let _ = stream.try_write(&Reply::error(kind, words).to_line());
    };
    let own = geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if may_ask(peer.uid(), own) => {}
        Ok(peer) => {
            tracing::warn!(
                user = peer.uid(),
                pid = peer.pid(),
                "control socket: refused a peer of another user"
            );
            refuse(
                Kind::Denied,
                format!(
                    "this Vestibule takes orders from user {own} and from root, not from user {}",
                    peer.uid()
                ),
            );
            return None;
        }
        Err(error) => {
            refuse(Kind::Denied, format!("cannot tell who you are: {error}"));
            return None;
        }
    }
    if connections.len() >= MOST_CONNECTIONS {
        // An operator in need must not wait for one that says nothing.
        let mut silent = silent.borrow_mut();
        let oldest = silent.pop_front_if(|oldest| oldest.came.elapsed() >= SILENCE);
        let Some(Newcomer { task: oldest, .. }) = oldest else {
            let words =
                format!("{MOST_CONNECTIONS} others are connected: try again when some of them have left");
            refuse(Kind::Busy, words);
            return None;
        };
        oldest.abort();
    }
    Some(stream)
}

fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}
