//! The floor that our cost is measured against: Pingora's own proxy loop, round robin, nothing else.
//!
//! `bare_round_robin LISTEN UPSTREAM...`, one worker thread.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::upstreams::peer::HttpPeer;

struct RoundRobin {
    upstreams: Vec<SocketAddr>,
    turn: AtomicUsize,
}

#[async_trait]
impl ProxyHttp for RoundRobin {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.upstreams.len();
        Ok(Box::new(HttpPeer::new(
            self.upstreams[turn],
            false,
            String::new(),
        )))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Pingora panics without a provider, TLS or not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args().skip(1);
    let listen = arguments
        .next()
        .ok_or("usage: bare_round_robin LISTEN UPSTREAM...")?;
    let upstreams = arguments
        .map(|upstream| upstream.parse())
        .collect::<Result<_, _>>()?;
    let conf = ServerConf {
        threads: 1,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let turn = AtomicUsize::new(0);
    let mut proxy = http_proxy_service(&server.configuration, RoundRobin { upstreams, turn });
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run(RunArgs::default());
    Ok(())
}
