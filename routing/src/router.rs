//! One pool's brain: what it knows, what it decides, what it learns.
//!
//! ```text
//! apply, observe    discovery says who is there and how they are
//! decide            one request -> endpoints in order; changes nothing
//! send              the request goes there now: load guard, prefix index, trial mark
//! learn, note_*     what came of it
//! ```
//! Concurrent; time and chance are arguments, so a simulation and the gateway run the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rand::RngCore;

use crate::block::{BlockSize, PromptBlocks};
use crate::decision::{Choice, Decision, Degraded, EXPLAIN_ROWS_MAX, Explanation, Row};
use crate::endpoint::{Endpoint, EndpointKey, Observed};
use crate::error::Unroutable;
use crate::ledger::LoadGuard;
use crate::policy::{Policy, Ranked, View};
use crate::pool::{EndpointEvent, Pool, Registry};
use crate::prefix::{IndexLimits, PrefixIndex};
use crate::report::{EngineReport, ServedModel};
use crate::request::SessionKey;
use crate::tokens::{BytesPerToken, TokenRates};
use crate::units::{Blocks, Tokens};

/// Cache of an endpoint that reports none. Guessing too low costs more than too high
/// (measured: a quarter of the truth halves capacity, eight times the truth loses 14 %).
pub const DEFAULT_CAPACITY: Tokens = Tokens(2_000_000);
/// Age at which a report no longer counts: others' load is then taken for unknown, that is none.
pub const REPORT_STALE_AFTER: Duration = Duration::from_secs(10);

/// What a router needs to know that does not change while it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterSettings {
    /// Length of a block.
    pub block_size: BlockSize,
    /// Bound of the prefix index.
    pub index: IndexLimits,
    /// Cache size of every endpoint, whatever it reports; none: as reported.
    pub capacity: Option<Tokens>,
}

/// What one request asks of a router.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Model name as the engine knows it.
    pub model: &'a str,
    /// The prompt.
    pub prompt: &'a PromptBlocks,
    /// Conversation or user, where known.
    pub session: Option<SessionKey>,
    /// How many endpoints are wanted, the first included.
    pub wanted: usize,
    /// Whether the table is wanted.
    pub explain: bool,
}

/// Routing state of one pool.
#[derive(Debug)]
pub struct Router {
    settings: RouterSettings,
    policy: ArcSwap<Policy>,
    pool: ArcSwap<Pool>,
    registry: Mutex<Registry>,
    index: PrefixIndex,
    rates: TokenRates,
}

impl Router {
    /// An empty pool under `policy`.
    #[must_use]
    pub fn new(settings: RouterSettings, policy: Policy) -> Router {
        Router {
            index: PrefixIndex::new(settings.index),
            settings,
            policy: ArcSwap::from_pointee(policy),
            pool: ArcSwap::default(),
            registry: Mutex::default(),
            rates: TokenRates::default(),
        }
    }

    /// Length of this pool's prompt blocks.
    #[must_use]
    pub fn block_size(&self) -> BlockSize {
        self.settings.block_size
    }

