//! The application's keeper: start, stop, restart, watch.

mod adopted;
mod alerts;
mod background;
mod broken;
mod faults;
mod interrupted;
mod journal;
mod long_requests;
mod memory;
mod owned;
mod restarts;
mod rights;
mod stops;
mod walk;
