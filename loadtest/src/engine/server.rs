//! Starts and stops an engine on a socket, in a process of its own or inside a test.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::config::{ConfigError, EngineConfig};
use super::exchange::Cut;
use super::fault::{Fault, FaultError};
use super::http::Face;
use super::inspect::{EngineState, ReceivedRequest};

/// Why an engine did not start. The operator's fault; a retry cannot help.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration makes no engine.
    #[error("engine configuration: {0}")]
    Config(#[from] ConfigError),
    /// The listener has no address.
    #[error("listener: {0}")]
    Listener(#[from] std::io::Error),
}

/// Serves a simulated engine on `listener`, HTTP/1.1 and h2c, in the current tokio runtime.
///
/// # Errors
/// When the configuration is out of range or the listener has no address.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use warmgate_loadtest::engine::{EngineConfig, serve};
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let engine = serve(EngineConfig { speed: 100.0, ..EngineConfig::default() }, listener)?;
/// assert!(engine.url().starts_with("http://127.0.0.1:"));
/// assert_eq!(engine.state().received_total, 0);
/// engine.shutdown().await;
/// # Ok(()) }
/// ```
pub fn serve(config: EngineConfig, listener: TcpListener) -> Result<EngineHandle, ServeError> {
    let addr = listener.local_addr()?;
    let face = Face::new(config)?;
    let (stop, stopped) = watch::channel(());
    let task = tokio::spawn(accept(listener, Arc::clone(&face), stopped));
    Ok(EngineHandle {
        addr,
        face,
        stop,
        task,
    })
}

/// A running engine. Dropping it cuts all its connections, as when its process is killed.
pub struct EngineHandle {
    addr: SocketAddr,
    face: Arc<Face>,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl EngineHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Counts as of now.
    pub fn state(&self) -> EngineState {
        self.face.state()
    }

    /// Waits, without polling, until `reached` holds; returns the state in which it did.
    pub async fn wait_until(&self, mut reached: impl FnMut(&EngineState) -> bool) -> EngineState {
        let mut changes = self.face.changed.subscribe();
        loop {
            let state = self.state();
            if reached(&state) {
                return state;
            }
            changes
                .changed()
                .await
                .expect("invariant: the face owns the sender");
        }
    }

    /// The last inference request as it arrived; never recorded by an instant engine.
    pub fn last_request(&self) -> Option<ReceivedRequest> {
        self.face.last_request()
    }

    /// Plans a fault for coming inference requests.
    ///
    /// # Errors
    /// When it is out of range or too many are planned.
    pub fn inject(&self, fault: Fault) -> Result<(), FaultError> {
        self.face.faults.plan(fault)
    }

    /// Drops all planned faults.
    pub fn clear_faults(&self) {
        self.face.faults.clear();
    }

    /// Stops at once: the listener closes and all connections are cut. Returns when the address
    /// is free again.
    pub async fn shutdown(self) {
        self.stop.send_replace(());
        // A panic of the accept loop has been reported by tokio already.
        let _ = self.task.await;
    }

    /// Serves until the process ends.
    pub async fn wait(self) {
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, face: Arc<Face>, mut stopped: watch::Receiver<()>) {
    // Dropping the set aborts every connection and the clock.
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&face.runner).drive());
    loop {
        tokio::select! {
            // Also when the handle is dropped, which is an error here.
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tasks.spawn(serve_connection(stream, Arc::clone(&face)));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    // Out of file descriptors: let connections end before trying again.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    tasks.shutdown().await;
}

/// Rest after a failed accept.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

async fn serve_connection(stream: TcpStream, face: Arc<Face>) {
    // Tokens are small writes that must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let (stream, twin) = match twins(stream) {
        Ok(both) => both,
        Err(error) => {
            tracing::warn!(%error, "connection dropped");
            return;
        }
    };
    let service = service_fn(move |request| Arc::clone(&face).answer(request));
    let server = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        // A client that leaves early ends here too.
        tracing::debug!(%error, "connection ended early");
        if is_planned_cut(error.as_ref())
            && let Err(error) = twin.set_zero_linger()
        {
            tracing::warn!(%error, "a planned reset became an orderly close");
        }
    }
}

/// Two handles of one socket: hyper drops its own before it says why, and the last to close
/// decides between an orderly end and a reset.
fn twins(stream: TcpStream) -> std::io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let twin = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(twin)?))
}

/// Whether a connection ended because of a planned fault, which the client sees as a TCP reset.
fn is_planned_cut(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if one.is::<Cut>() {
            return true;
        }
        cause = one.source();
    }
    false
}
