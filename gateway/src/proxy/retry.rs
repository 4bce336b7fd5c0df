//! Walking down the order of a decision until somebody answers.
//!
//! Only before the first byte has reached the client, and never after a time-out: an engine that
//! has not answered yet may still be computing, and a second one would only add to the queue.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use warmgate_routing::endpoint::Serving;
use warmgate_routing::health::Failure;
use warmgate_routing::{Choice, Endpoint, Sent};

use crate::config::Forward;
use crate::error::GatewayError;
use crate::proxy::context::Context;
use crate::proxy::forward::{self, Answer, AttemptError};
use crate::proxy::headers;
use crate::proxy::live::PoolHandle;
use crate::proxy::plan::Plan;
use crate::proxy::stop::Stop;
use crate::stream;
use crate::telemetry::metrics::RetryReason;

/// Stale kept connections that are tried on one endpoint before it counts as failed. A restarted
/// engine leaves some behind in each of our threads.
const STALE_MAX: u32 = 8;

/// One request, ready to be sent to any endpoint.
pub struct Outgoing<'a> {
    /// Its header, but for the host.
    pub header: &'a RequestHeader,
    /// Body, prompt, and where it may go.
    pub plan: &'a Plan<'a>,
    /// How long to wait for what.
    pub forward: &'a Forward,
}

/// An endpoint has answered.
pub struct Answered<'a> {
    /// Who.
    pub choice: &'a Choice,
    /// What.
    pub answer: Answer,
    /// Somebody else might have done better, and there is nobody left to ask.
    pub is_refusal: bool,
    /// Its weight there, and what was believed; to be held until the answer is complete.
    pub sent: Sent,
}

/// What one attempt came to.
enum Attempt {
    Answered(Answer),
    /// Another endpoint may do better; where there is none, this is the answer.
    Refused(Answer, RetryReason),
    Failed(GatewayError, RetryReason),
}

/// Sends the request to the endpoints of the plan in turn.
///
/// # Errors
/// Where the last endpoint could not be reached, broke off or timed out.
pub async fn first_answer<'a>(
    connector: &Connector,
    outgoing: &Outgoing<'a>,
    context: &mut Context,
) -> Result<Answered<'a>, Stop> {
    let plan = outgoing.plan;
    let pool = plan.way.pool;
    let order = &plan.decision.order;
    let mut place = Some(0);
    while let Some(choice) = place.and_then(|place| order.get(place)) {
        context.attempts += 1;
        context.endpoint = Some(Arc::clone(&choice.endpoint));
        context.matched = choice.matched;
        let sent = pool.router.send(choice, &plan.prompt, Instant::now());
        let attempt = attempt(connector, choice, outgoing).await?;
        if !matches!(attempt, Attempt::Answered(_)) {
            pool.router.take_back(choice, &plan.prompt);
        }
        let tried = place.map_or(0, |place| place + 1);
        // Who has left or stopped taking requests since the decision is not asked any more.
        place = (tried..order.len()).find(|place| is_open(pool, &order[*place]));
        let reason = match attempt {
            Attempt::Answered(answer) => {
                return Ok(Answered {
                    choice,
                    answer,
                    is_refusal: false,
                    sent,
                });
            }
            Attempt::Refused(answer, _) if place.is_none() => {
                return Ok(Answered {
                    choice,
                    answer,
                    is_refusal: true,
                    sent,
                });
            }
            Attempt::Failed(error, _) if place.is_none() => return Err(error.into()),
            Attempt::Refused(answer, reason) => {
                if answer.header().status.is_success() {
                    // Passed on, it would be heard by the relay.
                    pool.note_failure(&choice.endpoint, Failure::Answer);
                }
                answer.abort().await;
                reason
            }
            Attempt::Failed(_, reason) => reason,
        };
        pool.metrics.retried(reason);
    }
    Err(Stop::bug("a decision without endpoints".to_owned()))
}

fn is_open(pool: &PoolHandle, choice: &Choice) -> bool {
    let pool = pool.router.pool();
    let now = pool.get(choice.endpoint.id);
    now.is_some_and(|endpoint| endpoint.spec.serving == Serving::Ready)
}

async fn attempt(
    connector: &Connector,
    choice: &Choice,
    outgoing: &Outgoing<'_>,
) -> Result<Attempt, Stop> {
    let pool = outgoing.plan.way.pool;
    let cause = match send(connector, &choice.endpoint, outgoing).await? {
        Ok(answer) => return Ok(judge(pool, choice, answer)),
        Err(AttemptError::TimedOut) => {
            pool.note_failure(&choice.endpoint, Failure::Broken);
            let limit = outgoing.forward.first_byte_timeout.unwrap_or_default();
            return Err(GatewayError::EndpointTimeout { limit }.into());
        }
        Err(AttemptError::Stale) => Failure::Broken,
        Err(AttemptError::Failed(cause)) => cause,
    };
    pool.note_failure(&choice.endpoint, cause);
    Ok(match cause {
        Failure::Connect => {
            Attempt::Failed(GatewayError::EndpointUnreachable, RetryReason::Connect)
        }
        Failure::Broken | Failure::Answer => {
            Attempt::Failed(GatewayError::EndpointBroken, RetryReason::Broken)
        }
    })
}

/// Sends the request to one endpoint, past connections that have gone stale.
///
/// # Errors
/// Where the endpoint's host is no header; whatever goes wrong on the way is the value.
pub async fn send(
    connector: &Connector,
    endpoint: &Endpoint,
    outgoing: &Outgoing<'_>,
) -> Result<Result<Answer, AttemptError>, Stop> {
    let mut stale = 0;
    loop {
        let header = headers::addressed(outgoing.header, endpoint)
            .map_err(|error| Stop::bug(format!("host refused: {error}")))?;
        let body = &outgoing.plan.body;
        let sent = forward::send(connector, endpoint, header, body, outgoing.forward);
        match sent.await {
            Err(AttemptError::Stale) if stale < STALE_MAX => stale += 1,
            outcome => return Ok(outcome),
        }
    }
}

/// Learns from the status of an answer, and whether to look for a better one.
fn judge(pool: &PoolHandle, choice: &Choice, answer: Answer) -> Attempt {
    match answer.header().status {
        StatusCode::TOO_MANY_REQUESTS => Attempt::Refused(answer, RetryReason::Overloaded),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            pool.note_failure(&choice.endpoint, Failure::Answer);
            Attempt::Refused(answer, RetryReason::Answer)
        }
        // A good status, but no token: as if the status had said so.
        StatusCode::OK if stream::begins_with_failure(answer.first()) => {
            Attempt::Refused(answer, RetryReason::Answer)
        }
        status => {
            if status.is_server_error() {
                pool.note_failure(&choice.endpoint, Failure::Answer);
            } else if !status.is_success() || choice.endpoint.health.is_ejected() {
                // On trial the first byte is enough. Elsewhere a success is a whole answer, or an
                // engine that breaks off each of its answers would never be ejected.
                choice.endpoint.health.note_success();
            }
            Attempt::Answered(answer)
        }
    }
}
