//! Signals as the configuration names them, and as the system does.

use vestibule_config::Signal as Named;

use crate::Signal;

/// The system's signal of this name.
pub(crate) fn of(named: Named) -> Signal {
    match named {
        Named::Hup => Signal::HUP,
        Named::Int => Signal::INT,
        Named::Quit => Signal::QUIT,
        Named::Usr1 => Signal::USR1,
        Named::Usr2 => Signal::USR2,
        Named::Term => Signal::TERM,
        Named::Kill => Signal::KILL,
        Named::Winch => Signal::WINCH,
        Named::Ttin => Signal::TTIN,
        Named::Ttou => Signal::TTOU,
        Named::Alrm => Signal::ALARM,
        Named::Cont => Signal::CONT,
    }
}
