//! The one table of all metrics, from which registration and documentation come.

use prometheus::{
    GaugeVec as Gauge, HistogramOpts, HistogramVec as Histogram, IntCounterVec as Counter, Opts,
    Registry,
};

/// What a metric's value means, in Prometheus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Full name with prefix and unit.
    pub name: &'static str,
    /// Kind of value.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Upper bounds of the buckets; empty unless a histogram.
    pub buckets: &'static [f64],
    /// What it says, for people.
    pub help: &'static str,
}

/// A vector of series that can be made from its row.
pub(super) trait Register: Sized {
    fn register(family: &Family, registry: &Registry) -> Result<Self, prometheus::Error>;
}

impl Register for Counter {
    fn register(family: &Family, registry: &Registry) -> Result<Self, prometheus::Error> {
        let made = Counter::new(Opts::new(family.name, family.help), family.labels)?;
        registry.register(Box::new(made.clone()))?;
        Ok(made)
    }
}

impl Register for Gauge {
    fn register(family: &Family, registry: &Registry) -> Result<Self, prometheus::Error> {
        let made = Gauge::new(Opts::new(family.name, family.help), family.labels)?;
        registry.register(Box::new(made.clone()))?;
        Ok(made)
    }
}

impl Register for Histogram {
    fn register(family: &Family, registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec());
        let made = Histogram::new(options, family.labels)?;
        registry.register(Box::new(made.clone()))?;
        Ok(made)
    }
}

/// From engines that answer a cached prompt at once to prompts that wait in a long queue.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0,
    640.0,
];
/// One token: small models on large devices to large models under load.
const TOKEN_SECONDS: &[f64] = &[
    0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5,
];
/// From a short prompt in a small pool to half a megabyte among a thousand endpoints, and worse.
const DECISION_SECONDS: &[f64] = &[
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1,
];
/// Powers of four up to the default limit of a body.
const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    33_554_432.0,
];
/// Shares of a prompt; in short ones the rounding to blocks alone explains a tenth.
const SHARES: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];

