//! The harness: Vestibule and real Rack servers as processes, clients, load, and origins that misbehave on order.

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod canonical;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod dir;
pub(crate) mod fake;
pub(crate) mod gated;
pub(crate) mod h2;
pub(crate) mod kept;
pub(crate) mod latency;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod pebble;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod running;
pub(crate) mod slow;
pub(crate) mod small_disk;
pub(crate) mod stand;
pub(crate) mod stop;
pub(crate) mod tls;
pub(crate) mod turn;
pub(crate) mod vestibule;
pub(crate) mod wait;
