//! Starts the demo's application, and restarts it again and again.

use std::cell::RefCell;
use std::convert::Infallible;
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use vestibule_process::{Application, Launch, PidFile, Signal};
use vestibule_upstream::{Counts, Upstream};

use super::history::{History, Phase, Restart};
use super::say;

/// How long the application stays away at a restart: a small Rails boots slower, a Sinatra as fast.
const AWAY: Duration = Duration::from_secs(1);
/// Longest that the application may take to finish what runs, and longest that it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest to wait for the line to become empty after a restart before it is reported.
const SETTLING: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Keeps the application.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) launch: Launch,
    pub(crate) pid_file: PidFile,
    pub(crate) every: Duration,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) history: Rc<RefCell<History>>,
}

impl Keeper {
    /// Starts the application, calls `started` with its PID, and restarts it until `ended` does; then stops it.
    ///
    /// # Errors
    /// When it cannot be started or waited for; it is not left running.
    pub(crate) async fn run(
        self,
        ended: &mut oneshot::Receiver<Infallible>,
        started: impl FnOnce(u32),
    ) -> anyhow::Result<()> {
        let mut app = self.start().await?;
        started(app.pid());
        let mut before = self.upstream.counts();
        loop {
            let asked = tokio::select! {
                _ = &mut *ended => break,
                () = sleep(self.every) => None,
                status = app.ended() => Some(status?),
            };
            let (old, began) = (app.pid(), Instant::now());
            self.end(&mut app, asked).await?;
            self.enter(Phase::Away);
            tokio::select! {
                _ = &mut *ended => break,
                () = sleep(AWAY) => {}
            }
            self.enter(Phase::Starting);
            app = self.start().await?;
            let at = Instant::now();
            tokio::select! {
                _ = &mut *ended => break,
                () = self.settle() => {}
            }
            let now = self.upstream.counts();
            self.report(Restart {
                at,
                old,
                new: app.pid(),
                gap: at.saturating_duration_since(began),
                held: now.held - before.held,
                failed: now.failed - before.failed,
                was_asked: asked.is_none(),
            });
            before = now;
        }
        app.stop(Signal::TERM, PATIENCE).await?;
        let Counts { answered, held, failed, .. } = self.upstream.counts();
        let restarts = self.history.borrow().restarts;
        say(format_args!(
            "ended after {restarts} restarts: answered {answered}, held {held}, failed {failed}"
        ));
        Ok(())
    }

    /// Starts it and waits until it says that it serves.
    async fn start(&self) -> anyhow::Result<Application> {
        let mut app = Application::start(&self.launch)?;
        let begun = Instant::now();
        while self.pid_file.read()? != Some(app.pid()) {
            if let Ok(status) = timeout(LOOK, app.ended()).await {
                anyhow::bail!("the demo's application ended at its start: {}", status?);
            }
            if begun.elapsed() > PATIENCE {
                app.stop(Signal::TERM, PATIENCE).await?;
                anyhow::bail!("the demo's application did not start within {} s", PATIENCE.as_secs());
            }
        }
        self.enter(Phase::Running { pid: app.pid() });
        Ok(app)
    }

    /// Ends it, unless it `has` ended.
    async fn end(&self, app: &mut Application, has: Option<ExitStatus>) -> anyhow::Result<()> {
        let pid = app.pid();
        if let Some(status) = has {
            say(format_args!("process {pid} ended by itself: {status}"));
            return Ok(());
        }
        self.enter(Phase::Stopping { pid });
        let ended = app.stop(Signal::TERM, PATIENCE).await?;
        if ended.was_killed {
            say(format_args!("process {pid} did not end within {} s, and was killed", PATIENCE.as_secs()));
        }
        Ok(())
    }

    /// Waits until Vestibule has found the application again and nobody waits any more, or that takes too long.
    async fn settle(&self) {
        let mut status = self.upstream.status();
        let settled = async {
            if status.wait_for(|status| !status.state.holds()).await.is_ok() {
                while self.upstream.counts().waiting > 0 {
                    sleep(LOOK).await;
                }
            }
        };
        if timeout(SETTLING, settled).await.is_err() {
            tracing::debug!("requests still wait");
        }
    }

    fn report(&self, restart: Restart) {
        let Restart { old, new, gap, held, failed, .. } = restart;
        let mut history = self.history.borrow_mut();
        history.add(restart);
        say(format_args!(
            "restart {}: process {old} → {new}, {:.2} s without an application; held {held}, failed {failed}",
            history.restarts,
            gap.as_secs_f64(),
        ));
    }

    fn enter(&self, phase: Phase) {
        self.history.borrow_mut().enter(phase);
    }
}
