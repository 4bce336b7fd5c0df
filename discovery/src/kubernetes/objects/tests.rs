//! Objects as people write them, and what is made of them.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;

use std::sync::Arc;

use kube::ResourceExt;

use super::*;
use crate::kubernetes::parents::{Parent, ParentKind, Verdict};

fn parent() -> Parent {
    Parent {
        kind: ParentKind::Service,
        namespace: "ai".to_owned(),
        name: "warmgate".to_owned(),
    }
}

fn read<K: DeserializeOwned>(yaml: &str) -> Arc<K> {
    Arc::new(serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}")))
}

/// A route of the namespace `ai`, `second` seconds past midnight, under our parent.
fn route(name: &str, second: u32, rest: &str) -> Arc<HttpRoute> {
    read(&format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: ai, creationTimestamp: \"2026-11-24T00:00:{second:02}Z\"}}\n\
         spec:\n  parentRefs: [{{group: \"\", kind: Service, name: warmgate}}]\n{rest}"
    ))
}

fn rewrite(name: &str, second: u32, rules: &str) -> Arc<InferenceModelRewrite> {
    read(&format!(
        "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceModelRewrite\n\
         metadata: {{name: {name}, namespace: ai, creationTimestamp: \"2026-11-24T00:00:{second:02}Z\"}}\n\
         spec:\n  poolRef: {{name: llama}}\n  rules: {rules}\n"
    ))
}

fn objective(name: &str, pool: &str, rest: &str) -> Arc<InferenceObjective> {
    read(&format!(
        "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjective\n\
         metadata: {{name: {name}, namespace: ai}}\nspec: {{poolRef: {{name: {pool}}}{rest}}}\n"
    ))
}

fn llama() -> PoolRef {
    PoolRef::InferencePool {
        namespace: "ai".to_owned(),
        name: "llama".to_owned(),
    }
}

/// Rules in order, then pools, then what is said of each object.
fn shown(objects: &Objects) -> String {
    let translation = translate(objects, &parent());
    let mut out = String::new();
    for rule in &translation.routes.rules {
        let hostname = rule.hostname.as_deref().unwrap_or("*");
        let method = rule.method.as_deref().unwrap_or("ANY");
        let _ = write!(
            out,
            "{method} {hostname} {:?} {:?} ->",
            rule.path, rule.headers
        );
        for target in &rule.targets {
            let pool = target
                .pool
                .as_ref()
                .map_or("nowhere".to_owned(), PoolRef::to_string);
            let _ = write!(out, " {pool} x{}", target.weight);
        }
        let _ = writeln!(out, "  # {}", rule.origin);
    }
    for (pool, rules) in &translation.routes.pools {
        let _ = writeln!(out, "{pool}: {}", serde_json::to_string(rules).unwrap());
    }
    let mut say = |kind: &str, name: String, verdicts: &[Verdict]| {
        let _ = write!(out, "{kind} {name}:");
        for verdict in verdicts {
            let Verdict {
                condition,
                holds,
                reason,
                message,
            } = verdict;
            let _ = write!(out, " {condition}={holds} {reason}");
            if !message.is_empty() {
                let _ = write!(out, " ({message})");
            }
        }
        let _ = writeln!(out);
    };
    for judged in &translation.http_routes {
        say("HTTPRoute", judged.object.name_any(), &judged.verdicts);
    }
    for judged in &translation.rewrites {
        say(
            "InferenceModelRewrite",
            judged.object.name_any(),
            &judged.verdicts,
        );
    }
    for judged in &translation.objectives {
        say(
            "InferenceObjective",
            judged.object.name_any(),
            &judged.verdicts,
        );
    }
    out
}

fn of_routes(http_routes: &[Arc<HttpRoute>]) -> Objects {
    Objects {
        http_routes: http_routes.to_vec(),
        ..Objects::default()
    }
}

#[test]
fn a_prefix_is_taken_by_segments() {
    let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
    for (matched, path, is_taken) in [
        (prefix("/"), "/", true),
        (prefix("/"), "/v1/models", true),
        (prefix("/v1"), "/v1", true),
        (prefix("/v1"), "/v1/", true),
        (prefix("/v1"), "/v1/models", true),
        (prefix("/v1"), "/v12", false),
        (prefix("/v1/"), "/v1", true),
        (prefix("/v1/"), "/v1/models", true),
        (PathMatch::Exact("/v1".to_owned()), "/v1", true),
        (PathMatch::Exact("/v1".to_owned()), "/v1/", false),
    ] {
        assert_eq!(matched.takes(path), is_taken, "{matched:?} {path}");
    }
}

