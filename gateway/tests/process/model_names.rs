//! Clients find the name that they asked for in every answer, and every other byte as the engine
//! wrote it.

use http::StatusCode;
use serde_json::json;
use warmgate_loadtest::engine::EngineConfig;

use crate::broken_engine::{self, Then};
use crate::engines::{engine_like, fast};
use crate::gateway_process::{GatewayProcess, Start};
use crate::http_client::{self, Answer, chat_body, post};

/// Path, content type, and an answer in the shape of vLLM 0.32.0 with `NAME` where the model's name
/// belongs; content, calls of tools and log probabilities speak of models as well.
const ANSWERS: &[(&str, &str, &str)] = &[
    (
        "/v1/chat/completions",
        "application/json",
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"NAME","choices":[{"index":0,"message":{"role":"assistant","content":"{\"model\":\"chat-v1\"}","tool_calls":[{"id":"c","type":"function","function":{"name":"model","arguments":"{\"model\": \"chat-v1\"}"}}],"model":"chat-v1"},"logprobs":{"content":[{"token":"\"model\":\"chat-v1\"","logprob":-0.25,"bytes":[34],"top_logprobs":[]}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}"#,
    ),
    (
        "/v1/chat/completions",
        "text/event-stream; charset=utf-8",
        concat!(
            ": ping\n\n",
            r#"data: {"id":"c","object":"chat.completion.chunk","model":"NAME","choices":[{"index":0,"delta":{"role":"assistant","content":"\"model\":\"chat-v1\""}}]}"#,
            "\n\n",
            r#"data: {"id":"c","object":"chat.completion.chunk","model":"NAME","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
            "\n\ndata: [DONE]\n\n"
        ),
    ),
    (
        "/v1/embeddings",
        "application/json",
        r#"{"id":"e","object":"list","model":"NAME","data":[{"index":0,"object":"embedding","embedding":[0.5,-1e-7]}],"usage":{"prompt_tokens":1}}"#,
    ),
    (
        "/v1/messages",
        "application/json",
        r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"model":"chat-v1"}}],"model":"NAME","stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}"#,
    ),
    (
        "/v1/messages",
        "text/event-stream",
        concat!(
            "event: message_start\n",
            r#"data: {"type":"message_start","message":{"id":"msg_1","content":[],"model":"NAME","usage":{"input_tokens":1,"output_tokens":0}}}"#,
            "\n\nevent: content_block_delta\n",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"model\":\"chat-v1\"","model":"chat-v1"}}"#,
            "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        ),
    ),
    (
        "/v1/responses",
        "text/event-stream",
        concat!(
            "event: response.created\n",
            r#"data: {"type":"response.created","response":{"id":"r","metadata":{"model":"chat-v1"},"model":"NAME","output":[]},"sequence_number":0}"#,
            "\n\nevent: response.completed\n",
            r#"data: {"type":"response.completed","response":{"id":"r","model":"NAME","output":[{"model":"chat-v1"}]},"sequence_number":1}"#,
            "\n\n"
        ),
    ),
];

/// A gateway in front of an engine that answers with these bytes, under this route.
async fn answering(content_type: &str, further: &str, body: &str, target: &str) -> GatewayProcess {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{further}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let engine = broken_engine::serve(&answer, Then::Wait).await;
    Start::with_config(&format!(
        // That engine answers once on each connection.
        "forward: {{keepalive_s: 0}}\n\
         pools: [{{name: main, upstreams: ['http://{engine}']}}]\n\
         routes: [{{model: chat, targets: [{{pool: main{target}}}]}}]\n"
    ))
    .without_awaiting_endpoints()
    .run()
    .await
}

const RENAMED: &str = ", model: chat-v1";

