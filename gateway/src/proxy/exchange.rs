//! One inference request as a straight line: body, plan, first answer, relay, what was learned.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use warmgate_routing::feedback::Reported;
use warmgate_routing::health::Failure;
use warmgate_routing::request::Api;
use warmgate_routing::{Sent, Tokens};

use crate::proxy::context::Context;
use crate::proxy::live::Live;
use crate::proxy::mirror::{Mirrors, Original};
use crate::proxy::plan::{self, Incoming, Plan};
use crate::proxy::relay::{Passage, Relay};
use crate::proxy::retry::{self, Answered, Outgoing};
use crate::proxy::stop::Stop;
use crate::proxy::target::TargetName;
use crate::proxy::{body, fallback, headers};
use crate::stream::{ModelRewriter, Usage};

/// Rows of a decision in a header; clients bound the size of headers, many at 8 KiB.
const HEADER_ROWS_MAX: usize = 8;

/// Serves one request of an inference API.
///
/// # Errors
/// As [`Stop`] says; nothing has been written where it asks for an answer.
pub async fn serve(
    (connector, mirrors): (&Connector, &Mirrors),
    session: &mut Session,
    api: Api,
    context: &mut Context,
) -> Result<(), Stop> {
    let live = Arc::clone(&context.live);
    let body = body::read(session, live.limits.body_bytes as usize).await?;
    context.body_bytes = body.len() as u64;

    let received = Instant::now();
    let request = session.req_header();
    let incoming = incoming_of(&live, request, api, &body);
    let mut plan = plan::make(&live, &incoming).map_err(|refusal| {
        context.target = refusal.target;
        Stop::Answer(refusal.error)
    })?;
    context.note_plan(&plan, received.elapsed());
    mirrors.note(&Original {
        live: &live,
        plan: &plan,
        header: request,
        body: &body,
        request_id: &context.request_id,
    });
    // Planned again from what the client sent, where somebody else may have to take it.
    let kept = plan.way.choice.fallback().map(|_| body.clone());
    drop(body);
    loop {
        note_oddities(&plan);
        let header = header_for(&plan, session.req_header(), context)?;
        let outgoing = Outgoing {
            header: &header,
            plan: &plan,
            forward: &live.forward,
        };
        let answered = tokio::select! {
            biased;
            answered = retry::first_answer(connector, &outgoing, context) => answered,
            _ = session.as_downstream_mut().read_body_or_idle(true) => return Err(Stop::ClientGone),
        };
        let kept = kept.as_ref().filter(|_| fallback::is_in_vain(&answered));
        let behind = kept.and_then(|body| {
            let incoming = incoming_of(&live, session.req_header(), api, body);
            fallback::behind(&live, &incoming, &plan)
        });
        let Some(next) = behind else {
            return relay(connector, session, &plan, answered?, context).await;
        };
        if let Some(watch) = context.watch() {
            watch.ended(&fallback::outcome(&answered));
        }
        if let Ok(answered) = answered {
            fallback::give_up(answered, &plan).await;
        }
        plan = next;
        context.note_plan(&plan, context.decision.unwrap_or_default());
    }
}

fn incoming_of<'a>(
    live: &Live,
    request: &'a RequestHeader,
    api: Api,
    body: &'a Bytes,
) -> Incoming<'a> {
    let explain = request.headers.get(headers::EXPLAIN);
    Incoming {
        api,
        head: headers::head(request),
        body,
        explain: live.explain && explain.is_some_and(|value| value == "1"),
    }
}

/// The request's header for an endpoint, but for the host.
fn header_for(
    plan: &Plan<'_>,
    request: &RequestHeader,
    context: &Context,
) -> Result<RequestHeader, Stop> {
    let mut header = headers::for_endpoint(request, plan.body.len(), &context.request_id)
        .map_err(|error| Stop::bug(format!("request header refused: {error}")))?;
    if plan.name_in_answer().is_some() {
        // What is compressed cannot be rewritten.
        header.remove_header(&http::header::ACCEPT_ENCODING);
    }
    Ok(header)
}

