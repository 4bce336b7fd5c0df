//! Who takes a request where its target cannot: the targets behind it, each asked once.

use std::time::Instant;

use warmgate_routing::health::Failure;

use crate::error::{Fault, GatewayError};
use crate::proxy::live::{Live, Way};
use crate::proxy::plan::{self, Incoming, Plan, Refusal};
use crate::proxy::retry::Answered;
use crate::proxy::stop::Stop;
use crate::proxy::target::Asked;
use crate::telemetry::metrics::Outcome;

/// Plans a request for its target, or for the first behind it that can take it. Where none can, for
/// the first that would try.
///
/// # Errors
/// As the first one's plan, where there is no plan for any.
pub fn first_able<'a>(
    live: &'a Live,
    incoming: &Incoming<'_>,
    asked: &Asked<'_>,
    first: Way<'a>,
) -> Result<Plan<'a>, Refusal> {
    let wanted = live.forward.retries + 1;
    let (mut way, mut passed_over) = (first, Vec::new());
    let mut best: Option<Result<Plan<'a>, Refusal>> = None;
    loop {
        let (behind, name) = (way.choice.fallback(), way.choice.name());
        let mut plan = plan::toward(live, incoming, asked, way, wanted);
        if let Ok(plan) = &mut plan {
            plan.passed_over.clone_from(&passed_over);
        }
        if behind.is_none() && best.is_none() || is_settled(&plan) {
            return plan;
        }
        best = match best {
            Some(better) if better.is_ok() || plan.is_err() => Some(better),
            _ => Some(plan),
        };
        let Some(choice) = behind else {
            return best.expect("invariant: the first was planned");
        };
        passed_over.push(name);
        way = live.way_of(choice)?;
    }
}

/// Whether nobody behind could do better: the target can take the request, or nobody could.
fn is_settled(plan: &Result<Plan<'_>, Refusal>) -> bool {
    match plan {
        Ok(plan) => plan.decision.degraded.is_none() && !is_saturated(plan),
        Err(refusal) => {
            let is_models = matches!(refusal.error, GatewayError::NoSuchModel { .. });
            refusal.error.fault() == Fault::Client && !is_models
        }
    }
}

/// Whether all of the target's endpoints have as much to do as its operator bears.
fn is_saturated(plan: &Plan<'_>) -> bool {
    let fallback = plan.way.choice.target.fallback.as_ref();
    let bound = fallback.and_then(|fallback| fallback.saturated);
    let model = plan.way.rename.unwrap_or(&plan.model);
    let router = &plan.way.pool.router;
    bound.is_some_and(|bound| router.is_saturated(model, bound, Instant::now()))
}

/// Whether a request was sent in vain, so that somebody else may take it: nobody could be reached, or
/// all that were asked broke off or refused before they had begun. Not after a time-out: the engine
/// may still be computing.
#[must_use]
pub fn is_in_vain(answered: &Result<Answered<'_>, Stop>) -> bool {
    match answered {
        Ok(answered) => answered.is_refusal,
        Err(Stop::Answer(error)) => matches!(
            error,
            GatewayError::EndpointUnreachable | GatewayError::EndpointBroken
        ),
        Err(_) => false,
    }
}

/// What a guard is told of a request that was sent in vain.
#[must_use]
pub fn outcome<'a>(answered: &'a Result<Answered<'_>, Stop>) -> Outcome<'a> {
    let mut outcome = Outcome::default();
    match answered {
        Ok(answered) => {
            let status = answered.answer.header().status;
            outcome.status = status.as_u16();
            outcome.is_stream_error = status.is_success();
        }
        Err(Stop::Answer(error)) => outcome.error = Some(error),
        Err(_) => {}
    }
    outcome
}

/// Plans a request that was sent in vain for those behind its target. None where there is nobody.
#[must_use]
pub fn behind<'a>(live: &'a Live, incoming: &Incoming<'_>, tried: &Plan<'a>) -> Option<Plan<'a>> {
    let choice = tried.way.choice.fallback()?;
    let request = incoming.request().ok()?;
    let way = live.way_of(choice).ok()?;
    let mut plan = first_able(live, incoming, &incoming.asked(&request), way).ok()?;
    plan.passed_over.insert(0, tried.way.choice.name());
    Some(plan)
}

/// Leaves a refusal unread.
pub async fn give_up(answered: Answered<'_>, tried: &Plan<'_>) {
    if answered.answer.header().status.is_success() {
        // Passed on, it would be heard by the relay.
        let pool = tried.way.pool;
        pool.note_failure(&answered.choice.endpoint, Failure::Answer);
    }
    answered.answer.abort().await;
}
