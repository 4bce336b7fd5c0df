//! The table against the page, bounded labels, and series that go with their endpoints.

use std::time::Duration;

use warmgate_routing::decision::Degraded;
use warmgate_routing::endpoint::Serving;
use warmgate_routing::report::ServedModel;
use warmgate_routing::request::Api;
use warmgate_routing::{EndpointEvent, EndpointKey, EndpointSpec, Policy, RouterSettings, Tokens};

use super::*;
use crate::error::GatewayError;

fn fleet(authorities: &[&str]) -> Vec<(String, Arc<Router>)> {
    let router = Router::new(RouterSettings::default(), Policy::default());
    for authority in authorities {
        let spec = EndpointSpec::at(authority, ([127, 0, 0, 1], 8000).into(), false);
        router.apply(EndpointEvent::Apply(spec));
    }
    vec![("main".to_owned(), Arc::new(router))]
}

fn key(authority: &str) -> EndpointKey {
    EndpointKey(format!("http://{authority}").into())
}

/// The value of the series that starts so.
fn value(page: &str, series: &str) -> Option<f64> {
    let rest = page.lines().find_map(|line| line.strip_prefix(series))?;
    rest.trim().parse().ok()
}

fn outcome(model: &str) -> Outcome<'_> {
    Outcome {
        api: Some(Api::ChatCompletions),
        model,
        status: 200,
        ..Outcome::default()
    }
}

/// Touches every family.
fn everything(metrics: &Metrics, pools: &[(String, Arc<Router>)]) {
    let pool = metrics.pool("main");
    let error = GatewayError::Saturated;
    let second = Some(Duration::from_secs(1));
    let all = Outcome {
        error: Some(&error),
        aborted: Some(AbortPhase::Streaming),
        is_stream_error: true,
        body_bytes: Some(1_000),
        decision: second,
        time_to_first_token: second,
        time_per_output_token: second,
        matched_tokens: Some(Tokens(50)),
        predicted_tokens: Some(Tokens(100)),
        estimated_prompt_tokens: Some(Tokens(100)),
        prompt_tokens: Some(Tokens(200)),
        cached_tokens: Some(Tokens(150)),
        completion_tokens: Some(Tokens(7)),
        ..outcome("m")
    };
    pool.finished(&all);
    pool.retried(RetryReason::Connect);
    pool.ejected();
    pool.degraded(Degraded::AllEjected);
    pool.left_unrenamed();
    metrics.know_targets([target("chat", "stable", 90)].into_iter());
    metrics.weigh_target((&"chat".into(), &"stable".into()), 90, Some(false));
    metrics.target_finished(&"chat".into(), &"stable".into(), &all);
    metrics.target_fell_back(&"chat".into(), &"stable".into());
    metrics.know_mirrors(["chat".into()].into_iter());
    metrics.mirrored("chat", MirrorOutcome::Ok, second);
    metrics.endpoint_failed("main", "a:1", Failure::Connect);
    metrics.stripped("kv_transfer_params", 1);
    metrics.scraped("main", true);
    metrics.source_failed("main", SourceFailure::Unresolved);
    metrics.config_reloaded(false);
    metrics.set_ready(true);
    metrics.bug();
    let report =
        warmgate_routing::report::EngineReport::empty(warmgate_routing::endpoint::Engine::Vllm);
    pools[0].1.observe(&key("a:1"), report, Instant::now());
}

