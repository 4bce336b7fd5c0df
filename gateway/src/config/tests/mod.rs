//! Tables of configurations: what good ones mean, what is said about bad ones.

use proptest::prelude::*;
use warmgate_routing::split::Stickiness;

use super::*;

mod kubernetes;
mod mistakes;

const POOL: &str = "pools: [{name: main, upstreams: ['http://h:1']}]\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Source::default().parse(text.as_bytes())
}

/// What is said about `text`, which must be something.
pub(super) fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("{text} means {config:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_defaults_are_what_is_documented() {
    let config = parse(POOL).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.to_string(), "127.0.0.1:9090");
    assert!(config.tls.is_none() && config.access_log.is_none() && !config.explain);
    assert!(config.response_headers.endpoint && config.response_headers.target);
    assert!(config.threads >= 1);
    assert_eq!(config.limits.body_bytes, 32 << 20);
    assert_eq!(config.drain, Duration::from_secs(30));
    let forward = Forward {
        retries: 2,
        connect_timeout: Duration::from_secs(1),
        first_byte_timeout: Some(Duration::from_secs(600)),
        idle_timeout: Some(Duration::from_secs(300)),
        keepalive: Some(Duration::from_secs(4)),
        keepalive_connections: 1_024,
        mirrored_requests: 64,
    };
    assert_eq!(config.forward, forward);
    let pool = &config.pools[0];
    assert_eq!((pool.name.as_str(), pool.policy.name()), ("main", "cost"));
    assert_eq!(pool.router.block_size.bytes(), 256);
    assert_eq!(pool.router.index.max_bytes, 256 << 20);
    assert_eq!(pool.router.capacity, None);
    assert_eq!(config.routes.target("any").unwrap().pool, "main");
}

const EVERY_KEY: &str = r#"
listen: 127.0.0.1:1
admin: "[::1]:2"
threads: 3
limits: {body_bytes: 2048}
forward:
  retries: 0
  connect_timeout_ms: 5
  first_byte_timeout_s: 0
  idle_timeout_s: 6
  keepalive_s: 0
  keepalive_connections: 7
  mirrored_requests: 9
response_headers: {endpoint: false, target: false}
explain: true
access_log: {path: access.log}
shutdown: {drain_s: 8}
pools:
  - name: chat
    dns: {name: vllm.models.svc, port: 8000, tls: true}
    policy: {name: cost, prefill_weight: 2}
    block_tokens: 16
    index_bytes: 1048576
    capacity_tokens: 9
    host_tier_tokens: 8
    feedback: false
    scrape: {interval_ms: 100, timeout_ms: 50}
  - name: code
    upstreams: ["http://a:1", "https://b"]
    policy: {name: round_robin}
routes:
  - model: coder
    name: beta
    match: {headers: {x-beta: "1"}, path_prefix: /v1}
    sticky: true
    sticky_by: api_key
    force_target: true
    targets: [{name: new, pool: chat, model: qwen-new}, {pool: code, weight: 0, fallback: new, saturated_tokens: 3}]
    mirror: {pool: code, model: qwen-next, percent: 2.5}
  - {model: coder, match: {path: /v1/completions}, sticky: false, targets: [{pool: chat}]}
  - {model: coder, targets: [{pool: code, model: qwen}]}
  - {model: "*", targets: [{pool: chat, weight: 5}]}
"#;

#[test]
fn every_key_of_the_process_arrives() {
    let config = parse(EVERY_KEY).unwrap();
    assert_eq!((config.listen.port(), config.admin.port()), (1, 2));
    assert_eq!((config.threads, config.limits.body_bytes), (3, 2048));
    let forward = Forward {
        retries: 0,
        connect_timeout: Duration::from_millis(5),
        first_byte_timeout: None,
        idle_timeout: Some(Duration::from_secs(6)),
        keepalive: None,
        keepalive_connections: 7,
        mirrored_requests: 9,
    };
    assert_eq!(config.forward, forward);
    assert!(!config.response_headers.endpoint && !config.response_headers.target);
    assert!(config.explain);
    assert_eq!(
        config.access_log,
        Some(AccessLog::File("access.log".into()))
    );
    assert_eq!(config.drain, Duration::from_secs(8));
}