    /// The endpoints now.
    #[must_use]
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.load_full()
    }

    /// Who was sent what.
    #[must_use]
    pub fn index(&self) -> &PrefixIndex {
        &self.index
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Changes the policy; what was learned stays.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// A source of endpoints has news. What is gone is forgotten with all that it held.
    pub fn apply(&self, event: EndpointEvent) {
        let mut registry = self.registry.lock();
        let gone = registry.apply(event);
        let pool = Arc::new(registry.snapshot());
        for endpoint in pool.all().iter() {
            if self.pool.load().get(endpoint.id).is_none() {
                self.set_capacity(endpoint, None);
            }
        }
        self.pool.store(pool);
        drop(registry);
        for endpoint in gone {
            self.index.remove(endpoint.id);
        }
    }

    /// An endpoint's metrics were read at `now`.
    pub fn observe(&self, key: &EndpointKey, report: EngineReport, now: Instant) {
        let Some(endpoint) = self.find(key) else {
            return;
        };
        endpoint.health.note_answered_probe();
        let before = endpoint.observed.load_full();
        let old = before.report.as_ref().map(|(old, _)| old);
        if old.is_some_and(|old| has_restarted(old, &report)) {
            self.index.forget(endpoint.id);
        }
        if old.is_none_or(|old| old.capacity != report.capacity) {
            self.set_capacity(&endpoint, report.capacity);
        }
        let ours = endpoint.load.now();
        let queued = ours.inflight - ours.decoding.min(ours.inflight);
        let waiting = report.waiting.unwrap_or(0);
        let all = report.running.unwrap_or(0) + waiting;
        let foreign = all.saturating_sub(ours.inflight);
        let foreign_waiting = waiting.saturating_sub(queued).min(foreign);
        endpoint
            .load
            .note_foreign(foreign - foreign_waiting, foreign_waiting);
        let report = Some((report, now));
        endpoint.observed.store(Arc::new(Observed {
            report,
            models: before.models.clone(),
        }));
    }

    /// An endpoint's list of models was read.
    pub fn observe_models(&self, key: &EndpointKey, models: Vec<ServedModel>) {
        let Some(endpoint) = self.find(key) else {
            return;
        };
        endpoint.health.note_answered_probe();
        let before = endpoint.observed.load_full();
        if before.models.as_ref() == Some(&models) {
            return;
        }
        let after = Observed {
            report: before.report.clone(),
            models: Some(models),
        };
        endpoint.observed.store(Arc::new(after));
        let registry = self.registry.lock();
        self.pool.store(Arc::new(registry.snapshot()));
    }

    /// Reports older than [`REPORT_STALE_AFTER`] stop counting. Returns the endpoints concerned.
    pub fn expire_reports(&self, now: Instant) -> Vec<Arc<Endpoint>> {
        let pool = self.pool.load();
        let is_stale = |endpoint: &&Arc<Endpoint>| {
            let observed = endpoint.observed.load();
            observed
                .report
                .as_ref()
                .is_some_and(|(_, at)| now.duration_since(*at) > REPORT_STALE_AFTER)
        };
        let stale: Vec<_> = pool.all().iter().filter(is_stale).cloned().collect();
        for endpoint in &stale {
            endpoint.load.note_foreign(0, 0);
        }
        stale
    }

    /// Where the request should go. Changes nothing but the turn of turn-taking policies.
    ///
    /// # Errors
    /// Where no endpoint serves the model, or none takes requests now.
    pub fn decide(
        &self,
        ask: &Ask<'_>,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Result<Decision, Unroutable> {
        let pool = self.pool.load();
        let endpoints = pool
            .serving(ask.model)
            .ok_or_else(|| Unroutable::NoSuchModel {
                model: ask.model.to_owned(),
                known: pool.models().map(str::to_owned).collect(),
            })?;
        let policy = self.policy.load();
        let mut view = View {
            endpoints: &endpoints,
            index: &self.index,
            prompt: ask.prompt,
            rate: self.rates.rate(ask.model, ask.prompt),
            block_size: self.settings.block_size,
            session: ask.session,
            now,
            ignore_health: false,
            wanted: ask.wanted.max(1),
            explain: ask.explain,
        };
        let mut ranked = policy.rank(&view, rng).ranked;
        if ranked.is_empty() {
            view.ignore_health = true;
            ranked = policy.rank(&view, rng).ranked;
        }
        if ranked.is_empty() {
            return Err(Unroutable::NoEndpoint);
        }
        let explanation = ask.explain.then(|| explain(policy.name(), &view, &ranked));
        ranked.truncate(view.wanted);
        Ok(Decision {
            order: ranked.iter().map(choice).collect(),
            prompt: view.prompt_tokens(),
            degraded: view.ignore_health.then_some(Degraded::AllEjected),
            explanation,
        })
    }

    /// The request is about to be sent to `choice`: from here on it weighs there, and its prompt
    /// is believed to be cached there.
    #[must_use]
    pub fn send(&self, choice: &Choice, prompt: &PromptBlocks, now: Instant) -> LoadGuard {
        choice.endpoint.health.note_sent(now);
        self.index.insert(&prompt.hashes, choice.endpoint.id);
        LoadGuard::take(&choice.endpoint.load, choice.cost)
    }

    /// An engine has counted the prompt's tokens.
    pub fn learn(&self, model: &str, prompt: &PromptBlocks, counted: Tokens) {
        self.rates.learn(model, prompt, counted);
    }

    fn find(&self, key: &EndpointKey) -> Option<Arc<Endpoint>> {
        self.pool
            .load()
            .all()
            .iter()
            .find(|endpoint| endpoint.spec.key == *key)
            .cloned()
    }

    fn set_capacity(&self, endpoint: &Endpoint, reported: Option<Tokens>) {
        let capacity = self
            .settings
            .capacity
            .or(reported)
            .unwrap_or(DEFAULT_CAPACITY);
        let blocks = BytesPerToken::default().blocks(capacity, self.settings.block_size);
        self.index.set_capacity(endpoint.id, blocks.max(Blocks(1)));
    }
}

/// A younger process, or counters that ran backwards: whatever it held is gone.
fn has_restarted(old: &EngineReport, new: &EngineReport) -> bool {
    // A process start is a constant of the process; half a second forgives rounding.
    let is_younger = matches!((old.process_start_s, new.process_start_s), (Some(old), Some(new)) if new > old + 0.5);
    let ran_backwards =
        matches!((old.prefix_queries, new.prefix_queries), (Some(old), Some(new)) if new < old);
    is_younger || ran_backwards
}

fn choice(ranked: &Ranked<'_>) -> Choice {
    Choice {
        endpoint: Arc::clone(ranked.candidate.endpoint),
        matched: ranked.candidate.matched,
        cost: ranked.candidate.cost,
        score: ranked.score,
        reason: ranked.reason,
    }
}

fn explain(policy: &'static str, view: &View<'_>, ranked: &[Ranked<'_>]) -> Explanation {
    let looked_at = ranked
        .iter()
        .map(|ranked| (ranked.candidate, ranked.score, Some(ranked.reason)));
    let unusable = view
        .endpoints
        .iter()
        .filter(|endpoint| !view.is_usable(endpoint));
    let unusable = unusable.map(|endpoint| (view.candidate(endpoint), None, None));
    let rows = looked_at
        .chain(unusable)
        .take(EXPLAIN_ROWS_MAX)
        .map(|(candidate, score, reason)| Row {
            endpoint: Arc::clone(&candidate.endpoint.spec.authority),
            matched_tokens: candidate.matched,
            uncached_tokens: candidate.cost.uncached,
            load: candidate.load,
            standing: candidate.endpoint.health.standing(view.now),
            score,
            reason,
        })
        .collect();
    Explanation {
        policy,
        prompt_tokens: view.prompt_tokens(),
        bytes_per_token: view.rate.get(),
        endpoints: view.endpoints.len(),
        considered: ranked.len(),
        rows,
    }
}