#[test]
fn a_canary_by_weight_and_by_header() {
    let canary = route(
        "canary",
        0,
        r#"
  hostnames: [Models.Example.com]
  rules:
  - backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: llama, weight: 90}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: llama-next, weight: 10, port: 9}
  - matches: [{headers: [{name: X-Canary, value: "yes"}, {name: x-canary, value: later}]}]
    backendRefs:
    - {name: vllm, port: 8000, weight: 0}
    - {name: vllm-next, port: 8000}
"#,
    );
    insta::assert_snapshot!(shown(&of_routes(&[canary])));
}

#[test]
fn the_more_specific_rule_comes_first_and_then_the_older_route() {
    let to_vllm = "backendRefs: [{name: vllm, port: 80}]";
    let young = route(
        "young",
        9,
        &format!(
            r#"
  hostnames: ["*.example.com", "a.example.com", "*.b.example.com"]
  rules:
  - matches:
    - {{path: {{type: PathPrefix, value: /v1}}}}
    - {{path: {{type: Exact, value: /v1}}}}
    - {{path: {{type: PathPrefix, value: /v1/chat}}}}
    {to_vllm}
"#
        ),
    );
    let old = route(
        "old",
        1,
        &format!(
            r#"
  rules:
  - {{{to_vllm}}}
  - matches:
    - {{headers: [{{name: a, value: "1"}}]}}
    - {{method: POST}}
    - {{headers: [{{name: a, value: "1"}}, {{name: b, value: "2"}}]}}
    - {{method: POST, headers: [{{name: a, value: "1"}}]}}
    {to_vllm}
"#
        ),
    );
    let alike = |name, second| route(name, second, &format!("  rules: [{{{to_vllm}}}]\n"));
    let routes = [young, alike("same-b", 5), alike("same-a", 5), old];
    insta::assert_snapshot!(shown(&of_routes(&routes)));
}

#[test]
fn what_cannot_be_done_is_refused_by_the_rule_and_said() {
    let rule = |matches: &str, rest: &str| {
        format!("  - {{matches: [{{{matches}}}], backendRefs: [{{name: vllm, port: 80}}]{rest}}}\n")
    };
    let good = rule("", "");
    let mut routes = Vec::new();
    for (place, bad) in [
        rule("path: {type: RegularExpression, value: /v.}", ""),
        rule(
            "headers: [{type: RegularExpression, name: a, value: b}]",
            "",
        ),
        rule("queryParams: [{name: a, value: b}]", ""),
        rule(
            "",
            ", filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}]",
        ),
        rule("", ", timeouts: {request: 10s}"),
        "  - backendRefs: [{name: vllm, port: 80, filters: [{type: URLRewrite}]}]\n".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        routes.push(route(
            &format!("bad-{place}"),
            0,
            &format!("  rules:\n{bad}"),
        ));
        routes.push(route(
            &format!("mixed-{place}"),
            0,
            &format!("  rules:\n{good}{bad}"),
        ));
    }
    insta::assert_snapshot!(shown(&of_routes(&routes)));
}

#[test]
fn a_reference_that_leads_nowhere_keeps_its_share() {
    let lost = route(
        "lost",
        0,
        r#"
  rules:
  - backendRefs:
    - {name: vllm, port: 80}
    - {name: gone, port: 80, weight: 2}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: gone, weight: 3}
    - {name: vllm, namespace: elsewhere, port: 80, weight: 4}
    - {group: apps, kind: Deployment, name: vllm, weight: 5}
    - {name: vllm, weight: 6}
    - {name: vllm, namespace: ai, port: 81, weight: 0}
  - matches: [{path: {value: /none}}]
  - matches: [{path: {value: /zero}}]
    backendRefs: [{name: vllm, port: 80, weight: 0}]
"#,
    );
    let ours = |name: &str| ("ai".to_owned(), name.to_owned());
    let objects = Objects {
        backends: Backends {
            services: Some([ours("vllm")].into()),
            inference_pools: Some([ours("llama")].into()),
        },
        ..of_routes(&[lost])
    };
    insta::assert_snapshot!(shown(&objects));
}

#[test]
fn a_route_of_another_parent_is_not_ours() {
    let foreign: Arc<HttpRoute> = read(
        "metadata: {name: foreign, namespace: ai}\n\
         spec: {parentRefs: [{name: warmgate}], rules: [{backendRefs: [{name: vllm, port: 80}]}]}",
    );
    let elsewhere: Arc<HttpRoute> = read(
        "metadata: {name: elsewhere, namespace: other}\n\
         spec: {parentRefs: [{group: \"\", kind: Service, name: warmgate}], rules: [{backendRefs: [{name: vllm, port: 80}]}]}",
    );
    let translation = translate(&of_routes(&[foreign, elsewhere]), &parent());
    assert_eq!(translation.routes, ObjectRoutes::default());
    assert!(
        translation
            .http_routes
            .iter()
            .all(|judged| judged.verdicts.is_empty())
    );
}

