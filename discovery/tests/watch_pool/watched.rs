//! Runs a pool and waits for what it tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use warmgate_discovery::{
    DiscoveryEvents, PoolWatch, ProbeFailure, ProbeSettings, SourceConfig, SourceFailure, run_pool,
};
use warmgate_routing::endpoint::Endpoint;
use warmgate_routing::{EndpointKey, Policy, Router};

/// A test that waits longer has failed; on the slowest machine it takes a fraction.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const EVENTS_QUEUED_MAX: usize = 100_000;

struct Told(mpsc::Sender<String>);

impl Told {
    fn tell(&self, event: String) {
        let _ = self.0.try_send(event);
    }
}

impl DiscoveryEvents for Told {
    fn source_synced(&self, pool: &str, endpoints: usize) {
        self.tell(format!("source_synced {pool} {endpoints}"));
    }
    fn source_failed(&self, pool: &str, why: SourceFailure) {
        self.tell(format!("source_failed {pool} {why}"));
    }
    fn first_sync(&self, pool: &str) {
        self.tell(format!("first_sync {pool}"));
    }
    fn scrape_ok(&self, _: &EndpointKey, _: Duration) {
        self.tell("scrape_ok".to_owned());
    }
    fn scrape_failed(&self, _: &EndpointKey, why: ProbeFailure) {
        self.tell(format!("scrape_failed {why}"));
    }
    fn models_changed(&self, _: &EndpointKey, models: usize) {
        self.tell(format!("models_changed {models}"));
    }
    fn models_failed(&self, _: &EndpointKey, why: ProbeFailure) {
        self.tell(format!("models_failed {why}"));
    }
    fn endpoint_gone(&self, _: &EndpointKey) {
        self.tell("endpoint_gone".to_owned());
    }
}

pub struct Watched {
    pub router: Arc<Router>,
    events: mpsc::Receiver<String>,
    seen: Vec<String>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watched {
    pub fn start(urls: &[&str], settings: ProbeSettings) -> Watched {
        let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        Watched::of(SourceConfig::Static(urls), settings)
    }

    pub fn of(source: SourceConfig, settings: ProbeSettings) -> Watched {
        let router = Arc::new(Router::new(Default::default(), Policy::default()));
        let (told, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let (shutdown, stopping) = watch::channel(false);
        let pool = PoolWatch {
            name: "main".into(),
            source,
            router: Arc::clone(&router),
            settings,
            events: Arc::new(Told(told)),
        };
        Watched {
            router,
            events,
            seen: Vec::new(),
            shutdown,
            task: tokio::spawn(run_pool(pool, stopping)),
        }
    }

    /// Waits for the next event of that text.
    pub async fn until(&mut self, wanted: &str) {
        let waiting = async {
            while let Some(event) = self.events.recv().await {
                let is_it = event == wanted;
                self.seen.push(event);
                if is_it {
                    return;
                }
            }
            panic!("the pool has stopped");
        };
        let in_time = tokio::time::timeout(GIVE_UP_AFTER, waiting).await;
        assert!(in_time.is_ok(), "no `{wanted}` in {:?}", self.seen);
    }

    /// Whether there was such an event before the one last waited for.
    pub fn seen(&self, event: &str) -> bool {
        self.seen.iter().any(|seen| seen == event)
    }

    /// The only endpoint.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        let pool = self.router.pool();
        assert_eq!(pool.all().len(), 1);
        Arc::clone(&pool.all()[0])
    }

    pub async fn stop(self) -> Arc<Router> {
        self.shutdown.send(true).unwrap();
        self.task.await.unwrap();
        self.router
    }
}
