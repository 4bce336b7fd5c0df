//! The engines of a whole stack: labels by which they are found, and flags that the gateway needs.

use serde_json::{Value, json};

use super::{deploy, find, release};

fn stack(name: &str) -> Vec<Value> {
    release(Some(&deploy().join("helm").join(name)), &[])
}

fn flags(pod: &Value) -> Vec<&str> {
    let flags = pod["spec"]["containers"][0]["args"].as_array().unwrap();
    flags.iter().map(|flag| flag.as_str().unwrap()).collect()
}

fn has(labels: &Value, selector: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    selector.iter().all(|(key, value)| &labels[key] == value)
}

#[test]
fn engines_report_what_the_gateway_learns_from() {
    let objects = stack("examples/stack.yaml");
    let pod = &find(&objects, "Deployment", "vllm")["spec"]["template"];
    let flags = flags(pod);
    assert!(flags.contains(&"--enable-prompt-tokens-details"));
    assert!(flags.contains(&"--enable-prefix-caching"));
    let events = flags
        .iter()
        .find_map(|flag| flag.strip_prefix("--kv-events-config="));
    let events: Value = serde_json::from_str(events.unwrap()).unwrap();
    assert_eq!(
        events,
        json!({
            "enable_kv_cache_events": true,
            "publisher": "zmq",
            "endpoint": "tcp://*:5557",
            "replay_endpoint": "tcp://*:5657",
            "topic": "kv@$(POD_IP):8000@meta-llama/Llama-3.1-8B-Instruct",
        })
    );
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["llm-d.ai/engine-type"], "vllm");
    let service = find(&objects, "Service", "vllm");
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert!(has(labels, &service["spec"]["selector"]));
}

#[test]
fn roles_are_labels_and_groups_are_services() {
    let objects = stack("examples/stack-prefill-decode.yaml");
    for role in ["prefill", "decode"] {
        let labels = &find(&objects, "Deployment", role)["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["llm-d.ai/role"], role);
        for (service, is_member) in [("prefill", role == "prefill"), ("decode", role == "decode")] {
            let selector = &find(&objects, "Service", service)["spec"]["selector"];
            assert_eq!(has(labels, selector), is_member, "{role} in {service}");
        }
    }
}

#[test]
fn an_inference_pool_has_the_pods_of_its_service_and_a_port_for_each_rank() {
    let objects = stack("examples/stack-inference-pool.yaml");
    let spec = &find(&objects, "InferencePool", "deepseek")["spec"];
    let labels =
        &find(&objects, "Deployment", "deepseek")["spec"]["template"]["metadata"]["labels"];
    assert!(has(labels, &spec["selector"]["matchLabels"]));
    assert_eq!(spec["targetPorts"].as_array().unwrap().len(), 8);
    // The gateway picks.
    assert_eq!(spec["endpointPickerRef"], Value::Null);
}

#[test]
fn of_a_group_over_nodes_only_the_leader_answers() {
    let objects = stack("examples/stack-multi-node.yaml");
    let set = find(&objects, "LeaderWorkerSet", "llama-405b");
    let template = &set["spec"]["leaderWorkerTemplate"];
    let (leader, worker) = (&template["leaderTemplate"], &template["workerTemplate"]);
    let selector = &find(&objects, "Service", "llama-405b")["spec"]["selector"];
    assert!(has(&leader["metadata"]["labels"], selector));
    assert!(!has(&worker["metadata"]["labels"], selector));
    assert!(!flags(leader).contains(&"--headless"));
    assert!(flags(worker).contains(&"--headless"));
    assert_eq!(
        worker["spec"]["containers"][0]["readinessProbe"],
        Value::Null
    );
    assert_eq!(
        set["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
        "inference"
    );
}

#[test]
fn schedulers_and_drivers_are_told() {
    let objects = stack("examples/stack-volcano.yaml");
    let template = &find(&objects, "Deployment", "vllm")["spec"]["template"];
    assert_eq!(template["spec"]["schedulerName"], "volcano");
    let group = find(&objects, "PodGroup", "vllm");
    let annotations = &template["metadata"]["annotations"];
    assert_eq!(
        annotations["scheduling.k8s.io/group-name"],
        group["metadata"]["name"]
    );
    let queue = find(&objects, "Queue", group["spec"]["queue"].as_str().unwrap());
    assert_eq!(queue["spec"]["capability"]["nvidia.com/gpu"], "16");

    let objects = stack("examples/stack-device-claims.yaml");
    let pod = &find(&objects, "Deployment", "vllm")["spec"]["template"]["spec"];
    let claim = pod["resourceClaims"][0]["resourceClaimTemplateName"].as_str();
    find(&objects, "ResourceClaimTemplate", claim.unwrap());
    assert_eq!(
        pod["containers"][0]["resources"]["claims"],
        json!([{"name": pod["resourceClaims"][0]["name"]}])
    );
}

#[test]
fn cliques_of_one_service_are_one_set() {
    let objects = stack("examples-grove/prefill-decode.yaml");
    let set = find(&objects, "PodCliqueSet", "llama-70b");
    let cliques = set["spec"]["template"]["cliques"].as_array().unwrap();
    let selector = &find(&objects, "Service", "llama-70b")["spec"]["selector"];
    let roles: Vec<_> = cliques
        .iter()
        .map(|clique| {
            assert!(has(&clique["labels"], selector));
            (
                &clique["name"],
                &clique["labels"]["llm-d.ai/role"],
                &clique["spec"]["replicas"],
            )
        })
        .collect();
    assert_eq!(
        json!(roles),
        json!([["decode", "decode", 2], ["prefill", "prefill", 4]])
    );
}

#[test]
fn replicas_are_left_to_an_autoscaler() {
    let objects = stack("examples/stack-autoscaling.yaml");
    let engines = find(&objects, "Deployment", "vllm");
    assert_eq!(engines["spec"]["replicas"], Value::Null);
    let scaled = &find(&objects, "ScaledObject", "warmgate-main")["spec"];
    assert_eq!(scaled["scaleTargetRef"]["name"], "vllm");
    let triggers = scaled["triggers"].as_array().unwrap();
    let queries: Vec<_> = triggers
        .iter()
        .map(|trigger| trigger["metadata"]["query"].as_str().unwrap())
        .collect();
    let series = |metric: &str| {
        format!("sum({metric}{{namespace=\"default\",job=\"warmgate-admin\",pool=\"main\"}})")
    };
    let expected = [
        "warmgate_queued_prefill_tokens",
        "warmgate_inflight_prompt_tokens",
    ];
    assert_eq!(queries, expected.map(series));
    // What the queries select by is what Prometheus calls the Service that it reads.
    find(&objects, "Service", "warmgate-admin");
}
