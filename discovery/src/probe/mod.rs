//! Asks one endpoint how it is, again and again: its metrics, and now and then its models.
//!
//! What a probe means for health: nobody listens = ejected at once, whatever answers over HTTP =
//! somebody listens. Silence ejects nobody, for an engine may be too busy to show metrics and
//! still do its work; requests that fail tell more.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use warmgate_routing::endpoint::Endpoint;
use warmgate_routing::report::{EngineReport, ServedModel};
use warmgate_routing::{EndpointKey, Router};

mod asked;
mod metrics_place;

use asked::{AskError, Outcome, Reading};
use metrics_place::MetricsPlace;

use crate::events::{DiscoveryEvents, ProbeFailure};
use crate::http_get::{BearerToken, HttpGet, Wanted};
use crate::models::{MODELS_BYTES_MAX, read_models};
use crate::scrape::name_table::at;
use crate::scrape::{PAGE_BYTES_MAX, read_page};

/// Share by which pauses between probes vary up and down, so that they do not march in step.
pub const JITTER: f64 = 0.1;
/// Probes of one pool that are under way at the same time.
pub const PROBES_IN_FLIGHT_MAX: usize = 256;

/// How endpoints are probed.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    /// Pause between two metrics pages. Default 3 s: the gateway knows its own load without them,
    /// and three tries fit into the age at which a report stops to count
    /// ([`REPORT_STALE_AFTER`](warmgate_routing::router::REPORT_STALE_AFTER)). Engines spend CPU
    /// on each page, so shorter is not better.
    pub interval: Duration,
    /// Longest wait for one answer, body included. Default 2 s.
    pub timeout: Duration,
    /// Pause between two lists of models. Default 10 s. An engine that was away is asked at once.
    pub models_interval: Duration,
    /// Presented to every endpoint. Default none.
    pub token: Option<BearerToken>,
    /// Start of the generator that spreads probes. Replicas that differ in it do not probe in step.
    pub seed: u64,
}

impl Default for ProbeSettings {
    fn default() -> ProbeSettings {
        ProbeSettings {
            interval: Duration::from_secs(3),
            timeout: Duration::from_secs(2),
            models_interval: Duration::from_secs(10),
            token: None,
            seed: 0,
        }
    }
}

/// What the probes of a pool share.
pub(crate) struct Prober {
    router: Arc<Router>,
    settings: ProbeSettings,
    events: Arc<dyn DiscoveryEvents>,
    permits: Semaphore,
}

impl Prober {
    pub(crate) fn new(
        router: Arc<Router>,
        settings: ProbeSettings,
        events: Arc<dyn DiscoveryEvents>,
    ) -> Prober {
        Prober {
            router,
            settings,
            events,
            permits: Semaphore::new(PROBES_IN_FLIGHT_MAX),
        }
    }

    /// Probes `endpoint` until the task is aborted; tells `probed` after the first time.
    pub(crate) async fn run(
        self: Arc<Prober>,
        endpoint: Arc<Endpoint>,
        probed: mpsc::Sender<EndpointKey>,
    ) {
        let key = endpoint.spec.key.clone();
        match Probe::new(Arc::clone(&self), endpoint) {
            Ok(mut probe) => {
                probe.round().await;
                let _ = probed.send(key).await;
                loop {
                    tokio::time::sleep(probe.pause()).await;
                    probe.round().await;
                }
            }
            Err(error) => {
                tracing::error!(endpoint = %key, error, "endpoint cannot be probed");
                self.events.scrape_failed(&key, ProbeFailure::Broken);
                let _ = probed.send(key).await;
            }
        }
    }
}

struct Probe {
    shared: Arc<Prober>,
    endpoint: Arc<Endpoint>,
    http: HttpGet,
    rng: SmallRng,
    place: MetricsPlace,
    process_start_s: Option<f64>,
    scrapes: Outcome,
    models: Option<Vec<ServedModel>>,
    models_due: Instant,
    listings: Outcome,
}

impl Probe {
    fn new(shared: Arc<Prober>, endpoint: Arc<Endpoint>) -> Result<Probe, String> {
        let settings = &shared.settings;
        let spec = Arc::new(endpoint.spec.clone());
        let http = HttpGet::new(spec, settings.timeout, settings.token.clone())?;
        let seed = settings.seed.wrapping_add(u64::from(endpoint.id.0));
        let now = Instant::now();
        Ok(Probe {
            rng: SmallRng::seed_from_u64(seed),
            place: MetricsPlace::new(endpoint.spec.engine, now),
            shared,
            endpoint,
            http,
            process_start_s: None,
            scrapes: Outcome::default(),
            models: None,
            models_due: now,
            listings: Outcome::default(),
        })
    }

    fn pause(&mut self) -> Duration {
        let factor = self.rng.random_range(1.0 - JITTER..=1.0 + JITTER);
        self.shared.settings.interval.mul_f64(factor)
    }

