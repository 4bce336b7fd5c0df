//! One pool's brain: what it knows, what it decides, what it learns.
//!
//! ```text
//! apply, observe    discovery says who is there and how they are
//! decide            one request -> endpoints in order; changes nothing
//! send              the request goes there now: load guard, prefix index, trial mark
//! reported          an engine has answered, and says what it had
//! ```
//! Concurrent; time and chance are arguments, so a simulation and the gateway run the same code.

mod explain;
mod learn;
mod observe;
mod saturation;
mod sent;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rand::RngCore;

use crate::block::{BlockSize, PromptBlocks};
use crate::decision::{Choice, Decision, Degraded};
use crate::error::Unroutable;
use crate::policy::{Policy, Ranked, View};
use crate::pool::{Pool, Registry};
use crate::prefix::{IndexLimits, PrefixIndex};
use crate::request::SessionKey;
use crate::tokens::TokenRates;
use crate::units::Tokens;

pub use observe::{DEFAULT_CAPACITY, Observation, REPORT_STALE_AFTER};
pub use sent::Sent;

/// What a router needs to know that does not change while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// Length of a block.
    pub block_size: BlockSize,
    /// Bound of the prefix index.
    pub index: IndexLimits,
    /// Cache size of every endpoint's device, whatever it reports; none: as reported.
    pub capacity: Option<Tokens>,
    /// What every endpoint keeps behind its device, in host memory or a shared store, as far as
    /// its operator says; none: nothing is known of it.
    pub host_tier: Option<Tokens>,
    /// Whether what engines report corrects what is believed of their caches. Without it, the
    /// error is measured all the same.
    pub feedback: bool,
}

impl Default for RouterSettings {
    fn default() -> RouterSettings {
        RouterSettings {
            block_size: BlockSize::default(),
            index: IndexLimits::default(),
            capacity: None,
            host_tier: None,
            feedback: true,
        }
    }
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
        let explanation = ask
            .explain
            .then(|| explain::table(policy.name(), &view, &ranked, |id| self.sizes(id).total));
        ranked.truncate(view.wanted);
        Ok(Decision {
            order: ranked.iter().map(choice).collect(),
            prompt: view.prompt_tokens(),
            degraded: view.ignore_health.then_some(Degraded::AllEjected),
            explanation,
        })
    }
}

fn choice(ranked: &Ranked<'_>) -> Choice {
    Choice {
        endpoint: Arc::clone(ranked.candidate.endpoint),
        held: ranked.candidate.held,
        matched: ranked.candidate.matched,
        loaded: ranked.candidate.loaded,
        cost: ranked.candidate.cost,
        score: ranked.score,
        reason: ranked.reason,
    }
}
