//! What is said about bad configurations: the key, the mistake, the fix.

use super::{POOL, refusal};

/// Stands for the endpoints of a pool in the tables below.
const URL: &str = "upstreams: ['http://h:1']";

/// What is written, and a part of what is said about it.
type Table = &'static [(&'static str, &'static str)];

/// Whole files.
const FILES: Table = &[
    (
        "",
        "\n  pools: no endpoints are named: write `--upstream http://host:port`",
    ),
    (
        "listne: a",
        "line 1, column 1: listne: unknown field `listne`, expected one of listen, tls",
    ),
    ("listen: [", "listen: expected string scalar"),
    (
        "listen:",
        "listen: is empty: write a value, or leave the key out",
    ),
    ("- a\n", "write keys with values"),
    ("pools: {}\n", "pools: "),
];

/// Lines before a good pool.
const LINES: Table = &[
    (
        "listen: 8080",
        "listen: `8080` is not an IP address and a port: write for example",
    ),
    (
        "admin: localhost:1",
        "admin: `localhost:1` is not an IP address and a port",
    ),
    (
        "admin: 0.0.0.0:8080",
        "admin: 0.0.0.0:8080 is also an address for clients: give it",
    ),
    (
        "explain: yes",
        "line 1, column 10: explain: write `true` or `false`",
    ),
    (
        "explain: true\nexplain: true",
        "line 2, column 1: `explain` is written twice: keep one",
    ),
    (
        "threads: 0",
        "threads: lower than 1: write a number from 1 to 1024",
    ),
    (
        "threads: 1025",
        "threads: greater than 1024: write a number from 1 to 1024",
    ),
    ("forward: {retries: -1}", "forward.retries: "),
    ("forward: {retries: -1}", "write a number from 0 to 10"),
    (
        "forward: {retries: 11}",
        "line 1, column 20: forward.retries: greater than 10",
    ),
    ("forward: 3", "forward: "),
    (
        "limits: {body_bytes: 1023}",
        "limits.body_bytes: lower than 1024",
    ),
    (
        "tls: {listen: '0.0.0.0:1'}",
        "tls: missing field `certificate`",
    ),
];

/// Pools, without the brackets of the list.
const POOLS: Table = &[
    (
        "{name: a}",
        "pools[0]: has no endpoints: write one of `upstreams:",
    ),
    (
        "{name: a, URL, file: e.yaml}",
        "pools[0]: has more than one of `upstreams`, `file`, `dns` and `kubernetes`",
    ),
    ("{URL}", "missing field `name`"),
    (
        "{name: Main, URL}",
        "pools[0].name: `Main` is no pool name: use a-z, 0-9",
    ),
    ("{name: -a, URL}", "pools[0].name: `-a` is no pool name"),
    (
        "{name: a, URL}, {name: a, URL}",
        "pools[1].name: `a` is already the name of pools[0]",
    ),
    (
        "{name: a, upstreams: []}",
        "pools[0].upstreams: is empty: write at least one",
    ),
    (
        "{name: a, upstreams: ['http://h:1', 'h:2']}",
        "pools[0].upstreams[1]: `h:2` is no address",
    ),
    (
        "{name: a, upstreams: ['http://h', 'http://h:80/']}",
        "pools[0].upstreams[1]: http://h:80 is already at place 0",
    ),
    (
        "{name: a, file: absent.yaml}",
        "pools[0].file: absent.yaml cannot be read (No such file",
    ),
    (
        "{name: a, dns: {name: 'http://h', port: 1}}",
        "pools[0].dns.name: `http://h` is no host name",
    ),
    (
        "{name: a, dns: {name: h, port: 0}}",
        "pools[0].dns.port: lower than 1: write a number from 1 to 65535",
    ),
    (
        "{name: a, URL, policy: cost}",
        "write `{name: NAME}` with the name and the parameters",
    ),
    (
        "{name: a, URL, policy: {name: cst}}",
        "pools[0].policy.name: unknown variant `cst`, expected one of cost",
    ),
    (
        "{name: a, URL, policy: {name: cost, w: 1}}",
        "unknown field `w`, expected one of prefill_weight",
    ),
    (
        "{name: a, URL, policy: {name: session, w: 1}}",
        "unknown field `w`",
    ),
    (
        "{name: a, URL, policy: {name: cost, prefill_weight: 101}}",
        "pools[0].policy: `prefill_weight` is 101: write a number from 0 to 100",
    ),
    (
        "{name: a, URL, policy: {name: cost, prefill_weight: .inf}}",
        "prefill_weight: value `.inf` is not a finite number",
    ),
    (
        "{name: a, URL, block_tokens: 0}",
        "pools[0].block_tokens: lower than 1",
    ),
    (
        "{name: a, URL, block_tokens: 4097}",
        "pools[0].block_tokens: greater than 4096: write a number from 1 to 4096",
    ),
    (
        "{name: a, URL, scrape: {interval_ms: 5001}}",
        "pools[0].scrape.interval_ms: greater than 5000",
    ),
];