fn note_oddities(plan: &Plan<'_>) {
    if plan.is_stripped {
        plan.way.pool.process_metrics.stripped("field", 1);
    }
    if let Some(kind) = plan.decision.degraded {
        plan.way.pool.metrics.degraded(kind);
        tracing::debug!(pool = %plan.way.pool.name, ?kind, "degraded decision");
    }
    for TargetName { route, target } in &plan.passed_over {
        let metrics = &plan.way.pool.process_metrics;
        metrics.target_fell_back(route, target);
        tracing::debug!(%route, %target, instead = %plan.way.choice.target.name, "fell back");
    }
}

async fn relay(
    connector: &Connector,
    session: &mut Session,
    plan: &Plan<'_>,
    answered: Answered<'_>,
    context: &mut Context,
) -> Result<(), Stop> {
    let Answered {
        choice,
        answer,
        mut sent,
        ..
    } = answered;
    let status = answer.header().status;
    context.status = Some(status);
    let added = added_headers(
        plan,
        answered_by(context, &choice.endpoint.spec.authority),
        context,
    );
    let rewriter = rewriter(plan, answer.header());
    let shape = context.error_shape();
    let mut passage = Passage::default();
    let relay = Relay {
        connector,
        answer,
        sent: &mut sent,
        watch: status.is_success().then(|| context.watch()).flatten(),
        rewriter,
        added,
        shape,
        client_timeout: context.live.forward.idle_timeout,
    };
    let outcome = relay.run(session, &mut passage).await;

    context.note_passage(&passage);
    let pool = plan.way.pool;
    if status.is_success() {
        if passage.heard.has_failed {
            pool.note_failure(&choice.endpoint, Failure::Answer);
        } else if passage.first_token_at.is_some() {
            choice.endpoint.health.note_success();
        }
    }
    if status.is_success() {
        context.predicted = learn(plan, &sent, &mut context.heard.usage);
    }
    outcome
}

/// What the answer tells of the endpoint's cache. Returns what had been predicted of it, in the
/// engine's count, where the engine has told what was.
pub fn learn(plan: &Plan<'_>, sent: &Sent, usage: &mut Usage) -> Option<Tokens> {
    let pool = plan.way.pool;
    let caches = pool.metrics.caches();
    usage.cached = caches.heard(&sent.endpoint.spec.authority, *usage);
    let reported = Reported {
        prompt_tokens: usage.prompt,
        cached_tokens: usage.cached,
    };
    let model = plan.way.rename.unwrap_or(&plan.model);
    let lesson = pool
        .router
        .reported(sent, model, &plan.prompt, reported, Instant::now());
    if lesson.lost {
        pool.note_cache_lost(&sent.endpoint, &lesson);
    }
    lesson.reported.map(|_| lesson.predicted)
}

/// What puts the client's name for the model into the answer, where the engine has another.
fn rewriter(plan: &Plan<'_>, answer: &ResponseHeader) -> Option<ModelRewriter> {
    let name = plan.name_in_answer()?;
    let value = |header| {
        let value = answer.headers.get(header);
        value.map_or(&b""[..], HeaderValue::as_bytes)
    };
    let encoding = value(CONTENT_ENCODING);
    if !encoding.is_empty() && encoding != b"identity" {
        let pool = plan.way.pool;
        pool.metrics.left_unrenamed();
        tracing::debug!(pool = %pool.name, "a compressed answer keeps the engine's model name");
        return None;
    }
    ModelRewriter::new(plan.api, value(CONTENT_TYPE), name)
}

fn answered_by(context: &Context, authority: &str) -> Option<HeaderValue> {
    let is_shown = context.live.response_headers.endpoint;
    is_shown
        .then(|| HeaderValue::from_str(authority).ok())
        .flatten()
}

fn added_headers(
    plan: &Plan<'_>,
    endpoint: Option<HeaderValue>,
    context: &Context,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut added = Vec::with_capacity(4);
    added.push((headers::REQUEST_ID, context.request_id.clone()));
    added.extend(context.target_header());
    if let Some(endpoint) = endpoint {
        added.push((headers::ENDPOINT, endpoint));
    }
    if let Some(explanation) = &plan.decision.explanation {
        let mut shown = explanation.clone();
        shown.rows.truncate(HEADER_ROWS_MAX);
        let json = serde_json::to_string(&shown).ok();
        if let Some(value) = json.and_then(|json| HeaderValue::from_str(&json).ok()) {
            added.push((headers::DECISION, value));
        }
    }
    added
}