macro_rules! families {
    ($($field:ident: $kind:ident [$($label:literal),*] $($buckets:ident)? $help:literal;)+) => {
        /// Every metric, in the order of the documentation.
        pub const TABLE: &[Family] = &[$(Family {
            name: concat!("warmgate_", stringify!($field)),
            kind: Kind::$kind,
            labels: &[$($label),*],
            buckets: families!(@buckets $($buckets)?),
            help: $help,
        }),+];

        /// The registered series of every row of [`TABLE`].
        pub(super) struct Families {
            $(pub(super) $field: $kind,)+
        }

        impl Families {
            /// Registers every row. Errs where the table contradicts itself.
            pub(super) fn register(registry: &Registry) -> Result<Families, prometheus::Error> {
                let mut rows = TABLE.iter();
                Ok(Families {
                    $($field: $kind::register(
                        rows.next().expect("invariant: one row a field"),
                        registry,
                    )?,)+
                })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

families! {
    requests_total: Counter["pool", "api", "model", "status"]
        "Requests that ended, by the status sent to the client; 499 where the client left before one was sent.";
    request_errors_total: Counter["pool", "code", "fault"]
        "Requests that the gateway answered with an error of its own, and whose fault it was.";
    request_duration_seconds: Histogram["pool", "api"] SECONDS
        "From the request's header read to the answer's last byte written.";
    time_to_first_token_seconds: Histogram["pool", "model"] SECONDS
        "From the request's header read to the first token of the answer; the whole answer where it is not streamed.";
    time_per_output_token_seconds: Histogram["pool", "model"] TOKEN_SECONDS
        "Mean time between tokens after the first, of each streamed answer.";
    decision_seconds: Histogram["pool"] DECISION_SECONDS
        "From the body read to the endpoint chosen: parse, hash, match, score.";
    request_body_bytes: Histogram["pool"] BYTES
        "Size of request bodies.";
    prompt_tokens_total: Counter["pool", "model"]
        "Prompt tokens as counted by engines.";
    cached_tokens_total: Counter["pool", "model"]
        "Prompt tokens that engines reported as found in their caches.";
    completion_tokens_total: Counter["pool", "model"]
        "Generated tokens as counted by engines.";
    matched_tokens_total: Counter["pool", "model"]
        "Prompt tokens that the gateway believed to be cached at the chosen endpoint.";
    prefix_prediction_error: Histogram["pool", "direction"] SHARES
        "Distance between the cached share of a prompt that was predicted and the one reported, 0 to 1: over where the endpoint held less than believed, under where more.";
    prefix_predicted_tokens_total: Counter["pool", "model"]
        "Prompt tokens that were predicted to be cached, in the engine's count and only of answers that told what was: compare with warmgate_cached_tokens_total.";
    prefix_prediction_error_tokens_total: Counter["pool", "direction"]
        "Tokens by which predictions were off: over where the endpoint held less than believed, under where more.";
    prefix_cache_lost_total: Counter["pool"]
        "Endpoints that had no hits where many were predicted, several times in a row: the engine restarted, its cache was reset, or prefix caching is off. What they were believed to hold was forgotten; GET /endpoints names them.";
    retries_total: Counter["pool", "reason"]
        "Requests sent again, before any byte of an answer, to another endpoint: connect, broken, timeout, overloaded (429), answer (5xx).";
    endpoint_failures_total: Counter["pool", "endpoint", "cause"]
        "Attempts and probes that failed by the endpoint's fault: connect, broken, answer.";
    ejections_total: Counter["pool"]
        "Endpoints taken out for a while because they kept failing.";
    degraded_total: Counter["pool", "kind"]
        "Decisions made with less than usual.";
    client_aborts_total: Counter["pool", "phase"]
        "Clients that left before their answer was complete: before_first_byte or streaming.";
    stream_errors_total: Counter["pool"]
        "Answers that the engine broke off or ended with an error after they had begun.";
    stripped_fields_total: Counter["kind"]
        "Fields and headers that clients must not send to engines, taken out of requests.";
    label_overflow_total: Counter["label"]
        "Requests counted under the label value other because the limit of values was reached or the name is not known.";
    target_requests_total: Counter["route", "target"]
        "Requests that ended, by the route that took them and the target that it chose; those without an answer as well.";
    target_errors_total: Counter["route", "target", "class"]
        "Requests of the target that went wrong behind the gateway: 4xx and 5xx (the engine's own status), connect, broken (before an answer), timeout, no_endpoint, mid_stream (broke off, or an error inside the answer), given_up (a finish reason of abort or error).";
    target_time_to_first_token_seconds: Histogram["route", "target"] SECONDS
        "From the request's header read to the first token of the answer; the whole answer where it is not streamed.";
    target_time_per_output_token_seconds: Histogram["route", "target"] TOKEN_SECONDS
        "Mean time between tokens after the first, of each streamed answer.";
    target_prompt_tokens_total: Counter["route", "target"]
        "Prompt tokens as counted by engines.";
    target_cached_tokens_total: Counter["route", "target"]
        "Prompt tokens that engines reported as found in their caches; divided by those of the prompts, the hit ratio.";
    target_completion_tokens_total: Counter["route", "target"]
        "Generated tokens as counted by engines.";
    target_fallbacks_total: Counter["route", "target"]
        "Requests that the target could not take and that went on to its fallback: no usable endpoint, saturated, not reached, broken off or refused before an answer. They are requests of the target that took them.";
    target_weight: Gauge["route", "target"]
        "Weight of the target now; its share is that of the sum over its route.";
    mirror_requests_total: Counter["route", "outcome"]
        "Copies of the route's requests for its mirror: ok, error (not sent, refused, failed), timeout, too_long (the answer), dropped (never made, because as many as may be were under way). They are in no other count of requests or tokens.";
    mirror_duration_seconds: Histogram["route"] SECONDS
        "From a copy for the route's mirror made to the end of its answer, whatever became of it.";
    target_tripped: Gauge["route", "target"]
        "Whether the route's guard has taken the target out: 1 or 0; only of targets that a guard watches.";
    unrenamed_answers_total: Counter["pool"]
        "Answers passed on under the engine's own name for the model because the engine had compressed them.";
    inflight_requests: Gauge["pool", "endpoint"]
        "Requests of ours sent to the endpoint and not ended.";
    queued_prefill_tokens: Gauge["pool", "endpoint"]
        "Uncached prompt tokens of our requests there that have not produced a first token.";
    inflight_prompt_tokens: Gauge["pool", "endpoint"]
        "Prompt tokens of our requests there that have not ended, cached or not.";
    decoding_requests: Gauge["pool", "endpoint"]
        "Requests of ours there that are past their first token.";
    foreign_requests: Gauge["pool", "endpoint"]
        "Requests there beyond ours, by the endpoint's own account.";
    endpoint_usable: Gauge["pool", "endpoint"]
        "1 where the endpoint takes new requests, else 0.";
    endpoint_report_age_seconds: Gauge["pool", "endpoint"]
        "Age of the endpoint's last metrics page; absent until one was read.";
    endpoint_known_cached_tokens: Gauge["pool", "endpoint"]
        "Prompt tokens that the gateway believes the endpoint to hold.";
    endpoint_cache_tokens: Gauge["pool", "endpoint", "tier"]
        "Tokens that the endpoint is believed to be able to hold, as learned from its reports: on its device, or all with what lies behind it (host memory, a shared store).";
    feedback_endpoints: Gauge["pool", "source"]
        "Endpoints of the pool by what corrects our beliefs about their caches: answers (cached tokens of each answer), counters (of their metrics pages only), none (they tell neither), off (by configuration), unknown (no answer yet).";
    endpoints: Gauge["pool", "standing"]
        "Endpoints of the pool by health: unknown, healthy, ejected, trial.";
    prefix_index_bytes: Gauge["pool"]
        "Memory that the prefix index takes; bounded by the configuration.";
    prefix_index_blocks: Gauge["pool"]
        "Distinct prompt blocks in the prefix index.";
    prefix_index_evicted_blocks_total: Counter["pool", "cause"]
        "Blocks that endpoints are no longer believed to hold: capacity (the endpoint's own) or bytes (the index's limit).";
    prefix_index_refused_total: Counter["pool"]
        "Prompts recorded in part or not at all because the index's limit had no room for them.";
    source_failures_total: Counter["pool", "cause"]
        "Times that a source of endpoints could not tell all, while what was known stayed: unresolved, unreadable, invalid, too_many, unreachable, forbidden, not_found, stopped.";
    source_stale_seconds: Gauge["pool"]
        "Time since the source of endpoints has lost touch with whoever tells it (the API server of a cluster), while what was known stays; 0 while it is in touch, and where a source is not told of changes but looks for them.";
    source_endpoints: Gauge["pool", "state"]
        "Endpoints of the pool by what their source says: ready, not_ready (takes no new requests for now), terminating (finishes what it has).";
    scrapes_total: Counter["pool", "result"]
        "Reads of endpoints' metrics pages: ok or error.";
    config_reloads_total: Counter["result"]
        "Changes of the configuration file: applied or rejected.";
    config_valid: Gauge[]
        "1 where the configuration file's current content is in force, 0 where an older one had to be kept.";
    access_log_dropped_total: Counter[]
        "Access log lines lost because the writer could not keep up or could not write.";
    bugs_total: Counter[]
        "Invariants found broken; each is logged.";
    ready: Gauge[]
        "1 where at least one endpoint answers and the gateway is not draining, else 0.";
    build_info: Gauge["version"]
        "Always 1.";
}
