//! What surrounds inference: refusals, limits, metrics, models, protocols.

use super::http_client::{HttpClient, client, exchange, get, post, post_bytes};
use super::start::{CHAT, COMPLETIONS, ask, chat_body, engine, fast};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use warmgate_loadtest::engine::{BODY_BYTES_MAX, EngineConfig};

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
async fn tokens_are_told_as_they_are_counted() {
    let (engine, client) = (engine(fast()).await, client());
    let text = json!({"model": "sim", "prompt": "the quick brown fox"});
    let chat = chat_body(&json!([{"role": "user", "content": "the quick brown fox"}]));
    for (path, body) in [(COMPLETIONS, text), (CHAT, chat)] {
        let told = ask(&client, &engine, "/tokenize", body.clone())
            .await
            .json();
        let usage = ask(&client, &engine, path, body).await.json();
        assert_eq!(told["count"], usage["usage"]["prompt_tokens"], "{path}");
        assert_eq!(told["max_model_len"], 262_144);
        let ids = told["tokens"].as_array().expect("a list");
        assert_eq!(ids.len() as u64, told["count"].as_u64().unwrap(), "{path}");
    }
    let refused = ask(&client, &engine, "/tokenize", json!({"model": "sim"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
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
