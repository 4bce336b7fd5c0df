//! Series of one pool and of its models, resolved once so that a request hashes no labels.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter};
use warmgate_routing::decision::Degraded;
use warmgate_routing::request::Api;
use warmgate_routing::{Router, Tokens};

use super::family::Families;
use super::outcome::{AbortPhase, Outcome, RetryReason};
use super::{MODEL_LABELS_MAX, OTHER};
use crate::error::GatewayError;
use crate::telemetry::caches::Caches;
use crate::telemetry::source_touch::SourceTouch;

/// Values of the label `api`: slot 0 is what passed through unread.
const API_SLOTS: usize = 8;
/// Statuses with a value of their own; others are counted under their class, such as `4xx`.
const STATUSES: [u16; 16] = [
    200, 400, 401, 403, 404, 405, 408, 413, 422, 429, 499, 500, 501, 502, 503, 504,
];
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
const STATUS_SLOTS: usize = STATUSES.len() + CLASSES.len();
/// The client closed its connection before a status was sent (a convention of nginx's).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Handles of one pool's series.
pub struct PoolMetrics {
    name: String,
    families: Arc<Families>,
    /// Shared by all pools of the process, as the limit is.
    model_labels: Arc<Mutex<BTreeSet<String>>>,
    models: ArcSwap<HashMap<String, Arc<ModelMetrics>>>,
    other_models: Arc<ModelMetrics>,
    duration: [OnceLock<Histogram>; API_SLOTS],
    decision: OnceLock<Histogram>,
    body_bytes: OnceLock<Histogram>,
    predicted_over: OnceLock<(Histogram, IntCounter)>,
    predicted_under: OnceLock<(Histogram, IntCounter)>,
    lost: IntCounter,
    caches: Caches,
    /// Of the source that runs now.
    source_touch: ArcSwap<SourceTouch>,
    overflow: IntCounter,
    router: Mutex<Weak<Router>>,
}

