//! The few lines of HTTP that tests of the engine's face need.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A client that speaks HTTP/1.1.
pub fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The JSON of every `data:` line but `[DONE]`.
    pub fn events(&self) -> Vec<Value> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| {
                serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
            })
            .collect()
    }
}

/// Sends and reads everything.
pub async fn exchange(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let response = client.request(request).await?;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let text = String::from_utf8(bytes.to_vec())?;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        text,
    })
}

/// A POST of JSON.
pub fn post(url: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    post_bytes(url, path, Bytes::from(body.to_string()))
}

/// A POST of anything, labelled JSON.
pub fn post_bytes(url: &str, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::post(format!("{url}{path}"))
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("invariant: tests write valid requests")
}

/// A GET.
pub fn get(url: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("{url}{path}"))
        .body(Full::default())
        .expect("invariant: tests write valid requests")
}
