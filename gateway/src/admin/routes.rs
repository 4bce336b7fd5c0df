//! The one table of admin paths, from which the application and its documentation come.

use std::time::Instant;

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{StatusCode, header};
use serde_json::json;

use super::{AdminState, endpoints, explain, pools};
use crate::error::GatewayError;
use crate::telemetry::metrics;

/// One row of the table.
pub(super) struct AdminRoute {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What it answers, for people.
    pub(super) summary: &'static str,
    pub(super) statuses: &'static [u16],
    handler: fn() -> MethodRouter<AdminState>,
}

/// Every admin path, in the order of the documentation.
pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        method: "GET",
        path: "/health",
        summary: "200 while the process lives, whatever the endpoints do: for liveness probes.",
        statuses: &[200],
        handler: || get(health),
    },
    AdminRoute {
        method: "GET",
        path: "/ready",
        summary: "200 while at least one endpoint answers and the gateway is not draining: for \
                  readiness probes. JSON: `ready`, `degraded` (some pool has no endpoint that \
                  answers, or a source that is out of touch), `reasons`, and for each of `pools` \
                  the count of `endpoints` and of `usable` ones, and for how many seconds its \
                  source has been out of touch (`source_stale_s`). An endpoint of which nothing was heard yet does not count.",
        statuses: &[200, 503],
        handler: || get(ready),
    },
    AdminRoute {
        method: "GET",
        path: "/metrics",
        summary: "All metrics in Prometheus' text format 0.0.4; see [metrics](metrics.md).",
        statuses: &[200],
        handler: || get(metrics_page),
    },
    AdminRoute {
        method: "GET",
        path: "/endpoints",
        summary: "JSON list: for each endpoint its `address`, `key`, `pool`, `engine`, `role`, \
                  `models` (null until it has listed them), `labels`, what its source says of new \
                  requests (`state`: ready, not_ready, terminating; `ready`, `serving`, \
                  `terminating` as Kubernetes means them), the pod behind it (`pod`, `pod_uid`, \
                  `namespace`, `restarts`, `node`, `zone`, `model_version`, null where there is \
                  none or it is not known, and `for_zones`, whose clients should prefer it), for \
                  how many seconds its source has been out of touch (`source_stale_s`, 0 while it \
                  is in touch), `health`, `usable`, what the gateway has there (`inflight`, `queued_prefill_tokens`, \
                  `decoding`, `prompt_tokens`), what others have (`foreign_running`, \
                  `foreign_waiting`), its last metrics page (`scraped`, null until one was read: \
                  `age_s`, `stale`, `running`, `waiting`, `kv_usage`, `capacity_tokens`, \
                  `prefix_query_tokens`, `prefix_hit_tokens`), `known_cached_tokens`, \
                  `recent_work_tokens` (uncached tokens sent there, fading with 30 s), and what \
                  is believed of its `cache`: how much it can hold on its device \
                  (`device_tokens`) and in all tiers (`all_tokens`), what corrects that \
                  (`feedback`: answers, counters, none, off, unknown), how often it had no hits \
                  where many were predicted (`lost`), and when last (`lost_at`).",
        statuses: &[200],
        handler: || get(endpoint_list),
    },
    AdminRoute {
        method: "GET",
        path: "/pools",
        summary: "JSON list: for each pool its `name`, `policy` with parameters, `block_bytes`, \
                  `endpoints`, `usable` ones, and `models`.",
        statuses: &[200],
        handler: || get(pool_list),
    },
    AdminRoute {
        method: "GET",
        path: "/routes",
        summary: "JSON list of the routes in force, those of one model in the order in which they \
                  are tried: `name`, `model`, `match`, `sticky` (conversation, api_key or \
                  nothing), `force_target`, and for each of `targets` its `name`, `pool`, \
                  `served_model` (null: the client's), `weight` now, and `share` of the route's \
                  conversations, 0 to 1, and who takes what it cannot take (`fallback`, \
                  `saturated_tokens`; null: nobody). `mirror` (null: none) has `pool`, \
                  `served_model` and `percent` of the requests that are copied. Of a route with a guard also \
                  `guard` and `steps`, and for each target `tripped`, `step` (from 0; null without \
                  steps), `configured_weight`, and what was `seen` in the window: `requests`, \
                  `errors`, `given_up`, `ttft_p95_s`, `tpot_p95_s`, and of a canary its \
                  `judgement` (fine, too_few, doubtful or breach, and why), its `trip` (`why`, \
                  `at`), `held_s` and `done`.",
        statuses: &[200],
        handler: || get(route_list),
    },
    AdminRoute {
        method: "POST",
        path: "/routes/{route}/targets/{target}/reset",
        summary: "Lets a target that a guard has taken out begin anew, at its first step. Names are \
                  percent-encoded. JSON: `route`, `target`, and whether it was out (`reset`). 404 \
                  where no guard watches a target of that name.",
        statuses: &[200, 404],
        handler: || post(reset_target),
    },
    AdminRoute {
        method: "GET",
        path: "/config",
        summary: "The configuration in force as JSON, defaults included, secrets hidden; of each of \
                  `pools` the `source` of its endpoints.",
        statuses: &[200],
        handler: || get(config),
    },
    AdminRoute {
        method: "POST",
        path: "/explain",
        summary: "What would be decided for a request, without sending it or keeping anything of \
                  it. Body: `{\"path\": \"/v1/chat/completions\", \"headers\": {...}, \"body\": \
                  {...}}`, `headers` may be left out. Answers the `route`, its `target` and \
                  why that one (`target_reason`: only_target, forced, or what the split went by: \
                  session, opening, api_key, chance), and the table of the decision with, for each endpoint, what it is believed to hold of the prompt \
                  (`matched_tokens`), how much of that in its host tier (`loaded_tokens`), its \
                  believed size (`capacity_tokens`) and what was sent there to compute lately \
                  (`recent_work_tokens`), or the error that the request would get.",
        statuses: &[200, 400, 404, 413, 503],
        handler: || {
            post(explain::explain).layer(DefaultBodyLimit::max(explain::EXPLAIN_BODY_BYTES_MAX))
        },
    },
];

