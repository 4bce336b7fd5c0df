//! Lets tests see what really reached the engine, from inside and over HTTP.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Bodies up to this many bytes are shown in full by `GET /sim/last_request`.
pub const SHOWN_BODY_BYTES_MAX: usize = 64 * 1024;

/// Counts of one engine, as `GET /sim/state` shows them. "Answer" is one choice of one prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineState {
    /// Answers being computed.
    pub running: usize,
    /// Answers waiting for admission.
    pub waiting: usize,
    /// Inference requests whose response is not complete.
    pub open: u64,
    /// Inference requests received.
    pub received_total: u64,
    /// Answers completed.
    pub finished_total: u64,
    /// Answers aborted because their client left, and hung requests whose client left.
    pub aborted_total: u64,
    /// Prompt tokens looked up in the prefix cache.
    pub prefix_queries_tokens_total: u64,
    /// Prompt tokens found in the prefix cache.
    pub prefix_hits_tokens_total: u64,
    /// Prompt tokens that the device lacked and the host tier was asked for.
    pub host_queries_tokens_total: u64,
    /// Prompt tokens found in the host tier.
    pub host_hits_tokens_total: u64,
    /// Tokens generated.
    pub generation_tokens_total: u64,
}

/// An inference request exactly as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The body's xxh3-64.
    pub fn body_xxh3(&self) -> u64 {
        xxh3_64(&self.body)
    }

    /// For `GET /sim/last_request`: headers as pairs in order, the body's length and hash, and the
    /// body itself where it is small and UTF-8.
    pub(super) fn to_json(&self) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        let shown = (self.body.len() <= SHOWN_BODY_BYTES_MAX)
            .then(|| std::str::from_utf8(&self.body).ok())
            .flatten();
        json!({
            "method": self.method.as_str(),
            "path": self.path,
            "headers": headers,
            "body_bytes": self.body.len(),
            "body_xxh3": format!("{:016x}", self.body_xxh3()),
            "body": shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_up_to_the_limit() {
        let received = |length: usize| ReceivedRequest {
            method: Method::POST,
            path: "/v1/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from(vec![b'x'; length]),
        };
        assert!(received(SHOWN_BODY_BYTES_MAX).to_json()["body"].is_string());
        let hidden = received(SHOWN_BODY_BYTES_MAX + 1).to_json();
        assert!(hidden["body"].is_null());
        assert_eq!(hidden["body_bytes"], SHOWN_BODY_BYTES_MAX + 1);
    }
}
