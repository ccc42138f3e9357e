//! `limit_req_zone`: who is counted, and where the count is asked.

use super::directive::Directive;
use super::note::Notes;

/// All zones, and the rates that were made of them.
#[derive(Debug, Default)]
pub(super) struct Zones<'d> {
    pub(super) all: Vec<&'d Directive>,
    rates: Vec<Rate<'d>>,
}

/// A rate as it was written.
#[derive(Debug)]
struct Rate<'d> {
    zone: &'d Directive,
    /// The `limit_req`.
    directive: &'d Directive,
    text: String,
}

impl<'d> Zones<'d> {
    /// Remembers which zone a rate was made of.
    pub(super) fn add(&mut self, zone: &'d Directive, directive: &'d Directive, text: &str) {
        self.rates.push(Rate { zone, directive, text: text.to_owned() });
    }

    /// Says which zones are counted several times, given `rate` of each route.
    pub(super) fn finish(&self, written: &[&str], notes: &mut Notes) {
        for zone in &self.all {
            let own: Vec<_> = self.rates.iter().filter(|rate| rate.zone.place == zone.place).collect();
            let routes = written.iter().filter(|text| own.iter().any(|rate| text.contains(&rate.text)));
            if routes.count() > 1 {
                for rate in own {
                    notes.different(
                        rate.directive,
                        "each route has a count of its own, where all that use the zone have one in nginx: in all, a client may send as often as there are routes",
                    );
                }
            }
        }
    }
}
