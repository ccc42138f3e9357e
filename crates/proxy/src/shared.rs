//! What the requests of all workers share, and what outlives a reload.

use std::collections::HashMap;
use std::sync::Arc;

use vestibule_config::{Config, RouteId};

use crate::auth::Verified;
use crate::rate::Limit;

/// State of a plan's routes that all workers share.
#[derive(Debug)]
pub struct Shared {
    routes: Vec<OfRoute>,
    /// Who has shown a right password lately.
    pub(crate) verified: Arc<Verified>,
}

/// That of one route.
#[derive(Debug, Default)]
pub(crate) struct OfRoute {
    name: String,
    /// One for each of its rates.
    pub(crate) limits: Vec<Arc<Limit>>,
    /// Where in its list of users each name stands.
    pub(crate) users: HashMap<Box<[u8]>, usize>,
}

impl Shared {
    /// That of a configuration's routes, which nobody has asked for yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self::with(config, Vec::new(), Arc::new(Verified::new(config.workers.get())))
    }

    /// That of another configuration's routes: what was counted for a rate goes on being counted where a route of the same name has the
    /// same rate.
    #[must_use]
    pub fn renewed(&self, config: &Config) -> Self {
        let limits = |route: &OfRoute| {
            let named = route.limits.iter().map(|limit| (route.name.clone(), Arc::clone(limit)));
            named.collect::<Vec<_>>()
        };
        Self::with(config, self.routes.iter().flat_map(limits).collect(), Arc::clone(&self.verified))
    }

    fn with(config: &Config, mut kept: Vec<(String, Arc<Limit>)>, verified: Arc<Verified>) -> Self {
        let routes = config.route_settings.iter().map(|route| {
            let limits = route.rates.iter().map(|rate| {
                // Taken out, so that of two routes with one name each has its own.
                let same = kept.iter().position(|(name, limit)| *name == route.name && limit.rate == *rate);
                match same {
                    Some(place) => kept.remove(place).1,
                    None => Arc::new(Limit::new(rate.clone())),
                }
            });
            let users = route.auth.iter().flat_map(|auth| auth.users.iter().enumerate());
            OfRoute {
                name: route.name.clone(),
                limits: limits.collect(),
                users: users.map(|(place, (name, _))| (name.as_bytes().into(), place)).collect(),
            }
        });
        Self { routes: routes.collect(), verified }
    }

    pub(crate) fn route(&self, id: RouteId) -> Option<&OfRoute> {
        self.routes.get(id.0)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use vestibule_config::{Rate, RateKey, Route, UpstreamId};

    use super::*;

    fn config(routes: &[(&str, u32)]) -> Config {
        let route = |&(name, requests): &(&str, u32)| {
            let requests = NonZeroU32::new(requests).unwrap();
            let rate = Rate { requests, per: Duration::from_secs(1), burst: requests, by: RateKey::All };
            Route { name: name.to_owned(), rates: vec![rate], ..Route::to(UpstreamId(0)) }
        };
        Config { route_settings: routes.iter().map(route).collect(), ..Config::default() }
    }

    #[test]
    fn a_rate_that_stays_keeps_its_count() {
        let first = Shared::new(&config(&[("a", 1), ("b", 1), ("b", 1)]));
        let second = first.renewed(&config(&[("c", 1), ("b", 1), ("b", 1), ("b", 1), ("a", 2)]));
        let limit = |shared: &Shared, route: usize| Arc::clone(&shared.routes[route].limits[0]);
        assert!(Arc::ptr_eq(&limit(&first, 1), &limit(&second, 1)));
        assert!(Arc::ptr_eq(&limit(&first, 2), &limit(&second, 2)));
        for route in [0, 3, 4] {
            for old in 0..3 {
                assert!(!Arc::ptr_eq(&limit(&first, old), &limit(&second, route)), "{old} {route}");
            }
        }
    }
}
