//! The pools that run: made, kept and stopped as the configuration says.

use std::sync::Arc;

use rand::RngCore;
use tokio::runtime::Handle;
use tokio::sync::watch;
use warmgate_discovery::{DnsName, PoolWatch, ProbeSettings, SourceConfig, run_pool};
use warmgate_routing::Router;

use crate::app::discovery_events::PoolEvents;
use crate::config::{Config, EndpointSource, PoolConfig, Scrape, Target};
use crate::proxy::guards::{Guards, SavedGuards};
use crate::proxy::live::{Live, PoolHandle};
use crate::proxy::plan::with_rng;
use crate::telemetry::metrics::Metrics;

/// All pools, and the runtime on which they are watched.
pub struct Fleet {
    runtime: Handle,
    metrics: Arc<Metrics>,
    pools: Vec<RunningPool>,
    saved: SavedGuards,
}

struct RunningPool {
    config: PoolConfig,
    handle: Arc<PoolHandle>,
    // Dropped with the pool, which ends its watch.
    _stop: watch::Sender<bool>,
}

impl Fleet {
    /// No pools yet; guards will resume what was saved.
    #[must_use]
    pub fn new(runtime: Handle, metrics: Arc<Metrics>, saved: SavedGuards) -> Fleet {
        Fleet {
            runtime,
            metrics,
            pools: Vec::new(),
            saved,
        }
    }

    /// Runs the pools of `config`. A pool of the same name keeps what it has learned where its
    /// endpoints come from the same source and its index has the same shape; its policy may change.
    /// A route's guard goes on from `guards` where nothing of it has changed.
    pub fn apply(&mut self, config: &Config, guards: &Guards) -> Live {
        let mut before = std::mem::take(&mut self.pools);
        for pool in &config.pools {
            let kept = before
                .iter()
                .position(|old| is_same_but_policy(&old.config, pool));
            let running = match kept {
                Some(place) => before.swap_remove(place).under(pool),
                None => self.start(pool),
            };
            self.pools.push(running);
        }
        for pool in &self.pools {
            let names = config.routes.exact().map(|(model, _)| model);
            pool.handle.metrics.know_models(names);
        }
        let targets = config.routes.all().flat_map(|route| {
            let name = |target: &Target| (Arc::clone(&route.name), Arc::clone(&target.name));
            let named = move |target: &Target| (name(target), target.weight);
            route.targets.iter().map(named)
        });
        self.metrics.know_targets(targets);
        let mirrored = config.routes.all().filter(|route| route.mirror.is_some());
        let mirrored = mirrored.map(|route| Arc::clone(&route.name));
        self.metrics.know_mirrors(mirrored);
        // Only what is there at the start resumes: later, a guard that comes back is a new one.
        let saved = std::mem::take(&mut self.saved);
        let guards = Guards::of_routes(&config.routes, &self.metrics, guards, &saved);
        guards.show();
        Live {
            routes: config.routes.clone(),
            guards,
            pools: self
                .pools
                .iter()
                .map(|pool| Arc::clone(&pool.handle))
                .collect(),
            forward: config.forward,
            limits: config.limits,
            response_headers: config.response_headers,
            explain: config.explain,
        }
    }

    /// The routers by name of their pool.
    #[must_use]
    pub fn routers(&self) -> Vec<(String, Arc<Router>)> {
        let named =
            |pool: &RunningPool| (pool.config.name.clone(), Arc::clone(&pool.handle.router));
        self.pools.iter().map(named).collect()
    }

    fn start(&self, config: &PoolConfig) -> RunningPool {
        let name: Arc<str> = config.name.as_str().into();
        let router = Arc::new(Router::new(config.router.clone(), config.policy.clone()));
        let pool_metrics = self.metrics.pool(&name);
        pool_metrics.caches().set_feedback(config.router.feedback);
        let events = PoolEvents::new(&name, Arc::clone(&self.metrics), &pool_metrics, &router);
        let watch = PoolWatch {
            name: Arc::clone(&name),
            source: source(&config.endpoints),
            router: Arc::clone(&router),
            settings: probe_settings(config.scrape),
            events: Arc::new(events),
        };
        let (stop, stopped) = watch::channel(false);
        self.runtime.spawn(run_pool(watch, stopped));
        let process_metrics = Arc::clone(&self.metrics);
        let handle = PoolHandle {
            name,
            router,
            metrics: pool_metrics,
            process_metrics,
        };
        RunningPool {
            config: config.clone(),
            handle: Arc::new(handle),
            _stop: stop,
        }
    }
}

impl RunningPool {
    fn under(mut self, config: &PoolConfig) -> RunningPool {
        // Turns and the like go on where nothing was changed.
        if self.config.policy != config.policy {
            self.handle.router.set_policy(config.policy.clone());
        }
        self.config = config.clone();
        self
    }
}

/// Whether what was learned under one configuration holds under the other.
fn is_same_but_policy(one: &PoolConfig, other: &PoolConfig) -> bool {
    one.name == other.name
        && one.endpoints == other.endpoints
        && one.router == other.router
        && one.scrape == other.scrape
}

fn source(endpoints: &EndpointSource) -> SourceConfig {
    match endpoints {
        EndpointSource::Upstreams(urls) => SourceConfig::Static(urls.clone()),
        EndpointSource::File(path) => SourceConfig::File(path.clone()),
        EndpointSource::Dns {
            name, port, tls, ..
        } => SourceConfig::Dns(DnsName {
            name: name.clone(),
            port: *port,
            tls: *tls,
        }),
        EndpointSource::Kubernetes(source) => SourceConfig::Kubernetes(source.clone()),
    }
}

fn probe_settings(scrape: Scrape) -> ProbeSettings {
    let Scrape { interval, timeout } = scrape;
    ProbeSettings {
        interval,
        timeout,
        seed: with_rng(|rng| rng.next_u64()),
        ..ProbeSettings::default()
    }
}