    async fn round(&mut self) {
        let shared = Arc::clone(&self.shared);
        let _permit = shared
            .permits
            .acquire()
            .await
            .expect("invariant: the semaphore is never closed");
        let was_away = self.scrapes.is_failing();
        let failure = match self.scrape().await {
            Ok(report) => {
                let is_younger = self.process_start_s != report.process_start_s;
                self.process_start_s = report.process_start_s;
                if is_younger || was_away {
                    self.models_due = Instant::now();
                }
                None
            }
            Err(error) => Some(error.failure()),
        };
        // On a port of their own, metrics say nothing about the port that serves.
        let is_due = Instant::now() >= self.models_due || self.place.is_elsewhere();
        if is_due && failure != Some(ProbeFailure::Refused) {
            self.list_models().await;
        }
    }

    async fn scrape(&mut self) -> Result<EngineReport, AskError> {
        let started = Instant::now();
        let result = self.find_page().await;
        let key = &self.endpoint.spec.key;
        let events = &self.shared.events;
        match &result {
            Ok(report) => {
                let now = Instant::now();
                let router = &self.shared.router;
                let seen = router.observe(key, report.clone(), now.into_std());
                events.scrape_ok(key, now - started);
                if seen.restarted {
                    events.engine_restarted(key);
                }
                if seen.lost {
                    events.cache_lost(key);
                }
                if self.scrapes.note(None) {
                    let engine = report.engine;
                    tracing::info!(endpoint = %key, ?engine, "metrics of the endpoint are read");
                }
            }
            Err(error) => {
                events.scrape_failed(key, error.failure());
                if self.scrapes.note(Some(error.failure())) {
                    tracing::warn!(endpoint = %key, kind = %error.failure(), %error, "metrics of the endpoint cannot be read");
                }
            }
        }
        result
    }

    /// Reads the page where it was last, or looks for it where engines have it.
    async fn find_page(&mut self) -> Result<EngineReport, AskError> {
        let engine = self.endpoint.spec.engine;
        let read = |body: &[u8]| Ok(read_page(&String::from_utf8_lossy(body), engine)?);
        let mut first_error = None;
        for place in self.place.places_now(Instant::now()) {
            let wanted = Wanted {
                place,
                bytes_max: PAGE_BYTES_MAX,
            };
            let result = self.ask(wanted, read).await;
            match result {
                Ok(report) if self.place.accept(place, report.engine) => return Ok(report),
                Ok(_) => {}
                Err(error) => {
                    let is_final = !error.may_be_elsewhere();
                    self.place.note_failure(place, is_final);
                    let error = first_error.get_or_insert(error);
                    if is_final && !error.may_be_elsewhere() {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or(AskError::NoPage))
    }

    async fn list_models(&mut self) {
        let wanted = Wanted {
            place: at("/v1/models"),
            bytes_max: MODELS_BYTES_MAX,
        };
        let result = self.ask(wanted, |body| Ok(read_models(body)?)).await;
        let shared = Arc::clone(&self.shared);
        let key = self.endpoint.spec.key.clone();
        let now = Instant::now();
        match result {
            Ok(list) => {
                self.models_due = now + shared.settings.models_interval;
                self.listings.note(None);
                shared.router.observe_models(&key, list.models.clone());
                if self.models.as_ref() != Some(&list.models) {
                    let (models, left_out) = (list.models.len(), list.left_out);
                    tracing::info!(endpoint = %key, models, left_out, "models of the endpoint");
                    shared.events.models_changed(&key, models);
                    self.models = Some(list.models);
                }
            }
            Err(error) => {
                // An engine without the route will not have it soon; one that is loading may.
                let pause = if error.is_no_such_route() {
                    shared.settings.models_interval
                } else {
                    Duration::ZERO
                };
                self.models_due = now + pause;
                shared.events.models_failed(&key, error.failure());
                if self.listings.note(Some(error.failure())) {
                    tracing::warn!(endpoint = %key, kind = %error.failure(), %error, "models of the endpoint cannot be read");
                }
            }
        }
    }

    /// Asks for one page, and tells health what the attempt says about the serving port.
    async fn ask<T>(&self, wanted: Wanted, read: impl Fn(&[u8]) -> Reading<T>) -> Reading<T> {
        let result = match self.http.get(wanted).await {
            Ok(body) => read(&body),
            Err(error) => Err(error.into()),
        };
        if wanted.place.port.is_none() {
            let health = &self.endpoint.health;
            match result.as_ref().err().map(AskError::failure) {
                Some(ProbeFailure::Refused) => {
                    health.note_failure(
                        warmgate_routing::health::Failure::Connect,
                        Instant::now().into_std(),
                    );
                }
                Some(ProbeFailure::Timeout | ProbeFailure::Broken) => {}
                None | Some(_) => health.note_answered_probe(),
            }
        }
        result
    }
}
