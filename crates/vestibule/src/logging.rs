//! Events, to standard error: readable at a terminal, JSON otherwise. The access log is another thing.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts writing events, as `RUST_LOG` asks, or else as `default` does.
pub(crate) fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        events.with_target(false).compact().init();
    } else {
        events.json().flatten_event(true).init();
    }
}
