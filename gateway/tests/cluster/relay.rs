//! A way to the API server that can be cut or fall silent: what happens there meanwhile is not seen
//! by who uses it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const CHUNK_BYTES: usize = 64 * 1024;

/// Passes bytes from an address of its own to another one, unless it is cut.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    to: SocketAddr,
    passing: Option<JoinHandle<()>>,
    is_silent: watch::Sender<bool>,
}

impl Relay {
    /// A way to `to`.
    pub async fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (is_silent, heard) = watch::channel(false);
        Relay {
            address: listener.local_addr().unwrap(),
            to,
            passing: Some(tokio::spawn(pass(listener, to, heard))),
            is_silent,
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

    /// Holds every byte back and breaks nothing, as a network does that loses packets.
    pub fn silence(&self) {
        self.is_silent.send_replace(true);
    }

    /// Passes on again, what was held back first.
    pub async fn mend(&mut self) {
        self.is_silent.send_replace(false);
        if self.passing.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let passing = pass(listener, self.to, self.is_silent.subscribe());
            self.passing = Some(tokio::spawn(passing));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(passing) = &self.passing {
            passing.abort();
        }
    }
}

async fn pass(listener: TcpListener, to: SocketAddr, is_silent: watch::Receiver<bool>) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    loop {
        let (from, _) = listener.accept().await.unwrap();
        let is_silent = is_silent.clone();
        connections.spawn(async move {
            let Ok(to) = TcpStream::connect(to).await else {
                return;
            };
            let ((from_read, from_write), (to_read, to_write)) =
                (from.into_split(), to.into_split());
            // Either side may leave as it likes, and the other one is told.
            tokio::select! {
                _ = copy(from_read, to_write, is_silent.clone()) => {}
                _ = copy(to_read, from_write, is_silent) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_silent: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        let is_over = is_silent.wait_for(|is_silent| !is_silent).await.is_err();
        if is_over || length == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..length]).await?;
    }
}
