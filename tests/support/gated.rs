//! An origin that answers when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dir::Dir;
use super::fake::Fake;
use super::wait::{seconds, until_true};

/// An origin that keeps `/slow` until it is told to go on, and answers everything else at once.
pub(crate) struct Gated {
    pub(crate) origin: Fake,
    open: Arc<AtomicBool>,
}

impl Gated {
    /// Listens at the directory's socket.
    pub(crate) fn start(dir: &Dir) -> Gated {
        let open = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&open);
        let origin = Fake::start(&dir.socket(), move |conversation| {
            while let Some(request) = conversation.request() {
                if request.target() == "/slow" {
                    until_true("the gate opens", seconds(60), || gate.load(Ordering::SeqCst));
                }
                conversation.answer(request.target());
            }
        });
        Gated { origin, open }
    }

    /// Lets all go on.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.open();
    }
}
