//! Simulated engines in this process, sound ones and such that always fail.

use warmgate_loadtest::engine::{EngineConfig, EngineHandle, Fault, FaultKind};

/// An engine that answers in no time.
pub async fn engine() -> EngineHandle {
    engine_like(fast()).await
}

/// An engine that answers in no time, many times over.
pub async fn engines<const N: usize>() -> [EngineHandle; N] {
    let mut made = Vec::with_capacity(N);
    for _ in 0..N {
        made.push(engine().await);
    }
    made.try_into().ok().expect("as many as made")
}

/// The settings of an engine that answers in no time.
pub fn fast() -> EngineConfig {
    EngineConfig {
        speed: f64::INFINITY,
        ..EngineConfig::default()
    }
}

/// The settings of an engine that takes about 50 ms for each token.
pub fn slow() -> EngineConfig {
    EngineConfig {
        speed: 0.3,
        ..EngineConfig::default()
    }
}

/// An engine of these settings.
pub async fn engine_like(config: EngineConfig) -> EngineHandle {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    warmgate_loadtest::engine::serve(config, listener).unwrap()
}

/// Makes every coming request to the engine fail.
pub fn fail_always(engine: &EngineHandle, kind: FaultKind) {
    let count = u32::MAX;
    engine.inject(Fault { kind, count }).unwrap();
}

/// Inference requests that have come to any of them.
pub fn received(engines: &[EngineHandle]) -> u64 {
    let of_each = engines.iter().map(|engine| engine.state().received_total);
    of_each.sum()
}

/// Where they are.
pub fn urls(engines: &[EngineHandle]) -> Vec<String> {
    engines.iter().map(EngineHandle::url).collect()
}
