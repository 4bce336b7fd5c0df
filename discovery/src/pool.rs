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
        && old.spec.h2c == new.spec.h2c
        && old.spec.engine == new.spec.engine
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use warmgate_routing::Policy;
    use warmgate_routing::endpoint::{EndpointSpec, Engine, Serving};
    use warmgate_routing::report::EngineReport;
    use warmgate_routing::router::REPORT_STALE_AFTER;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl DiscoveryEvents for Told {
        fn first_sync(&self, _: &str) {
            self.0.lock().unwrap().push("first_sync".to_owned());
        }
        fn report_expired(&self, endpoint: &EndpointKey) {
            self.0.lock().unwrap().push(format!("expired {endpoint}"));
        }
        fn endpoint_gone(&self, endpoint: &EndpointKey) {
            self.0.lock().unwrap().push(format!("gone {endpoint}"));
        }
    }

    impl Told {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn watching() -> (Watching, Arc<Told>, mpsc::Receiver<EndpointKey>) {
        let told = Arc::new(Told::default());
        let pool = PoolWatch {
            name: "main".into(),
            source: SourceConfig::Static(Vec::new()),
            router: Arc::new(Router::new(Default::default(), Policy::default())),
            settings: ProbeSettings::default(),
            events: Arc::clone(&told) as Arc<dyn DiscoveryEvents>,
        };
        let (probed, receiver) = mpsc::channel(8);
        (Watching::new(pool, JoinSet::new(), probed), told, receiver)
    }

    fn spec(port: u16) -> EndpointSpec {
        EndpointSpec::at("gpu-1:8000", ([127, 0, 0, 1], port).into(), false)
    }

    fn list(watching: &mut Watching, specs: Vec<EndpointSpec>) {
        watching.apply(EndpointEvent::Init);
        for spec in specs {
            watching.apply(EndpointEvent::InitApply(spec));
        }
        watching.apply(EndpointEvent::InitDone);
    }

    #[tokio::test]
    async fn an_empty_pool_is_synced_with_its_list() {
        let (mut watching, told, _probed) = watching();
        watching.apply(EndpointEvent::Init);
        assert!(told.take().is_empty());
        watching.apply(EndpointEvent::InitDone);
        assert_eq!(told.take(), ["first_sync"]);
        list(&mut watching, Vec::new());
        assert!(told.take().is_empty(), "only once");
    }

    #[tokio::test]
    async fn who_leaves_unprobed_does_not_hold_up_the_first_sync() {
        let (mut watching, told, _probed) = watching();
        list(&mut watching, vec![spec(1)]);
        assert!(told.take().is_empty());
        let key = spec(1).key;
        watching.apply(EndpointEvent::Delete(key.clone()));
        assert_eq!(
            told.take(),
            [format!("gone {key}"), "first_sync".to_owned()]
        );
        assert!(watching.probes.is_empty());
    }

    #[tokio::test]
    async fn a_moved_endpoint_gets_another_probe_and_a_relabelled_one_does_not() {
        let (mut watching, _told, _probed) = watching();
        let task = |watching: &Watching| watching.probes[&spec(1).key].task.id();
        list(&mut watching, vec![spec(1)]);
        let first = task(&watching);
        let mut resting = spec(1);
        resting.serving = Serving::NotReady;
        watching.apply(EndpointEvent::Apply(resting));
        assert_eq!(task(&watching), first);
        watching.apply(EndpointEvent::Apply(spec(2)));
        let second = task(&watching);
        assert_ne!(second, first);
        let Some(Err(ended)) = watching.tasks.join_next().await else {
            panic!("the first probe ends by being aborted");
        };
        assert!(ended.is_cancelled());
        // The same key anew is another endpoint.
        watching.apply(EndpointEvent::Delete(spec(2).key));
        watching.apply(EndpointEvent::Apply(spec(2)));
        assert_ne!(task(&watching), second);
    }

    #[tokio::test]
    async fn a_probe_that_panicked_is_started_again() {
        let (mut watching, _told, _probed) = watching();
        list(&mut watching, vec![spec(1)]);
        let key = spec(1).key;
        let broken = watching.tasks.spawn(async { panic!("as a test wants it") });
        let probing = watching.probes.get_mut(&key).unwrap();
        let replaced = std::mem::replace(&mut probing.task, broken);
        replaced.abort();
        while !watching.probes[&key].task.is_finished() {
            tokio::task::yield_now().await;
        }
        while let Some(ended) = watching.tasks.try_join_next() {
            watching.ended(ended);
        }
        assert!(!watching.probes[&key].task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_expires_once() {
        let (mut watching, told, _probed) = watching();
        watching.pool.router.apply(EndpointEvent::Apply(spec(1)));
        let key = spec(1).key;
        let observe = |watching: &Watching| {
            let report = EngineReport::empty(Engine::Vllm);
            let now = Instant::now().into_std();
            watching.pool.router.observe(&key, report, now);
        };
        observe(&watching);
        tokio::time::advance(REPORT_STALE_AFTER).await;
        watching.expire();
        assert!(told.take().is_empty());
        tokio::time::advance(Duration::from_millis(1)).await;
        watching.expire();
        watching.expire();
        assert_eq!(told.take(), [format!("expired {key}")]);
        observe(&watching);
        watching.expire();
        tokio::time::advance(REPORT_STALE_AFTER + Duration::from_millis(1)).await;
        watching.expire();
        assert_eq!(told.take(), [format!("expired {key}")]);
    }
}
