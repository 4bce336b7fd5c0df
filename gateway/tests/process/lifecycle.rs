//! Start, change, stop, and what the process tells about itself meanwhile.

use std::process::Command;

use http::StatusCode;
use serde_json::Value;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, Fault, FaultKind};

use crate::engines::{engine, engine_like, engines, fast, slow};
use crate::gateway_process::{Page, Start};
use crate::http_client::{self, chat, post};

fn is_valid(expected: f64) -> impl Fn(&Page) -> bool {
    move |page| page.sum("warmgate_config_valid", &[]) == expected
}

fn reloads(expected: f64) -> impl Fn(&Page) -> bool {
    move |page| page.sum("warmgate_config_reloads_total", &[("result", "applied")]) == expected
}

#[tokio::test]
async fn a_new_configuration_is_taken_up_and_what_was_learnt_stays() {
    let [first, second] = [
        engine().await,
        engine_like(EngineConfig {
            models: vec!["other".to_owned()],
            ..fast()
        })
        .await,
    ];
    let pool = |policy: &str| {
        format!(
            "- {{name: main, upstreams: ['{}'], policy: {{name: {policy}}}}}\n",
            first.url()
        )
    };
    let gateway = Start::with_config(&format!("pools:\n{}", pool("cost")))
        .run()
        .await;
    let long = "a prompt of some blocks ".repeat(200);
    http_client::send(gateway.listen, chat(&long, 1, false))
        .await
        .unwrap();
    let known = gateway.endpoints().await[0]["known_cached_tokens"].clone();
    assert_ne!(known, 0);

    gateway.rewrite_config(&format!("pools:\n{}", pool("least_request")));
    gateway.until_metrics(reloads(1.0)).await;
    let pools = http_client::get(gateway.admin, "/pools")
        .await
        .unwrap()
        .json();
    assert_eq!(pools[0]["policy"]["name"], "least_request");
    assert_eq!(gateway.endpoints().await[0]["known_cached_tokens"], known);

    let routes = "routes: [{model: other, targets: [{pool: further}]}, \
                  {model: '*', targets: [{pool: main}]}]\n";
    let further = format!("- {{name: further, upstreams: ['{}']}}\n", second.url());
    gateway.rewrite_config(&format!("pools:\n{}{further}{routes}", pool("cost")));
    gateway.until_metrics(reloads(2.0)).await;
    let body = r#"{"model":"other","prompt":"p","max_tokens":1}"#;
    let to_other = || http_client::send(gateway.listen, post("/v1/completions", &[], body));
    let heard = |rows: &[Value]| rows.len() == 2 && rows.iter().all(|row| row["models"].is_array());
    gateway.until_endpoints(heard).await;
    assert_eq!(
        to_other().await.unwrap().endpoint(),
        second.addr().to_string()
    );

    gateway.rewrite_config(&format!("pools:\n{}", pool("cost")));
    gateway.until_metrics(reloads(3.0)).await;
    assert_eq!(to_other().await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(gateway.endpoints().await[0]["known_cached_tokens"], known);
}

#[tokio::test]
async fn a_configuration_that_means_nothing_changes_nothing_and_is_told() {
    let engine = engine().await;
    let good = format!("pools: [{{name: main, upstreams: ['{}']}}]\n", engine.url());
    let gateway = Start::with_config(&good).run().await;
    assert!(is_valid(1.0)(&gateway.metrics().await));

    gateway.rewrite_config("pools: [{name: main, upstreams: ['ftp://nowhere']}]\n");
    let page = gateway.until_metrics(is_valid(0.0)).await;
    let rejected = [("result", "rejected")];
    assert_eq!(page.sum("warmgate_config_reloads_total", &rejected), 1.0);
    assert!(
        gateway.stderr().contains("pools[0].upstreams[0]"),
        "{}",
        gateway.stderr()
    );
    let answer = http_client::send(gateway.listen, chat("hello", 1, false))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK);

    gateway.rewrite_config(&good);
    gateway.until_metrics(is_valid(1.0)).await;
}

