//! The Helm chart, rendered by a real helm, and the manifests around it: what a real API server says
//! of them, and whether the gateway that they start is given what it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::control_plane::{ControlPlane, installation};

mod configuration;
mod drain;
mod dry_run;
mod engines;
mod lifecycle;
mod refusals;
mod rights;

/// The namespace of the releases.
const NAMESPACE: &str = "default";
/// What is known to the API server beside the built-in kinds: `conformance/cluster/crds.list`.
pub const PROJECTS: [&str; 10] = [
    "gateway-api",
    "gie",
    "llm-d",
    "keda",
    "lws",
    "kueue",
    "volcano",
    "prometheus-operator",
    "argo-rollouts",
    "flagger",
];

/// A control plane that knows the objects of all projects.
async fn plane() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let start = || async {
        let plane = ControlPlane::start("chart").await;
        plane.define(&PROJECTS).await;
        plane
    };
    PLANE.get_or_init(start).await
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The files of a folder below `deploy`, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(deploy().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// No values but the chart's own, then each file of examples.
fn values_files() -> Vec<Option<PathBuf>> {
    let folders = ["helm/examples", "helm/examples-namespaces"];
    let examples = folders.into_iter().flat_map(files).map(Some);
    std::iter::once(None).chain(examples).collect()
}

/// What `helm template` prints, or what it complains of.
fn render(values: Option<&Path>, set: &[&str]) -> Result<String, String> {
    let mut helm = Command::new(installation().join("bin/helm"));
    helm.args(["template", "warmgate", "--namespace", NAMESPACE])
        .arg(deploy().join("helm/warmgate"));
    if let Some(values) = values {
        helm.arg("--values").arg(values);
    }
    for value in set {
        helm.args(["--set-json", value]);
    }
    let output = helm.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// The objects of a text of several.
fn objects(text: &str) -> Vec<Value> {
    let objects: Vec<Option<Value>> = serde_saphyr::from_multiple(text).unwrap();
    objects.into_iter().flatten().collect()
}

/// The objects that a release of these values is made of.
fn release(values: Option<&Path>, set: &[&str]) -> Vec<Value> {
    let text = render(values, set).unwrap_or_else(|said| panic!("{values:?} {set:?}: {said}"));
    objects(&text)
}

/// The one object of that kind and name.
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let found: Vec<_> = objects.iter().filter(is_it).collect();
    let [found] = found.as_slice() else {
        panic!("{} of {kind} {name}", found.len())
    };
    found
}

/// The configuration file of a release.
fn configuration(objects: &[Value]) -> String {
    let map = find(objects, "ConfigMap", "warmgate");
    map["data"]["config.yaml"].as_str().unwrap().to_owned()
}
