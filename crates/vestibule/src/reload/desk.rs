//! Where those who want the configuration read anew wait.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::control::protocol::{Kind, Reloaded};

/// Requests that wait. There are never more at the control socket.
const MOST: usize = 64;
/// Longest error that is told, in bytes: with JSON around it, it has to fit into one line of the control socket.
const LONGEST: usize = 128 * 1024;

/// Why everything is as before.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// What is wrong with the configuration, as `vestibule check` says it.
    #[error("{0}")]
    Invalid(String),
    #[error("Vestibule is draining: it finishes what it has, and takes no other configuration")]
    Draining,
    #[error("{} is not the configuration that this Vestibule serves by: that is {served}", asked.display())]
    Other { asked: PathBuf, served: String },
}

impl Refusal {
    pub(crate) fn invalid(error: &anyhow::Error) -> Self {
        let mut words = format!("{error:#}");
        if words.len() > LONGEST {
            words.truncate((0..=LONGEST).rev().find(|&at| words.is_char_boundary(at)).unwrap_or_default());
            words.push_str("\n… and more: see `vestibule check`");
        }
        Refusal::Invalid(words)
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Refusal::Invalid(_) => Kind::Invalid,
            Refusal::Draining => Kind::Ending,
            Refusal::Other { .. } => Kind::Unknown,
        }
    }
}

/// How a reload ended.
pub(crate) type Answer = Result<Reloaded, Refusal>;

/// The way to the desk.
#[derive(Debug, Clone)]
pub(crate) struct Reloads(mpsc::Sender<Ask>);

/// Where requests arrive. Those that come while one is carried out wait, and are one.
#[derive(Debug)]
pub(crate) struct Desk(mpsc::Receiver<Ask>);

#[derive(Debug)]
struct Ask {
    /// Which configuration is meant, if that matters.
    file: Option<PathBuf>,
    reply: Option<oneshot::Sender<Answer>>,
}

/// Those who are told how one reload ended.
#[derive(Debug, Default)]
pub(crate) struct Asked(Vec<oneshot::Sender<Answer>>);

impl Reloads {
    pub(crate) fn new() -> (Self, Desk) {
        let (sender, receiver) = mpsc::channel(MOST);
        (Reloads(sender), Desk(receiver))
    }

    /// Asks, and does not want to know what came of it: the log tells.
    ///
    /// # Errors
    /// [`Refusal::Draining`], when none will be carried out.
    pub(crate) fn want(&self) -> Result<(), Refusal> {
        match self.0.try_send(Ask { file: None, reply: None }) {
            // Where it is full, one is to come that begins later than now.
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Refusal::Draining),
        }
    }

    /// Asks, and waits for the end of a reload that began later. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// Why everything is as before.
    pub(crate) async fn ask(&self, file: Option<PathBuf>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let is_taken = self.0.send(Ask { file, reply: Some(reply) }).await.is_ok();
        let answer = if is_taken { answer.await.ok() } else { None };
        answer.unwrap_or(Err(Refusal::Draining))
    }
}

impl Desk {
    /// Waits until somebody wants a reload of `served`; gives all who do by now. Who means another configuration is told so.
    pub(crate) async fn asked(&mut self, served: Option<&Path>) -> Asked {
        loop {
            let Some(first) = self.0.recv().await else { return std::future::pending().await };
            let mut asked = Asked(Vec::new());
            let mut is_wanted = false;
            let mut next = Some(first);
            while let Some(Ask { file, reply }) = next {
                match (file.filter(|file| !is_same(file, served)), reply) {
                    (Some(other), Some(reply)) => {
                        let served =
                            served.map_or("none at all".to_owned(), |file| file.display().to_string());
                        let _ = reply.send(Err(Refusal::Other { asked: other, served }));
                    }
                    (_, reply) => {
                        is_wanted = true;
                        asked.0.extend(reply);
                    }
                }
                next = self.0.try_recv().ok();
            }
            if is_wanted {
                return asked;
            }
        }
    }
}

/// Whether both are one file, by whatever names.
fn is_same(asked: &Path, served: Option<&Path>) -> bool {
    let resolved = |path: &Path| {
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
    };
    served.is_some_and(|served| resolved(served) == resolved(asked))
}

impl Asked {
    pub(crate) fn tell(self, answer: &Answer) {
        for reply in self.0 {
            // Whoever asked may have left.
            let _ = reply.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_ask_while_one_is_under_way_are_one_more() {
        let (reloads, mut desk) = Reloads::new();
        let ask = |reloads: &Reloads| {
            let reloads = reloads.clone();
            tokio::spawn(async move { reloads.ask(None).await })
        };
        let first = ask(&reloads);
        let asked = desk.asked(None).await;
        let others = [ask(&reloads), ask(&reloads)];
        reloads.want().unwrap();
        while desk.0.len() < 3 {
            tokio::task::yield_now().await;
        }
        asked.tell(&Ok(Reloaded { milliseconds: 1, ..Reloaded::default() }));
        assert_eq!(first.await.unwrap().unwrap().milliseconds, 1);
        desk.asked(None).await.tell(&Err(Refusal::Invalid("wrong".to_owned())));
        for other in others {
            assert!(matches!(other.await.unwrap(), Err(Refusal::Invalid(words)) if words == "wrong"));
        }
        assert!(desk.0.is_empty());
        drop(desk);
        assert!(matches!(reloads.ask(None).await, Err(Refusal::Draining)));
    }

    #[tokio::test]
    async fn who_means_another_file_is_told_and_nothing_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let [served, other] = ["vestibule.toml", "other.toml"].map(|name| dir.path().join(name));
        std::fs::write(&served, "").unwrap();
        let (reloads, mut desk) = Reloads::new();
        let asking = tokio::spawn({
            let (reloads, other) = (reloads.clone(), other.clone());
            async move { reloads.ask(Some(other)).await }
        });
        tokio::select! {
            _ = desk.asked(Some(&served)) => panic!("it is not meant"),
            answer = asking => {
                let words = answer.unwrap().unwrap_err().to_string();
                assert!(words.contains("other.toml") && words.contains("vestibule.toml"), "{words}");
            }
        }
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&served, &link).unwrap();
        let asking = tokio::spawn(async move { reloads.ask(Some(link)).await });
        desk.asked(Some(&served)).await.tell(&Ok(Reloaded::default()));
        asking.await.unwrap().unwrap();
    }

    #[test]
    fn an_endless_error_is_cut() {
        let Refusal::Invalid(words) = Refusal::invalid(&anyhow::anyhow!("ä".repeat(LONGEST))) else {
            panic!()
        };
        assert!(words.len() < LONGEST + 100 && words.ends_with("see `vestibule check`"));
    }
}
