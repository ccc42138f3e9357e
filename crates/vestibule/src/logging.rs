//! Events, to standard error: readable at a terminal, JSON otherwise. The access log is another thing.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Events under way to standard error. Above that they are left out: an application may say more than anybody reads, and the
/// control thread must not wait for who reads it.
const MOST_LINES: usize = 10_000;

/// Starts writing events, as `RUST_LOG` asks, or else as `default` does. What is under way is written when the guard goes,
/// if that takes no longer than a moment.
pub(crate) fn start(default: &str) -> WorkerGuard {
    start_as(default, std::io::stderr().is_terminal())
}

/// Warnings that are kept for who asked, instead of being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Keeps what is said from now on.
    pub(crate) fn collect() -> Self {
        let warnings = Self::default();
        tracing_subscriber::registry().with(warnings.clone()).init();
        warnings
    }

    /// What was said so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut words = Words::default();
            event.record(&mut words);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(words.0);
        }
    }
}

/// The message of an event, and what stands beside it.
#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
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