#[tokio::test]
async fn a_stream_outlives_the_pool_it_came_from() {
    let [going, staying] = [engine_like(slow()).await, engine().await];
    let pool = |name: &str, engine: &EngineHandle| {
        format!(
            "pools: [{{name: {name}, upstreams: ['{}']}}]\n",
            engine.url()
        )
    };
    let gateway = Start::with_config(&pool("going", &going)).run().await;
    let mut stream = http_client::open(gateway.listen, chat("hello", 60, true))
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    gateway.rewrite_config(&pool("staying", &staying));
    gateway.until_metrics(reloads(1.0)).await;
    let rest = stream.finish().await;
    assert!(rest.is_complete && rest.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(going.state().finished_total, 1);
    let answer = http_client::send(gateway.listen, chat("hello", 1, false))
        .await
        .unwrap();
    assert_eq!(answer.endpoint(), staying.addr().to_string());
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_refuses_what_comes() {
    let engine = engine_like(slow()).await;
    let mut gateway = Start::in_front_of([&engine]).run().await;
    let mut stream = http_client::open(gateway.listen, chat("hello", 60, true))
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    gateway.terminate();
    let draining = |page: &Page| page.sum("warmgate_ready", &[]) == 0.0;
    gateway.until_metrics(draining).await;
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let health = http_client::get(gateway.admin, "/health").await.unwrap();
    assert_eq!(health.status, StatusCode::OK);

    for path in ["/v1/chat/completions", "/v1/messages", "/version"] {
        let late = http_client::send(gateway.listen, post(path, &[], "{}"))
            .await
            .unwrap();
        assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(late.header("retry-after"), "1");
        assert_eq!(late.header("connection").to_ascii_lowercase(), "close");
    }
    let rest = stream.finish().await;
    assert!(rest.is_complete && rest.text().ends_with("data: [DONE]\n\n"));
    let status = gateway.until_exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let engine = engine().await;
    engine
        .inject(Fault {
            kind: FaultKind::Hang,
            count: 1,
        })
        .unwrap();
    let config = format!(
        "shutdown: {{drain_s: 1}}\npools: [{{name: main, upstreams: ['{}']}}]\n",
        engine.url()
    );
    let mut gateway = Start::with_config(&config).run().await;
    let hung = tokio::spawn(http_client::send(gateway.listen, chat("hello", 1, false)));
    engine.wait_until(|state| state.open == 1).await;
    gateway.terminate();
    let status = gateway.until_exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    assert!(
        gateway.stderr().contains("the limit has passed"),
        "{}",
        gateway.stderr()
    );
    assert!(hung.await.unwrap().is_err(), "cut off");
    engine.wait_until(|state| state.open == 0).await;
}

#[tokio::test]
async fn an_idle_gateway_stops_at_once() {
    let engine = engine().await;
    let mut gateway = Start::in_front_of([&engine]).run().await;
    gateway.terminate();
    assert_eq!(gateway.until_exit().await.code(), Some(0));
    assert!(!gateway.stderr().contains("the limit has passed"));
}

/// Exit status and standard error of a start that fails.
fn failed_start(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_warmgate"))
        .arg("serve")
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_start_that_cannot_be_says_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml");
    std::fs::write(
        &bad,
        "pools: [{name: main, upstreams: ['http://h:1'], polici: 1}]\n",
    )
    .unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let address = taken.1.to_string();
    let upstream = ["--upstream", "http://127.0.0.1:1"];
    let free = "127.0.0.1:0";
    for (arguments, status, said) in [
        (vec!["--config", bad.to_str().unwrap()], 64, "polici"),
        (
            vec!["--config", "/nowhere.yaml"],
            64,
            "/nowhere.yaml cannot be read",
        ),
        (vec!["--policy", "fastest"], 64, "--policy"),
        (vec![], 64, "--upstream"),
        (
            vec![
                "--listen",
                &address,
                "--admin",
                free,
                upstream[0],
                upstream[1],
            ],
            1,
            "(key `listen`)",
        ),
        (
            vec![
                "--admin",
                &address,
                "--listen",
                free,
                upstream[0],
                upstream[1],
            ],
            1,
            "(key `admin`)",
        ),
    ] {
        let (code, error) = failed_start(&arguments);
        assert_eq!(code, Some(status), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

const SECRET: &str = "zanzibar-canary";

#[tokio::test]
async fn requests_are_logged_as_json_lines_and_prompts_nowhere() {
    let engine = engine().await;
    let config = format!(
        "access_log: {{path: '-'}}\nexplain: true\npools: [{{name: main, upstreams: ['{}']}}]\n",
        engine.url()
    );
    let everything = "info,warmgate=trace,warmgate_routing=trace,warmgate_discovery=trace";
    let gateway = Start::with_config(&config)
        .environment("WARMGATE_LOG", everything)
        .run()
        .await;
    let to = gateway.listen;
    let secrets = [("authorization", SECRET), ("x-session-id", SECRET)];
    let prompts = [
        format!(
            r#"{{"model":"sim","messages":[{{"role":"user","content":"{SECRET}"}}],"max_tokens":2}}"#
        ),
        format!(r#"{{"model":"sim","messages":[{{"role":"{SECRET}","content":3}}]}}"#),
        format!(r#"{{"model":"sim","messages":"{SECRET}"#),
        SECRET.to_owned(),
    ];
    for (place, body) in prompts.iter().enumerate() {
        let id = format!("place-{place}");
        let mut headers = secrets.to_vec();
        headers.push(("x-request-id", &id));
        let path = format!("/v1/chat/completions?key={SECRET}");
        http_client::send(to, post(&path, &headers, body.clone()))
            .await
            .unwrap();
    }
    engine
        .inject(Fault {
            kind: FaultKind::Reset,
            count: 1,
        })
        .unwrap();
    http_client::send(
        to,
        post("/v1/chat/completions", &secrets, prompts[0].clone()),
    )
    .await
    .unwrap();
    http_client::get(to, &format!("/version?key={SECRET}"))
        .await
        .unwrap();

    let all = |page: &Page| page.sum("warmgate_requests_total", &[]) == 6.0;
    let page = gateway.until_metrics(all).await;
    let lines = until_lines(&gateway, 6).await;
    let said = [gateway.stdout(), gateway.stderr(), page.to_string()];
    let admin = ["/endpoints", "/pools", "/config"];
    for path in admin {
        let answer = http_client::get(gateway.admin, path).await.unwrap();
        assert!(!answer.text().contains(SECRET), "{path}: {}", answer.text());
    }
    for text in said {
        assert!(!text.contains(SECRET), "{text}");
    }
    let first = lines
        .iter()
        .find(|line| line["request_id"] == "place-0")
        .unwrap();
    assert_eq!(first["path"], "/v1/chat/completions");
    assert_eq!(first["status"], 200);
    assert_eq!(first["model"], "sim");
    assert_eq!(first["pool"], "main");
    assert_eq!(first["endpoint"], engine.addr().to_string());
    assert_eq!(first["finish"], "complete");
    assert_eq!(first["attempts"], 1);
    assert_eq!(first["session"], true);
    assert_eq!(first["completion_tokens"], 2);
    let refused = lines
        .iter()
        .find(|line| line["request_id"] == "place-2")
        .unwrap();
    assert_eq!(refused["status"], 400);
    assert_eq!(refused["error"], "bad_request");
    assert_eq!(refused["finish"], "refused");
}

/// The access log once it has that many lines.
async fn until_lines(gateway: &crate::gateway_process::GatewayProcess, count: usize) -> Vec<Value> {
    let read = || -> Vec<Value> {
        let text = gateway.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    gateway.until(|| read().len() >= count).await;
    let lines = read();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test]
async fn every_endpoint_has_its_gauges_and_they_follow_a_request() {
    let all: [EngineHandle; 2] = engines().await;
    let hang = Fault {
        kind: FaultKind::Hang,
        count: 1,
    };
    for engine in &all {
        engine.inject(hang).unwrap();
    }
    let gateway = Start::in_front_of(&all).run().await;
    let hung = http_client::open(gateway.listen, chat("hello there", 1, false));
    let hung = tokio::spawn(hung);
    let held = |page: &Page| page.sum("warmgate_inflight_requests", &[]) == 1.0;
    let page = gateway.until_metrics(held).await;
    assert!(page.sum("warmgate_queued_prefill_tokens", &[]) > 0.0);
    assert!(page.sum("warmgate_inflight_prompt_tokens", &[]) > 0.0);
    for gauge in [
        "warmgate_inflight_requests",
        "warmgate_queued_prefill_tokens",
        "warmgate_inflight_prompt_tokens",
        "warmgate_decoding_requests",
        "warmgate_foreign_requests",
        "warmgate_endpoint_usable",
        "warmgate_endpoint_report_age_seconds",
        "warmgate_endpoint_known_cached_tokens",
    ] {
        assert_eq!(page.count(gauge), 2, "{gauge}\n{page}");
        for engine in &all {
            let labels = [("pool", "main"), ("endpoint", &*engine.addr().to_string())];
            assert!(page.sum(gauge, &labels) >= 0.0);
        }
    }
    assert_eq!(page.sum("warmgate_endpoint_usable", &[]), 2.0);
    assert_eq!(
        page.sum("warmgate_endpoints", &[("standing", "healthy")]),
        2.0
    );
    assert_eq!(page.sum("warmgate_ready", &[]), 1.0);
    assert_eq!(page.count("warmgate_build_info"), 1);
    hung.abort();
    gateway.assert_settled().await;
}
