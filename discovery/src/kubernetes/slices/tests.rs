//! Tables of what a cluster says and which endpoints that makes.

use k8s_openapi::api::core::v1::{Pod as ClusterPod, Service};
use serde_json::{Value, json};

use super::*;

/// What is known in a case, as objects of the API.
#[derive(Default)]
struct Known {
    slices: Vec<Value>,
    services: Vec<Value>,
    pods: Vec<Value>,
    port: Option<PortRef>,
}

fn told(known: &Known) -> (Vec<EndpointSpec>, Vec<String>) {
    let parse =
        |value: &Value| Arc::new(Slice::read(serde_json::from_value(value.clone()).unwrap()));
    let slices: Vec<_> = known.slices.iter().map(parse).collect();
    let services: Vec<_> = known
        .services
        .iter()
        .map(|value| serde_json::from_value::<Service>(value.clone()).unwrap())
        .map(|service| Arc::new(ServicePorts::read(service)))
        .collect();
    let pods: Vec<_> = known
        .pods
        .iter()
        .map(|value| serde_json::from_value::<ClusterPod>(value.clone()).unwrap())
        .map(|pod| Arc::new(PodFacts::read(pod)))
        .collect();
    let (specs, problems) = endpoints(&Cast {
        slices: &slices,
        services: &services,
        pods: &pods,
        port: known.port.as_ref(),
    });
    (specs, problems.iter().map(ToString::to_string).collect())
}

fn check(known: &Known, expected: &[&str]) -> Vec<String> {
    let (specs, problems) = told(known);
    let shown: Vec<String> = specs
        .iter()
        .map(|spec| format!("{} {} {:?}", spec.key, spec.authority, spec.serving))
        .collect();
    assert_eq!(shown, expected);
    problems
}

fn slice(family: &str, ports: Value, endpoints: Value) -> Value {
    json!({
        "metadata": {"namespace": "ml", "name": "s", "labels": {"kubernetes.io/service-name": "vllm"}},
        "addressType": family, "ports": ports, "endpoints": endpoints,
    })
}

fn one_port() -> Value {
    json!([{"name": "", "port": 8000, "protocol": "TCP"}])
}

fn of_pod(address: &str, uid: &str, conditions: Value) -> Value {
    json!({
        "addresses": [address], "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": format!("pod-{uid}"), "uid": uid},
    })
}

#[test]
fn conditions_say_who_takes_new_requests() {
    for (conditions, serving) in [
        (json!({}), Serving::Ready),
        (json!({"ready": true}), Serving::Ready),
        (json!({"ready": false}), Serving::NotReady),
        (
            json!({"ready": false, "serving": true, "terminating": true}),
            Serving::Terminating,
        ),
        (
            json!({"ready": false, "serving": false, "terminating": true}),
            Serving::Terminating,
        ),
        // A Service with publishNotReadyAddresses.
        (
            json!({"ready": true, "serving": true, "terminating": true}),
            Serving::Terminating,
        ),
    ] {
        let known = Known {
            slices: vec![slice(
                "IPv4",
                one_port(),
                json!([of_pod("10.0.0.1", "u", conditions.clone())]),
            )],
            ..Known::default()
        };
        assert_eq!(told(&known).0[0].serving, serving, "{conditions}");
    }
    let bare = json!([{"addresses": ["10.0.0.1", "10.0.0.9"]}]);
    let known = Known {
        slices: vec![slice("IPv4", one_port(), bare)],
        ..Known::default()
    };
    check(&known, &["http://10.0.0.1:8000 10.0.0.1:8000 Ready"]);
}

#[test]
fn slices_of_a_service_are_one_list_and_a_pod_is_one_endpoint() {
    let ready = || json!({"ready": true});
    let moving = json!([
        of_pod("10.0.0.1", "a", json!({"ready": false})),
        of_pod("10.0.0.2", "b", ready())
    ]);
    let arrived = json!([of_pod("10.0.0.1", "a", ready())]);
    let six = json!([
        of_pod("fd00::1", "a", ready()),
        of_pod("fd00::3", "c", ready())
    ]);
    let known = Known {
        slices: vec![
            slice("IPv6", one_port(), six),
            slice("IPv4", one_port(), moving),
            slice("IPv4", one_port(), arrived),
            slice("IPv4", Value::Null, Value::Null),
        ],
        ..Known::default()
    };
    let expected = [
        "a:8000 10.0.0.1:8000 Ready",
        "b:8000 10.0.0.2:8000 Ready",
        "c:8000 [fd00::3]:8000 Ready",
    ];
    assert!(check(&known, &expected).is_empty());
}

#[test]
fn without_pods_a_server_in_both_families_is_taken_once() {
    let at = |address: &str| json!([{"addresses": [address]}]);
    let mut known = Known {
        slices: vec![
            slice("IPv6", one_port(), at("fd00::1")),
            slice("IPv4", one_port(), at("10.0.0.1")),
        ],
        ..Known::default()
    };
    check(&known, &["http://10.0.0.1:8000 10.0.0.1:8000 Ready"]);
    known.slices.pop();
    check(&known, &["http://[fd00::1]:8000 [fd00::1]:8000 Ready"]);
}