#[test]
fn of_rewrites_the_exact_and_then_the_older_counts() {
    let objects = Objects {
        rewrites: vec![
            rewrite(
                "young",
                9,
                "[{matches: [{model: {value: chat}}], targets: [{modelRewrite: from-young}]}, {targets: [{modelRewrite: any-of-young}]}]",
            ),
            rewrite(
                "old",
                1,
                "[{targets: [{modelRewrite: any}]}, {matches: [{model: {value: chat}}, {model: {type: Exact, value: talk}}], targets: [{modelRewrite: v1, weight: 90}, {modelRewrite: v2, weight: 10}]}, {matches: [{model: {value: talk}}], targets: [{modelRewrite: shadowed}]}]",
            ),
        ],
        objectives: vec![
            objective("batch", "llama", ", priority: -5"),
            objective("unset", "llama", ""),
            objective("not-ours", "qwen", ", priority: 5"),
        ],
        pools: [llama()].into(),
        ..Objects::default()
    };
    insta::assert_snapshot!(shown(&objects));
}

#[test]
fn a_rewrite_that_cannot_be_followed_leaves_the_others() {
    let rewrites = [
        "[{targets: []}]",
        "[{targets: [{modelRewrite: a, weight: 1}, {modelRewrite: b}]}]",
        "[{targets: [{modelRewrite: \"\"}]}]",
        "[{matches: [{model: {type: Prefix, value: a}}], targets: [{modelRewrite: a}]}]",
        "[{targets: [{modelRewrite: good}]}]",
    ];
    let named = |(place, rules): (usize, &&str)| rewrite(&format!("rewrite-{place}"), 0, rules);
    let objects = Objects {
        rewrites: rewrites.iter().enumerate().map(named).collect(),
        pools: [llama()].into(),
        ..Objects::default()
    };
    insta::assert_snapshot!(shown(&objects));
}

#[test]
fn rules_are_taken_up_to_the_limit_and_the_youngest_route_is_refused() {
    // 16 host names and 64 matches are the most of one rule.
    let hostnames: Vec<_> = (0..16).map(|n| format!("h{n}.example.com")).collect();
    let matches: Vec<_> = (0..64)
        .map(|n| format!("{{path: {{value: /{n}}}}}"))
        .collect();
    let full = |n: u32| {
        let rest = format!(
            "  hostnames: [{}]\n  rules: [{{matches: [{}]}}]\n",
            hostnames.join(", "),
            matches.join(", ")
        );
        route(&format!("full-{n}"), n, &rest)
    };
    let mut routes: Vec<_> = (0..4).map(full).collect();
    assert_eq!(OBJECT_RULES_MAX, 4 * 16 * 64);
    let accepted = |routes: &[Arc<HttpRoute>]| {
        let translation = translate(&of_routes(routes), &parent());
        assert_eq!(translation.routes.rules.len(), OBJECT_RULES_MAX);
        let holds = |judged: &Judged<HttpRoute>| judged.verdicts[0].holds;
        translation
            .http_routes
            .iter()
            .map(holds)
            .collect::<Vec<_>>()
    };
    assert_eq!(accepted(&routes), [true; 4]);
    routes.insert(0, route("one-more", 59, "  rules: [{}]\n"));
    assert_eq!(accepted(&routes), [true, true, true, true, false]);
}

#[test]
fn rewrites_and_objectives_are_taken_up_to_the_limit() {
    let refused = |objects: Objects| {
        let translation = translate(&objects, &parent());
        let reasons = translation
            .objectives
            .iter()
            .map(|judged| judged.verdicts[0].reason);
        let more = translation
            .rewrites
            .iter()
            .map(|judged| judged.verdicts[0].reason);
        reasons
            .chain(more)
            .filter(|reason| *reason == "TooMany")
            .count()
    };
    let matches: Vec<_> = (0..OBJECT_RULES_MAX)
        .map(|n| format!("{{model: {{value: m{n}}}}}"))
        .collect();
    let rules = format!(
        "[{{matches: [{}], targets: [{{modelRewrite: a}}]}}]",
        matches.join(", ")
    );
    let rewrites = [
        rewrite("full", 1, &rules),
        rewrite("more", 2, "[{targets: [{modelRewrite: b}]}]"),
    ];
    let objectives: Vec<_> = (0..=OBJECT_RULES_MAX)
        .map(|n| objective(&format!("o{n}"), "llama", ""))
        .collect();
    for (count, expected) in [(OBJECT_RULES_MAX, 0), (OBJECT_RULES_MAX + 1, 2)] {
        let objects = Objects {
            rewrites: rewrites[..=count - OBJECT_RULES_MAX].to_vec(),
            objectives: objectives[..count].to_vec(),
            pools: [llama()].into(),
            ..Objects::default()
        };
        assert_eq!(refused(objects), expected);
    }
}
