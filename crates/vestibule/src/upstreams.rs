//! The upstreams with their monitors: those that requests are sent to, and those that a reload took away, until nobody uses them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use vestibule_config::{Config, Dns, UpstreamAddress};
use vestibule_upstream::{Monitor, Order, Upstream};

/// Between two looks whether anybody uses one that was taken away.
const LOOK: Duration = Duration::from_millis(100);

/// All upstreams, on the control thread.
pub(crate) struct Upstreams {
    /// As [`Config::upstreams`].
    standing: Vec<Standing>,
    workers: usize,
    /// How those with names look them up.
    dns: Dns,
    /// The configurations that requests may still be served by, with their numbers: each request keeps its own.
    plans: Vec<(u64, Weak<Config>)>,
    /// The number of the present one.
    number: u64,
}

/// One of them, with its monitor.
struct Standing {
    upstream: Arc<Upstream>,
    monitor: AbortHandle,
    /// The first configuration that it was in.
    since: u64,
}

/// What the upstreams of another configuration are made of. Nothing of it runs.
pub(crate) struct Next(Vec<Part>);

enum Part {
    /// The one at this place, with all that it knows and has.
    Same(usize),
    New(Made),
}

type Made = (Arc<Upstream>, mpsc::Receiver<Order>);

/// Those that are in the configuration no more, or with other settings.
pub(crate) struct Leaving(Vec<Standing>);

fn make(settings: &vestibule_config::Upstream, workers: usize) -> anyhow::Result<Made> {
    Upstream::new(settings.clone(), workers).with_context(|| format!("upstream {}", settings.name))
}

fn begin((upstream, orders): Made, dns: &Dns, since: u64) -> Standing {
    let monitor = Monitor::new(Arc::clone(&upstream), orders).asking(dns);
    let monitor = tokio::task::spawn_local(monitor.run()).abort_handle();
    Standing { upstream, monitor, since }
}

fn has_names(settings: &vestibule_config::Upstream) -> bool {
    let is_fixed =
        |address: &UpstreamAddress| matches!(address, UpstreamAddress::Unix(_) | UpstreamAddress::Tcp(_));
    settings.members.iter().any(|member| !is_fixed(&member.address))
}

impl Upstreams {
    /// Those of `config`, watched over from now on. To be called on the control thread's runtime.
    ///
    /// # Errors
    /// An address that cannot be one.
    pub(crate) fn start(config: &Arc<Config>) -> anyhow::Result<Self> {
        let mut upstreams = Upstreams {
            standing: Vec::new(),
            workers: config.workers.get(),
            dns: config.dns.clone(),
            plans: Vec::new(),
            number: 0,
        };
        let next = upstreams.next(config)?;
        upstreams.change(next, config);
        Ok(upstreams)
    }

    /// As [`Config::upstreams`].
    pub(crate) fn all(&self) -> Vec<Arc<Upstream>> {
        self.standing.iter().map(|standing| Arc::clone(&standing.upstream)).collect()
    }

    /// What those of `config` would be made of: where nothing differs, it is the same one.
    ///
    /// # Errors
    /// As [`Upstreams::start`].
    pub(crate) fn next(&self, config: &Config) -> anyhow::Result<Next> {
        let part = |settings: &vestibule_config::Upstream| {
            let asks_the_same = config.dns == self.dns || !has_names(settings);
            let is_same = |standing: &Standing| asks_the_same && standing.upstream.config == *settings;
            match self.standing.iter().position(is_same) {
                Some(at) => Ok(Part::Same(at)),
                None => make(settings, self.workers).map(Part::New),
            }
        };
        config.upstreams.iter().map(part).collect::<anyhow::Result<_>>().map(Next)
    }

    /// Begins those that are new; what is given is to be dismissed once no further request goes by the configuration before.
    pub(crate) fn change(&mut self, Next(parts): Next, config: &Arc<Config>) -> Leaving {
        self.number += 1;
        self.dns.clone_from(&config.dns);
        self.plans.retain(|(_, plan)| plan.strong_count() > 0);
        self.plans.push((self.number, Arc::downgrade(config)));
        let mut before: Vec<Option<Standing>> = self.standing.drain(..).map(Some).collect();
        for part in parts {
            match part {
                Part::Same(at) => self.standing.extend(before.get_mut(at).and_then(Option::take)),
                Part::New(made) => self.standing.push(begin(made, &config.dns, self.number)),
            }
        }
        Leaving(before.into_iter().flatten().collect())
    }

