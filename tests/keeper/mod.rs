//! The application's keeper: start, stop, restart, watch.

mod adopted;
mod long_requests;
mod alerts;
mod background;
mod journal;
mod owned;
mod restarts;
mod stops;
