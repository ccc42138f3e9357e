//! What is no request that could be served, in the access log.

use std::time::{Instant, SystemTime};

use vestibule_http1::RequestHead;
use vestibule_proxy::{Door, Outcome, Record, Request};

use crate::exchange::{By, Exchange};
use crate::house::House;

/// Writes its line. What cannot be read has no method and no path; who sent it, when, and why it was refused is all there
/// is to tell.
pub(super) fn log(house: &House, door: &Door, status: u16, why: &str) {
    let head = RequestHead::default();
    let by = By::Plan(house.worker.plan());
    let (arrived, arrived_at) = (Instant::now(), SystemTime::now());
    let request = Request { head: &head, bytes: b"", door, arrived, arrived_at, serial: 0 };
    let record = Record::of_refused(&request);
    Exchange { house, by, request: &request, record: &record, sent: 0, status }.log(Outcome::Refused, why);
}
