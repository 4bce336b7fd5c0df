//! A pool of a cluster whose API server is not there: the gateway starts, says so, and goes on
//! asking. What it does with an API server is tested against a real one.

use http::StatusCode;
use tokio::net::TcpSocket;
use warmgate_loadtest::engine::EngineHandle;

use crate::engines::engine;
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, chat};

const FAILURES: &str = "warmgate_source_failures_total";
const STALE: &str = "warmgate_source_stale_seconds";

/// A kubeconfig whose API server refuses connections for as long as the socket is held.
struct AbsentCluster {
    kubeconfig: tempfile::NamedTempFile,
    _port: TcpSocket,
}

impl AbsentCluster {
    fn new() -> AbsentCluster {
        let port = TcpSocket::new_v4().unwrap();
        port.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let server = port.local_addr().unwrap();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{name: it, cluster: {{server: 'http://{server}'}}}}]\n\
             contexts: [{{name: it, context: {{cluster: it, user: me}}}}]\n\
             users: [{{name: me, user: {{}}}}]\n"
        );
        std::fs::write(kubeconfig.path(), text).unwrap();
        AbsentCluster {
            kubeconfig,
            _port: port,
        }
    }

    fn path(&self) -> &str {
        self.kubeconfig.path().to_str().unwrap()
    }
}

fn failures(page: &Page) -> f64 {
    page.sum(FAILURES, &[("pool", "main"), ("cause", "unreachable")])
}

async fn assert_still_asking(gateway: &GatewayProcess) {
    let so_far = failures(&gateway.metrics().await);
    gateway
        .until_metrics(|page| failures(page) > so_far && page.sum(STALE, &[("pool", "main")]) > 0.0)
        .await;
}

#[tokio::test]
async fn without_an_api_server_it_starts_is_not_ready_and_goes_on_asking() {
    let cluster = AbsentCluster::new();
    let flags = ["--service", "llm/vllm", "--kubeconfig", cluster.path()];
    let gateway = Start::default().arguments(&flags).run().await;
    assert_still_asking(&gateway).await;
    assert_still_asking(&gateway).await;
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let said = ready.text();
    assert!(
        said.contains("the source of pool `main` has been out of touch for"),
        "{said}"
    );
    let answer = http_client::send(gateway.listen, chat("hello", 1, false)).await;
    assert_eq!(answer.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    let told = gateway
        .stderr()
        .matches("source of endpoints is out of touch")
        .count();
    assert_eq!(told, 1, "{}", gateway.stderr());
}

#[tokio::test]
async fn another_source_takes_over_from_one_that_is_out_of_touch() {
    let (cluster, engine): (_, EngineHandle) = (AbsentCluster::new(), engine().await);
    let gateway = Start::with_config(&format!(
        "kubernetes: {{kubeconfig: '{}'}}\n\
         pools: [{{name: main, kubernetes: {{service: vllm, namespace: llm}}}}]\n",
        cluster.path()
    ));
    let gateway = gateway.without_awaiting_endpoints().run().await;
    assert_still_asking(&gateway).await;
    let upstreams = format!("pools: [{{name: main, upstreams: ['{}']}}]\n", engine.url());
    gateway.rewrite_config(&upstreams);
    gateway.until_endpoints(|rows| rows.len() == 1).await;
    gateway
        .until_metrics(|page| page.sum("warmgate_ready", &[]) == 1.0)
        .await;
    assert_eq!(gateway.metrics().await.sum(STALE, &[]), 0.0);
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.json()["degraded"], false, "{}", ready.text());
}
