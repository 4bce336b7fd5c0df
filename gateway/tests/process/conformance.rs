//! What a client and an engine see of each other is what they would see without the gateway.

use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use warmgate_loadtest::engine::EngineHandle;

use crate::engines::engine;
use crate::gateway_process::{GatewayProcess, Start};
use crate::http_client::{self, Answer, chat_body, post};

/// Path and body of each API; `stream` is added.
fn apis() -> Vec<(&'static str, Value)> {
    let messages = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "caf\u{e9}, and a longer text so that there are blocks of it"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    vec![
        (
            "/v1/chat/completions",
            json!({"model": "sim", "messages": messages, "max_tokens": 5,
                   "stream_options": {"include_usage": true}}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "sim", "messages": messages, "max_tokens": 3, "n": 2, "logprobs": true,
                   "top_logprobs": 2, "tools": tools}),
        ),
        (
            "/v1/completions",
            json!({"model": "sim", "prompt": ["one prompt", "and another"], "max_tokens": 4}),
        ),
        (
            "/v1/completions",
            json!({"model": "sim", "prompt": [1, 2, 3, 4], "max_tokens": 4}),
        ),
        (
            "/v1/embeddings",
            json!({"model": "sim", "input": ["embed this"]}),
        ),
        (
            "/v1/responses",
            json!({"model": "sim", "input": "answer this", "max_output_tokens": 4}),
        ),
        (
            "/v1/messages",
            json!({"model": "sim", "system": "be brief", "max_tokens": 4,
                   "messages": [{"role": "user", "content": "hello"}]}),
        ),
    ]
}

/// The same request to an engine directly and through the gateway, its cache as empty both times.
async fn both_ways(
    gateway: &GatewayProcess,
    engine: &EngineHandle,
    path: &str,
    body: &str,
) -> [Answer; 2] {
    let mut answers = Vec::new();
    for to in [engine.addr(), gateway.listen] {
        let forget = post("/reset_prefix_cache", &[], "");
        http_client::send(engine.addr(), forget).await.unwrap();
        // Engines make ids of it.
        let request = post(path, &[("x-request-id", "same-for-both")], body.to_owned());
        answers.push(http_client::send(to, request).await.unwrap());
    }
    answers.try_into().unwrap()
}

/// Headers that are not a matter of one connection or one gateway.
fn lasting(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut lasting: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| !name.starts_with("x-") && name != "date" && name != "connection")
        .collect();
    lasting.sort();
    lasting
}

#[tokio::test]
async fn every_api_answers_as_the_engine_does_streamed_and_whole() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for (path, body) in apis() {
        for is_stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = Value::Bool(is_stream);
            let [direct, through] = both_ways(&gateway, &engine, path, &body.to_string()).await;
            let context = format!("{path} stream={is_stream}: {}", direct.text());
            assert_eq!(through.status, direct.status, "{context}");
            assert_eq!(through.text(), direct.text(), "{context}");
            assert_eq!(
                lasting(&through.headers),
                lasting(&direct.headers),
                "{context}"
            );
            assert!(direct.status == StatusCode::OK, "{context}");
            assert!(through.is_complete, "{context}");
            assert_eq!(through.header("x-request-id"), "same-for-both");
            assert_eq!(through.endpoint(), engine.addr().to_string());
        }
    }
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_engines_refusal_is_passed_on_as_it_is() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let too_long = chat_body("hello", 1_000_000_000, false);
    let [direct, through] = both_ways(&gateway, &engine, "/v1/chat/completions", &too_long).await;
    assert_eq!(direct.status, StatusCode::BAD_REQUEST);
    assert_eq!(through.status, direct.status);
    assert_eq!(through.body, direct.body);
    assert_eq!(lasting(&through.headers), lasting(&direct.headers));
}

#[tokio::test]
async fn a_body_arrives_byte_for_byte() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let bodies = [
        // Numbers that a double cannot hold, keys twice, escapes, spaces, an unknown object.
        concat!(
            r#" {"model":"sim","seed":9007199254740993,"x":1,"x":2.50e0,"messages":"#,
            r#"[{"role":"user","content":"caf\u00e9 \ud83d\ude00 é \/ \"kv_transfer_params\""}],"#,
            "\n\t",
            r#""unknown":{"bootstrap_room":1,"z":[ ],"a":-0.0} , "max_tokens":2}  "#,
        ),
        r#"{"prompt":"p","max_tokens":1,"model":"s\u0069m"}"#,
    ];
    for (path, body) in ["/v1/chat/completions", "/v1/completions"]
        .iter()
        .zip(bodies)
    {
        let answer = http_client::send(gateway.listen, post(path, &[], body))
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let received = engine.last_request().unwrap();
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.path, *path);
        assert_eq!(received.headers["content-length"], body.len().to_string());
    }
}

