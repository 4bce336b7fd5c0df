//! An API server with every definition accepts what the chart renders and what lies beside it,
//! without an unknown field and without a warning.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{deploy, files, objects, plane, render, values_files};
use crate::control_plane::ControlPlane;

/// Namespaced objects of others' namespaces are refused where those do not exist.
async fn make_namespaces(plane: &ControlPlane, objects: &[Value]) {
    let names = objects
        .iter()
        .map(|object| &object["metadata"]["namespace"]);
    let names: BTreeSet<&str> = names.filter_map(Value::as_str).collect();
    for name in names {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        plane.api().apply(&namespace).await.unwrap();
    }
}

async fn assert_accepted(plane: &ControlPlane, what: &str, text: &str) {
    make_namespaces(plane, &objects(text)).await;
    if let Err(said) = dry_run(plane, text) {
        panic!("{what}: {said}");
    }
}

fn dry_run(plane: &ControlPlane, text: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().display().to_string();
    plane.kubectl(
        &plane.admin_kubeconfig(),
        &[
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "--warnings-as-errors",
            "--filename",
            &path,
        ],
    )
}

#[tokio::test]
async fn every_rendering_of_the_chart_is_accepted() {
    let plane = plane().await;
    for values in values_files() {
        let text = render(values.as_deref(), &[]).unwrap();
        assert_accepted(plane, &format!("{values:?}"), &text).await;
    }
}

#[tokio::test]
async fn everything_at_once_is_accepted() {
    let plane = plane().await;
    let set = [
        "rbac.clusterWide=true",
        "rbac.httpRoutes=true",
        "rbac.inferenceModelRewrites=true",
        "rbac.inferenceObjectives=true",
        "networkPolicy.enabled=true",
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "autoscaling.enabled=true",
        "podLabels={\"a\": \"b\"}",
        "podAnnotations={\"a\": \"b\"}",
        "env=[{\"name\": \"WARMGATE_LOG\", \"value\": \"debug\"}]",
    ];
    let text = render(None, &set).unwrap();
    assert_accepted(plane, "everything at once", &text).await;
}

#[tokio::test]
async fn the_strictest_pod_security_standard_has_no_complaint() {
    let plane = plane().await;
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "strictest", "labels": {
            "pod-security.kubernetes.io/warn": "restricted",
        }},
    });
    plane.api().apply(&namespace).await.unwrap();
    let text = render(None, &[]).unwrap();
    let inside = |text: &str| text.replace("namespace: default", "namespace: strictest");
    let said = dry_run(plane, &inside(&text));
    assert!(said.is_ok(), "{}", said.unwrap_err());

    // Else nothing would be judged here.
    let lax = text.replace("runAsNonRoot: true", "runAsNonRoot: false");
    assert_ne!(lax, text);
    let said = dry_run(plane, &inside(&lax)).unwrap_err();
    assert!(said.contains("runAsNonRoot"), "{said}");
}

#[tokio::test]
async fn what_lies_around_the_chart_is_accepted() {
    const NAMES: [&str; 4] = [
        "argo-rollouts.yaml",
        "canary-weights.yaml",
        "flagger.yaml",
        "httproute.yaml",
    ];
    let there = files("examples/gateway-api");
    let there: Vec<_> = there.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(there, NAMES);
    let plane = plane().await;
    for name in NAMES {
        let path = deploy().join("examples/gateway-api").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_accepted(plane, name, &text).await;
        assert_leads_to_the_chart(&path, &objects(&text));
    }
}

/// Routes and canaries name what the chart makes, so that a changed name or port is noticed.
fn assert_leads_to_the_chart(path: &Path, objects: &[Value]) {
    let release = super::release(None, &[]);
    let service = super::find(&release, "Service", "warmgate");
    let pods = &super::find(&release, "Deployment", "warmgate")["spec"]["selector"]["matchLabels"];
    let port = &service["spec"]["ports"][0];
    for object in objects {
        let spec = &object["spec"];
        match object["kind"].as_str().unwrap() {
            "HTTPRoute" => {
                let rules = spec["rules"].as_array().unwrap();
                let backends = rules.iter().flat_map(|rule| rule["backendRefs"].as_array());
                for backend in backends.flatten() {
                    assert_eq!(backend["port"], port["port"], "{path:?}");
                    let name = backend["name"].as_str().unwrap();
                    assert!(name.starts_with("warmgate"), "{path:?}: {name}");
                }
            }
            "Service" => {
                assert_eq!(&spec["selector"], pods, "{path:?}");
                assert_eq!(spec["ports"][0]["targetPort"], port["targetPort"]);
            }
            "Rollout" => assert_eq!(spec["workloadRef"]["name"], "warmgate"),
            "Canary" => {
                assert_eq!(spec["targetRef"]["name"], "warmgate");
                assert_eq!(spec["service"]["targetPort"], port["targetPort"]);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_misspelt_field_would_not_be_accepted() {
    let plane = plane().await;
    let text = render(None, &[]).unwrap();
    let wrong = text.replace("terminationGracePeriodSeconds", "terminationGraceSeconds");
    assert_ne!(text, wrong);
    let said = dry_run(plane, &wrong).unwrap_err();
    assert!(said.contains("terminationGraceSeconds"), "{said}");
}