    /// Lets these go: a request that uses one is answered as it would have been, and when there is none, its monitor ends.
    pub(crate) fn dismiss(&self, Leaving(leaving): Leaving) {
        for Standing { upstream, monitor, since } in leaving {
            let had = |&(number, _): &&(u64, Weak<Config>)| (since..self.number).contains(number);
            let plans: Vec<Weak<Config>> =
                self.plans.iter().filter(had).map(|(_, plan)| plan.clone()).collect();
            tokio::task::spawn_local(async move {
                upstream.retire();
                while plans.iter().any(|plan| plan.strong_count() > 0) {
                    tokio::time::sleep(LOOK).await;
                    // A connection may have been put aside at that moment.
                    upstream.retire();
                }
                monitor.abort();
                tracing::debug!(upstream = upstream.config.name, "its last request has ended");
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    fn config(dir: &Path, settings: &[(&str, &str)]) -> Arc<Config> {
        let section = |(name, more): &(&str, &str)| {
            format!("[upstream.{name}]\naddress = \"unix:{}/{name}.sock\"\n{more}\n", dir.display())
        };
        let routes: String = settings
            .iter()
            .map(|(name, _)| format!("[[route]]\npath = \"/{name}\"\nupstream = \"{name}\"\n"))
            .collect();
        let text: String = settings.iter().map(section).collect();
        Arc::new(vestibule_config::parse(&(text + &routes), Path::new("vestibule.toml")).expect("right"))
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(test);
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect(what);
    }

    #[test]
    fn keeps_what_is_the_same_wherever_it_stands() {
        run(async {
            let dir = tempfile::tempdir().expect("a directory");
            let one = config(dir.path(), &[("a", ""), ("b", "")]);
            let mut upstreams = Upstreams::start(&one).expect("they start");
            let [a, b] = upstreams.all().try_into().expect("two");
            let two = config(dir.path(), &[("c", ""), ("b", "hold.timeout = \"9s\""), ("a", "")]);
            let next = upstreams.next(&two).expect("right");
            let leaving = upstreams.change(next, &two);
            let all = upstreams.all();
            assert!(Arc::ptr_eq(&all[2], &a) && !Arc::ptr_eq(&all[1], &b));
            assert_eq!(leaving.0.len(), 1);
            upstreams.dismiss(leaving);
        });
    }

    #[test]
    fn a_monitor_ends_with_the_last_plan_that_had_its_upstream_and_no_later_one_matters() {
        run(async {
            let dir = tempfile::tempdir().expect("a directory");
            let first = config(dir.path(), &[("a", "")]);
            let mut upstreams = Upstreams::start(&first).expect("they start");
            let (mut plan, mut gone) = (Arc::clone(&first), Vec::new());
            let turn = |upstreams: &mut Upstreams, seconds: u32| {
                let plan = config(dir.path(), &[("a", &format!("hold.timeout = \"{seconds}s\""))]);
                let next = upstreams.next(&plan).expect("right");
                let leaving = upstreams.change(next, &plan);
                let monitor = leaving.0[0].monitor.clone();
                upstreams.dismiss(leaving);
                (plan, monitor)
            };
            // A request of the first plan goes on all the time.
            for seconds in 1..=5 {
                let (next, monitor) = turn(&mut upstreams, seconds);
                plan = next;
                gone.push(monitor);
            }
            until("the monitors in between never end", || gone[1..].iter().all(AbortHandle::is_finished))
                .await;
            assert!(!gone[0].is_finished(), "a request may need it");
            assert!(upstreams.plans.len() <= 6, "{}", upstreams.plans.len());
            drop(first);
            until("the first monitor never ends", || gone[0].is_finished()).await;
            assert!(!upstreams.standing[0].monitor.is_finished());
            drop(plan);
        });
    }
}
