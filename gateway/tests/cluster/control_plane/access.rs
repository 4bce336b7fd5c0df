//! Who may do what: kubeconfig files, and service accounts with exactly some rights.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::{ADMIN_TOKEN, Api, ControlPlane, LOOK_INTERVAL, installation, object};
use crate::gateway_process::PATIENCE;

/// Rights on some kinds of objects of one API group.
pub struct Verbs<'a> {
    /// "" for the core group.
    pub group: &'a str,
    /// Plural, as in `pods`.
    pub resources: &'a [&'a str],
    /// As in `get`.
    pub verbs: &'a [&'a str],
}

impl ControlPlane {
    /// Of the administrator.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("admin", ADMIN_TOKEN, self.server())
    }

    /// Of the administrator, by another way than straight to the API server.
    pub fn admin_kubeconfig_through(&self, way: SocketAddr) -> PathBuf {
        self.kubeconfig(&super::unique("admin"), ADMIN_TOKEN, way)
    }

    /// Of a new service account that has these rights in its namespace, and no others.
    pub async fn account_kubeconfig(&self, namespace: &str, rights: &[Verbs<'_>]) -> PathBuf {
        let name = super::unique("account");
        make_account(self.api(), namespace, &name, rights).await;
        self.kubeconfig_of(namespace, &name).await
    }

    /// Of a service account that exists.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let token = self.api().create(&path, &json!({"spec": {}})).await;
        let token = token.unwrap()["status"]["token"].take();
        self.kubeconfig(account, token.as_str().unwrap(), self.server())
    }

    /// Has the API server know the objects of projects of `conformance/cluster/crds.list`.
    pub async fn define(&self, projects: &[&str]) {
        // A definition that is very new has no conditions.
        const STATES: &str = "go-template={{range .items}}{{.metadata.name}}\
            {{range .status.conditions}} {{.type}}={{.status}}{{end}}{{\"\\n\"}}{{end}}";
        let admin = self.admin_kubeconfig();
        let mut apply = vec!["apply".to_owned(), "--server-side".to_owned()];
        for project in projects {
            let folder = installation().join("crds").join(project);
            apply.push(format!("--filename={}", folder.display()));
        }
        let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
        self.kubectl(&admin, &apply).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let states = self.kubectl(&admin, &["get", "crd", "--output", STATES]);
            let states = states.unwrap();
            if states
                .lines()
                .all(|line| line.contains(" Established=True"))
            {
                return;
            }
            assert!(Instant::now() < deadline, "{states}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Runs kubectl with that kubeconfig: what it prints, or what it complains of.
    pub fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(installation().join("bin/kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    pub(super) fn kubeconfig(&self, user: &str, token: &str, server: SocketAddr) -> PathBuf {
        let path = self.folder.join(format!("{user}.kubeconfig"));
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{server}"),
                "certificate-authority": self.certificate(),
            }}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {
                "cluster": "test", "user": user, "namespace": "default",
            }}],
        });
        // JSON is YAML.
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }
}

async fn make_account(api: &Api, namespace: &str, name: &str, rights: &[Verbs<'_>]) {
    const GROUP: &str = "rbac.authorization.k8s.io/v1";
    let account = object("v1", "ServiceAccount", namespace, name);
    api.apply(&account).await.unwrap();
    let mut role = object(GROUP, "Role", namespace, name);
    role["rules"] = rights.iter().map(Verbs::rule).collect();
    api.apply(&role).await.unwrap();
    let mut binding = object(GROUP, "RoleBinding", namespace, name);
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
    api.apply(&binding).await.unwrap();
}

impl Verbs<'_> {
    fn rule(&self) -> Value {
        json!({"apiGroups": [self.group], "resources": self.resources, "verbs": self.verbs})
    }
}
