//! Engines for tests, and the shortest way to ask them.

use super::http_client::{Answer, HttpClient, exchange, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, serve};

/// Fast enough that no test waits, slow enough that the model is what answers.
pub const SPEED: f64 = 1e6;

pub async fn engine(config: EngineConfig) -> EngineHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    serve(config, listener).expect("a valid configuration")
}

pub fn fast() -> EngineConfig {
    EngineConfig {
        models: vec!["sim".into(), "alias".into()],
        speed: SPEED,
        ..EngineConfig::default()
    }
}

pub async fn ask(client: &HttpClient, engine: &EngineHandle, path: &str, body: Value) -> Answer {
    exchange(client, post(&engine.url(), path, &body))
        .await
        .expect("an answer")
}

pub const CHAT: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";

pub fn chat_body(messages: &Value) -> Value {
    json!({"model": "sim", "messages": messages, "max_tokens": 8})
}
