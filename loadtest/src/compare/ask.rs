//! One GET at a time, for readiness and for what engines counted.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// `GET path` at `address`, on a connection of its own; the error is for people.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), String> {
    let asked = async {
        let request = Request::get(format!("http://{address}{path}"))
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.map_err(|error| {
            use std::error::Error as _;
            error
                .source()
                .map_or(error.to_string(), ToString::to_string)
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    }
}