/// What a pool may say of a cluster.
const KUBERNETES: Table = &[
    (
        "{}",
        "pools[0].kubernetes: names nothing: write one of `service: NAME`",
    ),
    (
        "{service: a, inferencePool: b}",
        "pools[0].kubernetes: has more than one of `service`, `services`, `selector`",
    ),
    (
        "{service: a, service_name: b}",
        "pools[0].kubernetes.service_name: unknown field `service_name`, expected one of service",
    ),
    (
        "{service: Vllm}",
        "pools[0].kubernetes.service: `Vllm` is no name in Kubernetes: use a-z",
    ),
    (
        "{services: []}",
        "pools[0].kubernetes.services: is empty: write at least one name",
    ),
    (
        "{services: [a, b, a]}",
        "pools[0].kubernetes.services[2]: `a` is there twice: write it once",
    ),
    (
        "{inferencePool: a_b}",
        "pools[0].kubernetes.inferencePool: `a_b` is no name in Kubernetes",
    ),
    (
        "{inferencePool: a, port: 8000}",
        "pools[0].kubernetes.port: an InferencePool says by its `targetPorts`",
    ),
    (
        "{inferencePool: a, namespaces: [b]}",
        "pools[0].kubernetes.namespaces: an InferencePool is in one namespace",
    ),
    (
        "{service: a, namespace: ''}",
        "pools[0].kubernetes.namespace: `` is no name in Kubernetes",
    ),
    (
        "{service: a, namespace: b, namespaces: [c]}",
        "pools[0].kubernetes: has both `namespace` and `namespaces`: keep one",
    ),
    (
        "{service: a, namespaces: [b, b]}",
        "pools[0].kubernetes.namespaces[1]: `b` is there twice",
    ),
    (
        "{selector: {}}",
        "pools[0].kubernetes.selector: has 0 labels: write 1 to 16",
    ),
    ("{selector: {-a: b}}", "`-a` is no key of a label"),
    (
        "{selector: {app: 'a b'}}",
        "pools[0].kubernetes.selector.app: `a b` is no value of a label",
    ),
    (
        "{service: a, port: 0}",
        "pools[0].kubernetes.port: `0` is no port: write a number from 1 to 65535",
    ),
    (
        "{service: a, port: 65536}",
        "pools[0].kubernetes.port: `65536` is no port",
    ),
    (
        "{service: a, port: -1}",
        "pools[0].kubernetes.port: `-1` is no port",
    ),
    (
        "{service: a, port: HTTP}",
        "pools[0].kubernetes.port: `HTTP` is no port",
    ),
    ("{service: a, port: [80]}", "pools[0].kubernetes.port: "),
    ("{service: a, port: [80]}", "write a number or a name"),
];

