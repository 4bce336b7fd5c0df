//! Stopping without cutting anybody off.
//!
//! On SIGTERM or SIGINT the gateway says that it is not ready, refuses new requests with 503, and
//! waits until the answers under way have ended, or until the limit. Only then is Pingora told: it
//! would sleep for its whole grace period, idle or not. A second signal stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::proxy::underway::UnderwayCount;

/// Pause between two looks at what is under way, or not yet there.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for a signal, then for what is under way.
pub struct Drain {
    /// Set at the first signal.
    pub is_draining: Arc<AtomicBool>,
    /// What has to end.
    pub underway: UnderwayCount,
    /// Longest wait.
    pub limit: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let (mut terminate, mut interrupt) = (
            listen(SignalKind::terminate()),
            listen(SignalKind::interrupt()),
        );
        either(&mut terminate, &mut interrupt).await;
        self.is_draining.store(true, Ordering::Release);
        tracing::info!(
            underway = self.underway.get(),
            limit_s = self.limit.as_secs(),
            "draining"
        );
        tokio::select! {
            () = self.until_idle() => {}
            () = tokio::time::sleep(self.limit) => {
                tracing::warn!(underway = self.underway.get(), "the limit has passed; cutting off what is under way");
            }
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("told twice; stopping at once"),
        }
        ShutdownSignal::GracefulTerminate
    }
}

impl Drain {
    async fn until_idle(&self) {
        while self.underway.get() > 0 {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("invariant: termination signals can be listened for")
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
