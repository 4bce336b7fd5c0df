//! Pods as a kubelet reports them: their engines are this process's.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::control_plane::{Api, object};
use crate::engines::PORT;

/// A pod that the API server knows.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Given by the API server; another one for each pod that has had this name.
    pub uid: String,
    pub address: IpAddr,
}

/// What is told of a pod, but for its address.
#[derive(Clone, Default)]
pub struct Told<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    pub annotations: &'a [(&'a str, &'a str)],
}

impl Pod {
    /// Makes a pod that runs and is ready at `address`.
    pub async fn start(
        api: &Api,
        namespace: &str,
        name: &str,
        address: IpAddr,
        told: &Told<'_>,
    ) -> Pod {
        let map = |pairs: &[(&str, &str)]| -> Value {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value)));
            Value::Object(pairs.collect())
        };
        let mut pod = object("v1", "Pod", namespace, name);
        pod["metadata"]["labels"] = map(told.labels);
        pod["metadata"]["annotations"] = map(told.annotations);
        pod["spec"] = json!({
            "nodeName": "node",
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "engine",
                "image": "example.com/engine:1",
                "ports": [{"name": "http", "containerPort": PORT}],
            }],
        });
        let made = api
            .create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)
            .await;
        let made = made.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let pod = Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: made["metadata"]["uid"].as_str().unwrap().to_owned(),
            address,
        };
        pod.report(api, true, 0).await;
        pod
    }

    /// Reports whether it is ready, and how often its container has been restarted.
    pub async fn report(&self, api: &Api, is_ready: bool, restarts: u32) {
        let ready = if is_ready { "True" } else { "False" };
        let status = json!({"status": {
            "phase": "Running",
            "podIP": self.address.to_string(),
            "podIPs": [{"ip": self.address.to_string()}],
            "conditions": [
                {"type": "ContainersReady", "status": ready},
                {"type": "Ready", "status": ready},
            ],
            "containerStatuses": [{
                "name": "engine",
                "image": "example.com/engine:1",
                "imageID": "",
                "ready": is_ready,
                "started": true,
                "restartCount": restarts,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }],
        }});
        let path = format!("{}/status", self.path());
        api.merge(&path, &status).await.unwrap();
    }

    /// Removes it at once, as a kubelet does when its containers have ended.
    pub async fn remove(&self, api: &Api) {
        api.delete(&self.path()).await.unwrap();
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }
}
