//! Which rule takes a request, and what rules are called.

use http::{HeaderMap, Method};

use super::*;
use crate::config::{Source, limit};

const POOLS: &str =
    "pools: [{name: a, upstreams: ['http://h:1']}, {name: b, upstreams: ['http://h:2']}]\n";

fn routes(text: &str) -> Routes {
    let text = format!("{POOLS}routes: {text}\n");
    Source::default().parse(text.as_bytes()).unwrap().routes
}

fn taken(routes: &Routes, model: &str, path: &str, headers: &[(&'static str, &str)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let head = Head {
        method: &Method::POST,
        host: map.get("host").map(|host| host.to_str().unwrap()),
        path,
        headers: &map,
    };
    let route = routes.find(model, &head);
    route.map_or_else(String::new, |route| route.name.to_string())
}

const CHAT: &str = "/v1/chat/completions";

#[test]
fn the_first_that_matches_and_own_rules_before_those_of_every_model() {
    let routes = routes(
        "[{model: '*', name: gold-any, match: {headers: {x-tier: gold}}, targets: [{pool: a}]},
          {model: chat, match: {headers: {X-Tier: gold, x-beta: 'yes'}}, targets: [{pool: a}]},
          {model: chat, match: {headers: {x-tier: gold}}, targets: [{pool: a}]},
          {model: chat, match: {path: /v1/completions}, targets: [{pool: a}]},
          {model: '*', targets: [{pool: b}]}]",
    );
    let (gold, beta) = (("x-tier", "gold"), ("x-beta", "yes"));
    for (model, path, headers, expected) in [
        ("chat", CHAT, &[beta, gold][..], "chat"),
        ("chat", CHAT, &[gold], "chat-2"),
        ("chat", CHAT, &[("x-tier", "silver"), gold], "chat-2"),
        ("chat", "/v1/completions", &[], "chat-3"),
        ("chat", CHAT, &[beta], "*"),
        ("chat", CHAT, &[("x-tier", "Gold")], "*"),
        ("code", CHAT, &[gold], "gold-any"),
        ("code", CHAT, &[], "*"),
    ] {
        assert_eq!(
            taken(&routes, model, path, headers),
            expected,
            "{model} {path} {headers:?}"
        );
    }
}

#[test]
fn a_prefix_ends_where_an_element_does() {
    let routes = routes(
        "[{model: m, name: deep, match: {path_prefix: /v1/chat/}, targets: [{pool: a}]},
          {model: m, name: all, match: {path_prefix: /}, targets: [{pool: a}]}]",
    );
    for (path, expected) in [
        ("/v1/chat/completions", "deep"),
        ("/v1/chat", "deep"),
        ("/v1/chats", "all"),
        ("/", "all"),
    ] {
        assert_eq!(taken(&routes, "m", path, &[]), expected, "{path}");
    }
    assert_eq!(taken(&routes, "other", "/", &[]), "");
}

#[test]
fn a_host_is_one_name_or_all_below_one() {
    let routes = routes(
        "[{model: m, name: own, match: {host: Chat.example.com}, targets: [{pool: a}]},
          {model: m, name: below, match: {host: '*.example.com'}, targets: [{pool: a}]},
          {model: m, name: any, targets: [{pool: b}]}]",
    );
    for (host, expected) in [
        ("chat.example.com", "own"),
        ("CHAT.example.com", "own"),
        ("other.example.com", "below"),
        ("a.chat.example.com", "below"),
        ("example.com", "any"),
        (".example.com", "any"),
        ("xexample.com", "any"),
        ("", "any"),
    ] {
        assert_eq!(
            taken(&routes, "m", CHAT, &[("host", host)]),
            expected,
            "{host}"
        );
    }
    assert_eq!(taken(&routes, "m", CHAT, &[]), "any");
}

#[test]
fn a_target_has_its_pools_name_unless_it_is_given_one() {
    let routes = routes(
        "[{model: m, targets: [{pool: a, weight: 10}, {pool: a, name: lora, model: m-lora, weight: 90}]}]",
    );
    let [route] = routes.of("m").collect::<Vec<_>>()[..] else {
        panic!("one route")
    };
    let names: Vec<&str> = route.targets.iter().map(|target| &*target.name).collect();
    assert_eq!(names, ["a", "lora"]);
    assert_eq!(&*routes.target("m").unwrap().name, "lora", "the heaviest");
    assert_eq!(
        route.target("lora").unwrap().model.as_deref(),
        Some("m-lora")
    );
    assert_eq!(route.target("b"), None);
}

#[test]
fn a_pool_that_takes_over_becomes_a_target_of_no_weight() {
    let routes = routes(
        "[{model: m, targets: [{pool: a, name: s, model: x, fallback: t}, \
           {pool: a, name: t, model: x, fallback: b}, {pool: a, name: u, model: x, fallback: b}]}]",
    );
    let route = routes.of("m").next().unwrap();
    let [_, _, _, implied] = route.targets.as_slice() else {
        panic!("one more")
    };
    assert_eq!((&*implied.name, implied.pool.as_str()), ("b", "b"));
    assert_eq!((implied.weight, implied.model.as_deref()), (0, Some("x")));
    assert!(implied.is_implied && implied.fallback.is_none());
    let mut way = vec!["s"];
    while let Some(next) = route
        .target(way.last().unwrap())
        .and_then(|target| target.fallback.as_ref())
    {
        way.push(&next.target);
    }
    assert_eq!(way, ["s", "t", "b"]);
}