/// Every route, and JSON for what is none.
pub(super) fn router() -> axum::Router<AdminState> {
    ROUTES
        .iter()
        .fold(axum::Router::new(), |router, route| {
            let wrong_method = GatewayError::WrongMethod {
                allowed: route.method,
            };
            let handler = (route.handler)().fallback(|| async { wrong_method });
            router.route(route.path, handler)
        })
        .fallback(|| async { GatewayError::NoSuchPath })
}

async fn health() -> Response {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})).into_response()
}

async fn ready(State(state): State<AdminState>) -> Response {
    let readiness = state.readiness(Instant::now());
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn metrics_page(State(state): State<AdminState>) -> Response {
    let now = Instant::now();
    state.metrics.set_ready(state.readiness(now).ready);
    let page = state.metrics.render(&state.pools.load(), now);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response()
}

async fn endpoint_list(State(state): State<AdminState>) -> Response {
    Json(endpoints::list(
        &state.pools.load(),
        &state.metrics,
        Instant::now(),
    ))
    .into_response()
}

async fn pool_list(State(state): State<AdminState>) -> Response {
    Json(pools::list(&state.pools.load(), Instant::now())).into_response()
}

async fn route_list(State(state): State<AdminState>) -> Response {
    Json(state.explain.routes()).into_response()
}

async fn reset_target(
    State(state): State<AdminState>,
    Path((route, target)): Path<(String, String)>,
) -> Response {
    let Some(is_reset) = state.explain.reset_target(&route, &target) else {
        return GatewayError::NoSuchGuard { route, target }.into_response();
    };
    Json(json!({"route": route, "target": target, "reset": is_reset})).into_response()
}

async fn config(State(state): State<AdminState>) -> Response {
    Json(&**state.config.load()).into_response()
}
