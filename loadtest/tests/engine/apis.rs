//! Every API's shape over real sockets, and what the prefix cache makes of them.

use super::http_client::client;
use super::start::{CHAT, COMPLETIONS, ask, chat_body, engine, fast};
use serde_json::{Value, json};

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
