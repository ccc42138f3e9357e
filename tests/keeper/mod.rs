//! The application's keeper: start, stop, restart, watch.

mod restarts;
