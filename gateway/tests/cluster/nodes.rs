//! A node whose pods are simulated engines: what a kubelet does, as far as a rollout needs it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{Api, object};
use crate::engines::{engine_at, pod_address};
use crate::pods::Pod;

/// Between two looks at what is to be run.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// A terminating container answers on for so long, as a `preStop` hook has it, and until it has
/// nothing to do.
const PRE_STOP: Duration = Duration::from_secs(2);
/// Pods that a node has run, all in all.
const PODS_MAX: u8 = 250;

/// Runs what is bound to it until it is dropped.
pub struct Node {
    task: JoinHandle<()>,
    running: Arc<Mutex<BTreeMap<String, u64>>>,
}

struct Running {
    engine: EngineHandle,
    /// Since when it has been told to end.
    ending: Option<Instant>,
    pod: Pod,
}

impl Node {
    /// Joins the cluster under that name, in a zone; its pods are those of one namespace.
    pub async fn join(api: Api, name: &str, zone: &str, namespace: &str, group: u8) -> Node {
        let mut node = object("v1", "Node", "", name);
        node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
        api.apply(&node).await.unwrap();
        let running = Arc::new(Mutex::new(BTreeMap::new()));
        let kubelet = Kubelet {
            api,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            group,
            started: 0,
            running: BTreeMap::new(),
            shown: Arc::clone(&running),
        };
        let task = tokio::spawn(kubelet.run());
        Node { task, running }
    }

    /// Requests that each running pod has got, by UID.
    pub fn received(&self) -> BTreeMap<String, u64> {
        self.running.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Kubelet {
    api: Api,
    name: String,
    namespace: String,
    group: u8,
    started: u8,
    running: BTreeMap<String, Running>,
    shown: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Kubelet {
    async fn run(mut self) {
        let path = format!(
            "/api/v1/namespaces/{}/pods?fieldSelector=spec.nodeName%3D{}",
            self.namespace, self.name
        );
        loop {
            let list = self.api.get(&path).await.unwrap();
            for pod in list["items"].as_array().into_iter().flatten() {
                self.sync(pod).await;
            }
            let received = self.running.iter();
            *self.shown.lock().unwrap() = received
                .map(|(uid, one)| (uid.clone(), one.engine.state().received_total))
                .collect();
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn sync(&mut self, pod: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let metadata = &pod["metadata"];
        let uid = text(&metadata["uid"]);
        let is_told_to_end = metadata["deletionTimestamp"].is_string();
        match self.running.get_mut(&uid) {
            None if is_told_to_end => {}
            None => {
                assert!(self.started < PODS_MAX);
                let pod = Pod {
                    namespace: self.namespace.clone(),
                    name: text(&metadata["name"]),
                    uid: uid.clone(),
                    address: pod_address(self.group, self.started),
                };
                self.started += 1;
                let engine = engine_at(pod.address).await;
                pod.report(&self.api, true, 0).await;
                let ending = None;
                self.running.insert(
                    uid,
                    Running {
                        engine,
                        ending,
                        pod,
                    },
                );
            }
            Some(running) if is_told_to_end => {
                let since = *running.ending.get_or_insert_with(Instant::now);
                if since.elapsed() > PRE_STOP && running.engine.state().open == 0 {
                    let ended = self.running.remove(&uid).unwrap();
                    ended.engine.shutdown().await;
                    ended.pod.remove(&self.api).await;
                }
            }
            Some(_) => {}
        }
    }
}
