//! The operators' port: is it alive, what does it know, why would it decide so?
//!
//! [`routes::ROUTES`] lists every path once; the application and `docs/admin.md` come from it. The
//! port has no authentication: bind it to the loopback address or to a network of operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use warmgate_routing::Router;

use crate::error::{ErrorShape, GatewayError};
use crate::telemetry::metrics::Metrics;

mod endpoints;
mod explain;
mod pools;
mod readiness;
mod reference;
mod routes;

pub use explain::EXPLAIN_BODY_BYTES_MAX;
pub use readiness::Readiness;
pub use reference::reference;

/// The pools of this process by name, changed as a whole when the configuration does.
pub type Pools = Arc<ArcSwap<Vec<(String, Arc<Router>)>>>;

/// Answers what a request would meet, without sending it.
pub trait Explain: Send + Sync {
    /// The decision for a request of that path, headers and body. Nothing of it is kept.
    ///
    /// # Errors
    /// As the request itself would.
    fn explain(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<serde_json::Value, GatewayError>;

    /// The routes in force, in the order in which they are tried for a model.
    fn routes(&self) -> serde_json::Value;

    /// Lets a target that a guard has taken out begin anew: whether it was out. None where no guard
    /// watches a target of that name.
    fn reset_target(&self, route: &str, target: &str) -> Option<bool>;
}

/// What the admin API shows.
#[derive(Clone)]
pub struct AdminState {
    /// The pools.
    pub pools: Pools,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Set when the gateway begins to stop: from then on it is not ready.
    pub is_draining: Arc<AtomicBool>,
    /// The configuration in force, with secrets hidden by whoever stores it here.
    pub config: Arc<ArcSwap<serde_json::Value>>,
    /// The proxy.
    pub explain: Arc<dyn Explain>,
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AdminState").finish_non_exhaustive()
    }
}

impl AdminState {
    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    fn readiness(&self, now: Instant) -> Readiness {
        Readiness::of(&self.pools.load(), &self.metrics, self.is_draining(), now)
    }
}

/// The application for the admin port.
pub fn app(state: AdminState) -> axum::Router {
    routes::router().with_state(state)
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let answer = self.response(ErrorShape::OpenAi, "");
        let headers: HeaderMap = answer.headers.into_iter().collect();
        (answer.status, headers, answer.body).into_response()
    }
}

#[cfg(test)]
mod tests;
