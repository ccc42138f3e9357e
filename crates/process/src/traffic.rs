//! What a keeper asks of the side that the requests come from.

use std::path::Path;
use std::time::Duration;

/// The traffic of one application. A keeper knows of no upstream; whoever makes it joins the two.
// The keeper and its traffic live on one thread, so that nothing is said of `Send`.
#[allow(async_fn_in_trait)]
pub trait Traffic: Clone + 'static {
    /// From now on requests wait, and those in flight go on. Returns when that holds.
    async fn hold(&self);

    /// From now on requests are refused, 503, and those in flight go on. Returns when that holds.
    async fn refuse(&self);

    /// Requests go to the application again, if it is there. Returns when that holds.
    async fn release(&self);

    /// Whether there is any: a process in the background has none.
    fn has_upstream(&self) -> bool;

    /// Requests in flight.
    fn in_flight(&self) -> u64;

    /// Requests that wait.
    fn waiting(&self) -> u64;

    /// Requests answered by the application since Vestibule runs.
    fn answers(&self) -> u64;

    /// Longest that requests in flight may take to finish.
    fn patience(&self) -> Duration;

    /// Asks the application for an answer, past the traffic, at `socket` or else where the traffic goes; gives the
    /// status.
    ///
    /// # Errors
    /// Words for why there was none `within` this time.
    async fn probe(&self, socket: Option<&Path>, within: Duration) -> Result<u16, String>;

    /// Whether this status means that it works: a `health.path` has to be answered with 2xx or 3xx, anything else with
    /// less than 500.
    fn is_good(&self, status: u16) -> bool;
}