impl std::fmt::Debug for PoolMetrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PoolMetrics")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PoolMetrics {
    pub(super) fn new(
        name: &str,
        families: &Arc<Families>,
        model_labels: &Arc<Mutex<BTreeSet<String>>>,
    ) -> PoolMetrics {
        PoolMetrics {
            name: name.to_owned(),
            families: Arc::clone(families),
            model_labels: Arc::clone(model_labels),
            models: ArcSwap::default(),
            other_models: Arc::default(),
            duration: Default::default(),
            decision: OnceLock::new(),
            body_bytes: OnceLock::new(),
            predicted_over: OnceLock::new(),
            predicted_under: OnceLock::new(),
            // Alerts on growth need the zero before the first loss.
            lost: families.prefix_cache_lost_total.with_label_values(&[name]),
            caches: Caches::default(),
            source_touch: ArcSwap::default(),
            overflow: families.label_overflow_total.with_label_values(&["model"]),
            router: Mutex::default(),
        }
    }

    /// Names that this router's endpoints list are known from now on, as soon as they are asked
    /// for.
    pub fn follow(&self, router: &Arc<Router>) {
        *self.router.lock() = Arc::downgrade(router);
    }

    /// These names exist, by a route or by an endpoint's list: their requests get series of their
    /// own, as far as [`MODEL_LABELS_MAX`] allows.
    pub fn know_models<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        let known = self.models.load();
        let mut new = names
            .into_iter()
            .filter(|name| !known.contains_key(*name))
            .peekable();
        if new.peek().is_none() {
            return;
        }
        let mut labels = self.model_labels.lock();
        let mut models = HashMap::clone(&self.models.load());
        for name in new {
            if labels.len() < MODEL_LABELS_MAX || labels.contains(name) {
                labels.insert(name.to_owned());
                models.entry(name.to_owned()).or_default();
            }
        }
        self.models.store(Arc::new(models));
    }

    /// Counts a request that has ended. Below a microsecond.
    pub fn finished(&self, outcome: &Outcome<'_>) {
        let api = api_slot(outcome.api);
        self.duration[api]
            .get_or_init(|| {
                let labels = [self.name.as_str(), api_label(outcome.api)];
                let family = &self.families.request_duration_seconds;
                family.with_label_values(&labels)
            })
            .observe(outcome.duration.as_secs_f64());
        if let Some(decision) = outcome.decision {
            self.of_pool(&self.decision, |families| &families.decision_seconds)
                .observe(decision.as_secs_f64());
        }
        if let Some(bytes) = outcome.body_bytes {
            self.of_pool(&self.body_bytes, |families| &families.request_body_bytes)
                .observe(bytes as f64);
        }
        if let (Some(error), Some(prompt)) = (outcome.prediction_error(), outcome.prompt_tokens) {
            self.note_prediction_error(error, prompt);
        }
        self.note_model(outcome, api);
        self.note_trouble(outcome);
    }

    /// The request is being sent again, to another endpoint.
    pub fn retried(&self, reason: RetryReason) {
        let labels = [self.name.as_str(), reason.label()];
        self.families.retries_total.with_label_values(&labels).inc();
    }

    /// An endpoint was taken out.
    pub fn ejected(&self) {
        let labels = [self.name.as_str()];
        self.families
            .ejections_total
            .with_label_values(&labels)
            .inc();
    }

    /// What is known of the caches of this pool's endpoints.
    #[must_use]
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// Whether the pool's source is in touch.
    #[must_use]
    pub fn source_touch(&self) -> Arc<SourceTouch> {
        self.source_touch.load_full()
    }

    /// Another source tells from now on, by what this returns; what the one before says is no news.
    #[must_use]
    pub fn begin_source(&self) -> Arc<SourceTouch> {
        let touch = Arc::new(SourceTouch::default());
        self.source_touch.store(Arc::clone(&touch));
        touch
    }

    /// The endpoint of that host and port had no hits where many were predicted.
    pub fn cache_lost(&self, endpoint: &Arc<str>) {
        self.lost.inc();
        self.caches.lost(endpoint, SystemTime::now());
    }

    /// An answer that should have been rewritten could not be.
    pub fn left_unrenamed(&self) {
        let labels = [self.name.as_str()];
        self.families
            .unrenamed_answers_total
            .with_label_values(&labels)
            .inc();
    }

    /// A decision was made with less than usual.
    pub fn degraded(&self, kind: Degraded) {
        let labels = [self.name.as_str(), kind.label()];
        self.families
            .degraded_total
            .with_label_values(&labels)
            .inc();
    }

    fn of_pool<'a>(
        &'a self,
        handle: &'a OnceLock<Histogram>,
        family: fn(&Families) -> &prometheus::HistogramVec,
    ) -> &'a Histogram {
        handle.get_or_init(|| family(&self.families).with_label_values(&[self.name.as_str()]))
    }

    fn note_prediction_error(&self, error: f64, prompt: Tokens) {
        let (handle, direction) = if error >= 0.0 {
            (&self.predicted_over, "over")
        } else {
            (&self.predicted_under, "under")
        };
        let (shares, tokens) = handle.get_or_init(|| {
            let (labels, families) = ([self.name.as_str(), direction], &self.families);
            (
                families.prefix_prediction_error.with_label_values(&labels),
                families
                    .prefix_prediction_error_tokens_total
                    .with_label_values(&labels),
            )
        });
        shares.observe(error.abs());
        tokens.inc_by((error.abs() * prompt.as_f64()).round() as u64);
    }

    /// Whether an endpoint lists a name that is asked for the first time, or that nobody serves.
    fn is_listed(&self, model: &str) -> bool {
        let router = self.router.lock().upgrade();
        router.is_some_and(|router| router.pool().models().any(|listed| listed == model))
    }

    fn note_model(&self, outcome: &Outcome<'_>, api: usize) {
        let mut models = self.models.load();
        if !models.contains_key(outcome.model) && self.is_listed(outcome.model) {
            self.know_models([outcome.model]);
            models = self.models.load();
        }
        let (model, label) = match models.get(outcome.model) {
            Some(model) => (model, outcome.model),
            None => (&self.other_models, OTHER),
        };
        // A request that names no model (a list of models, say) overflows nothing.
        if label == OTHER && !outcome.model.is_empty() {
            self.overflow.inc();
        }
        let status = match outcome.status {
            0 => CLIENT_CLOSED_REQUEST,
            status => status,
        };
        let (slot, status_label) = status_slot(status);
        model.requests[api * STATUS_SLOTS + slot]
            .get_or_init(|| {
                let labels = [
                    self.name.as_str(),
                    api_label(outcome.api),
                    label,
                    &status_label(),
                ];
                self.families.requests_total.with_label_values(&labels)
            })
            .inc();
        self.note_model_seconds(model, label, outcome);
        self.note_model_tokens(model, label, outcome);
    }

    fn note_model_seconds(&self, model: &ModelMetrics, label: &str, outcome: &Outcome<'_>) {
        let (labels, families) = ([self.name.as_str(), label], &self.families);
        for (handle, family, seconds) in [
            (
                &model.time_to_first_token,
                &families.time_to_first_token_seconds,
                outcome.time_to_first_token,
            ),
            (
                &model.time_per_output_token,
                &families.time_per_output_token_seconds,
                outcome.time_per_output_token,
            ),
        ] {
            if let Some(seconds) = seconds {
                let handle = handle.get_or_init(|| family.with_label_values(&labels));
                handle.observe(seconds.as_secs_f64());
            }
        }
    }

    fn note_model_tokens(&self, model: &ModelMetrics, label: &str, outcome: &Outcome<'_>) {
        let (labels, families) = ([self.name.as_str(), label], &self.families);
        for (handle, family, tokens) in [
            (
                &model.prompt,
                &families.prompt_tokens_total,
                outcome.prompt_tokens,
            ),
            (
                &model.cached,
                &families.cached_tokens_total,
                outcome.cached_tokens,
            ),
            (
                &model.matched,
                &families.matched_tokens_total,
                outcome.matched_tokens,
            ),
            (
                &model.predicted,
                &families.prefix_predicted_tokens_total,
                outcome.predicted_tokens,
            ),
            (
                &model.completion,
                &families.completion_tokens_total,
                outcome.completion_tokens,
            ),
        ] {
            if let Some(Tokens(tokens)) = tokens {
                let handle = handle.get_or_init(|| family.with_label_values(&labels));
                handle.inc_by(tokens);
            }
        }
    }

    fn note_trouble(&self, outcome: &Outcome<'_>) {
        let pool = self.name.as_str();
        if let Some(error) = outcome.error {
            self.families
                .request_errors_total
                .with_label_values(&[pool, error.code(), error.fault().label()])
                .inc();
        }
        if let Some(GatewayError::Internal { .. }) = outcome.error {
            self.families
                .bugs_total
                .with_label_values::<&str>(&[])
                .inc();
        }
        if let Some(phase) = outcome.aborted {
            self.families
                .client_aborts_total
                .with_label_values(&[pool, AbortPhase::label(phase)])
                .inc();
        }
        if outcome.is_stream_error {
            let labels = [pool];
            self.families
                .stream_errors_total
                .with_label_values(&labels)
                .inc();
        }
    }
}

