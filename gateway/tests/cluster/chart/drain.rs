//! A pod is given the time that its drain takes, and is replaced only where it must be.

use serde_json::Value;

use super::{configuration, find, release, values_files};

/// Every pod template in an object, however deep.
fn pod_specs(object: &Value) -> Vec<&Value> {
    match object {
        Value::Object(map) if map.contains_key("containers") => vec![object],
        Value::Object(map) => map.values().flat_map(pod_specs).collect(),
        Value::Array(list) => list.iter().flat_map(pod_specs).collect(),
        _ => vec![],
    }
}

#[test]
fn a_pod_is_killed_after_its_pause_and_its_drain() {
    for values in values_files() {
        let objects = release(values.as_deref(), &[]);
        let text = configuration(&objects);
        let config: Value = serde_saphyr::from_str(&text).unwrap();
        let drain_s = config["shutdown"]["drain_s"].as_u64().unwrap();
        let gateway = &find(&objects, "Deployment", "warmgate")["spec"]["template"]["spec"];
        let grace_s = gateway["terminationGracePeriodSeconds"].as_u64().unwrap();
        let pre_stop = &gateway["containers"][0]["lifecycle"]["preStop"];
        let pause_s = pre_stop["sleep"]["seconds"].as_u64().unwrap();
        assert!(grace_s > pause_s + drain_s, "{values:?}: {grace_s}");
    }
}

#[test]
fn engines_drain_within_their_grace() {
    let engines = values_files().into_iter().flat_map(|values| {
        let objects = release(values.as_deref(), &[]);
        let specs = objects.iter().flat_map(pod_specs).cloned();
        specs
            .filter(|spec| spec["containers"][0]["name"] == "vllm")
            .collect::<Vec<_>>()
    });
    let mut count = 0;
    for spec in engines {
        let container = &spec["containers"][0];
        let flags = container["args"].as_array().unwrap().iter();
        let drain = flags
            .filter_map(Value::as_str)
            .find_map(|flag| flag.strip_prefix("--shutdown-timeout="));
        let drain_s: u64 = drain.unwrap().parse().unwrap();
        let pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
        let grace_s = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace_s > pause_s.unwrap() + drain_s, "{grace_s}");
        count += 1;
    }
    assert!(count > 5, "no engines are found any more");
}

#[test]
fn only_what_takes_effect_at_a_start_replaces_pods() {
    let template = |set: &[&str]| {
        let objects = release(None, set);
        find(&objects, "Deployment", "warmgate")["spec"]["template"].clone()
    };
    let before = template(&[]);
    for (set, replaces) in [
        (
            "routes=[{\"model\": \"m\", \"targets\": [{\"pool\": \"main\"}]}]",
            false,
        ),
        ("config={\"forward\": {\"retries\": 3}}", false),
        (
            "pools=[{\"name\": \"main\", \"service\": \"other\"}]",
            false,
        ),
        ("rbac={\"pods\": false}", false),
        (
            "config={\"forward\": {\"keepalive_connections\": 64}}",
            true,
        ),
        ("config={\"threads\": 2}", true),
        ("config={\"access_log\": {}}", true),
        ("bindAddress=\"[::]\"", true),
        ("drain={\"seconds\": 60}", true),
    ] {
        assert_eq!(template(&[set]) != before, replaces, "{set}");
    }
}

#[test]
fn nothing_runs_as_root_or_writes_to_its_image() {
    for values in values_files() {
        let objects = release(values.as_deref(), &[]);
        let pod = &find(&objects, "Deployment", "warmgate")["spec"]["template"]["spec"];
        let (pod_context, context) = (
            &pod["securityContext"],
            &pod["containers"][0]["securityContext"],
        );
        assert_eq!(pod_context["runAsNonRoot"], true);
        assert_eq!(pod_context["runAsUser"], 65532);
        assert_eq!(pod_context["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    }
}
