//! HTTP responses of the engine, whole or streamed.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use super::api::ApiError;
use super::exchange::Cut;
use super::instant;

/// Every response's body.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// vLLM's content type for its metrics page.
pub(super) const METRICS_TYPE: &str = "text/plain; version=1.0.0; charset=utf-8";
pub(super) const JSON_TYPE: &str = "application/json";
const STREAM_TYPE: &str = "text/event-stream; charset=utf-8";

/// The fixed answer of an instant engine.
pub(super) fn instant_answer(body: &[u8]) -> Response<Body> {
    if instant::wants_stream(body) {
        whole(StatusCode::OK, Some(STREAM_TYPE), instant::STREAM)
    } else {
        whole(StatusCode::OK, Some(JSON_TYPE), instant::WHOLE)
    }
}

/// A response whose body is server-sent events.
pub(super) fn streamed(
    frames: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static,
) -> Response<Body> {
    let frames = frames.map(|chunk| chunk.map(Frame::data));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    set_type(&mut response, STREAM_TYPE);
    response
}

/// A refusal in vLLM's shape.
pub(super) fn refuse(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, Some(JSON_TYPE), error.to_json())
}

/// The shape of errors that come from vLLM's web framework.
pub(super) fn detail(status: StatusCode, text: &str) -> Response<Body> {
    whole(
        status,
        Some(JSON_TYPE),
        json!({ "detail": text }).to_string(),
    )
}

/// 200 with JSON.
pub(super) fn json_ok(value: &serde_json::Value) -> Response<Body> {
    whole(StatusCode::OK, Some(JSON_TYPE), value.to_string())
}

/// A response that is known as a whole.
pub(super) fn whole(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        set_type(&mut response, content_type);
    }
    response
}

fn set_type(response: &mut Response<Body>, content_type: &'static str) {
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static(content_type),
    );
}