#[test]
fn a_port_is_found_by_name_by_number_and_through_the_service() {
    let ports = json!([
        {"name": "metrics", "port": 9400}, {"name": "http", "port": 8000},
        {"name": "raw", "port": 8001}, {"name": "http", "port": 53, "protocol": "UDP"},
    ]);
    let service = json!({
        "metadata": {"namespace": "ml", "name": "vllm"},
        "spec": {"ports": [{"name": "http", "port": 80}, {"name": "raw", "port": 81}]},
    });
    let name = |name: &str| Some(PortRef::Name(name.to_owned()));
    for (port, found) in [
        (None, Ok(8000)),
        (name("raw"), Ok(8001)),
        (Some(PortRef::Number(9400)), Ok(9400)),
        (Some(PortRef::Number(81)), Ok(8001)),
        (name("grpc"), Err("no port `grpc`")),
        (Some(PortRef::Number(82)), Err("no port `82`")),
        (Some(PortRef::Number(53)), Err("no port `53`")),
    ] {
        let known = Known {
            slices: vec![slice(
                "IPv4",
                ports.clone(),
                json!([of_pod("10.0.0.1", "u", json!({}))]),
            )],
            services: vec![service.clone()],
            port: port.clone(),
            ..Known::default()
        };
        let (specs, problems) = told(&known);
        match found {
            Ok(number) => assert_eq!(specs[0].address.port(), number, "{port:?}"),
            Err(said) => assert!(
                specs.is_empty() && problems[0].contains(said),
                "{problems:?}"
            ),
        }
    }
}

#[test]
fn several_ports_without_a_choice_are_said_with_their_names() {
    let ports = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
    let known = Known {
        slices: vec![slice(
            "IPv4",
            ports,
            json!([of_pod("10.0.0.1", "u", json!({}))]),
        )],
        ..Known::default()
    };
    let problems = check(&known, &[]);
    assert!(problems[0].contains("a 1, b 2"), "{problems:?}");
}

#[test]
fn pods_add_what_slices_do_not_say() {
    let pod = |uid: &str, role: &str| {
        json!({
            "metadata": {
                "namespace": "ml", "name": format!("pod-{uid}"), "uid": uid,
                "labels": {"llm-d.ai/role": role, "llm-d.ai/engine-type": "vllm", "model-version": "v2"},
                "annotations": {"llm-d.ai/active-ports": "8000"},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "e"}]},
            "status": {"containerStatuses": [
                {"name": "e", "restartCount": 3, "ready": true, "image": "", "imageID": ""},
            ]},
        })
    };
    let zoned = json!({
        "addresses": ["10.0.0.1"], "zone": "z", "hints": {"forZones": [{"name": "z"}, {"name": "y"}]},
        "targetRef": {"kind": "Pod", "name": "pod-u", "uid": "u"},
    });
    let replaced = of_pod("10.0.0.2", "old", json!({}));
    let known = Known {
        slices: vec![slice("IPv4", one_port(), json!([zoned, replaced]))],
        pods: vec![pod("u", "prefill"), {
            let mut next = pod("new", "decode");
            next["metadata"]["name"] = json!("pod-old");
            next
        }],
        ..Known::default()
    };
    let (specs, problems) = told(&known);
    assert!(problems.is_empty(), "{problems:?}");
    let [old, first] = specs.as_slice() else {
        panic!("{specs:?}");
    };
    let pod = first.pod.as_ref().unwrap();
    assert_eq!(first.role, warmgate_routing::endpoint::Role::Prefill);
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("pod-u", "u"));
    assert_eq!(
        (pod.zone.as_deref(), pod.node.as_deref()),
        (Some("z"), Some("n"))
    );
    assert_eq!(pod.for_zones, ["z", "y"]);
    assert_eq!(
        (pod.restarts, pod.model_version.as_deref()),
        (Some(3), Some("v2"))
    );
    assert_eq!(first.labels["llm-d.ai/role"], "prefill");
    // Its successor of the same name says nothing about it.
    assert_eq!(old.pod.as_ref().unwrap().restarts, None);
}

#[test]
fn a_rank_that_is_not_active_is_left_out() {
    let pod = json!({
        "metadata": {
            "namespace": "ml", "name": "pod-u", "uid": "u",
            "annotations": {"inference.networking.k8s.io/active-ports": "8001"},
        },
    });
    let known = Known {
        slices: vec![slice(
            "IPv4",
            one_port(),
            json!([of_pod("10.0.0.1", "u", json!({}))]),
        )],
        pods: vec![pod],
        ..Known::default()
    };
    check(&known, &[]);
}

#[test]
fn what_cannot_be_used_is_said_and_the_rest_is_used() {
    let odd = json!({
        "metadata": {"namespace": "ml", "name": "pod-u", "uid": "u", "labels": {"llm-d.ai/role": "chef"}},
    });
    let stranger = json!({
        "metadata": {"namespace": "ml", "name": "other", "uid": "o", "labels": {"llm-d.ai/role": "cook"}},
    });
    let known = Known {
        slices: vec![
            slice("FQDN", one_port(), json!([{"addresses": ["gpu.example"]}])),
            slice(
                "IPv4",
                one_port(),
                json!([of_pod("10.0.0.1", "u", json!({}))]),
            ),
        ],
        pods: vec![odd, stranger],
        ..Known::default()
    };
    let problems = check(&known, &["u:8000 10.0.0.1:8000 Ready"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("gpu.example") && problems[0].contains("dns"));
    assert!(problems[1].contains("Pod ml/pod-u") && problems[1].contains("`chef`"));
}
