//! Pingora's server with our proxy in it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use pingora::apps::HttpServerOptions;
use pingora::connectors::ConnectorOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::http_proxy_service;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

use crate::app::shutdown::Drain;
use crate::config::Config;
use crate::proxy::Gateway;
use crate::proxy::ledger::Ledger;
use crate::proxy::live::Live;
use crate::proxy::underway::UnderwayCount;

/// Serves until `drain` says that all is done.
///
/// # Errors
/// Where Pingora refuses the settings.
pub fn run(
    config: &Config,
    live: Arc<ArcSwap<Live>>,
    ledger: Ledger,
    underway: UnderwayCount,
    is_draining: Arc<AtomicBool>,
    drain: Drain,
) -> Result<(), Box<pingora::Error>> {
    let conf = ServerConf {
        threads: config.threads,
        upstream_keepalive_pool_size: config.forward.keepalive_connections,
        // The drain has waited already.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let connector = ConnectorOptions::from_server_conf(&server.configuration);
    let gateway = Gateway::new(live, ledger, underway, is_draining, Some(connector));
    let mut proxy = http_proxy_service(&server.configuration, gateway);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    proxy
        .app_logic_mut()
        .expect("invariant: a new proxy service has its logic")
        .server_options = Some(options);
    proxy.add_tcp(&config.listen.to_string());
    if let Some(tls) = &config.tls {
        let (certificate, key) = (tls.certificate.to_string_lossy(), tls.key.to_string_lossy());
        let mut settings = TlsSettings::intermediate(&certificate, &key)?;
        settings.enable_h2();
        proxy.add_tls_with_settings(&tls.listen.to_string(), None, settings);
    }
    server.add_service(proxy);
    server.run(RunArgs {
        shutdown_signal: Box::new(drain),
    });
    Ok(())
}
