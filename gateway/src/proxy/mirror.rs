//! Copies of requests for a route's mirror: sent beside the client's own, their answers thrown away.
//!
//! A copy is a task of its own on the runtime that serves its client, and has nothing of that
//! client's but the body, which is shared. It is bounded in number, time and length of the answer;
//! nobody waits for it, a stop included. It is routed like any request to its pool, so that the
//! mirror's caches are used as they would be; but it is sent once, is in no count of requests or
//! tokens, and its failures eject nobody: the mirror may run on endpoints that serve clients too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use warmgate_routing::Sent;
use warmgate_routing::request::Api;

use crate::proxy::exchange;
use crate::proxy::forward::{Answer, AttemptError};
use crate::proxy::headers;
use crate::proxy::live::Live;
use crate::proxy::plan::{self, Incoming, Plan};
use crate::proxy::retry::{self, Outgoing};
use crate::proxy::underway::{Underway, UnderwayCount};
use crate::stream::{Heard, Listener};
use crate::telemetry::metrics::MirrorOutcome;

/// Longest life of a copy, from its start to the end of its answer.
pub const COPY_DURATION_MAX: Duration = Duration::from_secs(600);
/// Longest answer that is read, in bytes; more tells nothing about the mirror, and costs its network.
pub const COPY_ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Makes copies.
#[derive(Clone)]
pub struct Mirrors {
    connector: Arc<Connector>,
    underway: UnderwayCount,
}

/// A request that is about to be sent to its target.
pub struct Original<'a> {
    /// The configuration that holds for it.
    pub live: &'a Arc<Live>,
    /// Where it goes.
    pub plan: &'a Plan<'a>,
    /// Its header as it came.
    pub header: &'a RequestHeader,
    /// Its body as it came.
    pub body: &'a Bytes,
    /// Honoured or made.
    pub request_id: &'a HeaderValue,
}

/// One copy, with all that it needs once its client has left.
struct Copy {
    connector: Arc<Connector>,
    live: Arc<Live>,
    api: Api,
    header: RequestHeader,
    body: Bytes,
    request_id: HeaderValue,
    _underway: Underway,
}

impl Mirrors {
    /// Copies go over the connections of `connector`.
    #[must_use]
    pub fn new(connector: Arc<Connector>) -> Mirrors {
        Mirrors {
            connector,
            underway: UnderwayCount::default(),
        }
    }

    /// Copies the request where its route has a mirror and the draw says so. Returns at once. What
    /// is a copy already is not copied again: gateways may stand in a circle.
    pub fn note(&self, original: &Original<'_>) {
        let (plan, live) = (original.plan, original.live);
        let route = plan.way.choice.route;
        let Some(mirror) = &route.mirror else { return };
        let is_copy = original.header.headers.contains_key(headers::MIRROR);
        if is_copy || !plan::with_rng(|rng| mirror.share.takes(rng)) {
            return;
        }
        let (metrics, route) = (
            Arc::clone(&plan.way.pool.process_metrics),
            Arc::clone(&route.name),
        );
        let Some(underway) = self.underway.enter_below(live.forward.mirrored_requests) else {
            return metrics.mirrored(&route, MirrorOutcome::Dropped, None);
        };
        let copy = Copy {
            connector: Arc::clone(&self.connector),
            live: Arc::clone(live),
            api: plan.api,
            header: original.header.clone(),
            body: original.body.clone(),
            request_id: original.request_id.clone(),
            _underway: underway,
        };
        let started = Instant::now();
        tokio::spawn(async move {
            let ended = tokio::time::timeout(COPY_DURATION_MAX, copy.send()).await;
            let outcome = ended.unwrap_or(MirrorOutcome::Timeout);
            metrics.mirrored(&route, outcome, Some(started.elapsed()));
        });
    }
}

impl Copy {
    async fn send(&self) -> MirrorOutcome {
        let incoming = Incoming {
            api: self.api,
            head: headers::head(&self.header),
            body: &self.body,
            explain: false,
        };
        let plan = match plan::copy(&self.live, &incoming) {
            Ok(plan) => plan,
            Err(refusal) => return failed(&refusal.error),
        };
        let length = plan.body.len();
        let mut header = match headers::for_endpoint(&self.header, length, &self.request_id) {
            Ok(header) => header,
            Err(error) => return failed(&error),
        };
        let marked = header.insert_header(headers::MIRROR, HeaderValue::from_static("1"));
        if let Err(error) = marked {
            return failed(&error);
        }
        let outgoing = Outgoing {
            header: &header,
            plan: &plan,
            forward: &self.live.forward,
        };
        self.exchange(&outgoing).await
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>) -> MirrorOutcome {
        let plan = outgoing.plan;
        let router = &plan.way.pool.router;
        let Some(choice) = plan.decision.order.first() else {
            return failed(&"a decision without endpoints");
        };
        let mut sent = router.send(choice, &plan.prompt, Instant::now());
        let attempt = retry::send(&self.connector, &choice.endpoint, outgoing).await;
        let outcome = match attempt {
            Ok(Ok(answer)) => {
                let is_good = answer.header().status.is_success();
                let (outcome, heard) = self.read_out(answer, &mut sent).await;
                if is_good {
                    let mut usage = heard.usage;
                    exchange::learn(plan, &sent, &mut usage);
                }
                return match outcome {
                    MirrorOutcome::Ok if !is_good || heard.has_failed => {
                        failed(&"the engine answered with an error")
                    }
                    outcome => outcome,
                };
            }
            Ok(Err(AttemptError::TimedOut)) => MirrorOutcome::Timeout,
            Ok(Err(AttemptError::Failed(_) | AttemptError::Stale)) => {
                failed(&"the endpoint could not be reached, or broke off")
            }
            Err(_) => failed(&"the endpoint's host is no header"),
        };
        router.take_back(choice, &plan.prompt);
        outcome
    }

    async fn read_out(&self, mut answer: Answer, sent: &mut Sent) -> (MirrorOutcome, Heard) {
        let content_type = answer.header().headers.get(CONTENT_TYPE);
        let mut listener = Listener::new(content_type.map_or(&b""[..], HeaderValue::as_bytes));
        let mut room = Room(COPY_ANSWER_BYTES_MAX);
        let outcome = loop {
            match answer.next().await {
                Ok(Some(bytes)) if room.takes(bytes.len()) => {
                    listener.feed(&bytes);
                    if listener.has_begun() {
                        sent.note_first_token();
                    }
                }
                Ok(Some(_)) => break MirrorOutcome::TooLong,
                Ok(None) => break MirrorOutcome::Ok,
                Err(_) => break failed(&"the engine broke off"),
            }
        };
        match outcome {
            MirrorOutcome::Ok => answer.release(&self.connector).await,
            _ => answer.abort().await,
        }
        (outcome, listener.heard())
    }
}

/// What is left of the length that an answer may have, in bytes.
struct Room(u64);

impl Room {
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes as u64);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

fn failed(why: &dyn std::fmt::Display) -> MirrorOutcome {
    tracing::debug!(%why, "a mirrored request failed");
    MirrorOutcome::Error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_up_to_the_limit_and_no_further() {
        let half = (COPY_ANSWER_BYTES_MAX / 2) as usize;
        let mut room = Room(COPY_ANSWER_BYTES_MAX);
        assert!(room.takes(half) && room.takes(half));
        assert!(!room.takes(1));
    }
}
