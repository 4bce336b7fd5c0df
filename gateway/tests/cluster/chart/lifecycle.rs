//! A release by helm itself: installed, changed and gone, with nothing left behind but weights.

use std::path::Path;
use std::process::Command;

use super::{deploy, plane};
use crate::control_plane::{ControlPlane, installation};

const RELEASE: &str = "warmgate";

fn helm(plane: &ControlPlane, namespace: &str, arguments: &[&str]) -> String {
    let output = Command::new(installation().join("bin/helm"))
        .args(arguments)
        .args(["--namespace", namespace])
        .arg("--kubeconfig")
        .arg(plane.admin_kubeconfig())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Kinds and names of what is in a namespace, without what every namespace has.
fn left(plane: &ControlPlane, namespace: &str) -> Vec<String> {
    const KINDS: &str = "deployments,services,configmaps,roles,rolebindings,\
        poddisruptionbudgets,networkpolicies,persistentvolumeclaims";
    let admin = plane.admin_kubeconfig();
    let get = ["get", KINDS, "--namespace", namespace, "--output", "name"];
    let names = plane.kubectl(&admin, &get).unwrap();
    let names = names.lines().filter(|name| !name.contains("kube-root-ca"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_release_comes_changes_and_goes() {
    let plane = plane().await;
    let namespace = plane.api().namespace("release").await;
    let chart = deploy().join("helm/warmgate");
    let text = |path: &Path| path.display().to_string();
    let (chart, stack) = (
        text(&chart),
        text(&deploy().join("helm/examples/stack.yaml")),
    );

    let notes = helm(plane, &namespace, &["install", RELEASE, &chart]);
    let address = format!("http://warmgate.{namespace}.svc:80/v1/chat/completions");
    assert!(notes.contains(&address), "{notes}");
    let before = left(plane, &namespace);
    assert!(before.contains(&"deployment.apps/warmgate".to_owned()));

    helm(
        plane,
        &namespace,
        &["upgrade", RELEASE, &chart, "--values", &stack],
    );
    let with_engines = left(plane, &namespace);
    assert!(with_engines.contains(&"deployment.apps/vllm".to_owned()));

    let values = [
        "upgrade",
        RELEASE,
        &chart,
        "--reset-values",
        "--set",
        "replicas=3",
    ];
    helm(plane, &namespace, &values);
    let weights = "persistentvolumeclaim/vllm-models".to_owned();
    let mut after = left(plane, &namespace);
    after.retain(|name| *name != weights);
    assert_eq!(after, before);

    helm(plane, &namespace, &["uninstall", RELEASE]);
    assert_eq!(left(plane, &namespace), [weights]);
}
