//! A control plane: etcd and an API server as children of this process, and controllers where a
//! test asks for them.
//!
//! Most tests share one and keep to a namespace of their own ([`shared`]); who kills it has one of
//! its own ([`ControlPlane::start`]). `conformance/leash.sh` around all of this ends what is left.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::gateway_process::free_address;

mod access;
mod api;
mod installation;
mod program;

pub use access::Verbs;
pub use api::{Api, object};
pub use installation::installation;
use program::Program;

/// Until an API server on a busy machine serves.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Its token; the API server is on a loopback of its own.
const ADMIN_TOKEN: &str = "admin-of-a-cluster-for-tests";

/// Folders of etcd.
const DATA: &str = "etcd";
const BACKUP: &str = "backup";

/// A running control plane; killed when dropped.
pub struct ControlPlane {
    name: String,
    folder: PathBuf,
    etcd_client: SocketAddr,
    etcd_peer: SocketAddr,
    server: SocketAddr,
    api: Api,
    with_controllers: bool,
    // In the order in which they end.
    controllers: Option<Program>,
    proxy: Option<Program>,
    api_server: Option<Program>,
    etcd: Option<Program>,
}

/// The control plane of all tests that do not harm it.
pub async fn shared() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED.get_or_init(|| ControlPlane::start("shared")).await
}

/// A name that no other test has: of a namespace, or of a pod.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl ControlPlane {
    /// etcd and an API server, waited for. Pods are whatever tests make of them.
    pub async fn start(name: &str) -> ControlPlane {
        ControlPlane::begin(name, false).await
    }

    /// Likewise with the controllers of Deployments, ReplicaSets, EndpointSlices and service
    /// accounts.
    pub async fn start_with_controllers(name: &str) -> ControlPlane {
        ControlPlane::begin(name, true).await
    }

    async fn begin(name: &str, with_controllers: bool) -> ControlPlane {
        let folder = installation::data().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let proxy = free_address();
        let mut plane = ControlPlane {
            name: name.to_owned(),
            folder,
            etcd_client: free_address(),
            etcd_peer: free_address(),
            server: free_address(),
            api: Api::through(proxy),
            with_controllers,
            controllers: None,
            proxy: None,
            api_server: None,
            etcd: None,
        };
        let token = format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n");
        std::fs::write(plane.folder.join("tokens.csv"), token).unwrap();
        plane.start_etcd();
        plane.start_api_server().await;
        plane
    }

    /// Requests to the API server as its administrator.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Where the API server listens, also while it does not.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Ends the API server as a crash would: watches break, nothing more is answered. Its data
    /// stays.
    pub fn kill_api_server(&mut self) {
        self.controllers = None;
        self.api_server = None;
    }

    /// Ends etcd likewise.
    pub fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    /// Copies the data, as for a backup; etcd must not run.
    pub fn save_data(&self) {
        assert!(self.etcd.is_none());
        copy(&self.folder.join(DATA), &self.folder.join(BACKUP));
    }

    /// Makes the data what was saved, whatever has been written since; etcd must not run.
    pub fn restore_data(&self) {
        assert!(self.etcd.is_none());
        std::fs::remove_dir_all(self.folder.join(DATA)).unwrap();
        copy(&self.folder.join(BACKUP), &self.folder.join(DATA));
    }

    /// Starts etcd on the data of the one that was killed.
    pub fn start_etcd(&mut self) {
        let (client, peer) = (self.etcd_client, self.etcd_peer);
        let arguments = [
            format!("--data-dir={}", self.folder.join(DATA).display()),
            "--name=only".to_owned(),
            "--log-level=warn".to_owned(),
            // Nothing here outlives the machine.
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster=only=http://{peer}"),
        ];
        self.etcd = Some(self.program("etcd", &arguments));
    }

    /// Starts the API server on the same port and data, and waits until it serves.
    pub async fn start_api_server(&mut self) {
        let certificates = self.folder.join("certificates");
        let key = certificates.join("apiserver.key").display().to_string();
        let mut arguments = vec![
            format!("--etcd-servers=http://{}", self.etcd_client),
            format!("--bind-address={}", self.server.ip()),
            format!("--secure-port={}", self.server.port()),
            // It writes its certificate and key there itself; the key signs tokens of service
            // accounts as well.
            format!("--cert-dir={}", certificates.display()),
            format!("--service-account-signing-key-file={key}"),
            format!("--service-account-key-file={key}"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!(
                "--token-auth-file={}",
                self.folder.join("tokens.csv").display()
            ),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            // Else it would publish the loopback as an endpoint of itself, and refuse to.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--advertise-address={}", Ipv4Addr::new(192, 0, 2, 1)),
            "--profiling=false".to_owned(),
        ];
        if !self.with_controllers {
            // It would wait for an account that a controller makes.
            arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        self.api_server = Some(self.program("kube-apiserver", &arguments));
        let certificate = self.certificate();
        self.until("certificate", || certificate.exists()).await;
        let kubeconfig = self.kubeconfig("admin", ADMIN_TOKEN, self.server);
        if self.proxy.is_none() {
            let proxy = [
                "proxy".to_owned(),
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--port={}", self.api.address().port()),
            ];
            self.proxy = Some(self.program("kubectl", &proxy));
        }
        self.until_ready().await;
        if self.with_controllers {
            self.start_controllers(&kubeconfig, &key);
            self.until_account_of("default").await;
        }
    }

    fn start_controllers(&mut self, kubeconfig: &Path, key: &str) {
        let controllers = [
            "deployment-controller",
            "replicaset-controller",
            "endpointslice-controller",
            "serviceaccount-controller",
            "garbage-collector-controller",
        ];
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={}", controllers.join(",")),
            "--secure-port=0".to_owned(),
            "--leader-elect=false".to_owned(),
            format!("--service-account-private-key-file={key}"),
            format!("--root-ca-file={}", self.certificate().display()),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ];
        self.controllers = Some(self.program("kube-controller-manager", &arguments));
    }

    /// The serving certificate and the authority that signed it, in one file.
    fn certificate(&self) -> PathBuf {
        self.folder.join("certificates/apiserver.crt")
    }

    fn program(&self, program: &str, arguments: &[String]) -> Program {
        Program::start(&format!("{}-{program}", self.name), program, arguments)
    }

    async fn until_ready(&mut self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let ready = self.api.get("/readyz").await;
            if ready.is_ok() {
                return;
            }
            self.assert_starting(deadline, "the API server");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// No pod can be made in a namespace before its account is.
    pub async fn until_account_of(&mut self, namespace: &str) {
        let deadline = Instant::now() + STARTS_WITHIN;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        while self.api.get(&path).await.is_err() {
            self.assert_starting(deadline, "the default service account");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !holds() {
            self.assert_starting(deadline, what);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn assert_starting(&mut self, deadline: Instant, what: &str) {
        let programs = [
            &mut self.etcd,
            &mut self.api_server,
            &mut self.proxy,
            &mut self.controllers,
        ];
        for program in programs.into_iter().flatten() {
            program.assert_running();
            let is_late = Instant::now() >= deadline;
            assert!(!is_late, "no {what}\n{}", program.last_words());
        }
    }
}

/// Copies a folder with all that is below it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
