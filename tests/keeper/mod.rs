//! The application's keeper: start, stop, restart, watch.

mod adopted;
mod long_requests;
mod restarts;
mod stops;
