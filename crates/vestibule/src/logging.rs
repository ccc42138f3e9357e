//! Events, to standard error: readable at a terminal, JSON otherwise. The access log is another thing.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Events under way to standard error. Above that they are left out: an application may say more than anybody reads, and the
/// control thread must not wait for who reads it.
const MOST_LINES: usize = 10_000;

/// Starts writing events, as `RUST_LOG` asks, or else as `default` does. What is under way is written when the guard goes,
/// if that takes no longer than a moment.
pub(crate) fn start(default: &str) -> WorkerGuard {
    start_as(default, std::io::stderr().is_terminal())
}

/// The same for a command that people call, or that a script calls for people: always readable.
pub(crate) fn start_readable(default: &str) -> WorkerGuard {
    start_as(default, true)
}

fn start_as(default: &str, is_readable: bool) -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(MOST_LINES).lossy(true).finish(std::io::stderr());
    let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if is_readable {
        events.with_ansi(std::io::stderr().is_terminal()).with_target(false).compact().init();
    } else {
        events.json().flatten_event(true).init();
    }
    guard
}
