//! A way to the API server that can be cut: what happens there meanwhile is not seen by who uses it.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes bytes from an address of its own to another one, unless it is cut.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    to: SocketAddr,
    passing: Option<JoinHandle<()>>,
}

impl Relay {
    /// A way to `to`.
    pub async fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Relay {
            address: listener.local_addr().unwrap(),
            to,
            passing: Some(tokio::spawn(pass(listener, to))),
        }
    }

    /// Breaks every connection; new ones are refused.
    pub async fn cut(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.abort();
            // Its listener is closed by then.
            let _ = passing.await;
        }
    }

    /// Passes on again.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.passing = Some(tokio::spawn(pass(listener, self.to)));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(passing) = &self.passing {
            passing.abort();
        }
    }
}

async fn pass(listener: TcpListener, to: SocketAddr) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            if let Ok(mut to) = TcpStream::connect(to).await {
                // Either side may leave as it likes.
                let _ = copy_bidirectional(&mut from, &mut to).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