#[test]
fn every_key_of_pools_and_routes_arrives() {
    let config = parse(EVERY_KEY).unwrap();
    let [chat, code] = config.pools.as_slice() else {
        panic!("two pools");
    };
    let dns = EndpointSource::Dns {
        name: "vllm.models.svc".to_owned(),
        port: 8000,
        tls: true,
    };
    assert_eq!(chat.endpoints, dns);
    assert_eq!(chat.router.block_size.bytes(), 64);
    assert_eq!(chat.router.index.max_bytes, 1 << 20);
    assert_eq!(chat.router.capacity.unwrap().0, 9);
    assert_eq!(chat.router.host_tier.unwrap().0, 8);
    assert!(!chat.router.feedback && code.router.feedback);
    assert_eq!(code.router.host_tier, None);
    let scrape = Scrape {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(50),
    };
    assert_eq!(chat.scrape, scrape);
    let policy = serde_json::to_value(&chat.policy).unwrap();
    assert_eq!(policy["prefill_weight"], 2.0);
    assert_eq!(code.policy.name(), "round_robin");
    let [beta, completions, coder] = config.routes.exact().next().unwrap().1 else {
        panic!("three routes of one model");
    };
    assert_eq!(&*beta.name, "beta");
    assert_eq!(beta.stickiness, Stickiness::ApiKey);
    assert!(beta.takes_force && !coder.takes_force);
    assert_eq!(beta.matching.path, Some(PathMatch::Prefix("/v1".into())));
    assert_eq!(beta.matching.headers.len(), 1);
    let target = |target: &Target| (target.name.to_string(), target.pool.clone(), target.weight);
    let expected = [
        ("new".into(), "chat".into(), 100),
        ("code".into(), "code".into(), 0),
    ];
    assert!(beta.targets.iter().map(target).eq(expected));
    let fallback = beta.targets[1].fallback.as_ref().unwrap();
    assert_eq!(&*fallback.target, "new");
    assert_eq!(fallback.saturated.unwrap().0, 3);
    assert!(beta.targets[0].fallback.is_none());
    let mirror = beta.mirror.as_ref().unwrap();
    assert_eq!(
        (mirror.target.pool.as_str(), mirror.target.model.as_deref()),
        ("code", Some("qwen-next"))
    );
    assert_eq!(mirror.share.percent(), 2.5);
    assert!(coder.mirror.is_none());
    assert_eq!(completions.stickiness, Stickiness::Nothing);
    let coder = coder.main_target().unwrap();
    assert_eq!(
        (coder.pool.as_str(), coder.model.as_deref()),
        ("code", Some("qwen"))
    );
    let other = config.routes.target("other").unwrap();
    assert_eq!(
        (other.pool.as_str(), other.weight, other.model.as_deref()),
        ("chat", 5, None)
    );
}

#[test]
fn at_a_limit_is_good_and_past_it_is_not() {
    let many = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(", ")
    };
    let upstreams = |count| {
        let urls = many(count, &|i| format!("'http://h:{}'", i + 1));
        format!("pools: [{{name: a, upstreams: [{urls}]}}]")
    };
    let pools = |count| {
        let pools = many(count, &|i| {
            format!("{{name: p{i}, upstreams: ['http://h']}}")
        });
        format!("pools: [{pools}]\nroutes: [{{model: '*', targets: [{{pool: p0}}]}}]")
    };
    let routes = |count| {
        let routes = many(count, &|i| {
            format!("{{model: m{i}, targets: [{{pool: main}}]}}")
        });
        format!("{POOL}routes: [{routes}]")
    };
    let name = |bytes| {
        format!(
            "pools: [{{name: {}, upstreams: ['http://h']}}]",
            "a".repeat(bytes)
        )
    };
    let model = |bytes: usize| {
        format!(
            "{POOL}routes: [{{model: {}, targets: [{{pool: main}}]}}]",
            "m".repeat(bytes)
        )
    };
    let bytes = |count: usize| format!("{POOL}#{}", "x".repeat(count - POOL.len() - 1));
    type Text<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(&str, usize, Text<'_>); 5] = [
        ("upstreams", limit::UPSTREAMS_MAX, &upstreams),
        ("pools", limit::POOLS_MAX, &pools),
        ("routes", limit::ROUTES_MAX, &routes),
        ("pool name", limit::POOL_NAME_BYTES_MAX, &name),
        ("model name", limit::MODEL_NAME_BYTES_MAX, &model),
    ];
    for (what, most, text) in cases {
        assert!(
            parse(&text(most)).is_ok(),
            "{what} at the limit: {}",
            refusal(&text(most))
        );
        refusal(&text(most + 1));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = Source {
        file: Some(file.path().to_owned()),
        overrides: Overrides::default(),
    };
    let most = usize::try_from(limit::CONFIG_BYTES_MAX).unwrap();
    std::fs::write(file.path(), bytes(most)).unwrap();
    assert!(source.load().is_ok());
    std::fs::write(file.path(), bytes(most + 1)).unwrap();
    assert!(matches!(source.load(), Err(ConfigError::TooLong { .. })));
}

#[test]
fn an_alias_bomb_a_deep_nest_and_a_second_document_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    refusal(&format!("{bomb}pools: *a8\n"));
    refusal(&format!("pools: {}", "[".repeat(100_000)));
    refusal(&format!("{POOL}---\n{POOL}"));
}