#[tokio::test]
async fn fields_between_routers_and_engines_are_taken_out_and_nothing_else() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let body = concat!(
        r#"{ "kv_transfer_params":{"do_remote_prefill":true}, "model":"sim","seed":9007199254740993,"#,
        r#""bootstrap_host":"h" , "prompt":"p\u00e9","bootstrap_room":[1,{"a":"}"}],"max_tokens":1}"#
    );
    let answer = http_client::send(gateway.listen, post("/v1/completions", &[], body)).await;
    assert_eq!(answer.unwrap().status, StatusCode::OK);
    let received = engine.last_request().unwrap();
    let text = std::str::from_utf8(&received.body).unwrap();
    assert!(
        !text.contains("kv_transfer_params") && !text.contains("bootstrap"),
        "{text}"
    );
    assert!(
        text.contains(r#""model":"sim","seed":9007199254740993"#),
        "{text}"
    );
    assert!(text.contains(r#""prompt":"p\u00e9""#), "{text}");
    let kept: Value = serde_json::from_str(text).unwrap();
    let names: Vec<_> = kept.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["max_tokens", "model", "prompt", "seed"]);
    let page = gateway.metrics().await;
    assert_eq!(
        page.sum("warmgate_stripped_fields_total", &[("kind", "field")]),
        1.0
    );
}

#[tokio::test]
async fn headers_cross_but_for_those_of_a_connection_and_those_between_routers() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let kept = [
        ("authorization", "Bearer token"),
        ("x_tenant", "underscores are fine"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("x-session-id", "s"),
        ("accept", "text/event-stream"),
    ];
    let stripped = [
        ("x-vllm-priority", "0"),
        ("x-data-parallel-rank", "1"),
        ("x-prefiller-host-port", "10.0.0.1:1"),
        ("x-gateway-destination-endpoint", "10.0.0.1:1"),
        ("x-warmgate-explain", "1"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic x"),
        ("x-nominated", "1"),
    ];
    let headers: Vec<_> = kept.into_iter().chain(stripped).collect();
    let mut request = post("/v1/chat/completions", &headers, chat_body("p", 1, false));
    let nominated = "x-nominated".parse().unwrap();
    request.headers_mut().insert("connection", nominated);
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());

    let received = engine.last_request().unwrap().headers;
    for (name, value) in kept {
        assert_eq!(
            received.get(name).map(|value| value.to_str().unwrap()),
            Some(value)
        );
    }
    for (name, _) in stripped {
        assert!(!received.contains_key(name), "{name}");
    }
    assert_eq!(received["host"], engine.addr().to_string());
    let made = answer.header("x-request-id");
    assert_eq!(received["x-request-id"], made);
    assert_eq!(made.len(), 32, "{made}");
}

#[tokio::test]
async fn models_of_all_endpoints_are_listed_once() {
    use crate::engines::{engine_like, fast};
    use warmgate_loadtest::engine::EngineConfig;

    let serving = |models: &[&str]| EngineConfig {
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        ..fast()
    };
    let engines = [
        engine_like(serving(&["base", "lora-a"])).await,
        engine_like(serving(&["base", "lora-b"])).await,
    ];
    let gateway = Start::in_front_of(&engines).run().await;
    let list = http_client::get(gateway.listen, "/v1/models")
        .await
        .unwrap();
    assert_eq!(list.status, StatusCode::OK);
    let list = list.json();
    assert_eq!(list["object"], "list");
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base", "lora-a", "lora-b"]);

    // Only the endpoint that has an adapter gets requests for it.
    for (model, engine) in [("lora-a", &engines[0]), ("lora-b", &engines[1])] {
        let body = json!({"model": model, "prompt": "p", "max_tokens": 1}).to_string();
        let answer = http_client::send(gateway.listen, post("/v1/completions", &[], body)).await;
        assert_eq!(answer.unwrap().endpoint(), engine.addr().to_string());
    }
}

#[tokio::test]
async fn everything_that_is_no_inference_passes_through() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for path in ["/health", "/version", "/no/such/path?x=1"] {
        let direct = http_client::get(engine.addr(), path).await.unwrap();
        let through = http_client::get(gateway.listen, path).await.unwrap();
        assert_eq!(through.status, direct.status, "{path}");
        assert_eq!(through.body, direct.body, "{path}");
        assert_eq!(
            lasting(&through.headers),
            lasting(&direct.headers),
            "{path}"
        );
    }
    // A method that the engine refuses is the engine's to refuse.
    let wrong = Request::get("/v1/completions")
        .body(http_body_util::Full::<bytes::Bytes>::default())
        .unwrap();
    let answer = http_client::send(gateway.listen, wrong).await.unwrap();
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    // A POST with a body that is no inference.
    let fault = post("/sim/fault", &[], r#"{"kind":"status","code":500}"#);
    let answer = http_client::send(gateway.listen, fault).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    gateway.assert_settled().await;
}
