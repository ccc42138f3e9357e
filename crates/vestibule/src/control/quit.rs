//! The wish that Vestibule ends and leaves its applications running.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// One of these is shared by who hears the wish and who fulfils it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quit(Rc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    is_asked: Cell<bool>,
    notify: Notify,
}

impl Quit {
    /// Asks for the end; `false` if somebody has done so already.
    pub(crate) fn ask(&self) -> bool {
        let is_first = !self.0.is_asked.replace(true);
        if is_first {
            self.0.notify.notify_one();
        }
        is_first
    }

    /// Waits until the end is asked for. For one to wait, once.
    pub(crate) async fn asked(&self) {
        self.0.notify.notified().await;
    }

    /// Whether the applications are to be left running, whatever their `on_exit` says.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_asked.get()
    }
}
