//! Why: the engine's HTTP face over real sockets: every API's shape, cache hits, refusals.

use super::http_client::{Answer, HttpClient, client, exchange, get, post, post_bytes};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use warmgate_loadtest::engine::{BODY_BYTES_MAX, EngineConfig, EngineHandle, serve};

/// Fast enough that no test waits, slow enough that the model is what answers.
const SPEED: f64 = 1e6;

async fn engine(config: EngineConfig) -> EngineHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    serve(config, listener).expect("a valid configuration")
}

fn fast() -> EngineConfig {
    EngineConfig {
        models: vec!["sim".into(), "alias".into()],
        speed: SPEED,
        ..EngineConfig::default()
    }
}

async fn ask(client: &HttpClient, engine: &EngineHandle, path: &str, body: Value) -> Answer {
    exchange(client, post(&engine.url(), path, &body))
        .await
        .expect("an answer")
}

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

fn chat_body(messages: &Value) -> Value {
    json!({"model": "sim", "messages": messages, "max_tokens": 8})
}

#[tokio::test]
async fn the_second_turn_finds_the_first_turn_and_its_answer() {
    let (engine, client) = (engine(fast()).await, client());
    let question = json!({"role": "user", "content": "x".repeat(4000)});
    let first = ask(&client, &engine, CHAT, chat_body(&json!([question])))
        .await
        .json();
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(first["choices"][0]["finish_reason"], "length");
    let answer = first["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(answer.len(), 8 * 4);

    let turn = json!([question, {"role": "assistant", "content": answer}, {"role": "user", "content": "go on"}]);
    let second = ask(&client, &engine, CHAT, chat_body(&turn)).await.json();
    let usage = &second["usage"];
    let cached = usage["prompt_tokens_details"]["cached_tokens"]
        .as_u64()
        .unwrap();
    let before = first["usage"]["total_tokens"].as_u64().unwrap();
    assert_eq!(
        cached,
        (before - 1) / 16 * 16,
        "all full blocks of the first turn and its answer"
    );
    assert_eq!(usage["completion_tokens"], 8);
    let state = engine.state();
    assert_eq!(state.prefix_hits_tokens_total, cached);
    assert_eq!(
        (
            state.received_total,
            state.finished_total,
            state.aborted_total
        ),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn a_stream_carries_the_same_answer_and_its_usage() {
    let (engine, client) = (engine(fast()).await, client());
    let mut body = chat_body(&json!([{"role": "user", "content": "hello"}]));
    let whole = ask(&client, &engine, CHAT, body.clone()).await.json();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let stream = ask(&client, &engine, CHAT, body.clone()).await;
    assert_eq!(
        stream.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(stream.text.ends_with("data: [DONE]\n\n"));
    let events = stream.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text.as_str());
    let last = events.last().unwrap();
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(
        events[events.len() - 2]["choices"][0]["finish_reason"],
        "length"
    );
    body["stream_options"] = Value::Null;
    let bare = ask(&client, &engine, CHAT, body).await;
    assert!(
        bare.events()
            .iter()
            .all(|event| event.get("usage").is_none())
    );
}

#[tokio::test]
async fn several_choices_and_prompts_are_numbered_and_counted() {
    let (engine, client) = (engine(fast()).await, client());
    let body = json!({"prompt": ["one", "two"], "n": 2, "max_tokens": 3});
    let answer = ask(&client, &engine, COMPLETIONS, body).await.json();
    let indexes: Vec<u64> = answer["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    assert_eq!(answer["usage"]["completion_tokens"], 12);
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "n": 2, "max_tokens": 3, "stream": true});
    let events = ask(&client, &engine, CHAT, body).await.events();
    for choice in 0..2 {
        let ends = events
            .iter()
            .filter(|event| event["choices"][0]["index"] == choice)
            .filter(|event| event["choices"][0]["finish_reason"] == "length");
        assert_eq!(ends.count(), 1, "choice {choice}");
    }
}

#[tokio::test]
async fn token_ids_count_one_each_and_hit_again() {
    let (engine, client) = (engine(fast()).await, client());
    let body = json!({"prompt": (0..100).collect::<Vec<u32>>(), "max_tokens": 1});
    let first = ask(&client, &engine, COMPLETIONS, body.clone())
        .await
        .json();
    assert_eq!(first["usage"]["prompt_tokens"], 100);
    let second = ask(&client, &engine, COMPLETIONS, body).await.json();
    assert_eq!(
        second["usage"]["prompt_tokens_details"]["cached_tokens"],
        96
    );
}

#[tokio::test]
async fn salts_and_models_share_nothing() {
    let (engine, client) = (engine(fast()).await, client());
    let body = |model: &str, salt: &str| json!({"model": model, "prompt": "y".repeat(400), "max_tokens": 1, "cache_salt": salt});
    for (model, salt, cached) in [
        ("sim", "a", 0),
        ("sim", "b", 0),
        ("alias", "a", 0),
        ("sim", "a", 96),
    ] {
        let answer = ask(&client, &engine, COMPLETIONS, body(model, salt))
            .await
            .json();
        let found = &answer["usage"]["prompt_tokens_details"]["cached_tokens"];
        assert_eq!(*found, cached, "{model} {salt}");
    }
}

#[tokio::test]
async fn anthropic_messages_have_their_own_shape() {
    let (engine, client) = (engine(fast()).await, client());
    let mut body = json!({
        "model": "sim", "max_tokens": 4, "system": [{"type": "text", "text": "s".repeat(400)}],
        "messages": [{"role": "user", "content": "hi"}],
    });
    let whole = ask(&client, &engine, "/v1/messages", body.clone())
        .await
        .json();
    assert_eq!(whole["type"], "message");
    assert_eq!(whole["stop_reason"], "max_tokens");
    body["stream"] = json!(true);
    let events = ask(&client, &engine, "/v1/messages", body).await.events();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..2], ["message_start", "content_block_start"]);
    assert_eq!(kinds[2..6], ["content_block_delta"; 4]);
    assert_eq!(
        kinds[6..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    let usage = &events[7]["usage"];
    let (input, read) = (&usage["input_tokens"], &usage["cache_read_input_tokens"]);
    assert_eq!(
        input.as_u64().unwrap() + read.as_u64().unwrap(),
        whole["usage"]["input_tokens"].as_u64().unwrap(),
        "cached tokens are counted beside the input"
    );
    assert!(read.as_u64().unwrap() >= 96);
}

#[tokio::test]
async fn responses_and_embeddings_answer() {
    let (engine, client) = (engine(fast()).await, client());
    let mut body = json!({"input": "hi", "max_output_tokens": 4});
    let whole = ask(&client, &engine, "/v1/responses", body.clone())
        .await
        .json();
    assert_eq!(
        (&whole["object"], &whole["status"]),
        (&json!("response"), &json!("incomplete"))
    );
    assert_eq!(whole["usage"]["output_tokens"], 4);
    body["stream"] = json!(true);
    let events = ask(&client, &engine, "/v1/responses", body).await.events();
    assert_eq!(events[0]["type"], "response.created");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(
        last["response"]["output"][0]["content"],
        whole["output"][0]["content"]
    );
    let body = json!({"model": "sim", "input": ["a", "b"]});
    let embedded = ask(&client, &engine, "/v1/embeddings", body).await.json();
    assert_eq!(embedded["data"].as_array().unwrap().len(), 2);
    assert_eq!(embedded["usage"]["completion_tokens"], 0);
}

#[tokio::test]
async fn refusals_look_like_vllms() {
    let config = EngineConfig {
        max_model_tokens: 32,
        ..fast()
    };
    let (engine, client) = (engine(config).await, client());
    let prompt = |tokens: usize| json!({"prompt": "x".repeat(tokens * 4), "max_tokens": 2});
    let cases = [
        (
            CHAT,
            json!({"model": "nope", "messages": []}),
            404,
            "NotFoundError",
        ),
        (CHAT, json!({"model": "sim"}), 400, "Bad Request"),
        (
            COMPLETIONS,
            json!({"prompt": "x", "max_tokens": 0}),
            400,
            "BadRequestError",
        ),
        (
            COMPLETIONS,
            json!({"prompt": "x", "n": 129}),
            400,
            "BadRequestError",
        ),
        (COMPLETIONS, json!({"prompt": ""}), 400, "BadRequestError"),
        (COMPLETIONS, prompt(31), 400, "BadRequestError"),
        ("/v1/messages", json!({"messages": []}), 400, "Bad Request"),
    ];
    for (path, body, status, kind) in cases {
        let answer = ask(&client, &engine, path, body.clone()).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["error"]["type"], kind, "{body}");
        assert_eq!(answer.json()["error"]["code"], status, "{body}");
    }
    assert_eq!(
        ask(&client, &engine, COMPLETIONS, prompt(30)).await.status,
        StatusCode::OK
    );
    let unknown = ask(
        &client,
        &engine,
        CHAT,
        json!({"model": "nope", "messages": []}),
    )
    .await
    .json();
    assert_eq!(
        unknown["error"]["message"],
        "The model `nope` does not exist. Valid aliases: sim, alias."
    );
    let broken = post_bytes(&engine.url(), CHAT, Bytes::from_static(b"{\"model\": "));
    assert_eq!(
        exchange(&client, broken).await.unwrap().status,
        StatusCode::BAD_REQUEST
    );
    let wrong_method = exchange(&client, get(&engine.url(), CHAT)).await.unwrap();
    assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
    let nowhere = exchange(&client, get(&engine.url(), "/nope"))
        .await
        .unwrap();
    assert_eq!(
        (nowhere.status, nowhere.text.as_str()),
        (StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#)
    );
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let (engine, client) = (
        engine(EngineConfig {
            instant: true,
            ..fast()
        })
        .await,
        client(),
    );
    for (bytes, status) in [(BODY_BYTES_MAX, 200), (BODY_BYTES_MAX + 1, 413)] {
        let body = Bytes::from(vec![b' '; bytes]);
        let answer = exchange(&client, post_bytes(&engine.url(), CHAT, body))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{bytes} bytes");
    }
}

#[tokio::test]
async fn the_metrics_page_has_vllms_names() {
    let (engine, client) = (engine(fast()).await, client());
    let body = json!({"prompt": "z".repeat(400), "max_tokens": 5});
    ask(&client, &engine, COMPLETIONS, body.clone()).await;
    ask(&client, &engine, COMPLETIONS, body).await;
    let page = exchange(&client, get(&engine.url(), "/metrics"))
        .await
        .unwrap();
    assert_eq!(
        page.headers["content-type"],
        "text/plain; version=1.0.0; charset=utf-8"
    );
    let labels = r#"{engine="0",model_name="sim"}"#;
    for (name, value) in [
        ("vllm:num_requests_running", "0.0"),
        ("vllm:num_requests_waiting", "0.0"),
        ("vllm:kv_cache_usage_perc", "0.0"),
        ("vllm:prefix_cache_queries_total", "200.0"),
        ("vllm:prefix_cache_hits_total", "96.0"),
        ("vllm:prompt_tokens_total", "200.0"),
        ("vllm:generation_tokens_total", "10.0"),
    ] {
        let line = format!("\n{name}{labels} {value}\n");
        assert!(page.text.contains(&line), "{line} not in {}", page.text);
    }
    let finished =
        r#"vllm:request_success_total{engine="0",finished_reason="length",model_name="sim"} 2.0"#;
    assert!(page.text.contains(finished));
    let cache = page
        .text
        .lines()
        .find(|line| line.starts_with("vllm:cache_config_info{"))
        .unwrap();
    assert!(cache.contains(r#"block_size="16""#) && cache.contains(r#"num_gpu_blocks="62500""#));
    assert!(page.text.contains("\nprocess_start_time_seconds "));
}

#[tokio::test]
async fn models_health_and_request_ids() {
    let (engine, client) = (engine(fast()).await, client());
    let models = exchange(&client, get(&engine.url(), "/v1/models"))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][1]["id"]),
        (&json!("sim"), &json!("alias"))
    );
    assert_eq!(
        exchange(&client, get(&engine.url(), "/health"))
            .await
            .unwrap()
            .status,
        StatusCode::OK
    );
    let mut request = post(
        &engine.url(),
        CHAT,
        &chat_body(&json!([{"role": "user", "content": "a"}])),
    );
    request
        .headers_mut()
        .insert("x-request-id", "my-req-1".parse().unwrap());
    let answer = exchange(&client, request).await.unwrap().json();
    assert_eq!(answer["id"], "chatcmpl-my-req-1");
}

#[tokio::test]
async fn http2_without_tls_is_spoken_too() {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    let engine = engine(fast()).await;
    let client: HttpClient = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let body = json!({"prompt": "over h2", "max_tokens": 2, "stream": true});
    let answer = ask(&client, &engine, COMPLETIONS, body).await;
    assert_eq!(answer.events().len(), 2);
}

#[tokio::test]
async fn a_forced_tool_call_is_made() {
    let (engine, client) = (engine(fast()).await, client());
    let tool =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    let mut body = json!({
        "messages": [{"role": "user", "content": "weather?"}], "max_tokens": 4,
        "tools": [tool("first"), tool("second")], "tool_choice": "required",
    });
    let whole = ask(&client, &engine, CHAT, body.clone()).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"],
        json!({"name": "first", "arguments": "{}"})
    );
    body["tool_choice"] = json!({"type": "function", "function": {"name": "second"}});
    body["stream"] = json!(true);
    let events = ask(&client, &engine, CHAT, body.clone()).await.events();
    let call = &events[1]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(
        (&call["index"], &call["function"]["name"]),
        (&json!(0), &json!("second"))
    );
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
    body["tool_choice"] = json!("auto");
    body["stream"] = json!(false);
    let free = ask(&client, &engine, CHAT, body).await.json();
    assert_eq!(free["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn log_probabilities_come_when_asked_for() {
    let (engine, client) = (engine(fast()).await, client());
    let mut body = chat_body(&json!([{"role": "user", "content": "a"}]));
    let without = ask(&client, &engine, CHAT, body.clone()).await.json();
    assert!(without["choices"][0]["logprobs"].is_null());
    (body["logprobs"], body["top_logprobs"]) = (json!(true), json!(2));
    let whole = ask(&client, &engine, CHAT, body.clone()).await.json();
    assert_eq!(
        whole["choices"][0]["logprobs"]["content"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    body["stream"] = json!(true);
    let events = ask(&client, &engine, CHAT, body).await.events();
    assert_eq!(
        events[1]["choices"][0]["logprobs"]["content"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let body = json!({"prompt": "a", "max_tokens": 3, "logprobs": 1});
    let text = ask(&client, &engine, COMPLETIONS, body).await.json();
    assert_eq!(
        text["choices"][0]["logprobs"]["text_offset"],
        json!([0, 4, 8])
    );
}
