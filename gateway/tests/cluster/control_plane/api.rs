//! Requests to an API server, in JSON, through `kubectl proxy`: the way of an operator's scripts,
//! and none of the code under test.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::LOOK_INTERVAL;
use crate::gateway_process::PATIENCE;
use crate::http_client;

/// An API server, asked as its administrator.
#[derive(Clone, Copy)]
pub struct Api {
    proxy: SocketAddr,
}

/// Why the API server, or the way to it, did not do what it was asked for.
#[derive(Debug)]
pub struct Refusal {
    /// Status code; 0 where there was no answer.
    pub code: u16,
    /// In the words of who refused.
    pub message: String,
}

impl Api {
    /// The API server behind a proxy at that address.
    pub fn through(proxy: SocketAddr) -> Api {
        Api { proxy }
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.proxy
    }

    /// Reads what is at a path.
    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.ask(Method::GET, path, "", None).await
    }

    /// Makes an object in a collection.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        let json = "application/json";
        self.ask(Method::POST, path, json, Some(object)).await
    }

    /// Makes the object at that path what it is given, whoever changed it last.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        let json = "application/json";
        self.ask(Method::PUT, path, json, Some(object)).await
    }

    /// Changes some fields of the object at that path.
    pub async fn merge(&self, path: &str, fields: &Value) -> Result<Value, Refusal> {
        let patch = "application/merge-patch+json";
        self.ask(Method::PATCH, path, patch, Some(fields)).await
    }

    /// Makes or changes an object by server-side apply, refusing unknown fields.
    pub async fn apply(&self, object: &Value) -> Result<Value, Refusal> {
        let path = format!(
            "{}?fieldManager=test&force=true&fieldValidation=Strict",
            path_of(object)
        );
        let patch = "application/apply-patch+yaml";
        self.ask(Method::PATCH, &path, patch, Some(object)).await
    }

    /// Deletes the object at that path, at once.
    pub async fn delete(&self, path: &str) -> Result<Value, Refusal> {
        let at_once = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        let json = "application/json";
        self.ask(Method::DELETE, path, json, Some(&at_once)).await
    }

    /// Makes a namespace with a name of its own, and returns the name.
    pub async fn namespace(&self, what: &str) -> String {
        let name = super::unique(what);
        let metadata = json!({"metadata": {"name": name}});
        self.create("/api/v1/namespaces", &metadata).await.unwrap();
        name
    }

    /// Waits until the objects of a collection are as expected. One that is not there yet is waited
    /// for: a kind is served a moment after it is defined.
    pub async fn until_list(&self, path: &str, expected: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = self.get(path).await.map(|mut list| list["items"].take());
            match &listed {
                Ok(Value::Array(items)) if expected(items) => return items.clone(),
                _ => assert!(Instant::now() < deadline, "{path}: {listed:#?}"),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, content);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = http_client::send(self.proxy, request).await;
        let answer = answer.map_err(|error| Refusal {
            code: 0,
            message: error.to_string(),
        })?;
        let text = answer.text();
        if answer.status.is_success() && answer.is_complete {
            // Not everything is an object: `/readyz` says "ok".
            return Ok(serde_json::from_str(text).unwrap_or(Value::Null));
        }
        let status: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        Err(Refusal {
            code: answer.status.as_u16(),
            message: status["message"].as_str().unwrap_or(text).to_owned(),
        })
    }
}

/// An object with its metadata, to which a test adds the rest.
pub fn object(version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name},
    })
}

/// Where an object is; kinds here have simple plurals.
fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let root = if version.contains('/') { "apis" } else { "api" };
    let kind = text(&object["kind"]).to_ascii_lowercase();
    let metadata = &object["metadata"];
    let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
    match namespace.as_str() {
        "" => format!("/{root}/{version}/{kind}s/{name}"),
        _ => format!("/{root}/{version}/namespaces/{namespace}/{kind}s/{name}"),
    }
}
