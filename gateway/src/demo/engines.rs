//! The simulated engines of one run: equal, and cold at its start.

use tokio::net::TcpListener;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, serve};

use super::DemoError;

/// How many.
pub(super) const COUNT: usize = 4;
/// The model that they serve.
pub(super) const MODEL: &str = "demo";
/// KV cache of each, in tokens: its quarter of the conversations fits, all of them do not.
pub(super) const CAPACITY_TOKENS: u64 = 128_000;

/// Engines that listen on ports of their own; dropping them ends them.
pub(super) struct Engines(Vec<EngineHandle>);

impl Engines {
    /// Starts them in the current runtime.
    ///
    /// # Errors
    /// Where the system refuses a socket.
    pub(super) async fn start() -> Result<Engines, DemoError> {
        let mut engines = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let config = EngineConfig {
                models: vec![MODEL.to_owned()],
                capacity_tokens: CAPACITY_TOKENS,
                ..EngineConfig::default()
            };
            let listener = TcpListener::bind("127.0.0.1:0")
                .await
                .map_err(DemoError::System)?;
            engines.push(serve(config, listener)?);
        }
        Ok(Engines(engines))
    }

    /// Where they listen.
    pub(super) fn urls(&self) -> Vec<String> {
        self.0.iter().map(EngineHandle::url).collect()
    }
}