/// Routes over the pools `a` and `b`.
const ROUTES: Table = &[
    (
        "[]",
        "routes: there are 2 pools and no routes: write `routes: [{model: \"*\"",
    ),
    (
        "[{model: m, targets: []}]",
        "routes[0].targets: is empty: write `targets: [{pool: NAME}]`",
    ),
    (
        "[{model: m, targets: [{pool: a}, {pool: a, model: n}]}]",
        "routes[0].targets[1]: `a` is already the name of targets[0]: give each target a `name`",
    ),
    (
        "[{model: m, targets: [{pool: a, weight: 0}, {pool: b, weight: 0}]}]",
        "routes[0].targets: no target has a weight: give at least one more than 0",
    ),
    (
        "[{model: m, targets: [{pool: a, name: 'a b'}]}]",
        "routes[0].targets[0].name: `a b` is no name of a target: use letters",
    ),
    (
        "[{model: m, name: '', targets: [{pool: a}]}]",
        "routes[0].name: a route's name has 1 to 256 bytes",
    ),
    (
        "[{model: m, name: x, targets: [{pool: a}]}, {model: n, name: x, targets: [{pool: a}]}]",
        "routes[1].name: `x` is already the name of another route",
    ),
    (
        "[{model: m, match: {host: 'http://h'}, targets: [{pool: a}]}]",
        "routes[0].match.host: `http://h` is no host name",
    ),
    (
        "[{model: m, match: {path: /a, path_prefix: /b}, targets: [{pool: a}]}]",
        "routes[0].match: has both `path` and `path_prefix`: keep one",
    ),
    (
        "[{model: m, match: {path: v1}, targets: [{pool: a}]}]",
        "routes[0].match.path: `v1` is no path: write one without a query",
    ),
    (
        "[{model: m, match: {path_prefix: '/a?b'}, targets: [{pool: a}]}]",
        "routes[0].match.path_prefix: `/a?b` is no path",
    ),
    (
        "[{model: m, match: {headers: {'a b': c}}, targets: [{pool: a}]}]",
        "routes[0].match.headers.a b: `a b` is no name of a header",
    ),
    (
        "[{model: m, match: {headers: {a: \"b\\n\"}}, targets: [{pool: a}]}]",
        "routes[0].match.headers.a: no header has this value",
    ),
    (
        "[{model: m, match: {headers: {a: b, A: b}}, targets: [{pool: a}]}]",
        "is there twice: case does not count",
    ),
    (
        "[{model: m, match: {headers: {a: {regex: b}}}, targets: [{pool: a}]}]",
        "routes[0].match.headers.a: ",
    ),
    (
        "[{model: m, sticky_by: user, targets: [{pool: a}]}]",
        "routes[0].sticky_by: unknown variant `user`, expected one of conversation, api_key",
    ),
    (
        "[{model: m, sticky_by: 1, targets: [{pool: a}]}]",
        "routes[0].sticky_by: ",
    ),
    (
        "[{model: m, guard: {}, targets: [{pool: a}]}]",
        "routes[0].guard: there is no canary to watch: list a second target",
    ),
    (
        "[{model: m, guard: {window_s: 0}, targets: [{pool: a}, {pool: b}]}]",
        "routes[0].guard.window_s: write 1 to 3600 seconds",
    ),
    (
        "[{model: m, guard: {window: 9}, targets: [{pool: a}, {pool: b}]}]",
        "unknown field `window`, expected one of window_s",
    ),
    (
        "[{model: m, steps: [{weight: 5, hold_s: 1}], targets: [{pool: a}]}]",
        "routes[0].steps: steps lead from one target to another, and there are 1",
    ),
    (
        "[{model: m, steps: [{weight: 5, hold_s: 1}, {weight: 5, hold_s: 1}], \
          targets: [{pool: a}, {pool: b}]}]",
        "routes[0].steps[1].weight: write a percentage from 6 to 100: steps only rise",
    ),
    (
        "[{model: m, targets: [{pool: c}]}]",
        "routes[0].targets[0].pool: no pool is called `c`: there is `a`, `b`",
    ),
    (
        "[{model: m, targets: [{pool: a}]}, {model: m, targets: [{pool: b}]}]",
        "routes[1]: is never reached: routes[0] already takes these requests for `m`",
    ),
    (
        "[{model: m, targets: [{pool: a}]}, \
          {model: m, match: {path: /x}, targets: [{pool: b}]}]",
        "routes[1]: is never reached: routes[0] already",
    ),
    (
        "[{model: '', targets: [{pool: a}]}]",
        "routes[0].model: a model name has 1 to 256 bytes",
    ),
    (
        "[{model: 'm*', targets: [{pool: a}]}]",
        "routes[0].model: `m*`: write a whole model name",
    ),
    (
        "[{model: m, targets: [{pool: a, model: '*'}]}]",
        "routes[0].targets[0].model: `*` is no name to send",
    ),
    (
        "[{model: m, targets: [{pool: a, weight: 1000001}]}]",
        "routes[0].targets[0].weight: greater than 1000000",
    ),
    (
        "[{model: m, targets: [{pool: a, fallback: c}]}]",
        "routes[0].targets[0].fallback: neither a target of this route nor a pool is called `c`",
    ),
    (
        "[{model: m, targets: [{pool: a, fallback: a}]}]",
        "routes[0].targets[0].fallback: `a` is the target itself: name another",
    ),
    (
        "[{model: m, targets: [{pool: a, name: t, fallback: a}]}]",
        "routes[0].targets[0].fallback: `a` is the target's own pool: name another",
    ),
    (
        "[{model: m, targets: [{pool: a, name: s}, {pool: a, fallback: b}, {pool: b, fallback: a}]}]",
        "routes[0].targets[1].fallback: goes round in a circle (a -> b -> a): let one of them",
    ),
    (
        "[{model: m, targets: [{pool: a, name: s, model: x, fallback: b}, \
          {pool: a, model: y, fallback: b}]}]",
        "routes[0].targets[1].fallback: two targets fall back to the pool `b` under different models",
    ),
    (
        "[{model: m, targets: [{pool: a, saturated_tokens: 9}]}]",
        "routes[0].targets[0].saturated_tokens: is of use with `fallback` only",
    ),
    (
        "[{model: m, targets: [{pool: a, fallback: b, saturated_tokens: 0}]}]",
        "routes[0].targets[0].saturated_tokens: lower than 1",
    ),
    (
        "[{model: m, targets: [{pool: a}], mirror: {pool: c}}]",
        "routes[0].mirror.pool: no pool is called `c`: there is `a`, `b`",
    ),
    (
        "[{model: m, targets: [{pool: a}], mirror: {pool: b, model: '*'}}]",
        "routes[0].mirror.model: `*` is no name to send",
    ),
    (
        "[{model: m, targets: [{pool: a}], mirror: {pool: b, percent: 100.1}}]",
        "routes[0].mirror.percent: greater than 100",
    ),
    (
        "[{model: m, targets: [{pool: a}], mirror: {pool: b, percent: -1}}]",
        "routes[0].mirror.percent: lower than 0",
    ),
];

