//! An endpoint that leaves while a request is under way is not asked, even where the decision was
//! made when it was still there.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::engines::engine;
use crate::gateway_process::Start;
use crate::http_client::ask;

/// Knows no page, and breaks off each request once it is told to.
struct Hesitant {
    address: SocketAddr,
    asked: Arc<Notify>,
    told: Arc<Notify>,
}

impl Hesitant {
    async fn start() -> Hesitant {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hesitant = Hesitant {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            told: Arc::default(),
        };
        let (asked, told) = (Arc::clone(&hesitant.asked), Arc::clone(&hesitant.told));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (asked, told) = (Arc::clone(&asked), Arc::clone(&told));
                tokio::spawn(async move {
                    let mut received = vec![0; 64 * 1024];
                    let Ok(read) = stream.read(&mut received).await else {
                        return;
                    };
                    if received[..read].starts_with(b"POST") {
                        asked.notify_one();
                        told.notified().await;
                    } else {
                        let unknown = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                        // Errors of a client that has left are its own.
                        let _ = stream.write_all(unknown).await;
                    }
                });
            }
        });
        hesitant
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let lines = addresses.iter().map(|at| format!("  - url: http://{at}\n"));
    format!("endpoints:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn a_retry_does_not_go_to_who_has_left_meanwhile() {
    for has_left in [false, true] {
        let (hesitant, engine) = (Hesitant::start().await, engine().await);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.yaml");
        std::fs::write(&path, list(&[hesitant.address, engine.addr()])).unwrap();
        let config = format!(
            "pools: [{{name: main, file: {path:?}, policy: {{name: round_robin}}, \
             scrape: {{interval_ms: 5000}}}}]\n"
        );
        let gateway = Start::with_config(&config)
            .without_awaiting_endpoints()
            .run()
            .await;
        gateway.until_endpoints(|rows| rows.len() == 2).await;
        let to = gateway.listen;
        // One of two turns is the hesitant one's.
        let mut turns = [tokio::spawn(ask(to)), tokio::spawn(ask(to))];
        hesitant.asked.notified().await;
        while engine.state().finished_total == 0 {
            tokio::task::yield_now().await;
        }
        if has_left {
            std::fs::write(&path, list(&[hesitant.address])).unwrap();
            gateway.until_endpoints(|rows| rows.len() == 1).await;
        }
        hesitant.told.notify_one();
        let mut statuses = Vec::new();
        for turn in &mut turns {
            statuses.push(turn.await.unwrap().status);
        }
        statuses.sort_unstable();
        let second = if has_left {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::OK
        };
        assert_eq!(statuses, [StatusCode::OK, second]);
        let received = if has_left { 1 } else { 2 };
        assert_eq!(engine.state().received_total, received);
        gateway.assert_settled().await;
    }
}
