//! Routes that objects of the cluster describe: what is made of them, and what their status says.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;
use warmgate_discovery::kubernetes::objects::{ObjectRoutes, RouteSource};
use warmgate_discovery::{ClusterAccess, Parent, ParentKind};

use crate::control_plane::{Api, ControlPlane, object, shared};
use crate::slices::service;

const PATIENCE: Duration = Duration::from_secs(30);
const CONTROLLER: &str = "warmgate.io/gateway";

/// The shared control plane, which knows routes and models from then on.
async fn plane() -> &'static ControlPlane {
    static DEFINED: OnceCell<()> = OnceCell::const_new();
    let plane = shared().await;
    let projects = ["gateway-api", "gie", "llm-d"];
    DEFINED.get_or_init(|| plane.define(&projects)).await;
    plane
}

/// A gateway that is called `name`, as far as it reads routes.
struct Reader {
    told: watch::Receiver<Option<ObjectRoutes>>,
    task: JoinHandle<()>,
}

impl Reader {
    fn start(plane: &ControlPlane, namespace: &str, name: &str) -> Reader {
        let source = RouteSource {
            access: ClusterAccess {
                kubeconfig: Some(plane.admin_kubeconfig()),
            },
            parent: Parent {
                kind: ParentKind::Service,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            namespaces: Vec::new(),
            pools: Default::default(),
        };
        let (sender, told) = watch::channel(None);
        let task = tokio::spawn(async move {
            source.run(sender).await;
        });
        Reader { told, task }
    }

    async fn until(&mut self, expected: impl Fn(&ObjectRoutes) -> bool) -> ObjectRoutes {
        let found = self
            .told
            .wait_for(|told| told.as_ref().is_some_and(&expected));
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.expect("in time").unwrap().clone().unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn routes_path(namespace: &str) -> String {
    format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes")
}

fn route(namespace: &str, name: &str, rules: &Value) -> Value {
    let version = "gateway.networking.k8s.io/v1";
    let mut route = object(version, "HTTPRoute", namespace, name);
    route["spec"] = json!({
        "parentRefs": [{"group": "", "kind": "Service", "name": "warmgate"}],
        "rules": rules,
    });
    route
}

/// Of the entries under `parents` that are ours: type, status and reason of each condition.
fn said(route: &Value) -> Vec<String> {
    let parents = route["status"]["parents"].as_array();
    let ours = parents.into_iter().flatten();
    let ours = ours.filter(|entry| entry["controllerName"] == CONTROLLER);
    let conditions = ours.flat_map(|entry| entry["conditions"].as_array().unwrap());
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let line = |one: &Value| {
        let [kind, status, reason] = ["type", "status", "reason"].map(|key| text(one, key));
        format!("{kind}={status} {reason}")
    };
    conditions.map(line).collect()
}

async fn until_said(api: &Api, namespace: &str, expected: &[&str]) -> Value {
    let list = api
        .until_list(&routes_path(namespace), |routes| {
            said(&routes[0]) == expected
        })
        .await;
    list[0].clone()
}

#[tokio::test]
async fn a_route_is_followed_and_its_status_says_so() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("routes").await;
    service(api, &namespace, "stable").await;
    service(api, &namespace, "canary").await;
    let rules = |weight: u32| {
        let to = |name: &str, weight| json!({"name": name, "port": 8000, "weight": weight});
        json!([{"backendRefs": [to("stable", 100 - weight), to("canary", weight)]}])
    };
    let mut reader = Reader::start(plane, &namespace, "warmgate");
    api.apply(&route(&namespace, "split", &rules(10)))
        .await
        .unwrap();
    let weights = |routes: &ObjectRoutes| -> Vec<u32> {
        let targets = routes.rules.iter().flat_map(|rule| &rule.targets);
        targets.map(|target| target.weight).collect()
    };
    reader.until(|routes| weights(routes) == [90, 10]).await;
    let good = ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"];
    until_said(api, &namespace, &good).await;

    // Another controller's entry joins, and both stay while the route is changed.
    let path = format!("{}/split/status", routes_path(&namespace));
    let mut whole = api.get(&path).await.unwrap();
    let mut other = whole["status"]["parents"][0].clone();
    other["controllerName"] = json!("example.net/other");
    let parents = whole["status"]["parents"].as_array_mut().unwrap();
    parents.insert(0, other.clone());
    api.replace(&path, &whole).await.unwrap();
    let mut changed = route(&namespace, "split", &rules(30));
    changed["spec"]["rules"][0]["backendRefs"][1]["name"] = json!("gone");
    api.apply(&changed).await.unwrap();
    let routes = reader.until(|routes| weights(routes) == [70, 30]).await;
    assert!(routes.rules[0].targets[1].pool.is_none());
    let lost = [
        "Accepted=True Accepted",
        "ResolvedRefs=False BackendNotFound",
    ];
    let route = until_said(api, &namespace, &lost).await;
    assert_eq!(route["status"]["parents"][0], other);
    // The Service comes into being, and nobody has to touch the route.
    service(api, &namespace, "gone").await;
    until_said(api, &namespace, &good).await;
    reader
        .until(|routes| routes.rules[0].targets[1].pool.is_some())
        .await;
    api.delete(&format!("{}/split", routes_path(&namespace)))
        .await
        .unwrap();
    reader.until(|routes| routes.rules.is_empty()).await;
}

#[tokio::test]
async fn what_cannot_be_followed_leaves_the_rest_in_force() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("refused").await;
    service(api, &namespace, "stable").await;
    let to = json!([{"name": "stable", "port": 8000}]);
    let good = json!({"backendRefs": to});
    let pattern = json!({"path": {"type": "RegularExpression", "value": "/v."}});
    let bad = json!({"matches": [pattern], "backendRefs": to});
    api.apply(&route(&namespace, "a", &json!([good, bad])))
        .await
        .unwrap();
    let mut reader = Reader::start(plane, &namespace, "warmgate");
    let mut sibling = Reader::start(plane, &namespace, "warmgate-batch");
    reader.until(|routes| routes.rules.len() == 1).await;
    let partly = [
        "Accepted=True Accepted",
        "PartiallyInvalid=True UnsupportedValue",
        "ResolvedRefs=True ResolvedRefs",
    ];
    until_said(api, &namespace, &partly).await;
    sibling.until(|routes| routes.rules.is_empty()).await;
    api.apply(&route(&namespace, "a", &json!([bad])))
        .await
        .unwrap();
    reader.until(|routes| routes.rules.is_empty()).await;
    let refused = [
        "Accepted=False UnsupportedValue",
        "ResolvedRefs=True ResolvedRefs",
    ];
    until_said(api, &namespace, &refused).await;
    // No longer for us: our entry goes.
    let mut moved = route(&namespace, "a", &json!([good]));
    moved["spec"]["parentRefs"][0]["name"] = json!("warmgate-batch");
    api.apply(&moved).await.unwrap();
    sibling.until(|routes| routes.rules.len() == 1).await;
    let parents = |route: &Value| route["status"]["parents"].clone();
    api.until_list(&routes_path(&namespace), |routes| {
        let parents = parents(&routes[0]);
        let of_sibling = parents[0]["parentRef"]["name"] == "warmgate-batch";
        of_sibling && parents.as_array().is_some_and(|all| all.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn models_and_priorities_of_a_routes_pool_are_read() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("models").await;
    let mut pool = object(
        "inference.networking.k8s.io/v1",
        "InferencePool",
        &namespace,
        "llama",
    );
    pool["spec"] =
        json!({"selector": {"matchLabels": {"app": "llama"}}, "targetPorts": [{"number": 8000}]});
    api.apply(&pool).await.unwrap();
    let to =
        json!({"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "llama"});
    api.apply(&route(&namespace, "a", &json!([{"backendRefs": [to]}])))
        .await
        .unwrap();
    let mut rewrite = object(
        "llm-d.ai/v1alpha2",
        "InferenceModelRewrite",
        &namespace,
        "chat",
    );
    rewrite["spec"] = json!({
        "poolRef": {"name": "llama"},
        "rules": [{
            "matches": [{"model": {"value": "chat"}}],
            "targets": [{"modelRewrite": "v1", "weight": 9}, {"modelRewrite": "v2", "weight": 1}],
        }],
    });
    api.apply(&rewrite).await.unwrap();
    let mut objective = object(
        "llm-d.ai/v1alpha2",
        "InferenceObjective",
        &namespace,
        "batch",
    );
    objective["spec"] = json!({"poolRef": {"name": "llama"}, "priority": -1});
    api.apply(&objective).await.unwrap();
    let mut reader = Reader::start(plane, &namespace, "warmgate");
    let routes = reader
        .until(|routes| {
            routes
                .pools
                .values()
                .any(|pool| !pool.priorities.is_empty())
        })
        .await;
    let pool = routes.pools.values().next().unwrap();
    assert_eq!(pool.priorities["batch"], -1);
    assert_eq!(pool.models["chat"].targets.len(), 2);
    for kind in ["inferencemodelrewrites", "inferenceobjectives"] {
        let path = format!("/apis/llm-d.ai/v1alpha2/namespaces/{namespace}/{kind}");
        let is_accepted = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one["type"] == "Accepted" && one["status"] == "True")
        };
        api.until_list(&path, |objects| is_accepted(&objects[0]))
            .await;
    }
}
