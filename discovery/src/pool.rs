//! Keeps one pool's router told: its source runs, and each endpoint has a probe.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use warmgate_routing::endpoint::Endpoint;
use warmgate_routing::{EndpointEvent, EndpointKey, Router};

use crate::events::{DiscoveryEvents, SourceFailure};
use crate::probe::{ProbeSettings, Prober};
use crate::source::{SourceConfig, Updates};

/// Events of a source that wait to be applied; the source waits beyond that.
const EVENTS_QUEUED_MAX: usize = 256;
/// Pause between two looks for reports that are too old.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// One pool and all that watching it takes.
#[derive(Clone)]
pub struct PoolWatch {
    /// Name of the pool, for logs and metrics.
    pub name: Arc<str>,
    /// Who is in it.
    pub source: SourceConfig,
    /// Told about endpoints, their reports and their models.
    pub router: Arc<Router>,
    /// How endpoints are probed.
    pub settings: ProbeSettings,
    /// Told what happens.
    pub events: Arc<dyn DiscoveryEvents>,
}

/// Watches a pool until `shutdown` says true or its sender is gone. Endpoints stay in the router.
pub async fn run_pool(pool: PoolWatch, mut shutdown: watch::Receiver<bool>) {
    let (sender, mut source_events) = mpsc::channel(EVENTS_QUEUED_MAX);
    let updates = Updates::new(pool.name.clone(), sender, Arc::clone(&pool.events));
    let source = pool.source.clone();
    tracing::info!(pool = %pool.name, source = source.kind(), "watching the pool");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = source.run(updates).await;
    });
    let (probed, mut first_probes) = mpsc::channel(EVENTS_QUEUED_MAX);
    let mut watching = Watching::new(pool, tasks, probed);
    let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_source_there = true;
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return,
            event = source_events.recv(), if is_source_there => match event {
                Some(event) => watching.apply(event),
                None => {
                    is_source_there = false;
                    watching.source_stopped();
                }
            },
            Some(key) = first_probes.recv() => watching.probed(&key),
            Some(ended) = watching.tasks.join_next() => watching.ended(ended),
            _ = expiry.tick() => watching.expire(),
        }
    }
}

struct Watching {
    pool: PoolWatch,
    prober: Arc<Prober>,
    /// Dropped with this, and then all of them end.
    tasks: JoinSet<()>,
    probes: HashMap<EndpointKey, Probing>,
    probed: mpsc::Sender<EndpointKey>,
    first_sync: FirstSync,
    stale: HashSet<EndpointKey>,
}

struct Probing {
    endpoint: Arc<Endpoint>,
    task: AbortHandle,
}

/// How far the first round has come.
enum FirstSync {
    Unlisted,
    /// Endpoints that have not been probed yet.
    Waiting(HashSet<EndpointKey>),
    Done,
}

impl Watching {
    fn new(pool: PoolWatch, tasks: JoinSet<()>, probed: mpsc::Sender<EndpointKey>) -> Watching {
        let router = Arc::clone(&pool.router);
        let prober = Prober::new(router, pool.settings.clone(), Arc::clone(&pool.events));
        Watching {
            pool,
            prober: Arc::new(prober),
            tasks,
            probes: HashMap::new(),
            probed,
            first_sync: FirstSync::Unlisted,
            stale: HashSet::new(),
        }
    }

    fn apply(&mut self, event: EndpointEvent) {
        let is_list_complete = event == EndpointEvent::InitDone;
        let is_within_list = matches!(event, EndpointEvent::Init | EndpointEvent::InitApply(_));
        self.pool.router.apply(event);
        if is_within_list {
            return;
        }
        self.reconcile();
        if is_list_complete {
            let events = &self.pool.events;
            events.source_synced(&self.pool.name, self.probes.len());
            if matches!(self.first_sync, FirstSync::Unlisted) {
                self.first_sync = FirstSync::Waiting(self.probes.keys().cloned().collect());
            }
        }
        self.check_first_sync();
    }

    /// Every endpoint of the router has a probe that knows it as it is now, and nobody else has.
    fn reconcile(&mut self) {
        let pool = self.pool.router.pool();
        let now: HashMap<_, _> = pool.all().iter().map(|e| (&e.spec.key, e)).collect();
        let gone: Vec<_> = self
            .probes
            .extract_if(|key, _| !now.contains_key(key))
            .collect();
        for (key, probing) in gone {
            probing.task.abort();
            self.stale.remove(&key);
            if let FirstSync::Waiting(waiting) = &mut self.first_sync {
                waiting.remove(&key);
            }
            self.pool.events.endpoint_gone(&key);
        }
        for (key, endpoint) in now {
            let old = self.probes.get(key);
            if old.is_some_and(|old| is_probed_alike(&old.endpoint, endpoint)) {
                continue;
            }
            let run = Arc::clone(&self.prober).run(Arc::clone(endpoint), self.probed.clone());
            let task = self.tasks.spawn(run);
            let endpoint = Arc::clone(endpoint);
            if let Some(old) = self.probes.insert(key.clone(), Probing { endpoint, task }) {
                old.task.abort();
            }
        }
    }

    fn probed(&mut self, key: &EndpointKey) {
        if let FirstSync::Waiting(waiting) = &mut self.first_sync {
            waiting.remove(key);
        }
        self.check_first_sync();
    }

    fn check_first_sync(&mut self) {
        if matches!(&self.first_sync, FirstSync::Waiting(waiting) if waiting.is_empty()) {
            self.first_sync = FirstSync::Done;
            tracing::info!(pool = %self.pool.name, endpoints = self.probes.len(), "every endpoint has been probed");
            self.pool.events.first_sync(&self.pool.name);
        }
    }

    fn source_stopped(&self) {
        let pool = &self.pool.name;
        tracing::error!(%pool, "source of endpoints has stopped, last known endpoints are kept");
        self.pool.events.source_failed(pool, SourceFailure::Stopped);
    }

    /// Tasks end by being aborted; one that panicked is started again.
    fn ended(&mut self, ended: Result<(), JoinError>) {
        let Some(error) = ended.err().filter(JoinError::is_panic) else {
            return;
        };
        tracing::error!(pool = %self.pool.name, %error, "a task of discovery has panicked");
        self.probes.retain(|_, probing| !probing.task.is_finished());
        self.reconcile();
    }

    fn expire(&mut self) {
        let now = Instant::now().into_std();
        let expired = self.pool.router.expire_reports(now);
        let stale: HashSet<_> = expired.iter().map(|e| e.spec.key.clone()).collect();
        for key in stale.difference(&self.stale) {
            tracing::warn!(pool = %self.pool.name, endpoint = %key, "metrics are too old, load of others is taken for none");
            self.pool.events.report_expired(key);
        }
        self.stale = stale;
    }
}

/// Changes of role, labels or readiness need no other probe.
fn is_probed_alike(old: &Endpoint, new: &Endpoint) -> bool {
    old.id == new.id
        && old.spec.address == new.spec.address
        && old.spec.authority == new.spec.authority
        && old.spec.tls == new.spec.tls
        && old.spec.engine == new.spec.engine
}
