//! Signals: what is heard, from when on, and what each does.

use std::io;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use vestibule_proxy::LogFile;

use crate::reload::Reloads;
use crate::tls::Security;

/// The event loop of the control thread, and the signals that are no end. To be made before anything is read: until then they end
/// the process, as when a `systemctl reload` comes directly after the start.
#[derive(Debug)]
pub(crate) struct Early {
    runtime: LocalRuntime,
    reopen: Signal,
    hangup: Signal,
}

impl Early {
    /// What comes from now on waits until it is [heard](Signals::end).
    ///
    /// # Errors
    /// When there is no event loop to be had.
    pub(crate) fn hear() -> io::Result<Self> {
        let runtime = event_loop()?;
        let within = runtime.enter();
        let (reopen, hangup) = (signal(SignalKind::user_defined1())?, signal(SignalKind::hangup())?);
        drop(within);
        Ok(Early { runtime, reopen, hangup })
    }
}

/// Who ends us.
#[derive(Debug)]
pub(crate) enum Ends {
    /// SIGTERM and SIGINT; SIGUSR1 and SIGHUP are heard too.
    Signalled(Box<Early>),
    /// What comes here, with a word for the log; no signal is heard. The first drains, the second cuts.
    Told(mpsc::Receiver<&'static str>),
}

/// The ends, once there is an event loop.
pub(crate) enum Heard {
    Signalled { reopen: Signal, hangup: Signal },
    Told(mpsc::Receiver<&'static str>),
}

impl Ends {
    /// The event loop of the control thread, and what is heard in it.
    ///
    /// # Errors
    /// When there is no event loop to be had.
    pub(crate) fn begin(self) -> io::Result<(LocalRuntime, Heard)> {
        match self {
            Ends::Signalled(early) => {
                let Early { runtime, reopen, hangup } = *early;
                Ok((runtime, Heard::Signalled { reopen, hangup }))
            }
            Ends::Told(end) => Ok((event_loop()?, Heard::Told(end))),
        }
    }
}

fn event_loop() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// The signals while we serve.
pub(crate) enum Signals {
    Heard { terminate: Signal, interrupt: Signal, reopen: Signal, hangup: Signal, reloads: Option<Reloads> },
    Told(mpsc::Receiver<&'static str>),
}

impl Signals {
    /// From here on those to end wait for us instead of ending the process. `reloads` is where SIGHUP asks, if there is a
    /// configuration that can be read anew.
    ///
    /// # Errors
    /// When the system hears no more signals.
    pub(crate) fn new(heard: Heard, reloads: Option<Reloads>) -> io::Result<Self> {
        Ok(match heard {
            Heard::Signalled { reopen, hangup } => Signals::Heard {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                reopen,
                hangup,
                reloads,
            },
            Heard::Told(end) => Signals::Told(end),
        })
    }

    /// Waits for the signal to end; does what the others ask meanwhile.
    pub(crate) async fn end(&mut self, log: Option<&LogFile>, security: &Security) -> &'static str {
        let (terminate, interrupt, reopen, hangup, reloads) = match self {
            Signals::Heard { terminate, interrupt, reopen, hangup, reloads } => {
                (terminate, interrupt, reopen, hangup, reloads)
            }
            Signals::Told(end) => match end.recv().await {
                Some(why) => return why,
                // Nobody is left who could tell: then the patience of the draining is the bound.
                None => return std::future::pending().await,
            },
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                _ = reopen.recv() => {
                    if let Some(log) = log {
                        log.reopen();
                    }
                }
                _ = hangup.recv() => {
                    // Not within the line, which is not always written.
                    let what = hung_up(reloads.as_ref());
                    tracing::info!("SIGHUP: {what}");
                    // Those that are served now, too: they are taken whatever is wrong with the rest.
                    security.reload();
                }
            }
        }
    }
}

/// Asks for a reload, where there can be one; what becomes of it.
fn hung_up(reloads: Option<&Reloads>) -> &'static str {
    match reloads.map(Reloads::want) {
        Some(Ok(())) => "the configuration, certificates and keys are read anew",
        Some(Err(_)) => {
            "certificates and keys are read anew; draining: the configuration is not reloaded any more"
        }
        None => "certificates and keys are read anew",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rustix::process::{Signal as Sent, getpid, kill_process};

    use super::*;
    use crate::reload::Desk;

    #[test]
    fn a_hangup_during_the_start_is_no_end_and_a_reload_later() {
        let early = Early::hear().expect("an event loop");
        kill_process(getpid(), Sent::USR1).expect("sent");
        kill_process(getpid(), Sent::HUP).expect("sent");
        let (runtime, heard) = Ends::Signalled(Box::new(early)).begin().expect("an event loop");
        runtime.block_on(async {
            let config = vestibule_config::parse("", Path::new("vestibule.toml")).expect("it is right");
            let security = Security::of(&config).expect("no TLS");
            let (reloads, mut desk): (_, Desk) = Reloads::new();
            let mut signals = Signals::new(heard, Some(reloads)).expect("heard");
            tokio::select! {
                why = signals.end(None, &security) => panic!("{why}"),
                _ = desk.asked(None) => {}
                () = tokio::time::sleep(Duration::from_secs(30)) => panic!("no reload"),
            }
        });
    }

    #[test]
    fn a_hangup_while_draining_says_that_nothing_is_reloaded() {
        let (reloads, desk) = Reloads::new();
        assert!(hung_up(Some(&reloads)).starts_with("the configuration"));
        drop(desk);
        assert!(hung_up(Some(&reloads)).contains("the configuration is not reloaded"));
        assert!(!hung_up(None).contains("configuration"));
    }
}