async fn ask(gateway: &GatewayProcess, path: &str) -> Answer {
    let body = r#"{"model":"chat","max_tokens":1,"messages":[],"input":"p"}"#;
    let answer = http_client::send(gateway.listen, post(path, &[], body)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(answer.is_complete);
    answer
}

#[tokio::test]
async fn the_name_is_exchanged_where_it_stands_and_no_other_byte() {
    for (path, content_type, answer) in ANSWERS {
        let from_engine = answer.replace("NAME", "chat-v1");
        let gateway = answering(content_type, "", &from_engine, RENAMED).await;
        let renamed = ask(&gateway, path).await;
        assert_eq!(renamed.text(), answer.replace("NAME", "chat"), "{path}");
    }
}

#[tokio::test]
async fn without_another_name_bytes_and_length_stay() {
    for (path, content_type, answer) in ANSWERS {
        let from_engine = answer.replace("NAME", "whatever");
        let gateway = answering(content_type, "", &from_engine, "").await;
        let same = ask(&gateway, path).await;
        assert_eq!(same.text(), from_engine, "{path}");
        assert_eq!(same.header("content-length"), from_engine.len().to_string());
    }
}

#[tokio::test]
async fn a_renamed_answer_reaches_clients_of_every_version() {
    let (_, content_type, answer) = ANSWERS[0];
    let from_engine = answer.replace("NAME", "chat-v1");
    let gateway = answering(content_type, "", &from_engine, RENAMED).await;
    let expected = answer.replace("NAME", "chat");
    let body = chat_body("p", 1, false).replace("sim", "chat");
    let old = format!(
        "POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let raw = http_client::raw(gateway.listen, old.as_bytes()).await;
    let raw = String::from_utf8(raw).unwrap();
    let (head, received) = raw.split_once("\r\n\r\n").unwrap();
    assert_eq!(received, expected, "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"));
    let request = post("/v1/chat/completions", &[], body);
    let request = {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("http://{}/v1/chat/completions", gateway.listen)
            .parse()
            .unwrap();
        http::Request::from_parts(parts, body)
    };
    let new = http_client::send_http2(gateway.listen, request)
        .await
        .unwrap();
    assert_eq!(new.text(), expected);
    assert!(new.is_complete);
}

#[tokio::test]
async fn a_compressed_answer_is_passed_on_and_counted() {
    let (path, content_type, answer) = ANSWERS[0];
    let gateway = answering(content_type, "content-encoding: br\r\n", answer, RENAMED).await;
    let untouched = ask(&gateway, path).await;
    assert_eq!(untouched.text(), answer);
    assert_eq!(untouched.header("content-length"), answer.len().to_string());
    let counted = gateway.metrics().await;
    assert_eq!(counted.sum("warmgate_unrenamed_answers_total", &[]), 1.0);
}

#[tokio::test]
async fn engines_learn_their_name_and_clients_keep_theirs_in_every_api() {
    let engine = engine_like(EngineConfig {
        models: vec!["chat-v1".to_owned()],
        ..fast()
    })
    .await;
    let config = format!(
        "pools: [{{name: main, upstreams: ['{}']}}]\n\
         routes: [{{model: chat, targets: [{{pool: main, model: chat-v1}}]}}]\n",
        engine.url()
    );
    let gateway = Start::with_config(&config).run().await;
    let mut body = json!({
        "model": "chat", "max_tokens": 3, "prompt": "p", "input": "p",
        "messages": [{"role": "user", "content": "p"}],
    });
    for is_stream in [false, true] {
        body["stream"] = json!(is_stream);
        for path in [
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/messages",
            "/v1/responses",
        ] {
            let headers = [("accept-encoding", "gzip, br")];
            let request = post(path, &headers, body.to_string());
            let answer = http_client::send(gateway.listen, request).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let text = answer.text();
            assert!(text.contains(r#""chat""#), "{path}: {text}");
            assert!(!text.contains("chat-v1"), "{path}: {text}");
            let sent = engine.last_request().unwrap();
            assert!(!sent.headers.contains_key("accept-encoding"));
        }
    }
}