#[test]
fn the_page_has_every_row_of_the_table_and_nothing_else() {
    let (metrics, pools) = (Metrics::new(), fleet(&["a:1"]));
    everything(&metrics, &pools);
    let page = metrics.render(&pools, Instant::now());
    let mut shown: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let mut table: Vec<_> = TABLE
        .iter()
        .map(|family| {
            format!(
                "{} {}",
                family.name,
                format!("{:?}", family.kind).to_lowercase()
            )
        })
        .collect();
    shown.sort_unstable();
    table.sort_unstable();
    assert_eq!(shown, table);
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

fn target(route: &str, target: &str, weight: u32) -> ((Arc<str>, Arc<str>), u32) {
    ((route.into(), target.into()), weight)
}

#[test]
fn targets_have_series_while_they_are_in_the_configuration() {
    let metrics = Metrics::new();
    let ((route, canary), _) = target("chat", "canary", 10);
    let stable: Arc<str> = "stable".into();
    let finished = |target, status| {
        let outcome = Outcome {
            status,
            time_to_first_token: Some(Duration::from_secs(1)),
            time_per_output_token: Some(Duration::from_millis(20)),
            prompt_tokens: Some(Tokens(100)),
            cached_tokens: Some(Tokens(80)),
            completion_tokens: Some(Tokens(7)),
            ..outcome("m")
        };
        metrics.target_finished(&route, target, &outcome);
    };
    finished(&canary, 200);
    let both = [target("chat", "stable", 90), target("chat", "canary", 10)];
    metrics.know_targets(both.into_iter());
    finished(&canary, 500);
    metrics.target_fell_back(&route, &canary);
    metrics.target_fell_back(&route, &stable);
    finished(&stable, 500);
    metrics.know_targets([target("chat", "canary", 30)].into_iter());
    metrics.weigh_target((&route, &canary), 0, Some(true));
    metrics.weigh_target((&route, &stable), 100, None);
    finished(&canary, 200);
    finished(&stable, 200);
    let page = metrics.render(&[], Instant::now());
    let shown: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("warmgate_target_") && !line.contains("_bucket"))
        .map(|line| line.trim_start_matches("warmgate_target_"))
        .collect();
    let labels = r#"{route="chat",target="canary"}"#;
    let expected = [
        format!("cached_tokens_total{labels} 160"),
        format!("completion_tokens_total{labels} 14"),
        r#"errors_total{class="5xx",route="chat",target="canary"} 1"#.to_owned(),
        format!("fallbacks_total{labels} 1"),
        format!("prompt_tokens_total{labels} 200"),
        format!("requests_total{labels} 2"),
        format!("time_per_output_token_seconds_sum{labels} 0.04"),
        format!("time_per_output_token_seconds_count{labels} 2"),
        format!("time_to_first_token_seconds_sum{labels} 2"),
        format!("time_to_first_token_seconds_count{labels} 2"),
        format!("tripped{labels} 1"),
        format!("weight{labels} 0"),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn mirrors_have_series_while_their_routes_have_them() {
    let metrics = Metrics::new();
    let took = Some(Duration::from_secs(2));
    let know = |route: &str| metrics.know_mirrors([Arc::<str>::from(route)].into_iter());
    let shown = || {
        let page = metrics.render(&[], Instant::now());
        let shown = page
            .lines()
            .filter(|line| line.starts_with("warmgate_mirror_") && !line.contains("_bucket"));
        let shown = shown.map(|line| line.trim_start_matches("warmgate_mirror_").to_owned());
        shown.collect::<Vec<_>>()
    };
    metrics.mirrored("chat", MirrorOutcome::Ok, took);
    assert!(shown().is_empty());
    know("chat");
    metrics.mirrored("chat", MirrorOutcome::Ok, took);
    metrics.mirrored("chat", MirrorOutcome::Dropped, None);
    let expected = [
        r#"duration_seconds_sum{route="chat"} 2"#,
        r#"duration_seconds_count{route="chat"} 1"#,
        r#"requests_total{outcome="dropped",route="chat"} 1"#,
        r#"requests_total{outcome="ok",route="chat"} 1"#,
    ];
    assert_eq!(shown(), expected);
    know("other");
    assert!(shown().is_empty());
}

#[test]
fn names_follow_the_conventions() {
    for family in TABLE {
        let name = family.name;
        let is_counter = family.kind == Kind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert_eq!(
            family.buckets.is_empty(),
            family.kind != Kind::Histogram,
            "{name}"
        );
        assert!(family.buckets.is_sorted_by(|a, b| a < b), "{name}");
        assert!(family.help.ends_with('.'), "{name}");
        assert!(!family.help.contains('|'), "{name}: breaks the table");
        let unit = name.trim_end_matches("_total");
        for bad in ["_ms", "_us", "_milliseconds", "_kb", "_percent"] {
            assert!(!unit.ends_with(bad), "{name}");
        }
    }
}

#[test]
fn a_request_is_counted_once_in_each_family() {
    let (metrics, pools) = (Metrics::new(), fleet(&[]));
    let pool = metrics.pool("main");
    pool.know_models(["m"]);
    everything(&metrics, &fleet(&["a:1"]));
    let page = metrics.render(&pools, Instant::now());
    for (series, expected) in [
        (
            r#"warmgate_requests_total{api="chat_completions",model="m",pool="main",status="200"}"#,
            1.0,
        ),
        (
            r#"warmgate_request_errors_total{code="saturated",fault="control_plane",pool="main"}"#,
            1.0,
        ),
        (
            r#"warmgate_client_aborts_total{phase="streaming",pool="main"}"#,
            1.0,
        ),
        (r#"warmgate_stream_errors_total{pool="main"}"#, 1.0),
        (
            r#"warmgate_matched_tokens_total{model="m",pool="main"}"#,
            50.0,
        ),
        (
            r#"warmgate_prompt_tokens_total{model="m",pool="main"}"#,
            200.0,
        ),
        (
            r#"warmgate_cached_tokens_total{model="m",pool="main"}"#,
            150.0,
        ),
        (
            r#"warmgate_completion_tokens_total{model="m",pool="main"}"#,
            7.0,
        ),
        (
            r#"warmgate_time_to_first_token_seconds_count{model="m",pool="main"}"#,
            1.0,
        ),
        (r#"warmgate_request_body_bytes_sum{pool="main"}"#, 1_000.0),
        (
            r#"warmgate_prefix_prediction_error_sum{direction="under",pool="main"}"#,
            0.25,
        ),
        (
            r#"warmgate_prefix_prediction_error_tokens_total{direction="under",pool="main"}"#,
            50.0,
        ),
        (
            r#"warmgate_prefix_predicted_tokens_total{model="m",pool="main"}"#,
            100.0,
        ),
        (r#"warmgate_prefix_cache_lost_total{pool="main"}"#, 0.0),
        (r#"warmgate_config_valid"#, 0.0),
        (r#"warmgate_label_overflow_total{label="model"}"#, 0.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}\n{page}");
    }
}

#[test]
fn statuses_are_exact_or_a_class() {
    let metrics = Metrics::new();
    let pool = metrics.unrouted();
    for (status, label) in [
        (0, "499"),
        (200, "200"),
        (206, "2xx"),
        (302, "3xx"),
        (418, "4xx"),
        (503, "503"),
        (599, "5xx"),
        (600, "other"),
    ] {
        pool.finished(&Outcome {
            status,
            ..Outcome::default()
        });
        let page = metrics.render(&[], Instant::now());
        let series = format!(
            r#"warmgate_requests_total{{api="passthrough",model="other",pool="none",status="{label}"}}"#
        );
        assert_eq!(value(&page, &series), Some(1.0), "{status}");
    }
}

#[test]
fn a_bug_met_by_a_request_is_counted_as_one() {
    let metrics = Metrics::new();
    let bugs = || {
        let page = metrics.render(&[], Instant::now());
        value(&page, "warmgate_bugs_total")
    };
    assert_eq!(bugs(), Some(0.0));
    let detail = String::new();
    for error in [GatewayError::NoEndpoint, GatewayError::Internal { detail }] {
        metrics.unrouted().finished(&Outcome {
            error: Some(&error),
            ..Outcome::default()
        });
    }
    assert_eq!(bugs(), Some(1.0));
}

#[test]
fn a_name_that_nobody_serves_gets_no_series() {
    let (metrics, pools) = (Metrics::new(), fleet(&["a:1"]));
    let model = ServedModel {
        name: "m".to_owned(),
        parent: None,
        max_model_len: None,
    };
    pools[0].1.observe_models(&key("a:1"), vec![model]);
    let pool = metrics.pool("main");
    pool.finished(&outcome("early"));
    pool.follow(&pools[0].1);
    pool.finished(&outcome("m"));
    pool.finished(&outcome("invented"));
    let page = metrics.render(&pools, Instant::now());
    assert!(page.contains(r#"model="m""#), "{page}");
    assert!(
        !page.contains("invented") && !page.contains("early"),
        "{page}"
    );
    assert_eq!(
        value(&page, r#"warmgate_label_overflow_total{label="model"}"#),
        Some(2.0)
    );
}

#[test]
fn as_many_models_get_series_as_the_limit_and_no_more() {
    let metrics = Metrics::new();
    let names: Vec<_> = (0..=MODEL_LABELS_MAX).map(|n| format!("m{n}")).collect();
    let (first, second) = (metrics.pool("a"), metrics.pool("b"));
    first.know_models(names.iter().map(String::as_str));
    // The limit is of the process; a name that has a label may have it in every pool.
    second.know_models(["m0", "new"]);
    for name in &names {
        first.finished(&outcome(name));
    }
    second.finished(&outcome("m0"));
    second.finished(&outcome("new"));
    let page = metrics.render(&[], Instant::now());
    let has = |model: &str, pool: &str| page.contains(&format!(r#"model="{model}",pool="{pool}""#));
    assert!(has(&format!("m{}", MODEL_LABELS_MAX - 1), "a"));
    assert!(!has(&format!("m{MODEL_LABELS_MAX}"), "a"));
    assert!(has("m0", "b") && !has("new", "b"));
    assert_eq!(
        value(&page, r#"warmgate_label_overflow_total{label="model"}"#),
        Some(2.0)
    );
}

#[test]
fn series_of_an_endpoint_go_with_it() {
    let (metrics, pools) = (Metrics::new(), fleet(&["a:1", "b:2"]));
    for endpoint in ["a:1", "b:2"] {
        metrics.endpoint_failed("main", endpoint, Failure::Connect);
    }
    let page = metrics.render(&pools, Instant::now());
    let failures =
        r#"warmgate_endpoint_failures_total{cause="connect",endpoint="a:1",pool="main"}"#;
    assert_eq!(value(&page, failures), Some(1.0));
    assert_eq!(
        value(
            &page,
            r#"warmgate_endpoint_usable{endpoint="a:1",pool="main"}"#
        ),
        Some(1.0)
    );
    assert_eq!(
        value(
            &page,
            r#"warmgate_endpoints{pool="main",standing="unknown"}"#
        ),
        Some(2.0)
    );
    pools[0].1.apply(EndpointEvent::Delete(key("a:1")));
    let page = metrics.render(&pools, Instant::now());
    assert!(!page.contains(r#""a:1""#), "{page}");
    assert!(page.contains(r#""b:2""#), "{page}");
}

#[test]
fn a_source_is_stale_from_the_loss_of_touch_to_its_return() {
    let (metrics, pools) = (Metrics::new(), fleet(&["a:1", "b:2", "c:3"]));
    for (authority, serving) in [("b:2", Serving::NotReady), ("c:3", Serving::Terminating)] {
        let spec = EndpointSpec::at(authority, ([127, 0, 0, 1], 8000).into(), false);
        pools[0]
            .1
            .apply(EndpointEvent::Apply(EndpointSpec { serving, ..spec }));
    }
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let stale = |seconds| {
        let page = metrics.render(&pools, at(seconds));
        value(&page, r#"warmgate_source_stale_seconds{pool="main"}"#)
    };
    assert_eq!(stale(0), Some(0.0), "a source that never says");
    let before = metrics.pool("main").begin_source();
    before.lose(at(10));
    assert_eq!(stale(12), Some(2.0));
    before.regain(at(13));
    assert_eq!(stale(14), Some(0.0));
    before.lose(at(15));
    let _after = metrics.pool("main").begin_source();
    assert_eq!(stale(20), Some(0.0), "of a source that has ended");
    let page = metrics.render(&pools, at(20));
    for state in ["ready", "not_ready", "terminating"] {
        let series = format!(r#"warmgate_source_endpoints{{pool="main",state="{state}"}}"#);
        assert_eq!(value(&page, &series), Some(1.0), "{state}");
    }
}

#[test]
fn counts_of_the_index_start_anew_with_its_router() {
    let metrics = Metrics::new();
    let evicted = |page: &str| {
        let series = r#"warmgate_prefix_index_evicted_blocks_total{cause="capacity",pool="main"}"#;
        value(page, series)
    };
    let crowded = |blocks: u64| {
        let pools = fleet(&["a:1"]);
        let index = pools[0].1.index();
        let id = pools[0].1.pool().all()[0].id;
        index.set_capacity(id, warmgate_routing::Blocks(1));
        for block in 0..=blocks {
            index.insert(&[warmgate_routing::block::BlockHash(block)], id);
        }
        metrics.render(&pools, Instant::now())
    };
    assert_eq!(evicted(&crowded(3)), Some(3.0));
    assert_eq!(evicted(&crowded(5)), Some(5.0));
    assert_eq!(evicted(&crowded(2)), Some(2.0));
}

#[test]
fn a_prediction_is_compared_share_by_share() {
    let tokens = |tokens| Some(Tokens(tokens));
    for (predicted, cached, counted, error) in [
        (tokens(150), tokens(150), tokens(300), Some(0.0)),
        (tokens(300), tokens(0), tokens(300), Some(1.0)),
        (tokens(0), tokens(300), tokens(300), Some(-1.0)),
        (tokens(600), tokens(300), tokens(300), Some(0.0)),
        (tokens(50), None, tokens(300), None),
        (None, tokens(50), tokens(300), None),
        (tokens(0), tokens(0), tokens(0), None),
    ] {
        let outcome = Outcome {
            predicted_tokens: predicted,
            cached_tokens: cached,
            prompt_tokens: counted,
            ..Outcome::default()
        };
        assert_eq!(outcome.prediction_error(), error);
    }
}

#[test]
fn the_committed_reference_is_current() {
    let committed = include_str!("../../../../docs/metrics.md");
    assert!(committed == reference(), "run `cargo xtask generate`");
}
