//! The application's keeper: start, stop, restart, watch.

mod adopted;
mod restarts;
