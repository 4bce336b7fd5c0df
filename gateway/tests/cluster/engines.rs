//! Simulated engines in this process, at addresses of pods.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use warmgate_loadtest::engine::{EngineConfig, EngineHandle, serve};

/// What engines listen on.
pub const PORT: u16 = 8000;

/// An address of pods: `number` from 0, `group` one for each test or slice.
pub fn pod_address(group: u8, number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 244, group, number + 1))
}

/// An engine that answers in no time.
pub async fn engine_at(address: IpAddr) -> EngineHandle {
    engine_like(fast(), address).await
}

/// An engine of these settings.
pub async fn engine_like(config: EngineConfig, address: IpAddr) -> EngineHandle {
    let address = SocketAddr::new(address, PORT);
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.unwrap_or_else(|error| {
        panic!("{address} is not ours ({error}): run these tests by `cargo xtask cluster`")
    });
    serve(config, listener).unwrap()
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
