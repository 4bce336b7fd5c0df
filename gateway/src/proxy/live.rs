//! What is in force: the routes and pools of the present configuration.

use std::sync::Arc;
use std::time::Instant;

use rand::RngCore;
use warmgate_routing::feedback::Lesson;
use warmgate_routing::health::Failure;
use warmgate_routing::{Endpoint, Router};

use crate::config::{Forward, Limits, ResponseHeaders, Routes};
use crate::error::GatewayError;
use crate::proxy::guards::Guards;
use crate::proxy::target::{Asked, TargetChoice};
use crate::telemetry::metrics::{Metrics, PoolMetrics};

/// What operators are told of a cache that is lost.
pub const CACHE_LOST: &str = "the endpoint has no cache hits where many were predicted, and what it \
    was believed to hold is forgotten: its engine restarted, its cache was reset, or prefix caching \
    is off; if this repeats, look at the engine's flags";

/// A pool with what belongs to it outside routing.
pub struct PoolHandle {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its routing state.
    pub router: Arc<Router>,
    /// Its metrics.
    pub metrics: Arc<PoolMetrics>,
    /// Metrics of the process.
    pub process_metrics: Arc<Metrics>,
}

impl PoolHandle {
    /// An endpoint failed a request.
    pub fn note_failure(&self, endpoint: &Endpoint, cause: Failure) {
        self.process_metrics
            .endpoint_failed(&self.name, &endpoint.spec.authority, cause);
        if endpoint.health.note_failure(cause, Instant::now()) {
            self.metrics.ejected();
            tracing::warn!(pool = %self.name, endpoint = %endpoint.spec.authority, ?cause, "endpoint ejected");
        }
    }

    /// An endpoint's answers have no hits where many were predicted.
    pub fn note_cache_lost(&self, endpoint: &Endpoint, lesson: &Lesson) {
        let authority = &endpoint.spec.authority;
        self.metrics.cache_lost(authority);
        tracing::warn!(
            pool = %self.name,
            endpoint = %authority,
            predicted_tokens = lesson.predicted.0,
            reported_tokens = lesson.reported.unwrap_or_default().0,
            "{CACHE_LOST}"
        );
    }
}

/// The present configuration, as far as requests are concerned. Replaced whole.
pub struct Live {
    /// Model names to pools.
    pub routes: Routes,
    /// What watches them.
    pub guards: Guards,
    /// All pools, in the order of the configuration.
    pub pools: Vec<Arc<PoolHandle>>,
    /// Time-outs and retries.
    pub forward: Forward,
    /// Bounds on requests.
    pub limits: Limits,
    /// Headers added to answers.
    pub response_headers: ResponseHeaders,
    /// Whether clients may ask for decisions.
    pub explain: bool,
}

/// Where one request goes.
pub struct Way<'a> {
    /// The target, and why that one.
    pub choice: TargetChoice<'a>,
    /// The target's pool.
    pub pool: &'a Arc<PoolHandle>,
    /// Model name to send there, where it is not the client's.
    pub rename: Option<&'a str>,
}

impl Live {
    /// Where a request goes.
    ///
    /// # Errors
    /// Where no route takes it, or it asks for a target that does not exist.
    pub fn way(&self, asked: &Asked<'_>, rng: &mut dyn RngCore) -> Result<Way<'_>, GatewayError> {
        let choice = asked.choose((&self.routes, &self.guards), || self.models(), rng)?;
        self.way_of(choice)
    }

    /// The way to a target that is chosen.
    ///
    /// # Errors
    /// Never, unless an invariant is broken: the pools of all targets exist.
    pub fn way_of<'a>(&'a self, choice: TargetChoice<'a>) -> Result<Way<'a>, GatewayError> {
        let target = choice.target;
        let pool = self
            .pool(&target.pool)
            .ok_or_else(|| GatewayError::Internal {
                detail: format!("route to pool {} that does not exist", target.pool),
            })?;
        Ok(Way {
            choice,
            pool,
            rename: target.model.as_deref(),
        })
    }

    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Arc<PoolHandle>> {
        self.pools.iter().find(|pool| *pool.name == *name)
    }

    /// Names that clients can ask for, sorted: routes that name a model, and, where a route takes
    /// any other name, what the endpoints of its pools have listed.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = self
            .routes
            .exact()
            .map(|(model, _)| model.to_owned())
            .collect();
        let any = self.routes.any().iter().flat_map(|route| &route.targets);
        for pool in any.filter_map(|target| self.pool(&target.pool)) {
            models.extend(pool.router.pool().models().map(str::to_owned));
        }
        models.sort_unstable();
        models.dedup();
        models
    }
}
