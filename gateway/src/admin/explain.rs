//! What would be decided for a request that somebody describes.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::AdminState;
use crate::error::GatewayError;

/// Largest description of a request: the default limit of a body and a mebibyte around it.
pub const EXPLAIN_BODY_BYTES_MAX: usize = 33 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described<'a> {
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    // As it was written: the bytes of a prompt decide where it goes.
    #[serde(borrow)]
    body: &'a RawValue,
}

pub(super) async fn explain(
    State(state): State<AdminState>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match answer(&state, body) {
        Ok(table) => Json(table).into_response(),
        Err(error) => error.into_response(),
    }
}

fn answer(
    state: &AdminState,
    body: Result<Bytes, BytesRejection>,
) -> Result<serde_json::Value, GatewayError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => GatewayError::BodyTooLarge {
            limit_bytes: EXPLAIN_BODY_BYTES_MAX as u64,
        },
        _ => GatewayError::BadFraming {
            reason: "the body broke off",
        },
    })?;
    let described: Described<'_> = serde_json::from_slice(&body).map_err(not_a_description)?;
    let headers = described.headers.iter().map(header);
    let headers = headers.collect::<Result<HeaderMap, GatewayError>>()?;
    state
        .explain
        .explain(&described.path, &headers, described.body.get().as_bytes())
}

/// Only the place: the parser's own words may quote the prompt.
fn not_a_description(error: serde_json::Error) -> GatewayError {
    let reason = format!(
        "expected {{\"path\": text, \"headers\": {{name: text}}, \"body\": the request's JSON}}; \
         line {} column {} does not fit",
        error.line(),
        error.column()
    );
    GatewayError::BadRequest { reason }
}

fn header((name, value): (&String, &String)) -> Result<(HeaderName, HeaderValue), GatewayError> {
    let bad = |what: &str| GatewayError::BadRequest {
        reason: format!("`headers` has a malformed {what}: `{name}`"),
    };
    Ok((
        name.parse().map_err(|_| bad("name"))?,
        value.parse().map_err(|_| bad("value of"))?,
    ))
}
