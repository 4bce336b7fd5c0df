//! The last station of every request: what is counted of it, and its line in the access log.

use std::sync::Arc;
use std::time::SystemTime;

use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;

use crate::proxy::context::Context;
use crate::proxy::target::TargetName;
use crate::telemetry::access_log::{AccessLog, Entry};
use crate::telemetry::metrics::{Metrics, Outcome};

/// Where ended requests are entered.
#[derive(Clone)]
pub struct Ledger {
    metrics: Arc<Metrics>,
    access_log: Option<Arc<AccessLog>>,
}

impl Ledger {
    /// Counts in `metrics`, and writes to `access_log` where there is one.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, access_log: Option<Arc<AccessLog>>) -> Ledger {
        Ledger {
            metrics,
            access_log,
        }
    }

    /// Enters a request that has ended.
    pub fn enter(&self, session: &Session, context: &Context) {
        let outcome = context.outcome();
        match &context.pool {
            Some(pool) => pool.metrics.finished(&outcome),
            None => self.metrics.unrouted().finished(&outcome),
        }
        if let Some(name) = &context.target {
            self.enter_target(name, context, &outcome);
        }
        let Some(access_log) = &self.access_log else {
            return;
        };
        let request = session.req_header();
        access_log.note(&Entry {
            at: SystemTime::now() - outcome.duration,
            request_id: context.request_id.to_str().unwrap_or_default(),
            client: session
                .client_addr()
                .and_then(SocketAddr::as_inet)
                .map(std::net::SocketAddr::ip),
            method: &request.method,
            path: request.uri.path(),
            pool: context.pool.as_ref().map(|pool| &pool.name),
            route: context.target.as_ref().map(|name| &name.route),
            target: context.target.as_ref().map(|name| &name.target),
            endpoint: context
                .endpoint
                .as_ref()
                .map(|endpoint| &endpoint.spec.authority),
            attempts: context.attempts,
            is_stream: context.is_stream,
            has_session: context.has_session,
            outcome: &outcome,
        });
    }

    /// The one place where targets learn what became of their requests: errors by class, time to
    /// the first token and between tokens, tokens.
    fn enter_target(&self, name: &TargetName, context: &Context, outcome: &Outcome<'_>) {
        let TargetName { route, target } = name;
        self.metrics.target_finished(route, target, outcome);
        if let Some(watch) = context.watch() {
            watch.ended(outcome);
        }
    }
}