/// Handles of one model's series; each is made when it is first needed, so that no API that is
/// never called shows up.
struct ModelMetrics {
    requests: [OnceLock<IntCounter>; API_SLOTS * STATUS_SLOTS],
    time_to_first_token: OnceLock<Histogram>,
    time_per_output_token: OnceLock<Histogram>,
    prompt: OnceLock<IntCounter>,
    cached: OnceLock<IntCounter>,
    matched: OnceLock<IntCounter>,
    predicted: OnceLock<IntCounter>,
    completion: OnceLock<IntCounter>,
}

impl Default for ModelMetrics {
    fn default() -> ModelMetrics {
        ModelMetrics {
            requests: std::array::from_fn(|_| OnceLock::new()),
            time_to_first_token: OnceLock::new(),
            time_per_output_token: OnceLock::new(),
            prompt: OnceLock::new(),
            cached: OnceLock::new(),
            matched: OnceLock::new(),
            predicted: OnceLock::new(),
            completion: OnceLock::new(),
        }
    }
}

fn api_slot(api: Option<Api>) -> usize {
    match api {
        None => 0,
        Some(Api::ChatCompletions) => 1,
        Some(Api::Completions) => 2,
        Some(Api::Embeddings) => 3,
        Some(Api::Responses) => 4,
        Some(Api::Rerank) => 5,
        Some(Api::Score) => 6,
        Some(Api::AnthropicMessages) => 7,
    }
}

fn api_label(api: Option<Api>) -> &'static str {
    api.map_or("passthrough", Api::as_str)
}

/// The place of a status among the series, and how to write its label.
fn status_slot(status: u16) -> (usize, impl Fn() -> String) {
    let exact = STATUSES.iter().position(|known| *known == status);
    let class = match status {
        100..=599 => usize::from(status / 100),
        _ => 0,
    };
    let slot = exact.unwrap_or(STATUSES.len() + class);
    let label = move || exact.map_or_else(|| CLASSES[class].to_owned(), |_| status.to_string());
    (slot, label)
}