#[test]
fn flags_win_over_the_file() {
    let file = "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nthreads: 3\n\
                pools: [{name: a, upstreams: ['http://h:1'], policy: {name: cost, prefill_weight: 2}}]\n\
                routes: [{model: m, targets: [{pool: a}]}]\n";
    let load = |overrides: Overrides| {
        Source {
            file: None,
            overrides,
        }
        .parse(file.as_bytes())
        .unwrap()
    };
    let weight = |config: &Config| {
        serde_json::to_value(&config.pools[0].policy).unwrap()["prefill_weight"].as_f64()
    };

    let same = load(Overrides::default());
    assert_eq!(
        (same.listen.port(), same.admin.port(), same.threads),
        (1, 2, 3)
    );
    let flags = Overrides {
        listen: Some(([127, 0, 0, 1], 4).into()),
        admin: Some(([127, 0, 0, 1], 5).into()),
        threads: Some(6),
        ..Overrides::default()
    };
    let moved = load(flags);
    assert_eq!(
        (moved.listen.port(), moved.admin.port(), moved.threads),
        (4, 5, 6)
    );
    assert_eq!(same.needs_restart(&moved).0, ["listen", "admin", "threads"]);
    assert!(same.needs_restart(&load(Overrides::default())).0.is_empty());

    let upstreams = vec!["http://x:1".parse().unwrap()];
    let replaced = load(Overrides {
        upstreams,
        ..Overrides::default()
    });
    assert_eq!(replaced.pools.len(), 1);
    assert_eq!(replaced.pools[0].name, COMMAND_LINE_POOL);
    assert_eq!(
        replaced.routes.target("anything").unwrap().pool,
        COMMAND_LINE_POOL
    );

    let policy = |policy| {
        load(Overrides {
            policy: Some(policy),
            ..Overrides::default()
        })
    };
    assert_eq!(policy("random").pools[0].policy.name(), "random");
    assert_eq!(
        weight(&policy("cost")),
        Some(2.0),
        "the same policy keeps its parameters"
    );
    assert_eq!(weight(&same), Some(2.0));
}

#[test]
fn flags_alone_are_enough() {
    let overrides = Overrides {
        upstreams: vec!["http://a:1".parse().unwrap(), "http://b:1".parse().unwrap()],
        ..Overrides::default()
    };
    let config = Source {
        file: None,
        overrides,
    }
    .load()
    .unwrap();
    assert!(
        matches!(&config.pools[0].endpoints, EndpointSource::Upstreams(urls) if urls.len() == 2)
    );
    let twice = Overrides {
        upstreams: vec!["http://a:1".parse().unwrap(), "http://a:1".parse().unwrap()],
        ..Overrides::default()
    };
    let error = Source {
        file: None,
        overrides: twice,
    }
    .load()
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("command line:\n  pools[0].upstreams[1]: "),
        "{error}"
    );
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("endpoints.yaml"), "endpoints: []\n").unwrap();
    let path = folder.path().join("warmgate.yaml");
    std::fs::write(&path, "pools: [{name: a, file: endpoints.yaml}]\n").unwrap();
    let source = Source {
        file: Some(path),
        overrides: Overrides::default(),
    };
    let config = source.load().unwrap();
    let file = folder.path().join("endpoints.yaml");
    assert_eq!(config.pools[0].endpoints, EndpointSource::File(file));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let source = Source {
        file: Some("absent.yaml".into()),
        overrides: Overrides::default(),
    };
    let error = source.load().unwrap_err().to_string();
    assert!(
        error.starts_with("absent.yaml cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_policy_without_bounds_in_its_schema_would_be_noticed() {
    // Every number of every policy is held to a range: the schema is what enforces it.
    let schema = schema::schema();
    let policy = &schema["properties"]["pools"]["items"]["properties"]["policy"];
    let variants = policy["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), Policy::NAMES.len());
    for variant in variants {
        for (name, parameter) in variant["properties"].as_object().unwrap() {
            if parameter["type"] == "number" {
                assert!(
                    parameter["minimum"].is_number() && parameter["maximum"].is_number(),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_mistake_in_a_file_of_endpoints_is_found_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("e.yaml"), "endpoints: [{url: 'h:1'}]\n").unwrap();
    let path = folder.path().join("warmgate.yaml");
    std::fs::write(&path, "pools: [{name: a, file: e.yaml}]\n").unwrap();
    let source = Source {
        file: Some(path),
        overrides: Overrides::default(),
    };
    let error = source.load().unwrap_err().to_string();
    assert!(
        error.contains("pools[0].file: ") && error.contains("`h:1`"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Source::default().parse(&bytes);
    }

    #[test]
    fn any_near_miss_is_read_without_panic(
        keys in proptest::collection::vec(
            ("(listen|tls|pools|routes|forward|policy|name|upstreams|dns|kubernetes|selector|port|a)", "[ :\\[\\]{}&*\"'0-9a-z,.\n-]{0,24}"),
            0..8,
        ),
    ) {
        let lines = keys.iter().map(|(key, value)| format!("{key}: {value}\n"));
        let _ = Source::default().parse(lines.collect::<String>().as_bytes());
    }
}
