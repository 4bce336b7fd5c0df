//! What the HTTP face tells of a host tier: usage, metrics, resets.

use super::http_client::{HttpClient, client, exchange, get, post};
use super::start::{COMPLETIONS, ask, engine, fast};
use serde_json::json;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, TierFill};

/// Room for one of the prompts below and not for two.
fn tiered(fill: TierFill) -> EngineConfig {
    EngineConfig {
        capacity_tokens: 1024,
        host_tier_tokens: 8192,
        host_tier_fill: fill,
        ..fast()
    }
}

/// Asks about 800 tokens that begin with `letter`; returns how many were cached.
async fn cached(client: &HttpClient, engine: &EngineHandle, letter: char) -> u64 {
    let prompt = letter.to_string().repeat(3200);
    let body = json!({"prompt": prompt, "max_tokens": 2});
    let answer = ask(client, engine, COMPLETIONS, body).await.json();
    let details = &answer["usage"]["prompt_tokens_details"];
    details["cached_tokens"].as_u64().expect("a count")
}

async fn metric(client: &HttpClient, engine: &EngineHandle, series: &str) -> f64 {
    let page = exchange(client, get(&engine.url(), "/metrics"))
        .await
        .expect("an answer");
    let value = page.text.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == series).then(|| value.parse().expect("a number"))
    });
    value.unwrap_or_else(|| panic!("{series} not in {}", page.text))
}

#[tokio::test]
async fn cached_tokens_count_both_tiers_and_the_metrics_tell_them_apart() {
    for fill in [TierFill::WriteThrough, TierFill::OnEviction] {
        let (engine, client) = (engine(tiered(fill)).await, client());
        assert_eq!(cached(&client, &engine, 'a').await, 0);
        assert_eq!(cached(&client, &engine, 'b').await, 0);
        // 49 of 50 blocks: the last prompt token is always computed.
        assert_eq!(cached(&client, &engine, 'a').await, 784);
        let state = engine.state();
        let (on_device, loaded) = (state.prefix_hits_tokens_total, state.host_hits_tokens_total);
        assert_eq!(on_device + loaded, 784);
        assert!(loaded >= 576, "{loaded}: 64 blocks hold 50 and 13 others");
        assert_eq!(state.host_queries_tokens_total, 2400 - on_device);
        let one = |name: &str| format!(r#"{name}{{engine="0",model_name="sim"}}"#);
        let of = |name: &str, source: &str| {
            format!(r#"{name}{{engine="0",model_name="sim",source="{source}"}}"#)
        };
        let by_source = "vllm:prompt_tokens_by_source_total";
        let by_tier = "vllm:prompt_tokens_cached_by_source_total";
        for (series, value) in [
            (one("vllm:prefix_cache_queries_total"), 2400),
            (one("vllm:prefix_cache_hits_total"), on_device),
            (
                one("vllm:external_prefix_cache_queries_total"),
                2400 - on_device,
            ),
            (one("vllm:external_prefix_cache_hits_total"), loaded),
            (one("vllm:prompt_tokens_cached_total"), 784),
            (of(by_source, "local_compute"), 2400 - 784),
            (of(by_source, "local_cache_hit"), on_device),
            (of(by_source, "external_kv_transfer"), loaded),
            (of(by_tier, "device"), on_device),
            (of(by_tier, "host"), loaded),
            (of(by_tier, "p2p"), 0),
        ] {
            let shown = metric(&client, &engine, &series).await;
            assert_eq!(shown, value as f64, "{series}");
        }
    }
}

#[tokio::test]
async fn without_a_tier_nothing_is_asked_of_it() {
    let config = EngineConfig {
        host_tier_tokens: 0,
        ..tiered(TierFill::WriteThrough)
    };
    let (engine, client) = (engine(config).await, client());
    for letter in ['a', 'b', 'a'] {
        cached(&client, &engine, letter).await;
    }
    let state = engine.state();
    assert_eq!(
        (
            state.host_queries_tokens_total,
            state.host_hits_tokens_total
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn a_reset_reaches_the_tier_only_when_it_says_so() {
    let (engine, client) = (engine(tiered(TierFill::WriteThrough)).await, client());
    cached(&client, &engine, 'a').await;
    for (path, left) in [
        ("/reset_prefix_cache", 784),
        ("/reset_prefix_cache?reset_external=true", 0),
    ] {
        let reset = post(&engine.url(), path, &json!({}));
        assert_eq!(exchange(&client, reset).await.expect("done").status, 200);
        assert_eq!(cached(&client, &engine, 'a').await, left, "{path}");
    }
}