#[test]
fn a_made_name_makes_room_for_a_given_one() {
    let routes = routes(
        "[{model: m, match: {headers: {a: '1'}}, targets: [{pool: a}]},
          {model: m, match: {headers: {a: '2'}}, targets: [{pool: a}]},
          {model: n, name: m-2, targets: [{pool: a}]}]",
    );
    let names: Vec<&str> = routes.all().map(|route| &*route.name).collect();
    assert_eq!(names, ["m", "m-3", "m-2"]);
}

#[test]
fn what_is_sticky() {
    let of = |keys: &str| {
        let routes = routes(&format!("[{{model: m, {keys} targets: [{{pool: a}}]}}]"));
        let route = routes.of("m").next().unwrap();
        (route.stickiness, route.takes_force)
    };
    assert_eq!(of(""), (Stickiness::Conversation, false));
    assert_eq!(of("sticky: false,"), (Stickiness::Nothing, false));
    assert_eq!(
        of("sticky_by: api_key, force_target: true,"),
        (Stickiness::ApiKey, true)
    );
}

#[test]
fn what_covers_what() {
    let of = |text: &str| {
        let routes = routes(&format!(
            "[{{model: m, match: {text}, targets: [{{pool: a}}]}}]"
        ));
        routes.of("m").next().unwrap().matching.clone()
    };
    for (wide, narrow, covers) in [
        ("{}", "{}", true),
        ("{}", "{headers: {a: '1'}}", true),
        ("{headers: {a: '1'}}", "{}", false),
        (
            "{headers: {a: '1'}}",
            "{headers: {A: '1', b: '1'}, path: /x}",
            true,
        ),
        ("{headers: {a: '1'}}", "{headers: {a: '2'}}", false),
        ("{path_prefix: /v1}", "{path: /v1/x}", true),
        ("{path_prefix: /v1}", "{path_prefix: /v1/x}", true),
        ("{path_prefix: /v1/x}", "{path_prefix: /v1}", false),
        ("{path: /v1}", "{path_prefix: /v1}", false),
        ("{path: /v1}", "{path: /v1}", true),
        ("{}", "{host: h}", true),
        ("{host: h}", "{}", false),
        ("{host: A.b}", "{host: a.B}", true),
        ("{host: '*.b'}", "{host: a.b}", true),
        ("{host: '*.b'}", "{host: '*.a.b'}", true),
        ("{host: '*.a.b'}", "{host: '*.b'}", false),
        ("{host: '*.b'}", "{host: '*.ab'}", false),
        ("{host: a.b}", "{host: '*.a.b'}", false),
    ] {
        assert_eq!(of(wide).covers(&of(narrow)), covers, "{wide} {narrow}");
    }
}

#[test]
fn at_a_limit_is_good_and_past_it_is_not() {
    let is_good = |keys: String, targets: String| {
        let text = format!("{POOLS}routes: [{{model: m, {keys} targets: [{targets}]}}]");
        Source::default().parse(text.as_bytes()).is_ok()
    };
    let many = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(", ")
    };
    let matching = |keys: String| is_good(format!("match: {{{keys}}},"), "{pool: a}".into());
    type Check<'a> = &'a dyn Fn(usize) -> bool;
    let cases: [(&str, usize, Check<'_>); 7] = [
        ("route name", limit::ROUTE_NAME_BYTES_MAX, &|bytes| {
            is_good(format!("name: {},", "r".repeat(bytes)), "{pool: a}".into())
        }),
        ("targets", limit::TARGETS_MAX, &|count| {
            is_good(
                String::new(),
                many(count, &|i| format!("{{pool: a, name: t{i}}}")),
            )
        }),
        ("target name", limit::TARGET_NAME_BYTES_MAX, &|bytes| {
            is_good(
                String::new(),
                format!("{{pool: a, name: {}}}", "t".repeat(bytes)),
            )
        }),
        ("headers", limit::MATCH_HEADERS_MAX, &|count| {
            matching(format!(
                "headers: {{{}}}",
                many(count, &|i| format!("x-{i}: v"))
            ))
        }),
        (
            "value of a header",
            limit::MATCH_VALUE_BYTES_MAX,
            &|bytes| matching(format!("headers: {{x-a: {}}}", "v".repeat(bytes))),
        ),
        ("host", limit::HOST_BYTES_MAX, &|bytes| {
            let labels = format!("{}.", "h".repeat(60)).repeat(bytes / 61);
            matching(format!("host: {labels}{}", "h".repeat(bytes % 61)))
        }),
        ("path", limit::MATCH_PATH_BYTES_MAX, &|bytes| {
            matching(format!("path: /{}", "p".repeat(bytes - 1)))
        }),
    ];
    for (what, most, is_good) in cases {
        assert!(is_good(most) && !is_good(most + 1), "{what}");
    }
}
