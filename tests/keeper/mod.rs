//! The application's keeper: start, stop, restart, watch.

mod adopted;
mod long_requests;
mod owned;
mod restarts;
mod stops;