#[test]
fn a_mistake_is_said_with_its_key_and_the_fix() {
    let file = |text: &str| text.to_owned();
    let line = |text: &str| format!("{text}\n{POOL}");
    let pool = |text: &str| format!("pools: [{}]\n", text.replace("URL", URL));
    let route =
        |text: &str| format!("pools: [{{name: a, {URL}}}, {{name: b, {URL}}}]\nroutes: {text}\n");
    let of_cluster = |text: &str| format!("pools: [{{name: a, kubernetes: {text}}}]\n");
    type Whole<'a> = &'a dyn Fn(&str) -> String;
    let tables: [(Table, Whole<'_>); 5] = [
        (FILES, &file),
        (LINES, &line),
        (POOLS, &pool),
        (KUBERNETES, &of_cluster),
        (ROUTES, &route),
    ];
    for (table, whole) in tables {
        for (text, said) in table {
            let text = whole(text);
            let refusal = refusal(&text);
            assert!(
                refusal.contains(said),
                "{text}\n{refusal}\nshould contain\n{said}"
            );
        }
    }
}

#[test]
fn one_run_shows_every_mistake() {
    let refusal =
        refusal("listen: a\nadmin: b\npools: [{name: A}]\nroutes: [{model: m, targets: []}]\n");
    for key in [
        "listen:",
        "admin:",
        "pools[0].name:",
        "pools[0]:",
        "routes[0].targets:",
    ] {
        assert!(refusal.contains(key), "{key} is not in {refusal}");
    }
}

#[test]
fn a_message_shows_the_line_that_it_is_about() {
    let expected = "command line:\n  line 2, column 20: forward.retries: greater than 10: write a \
                    number from 0 to 10\n    | forward: {retries: 99}";
    assert_eq!(
        refusal(&format!("explain: true\nforward: {{retries: 99}}\n{POOL}")),
        expected
    );
}

#[test]
fn the_files_of_tls_are_looked_at_before_anything_opens() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let text = |certificate: &str, key: &str| {
        let files = format!("certificate: {folder}/{certificate}, key: {folder}/{key}");
        format!("tls: {{listen: '0.0.0.0:8443', {files}}}\n{POOL}")
    };
    let config = super::parse(&text("certificate.pem", "key.pem")).unwrap();
    assert_eq!(config.tls.unwrap().listen.port(), 8443);
    for (certificate, key, said) in [
        ("absent.pem", "key.pem", "tls.certificate: "),
        (
            "key.pem",
            "key.pem",
            "key.pem has no `-----BEGIN CERTIFICATE-----`: name a PEM file",
        ),
        ("certificate.pem", "absent.pem", "tls.key: "),
        (
            "certificate.pem",
            "certificate.pem",
            "as the PEM file of a private key",
        ),
        (
            "certificate.pem",
            "other-key.pem",
            "tls.key: is not the key of the certificate",
        ),
    ] {
        let refusal = refusal(&text(certificate, key));
        assert!(refusal.contains(said), "{certificate} {key}: {refusal}");
    }
    let taken = text("certificate.pem", "key.pem").replace("8443", "8080");
    assert!(refusal(&taken).contains("tls.listen: 0.0.0.0:8080 is also `listen`"));
}
