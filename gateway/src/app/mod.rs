//! Wires the rooms together; the only place that knows them all.
//!
//! ```text
//! main thread       Pingora: forwards requests, on threads of its own; ends with the process
//! control runtime   discovery, admin API, reload: one thread, so that they never delay a request
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use http::HeaderMap;
use serde_json::json;
use thiserror::Error;
use tokio::net::TcpSocket;

use crate::admin::{self, AdminState, Explain};
use crate::config::reload::{NeedsRestart, ReloadEvents, Reloader};
use crate::config::{self, Config, ConfigError, Route, Source};
use crate::error::GatewayError;
use crate::proxy::explain::explain;
use crate::proxy::guards::Guards;
use crate::proxy::ledger::Ledger;
use crate::proxy::live::Live;
use crate::proxy::target::shown_route;
use crate::proxy::underway::UnderwayCount;
use crate::telemetry::access_log::{AccessLog, Destination};
use crate::telemetry::metrics::Metrics;

mod discovery_events;
mod fleet;
mod guard_state;
mod server;
mod shutdown;
mod source_view;

use fleet::Fleet;
use shutdown::{Drain, LOOK_INTERVAL};

/// Why the gateway could not start; nothing has been served.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is at fault; its text says where and how to mend it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} (key `{key}`): {source}; choose a free address of this machine"
    )]
    Listen {
        /// Key of the configuration.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot open the access log: {0}; check `access_log.path`")]
    AccessLog(std::io::Error),
    /// The system refuses threads or signals.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// Pingora refuses its settings.
    #[error("cannot start the proxy: {0}")]
    Proxy(#[from] Box<pingora::Error>),
}

/// Runs the gateway until it is told to stop and answers under way have ended.
///
/// # Errors
/// Where it cannot start.
pub fn serve(source: Source) -> Result<(), StartError> {
    // Pingora installs the same provider; whoever comes second is refused.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let in_force = source.read()?;
    let config = source.parse(&in_force)?;
    let reloader = Reloader::new(source, in_force);
    let metrics = Arc::new(Metrics::new());
    metrics.set_config_valid(true);
    let access_log = open_access_log(&config, &metrics)?;
    let admin_listener = bind("admin", config.admin)?;
    check_free("listen", config.listen)?;
    if let Some(tls) = &config.tls {
        check_free("tls.listen", tls.listen)?;
    }

    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()?;
    let saved = config.guard_state.as_deref().map(guard_state::read);
    let mut fleet = Fleet::new(
        control.handle().clone(),
        Arc::clone(&metrics),
        saved.unwrap_or_default(),
    );
    let first = fleet.apply(&config, &Guards::default());
    let live = Arc::new(ArcSwap::from_pointee(first));
    control.spawn(guard_state::run(
        Arc::clone(&live),
        config.guard_state.clone(),
    ));
    let pools: admin::Pools = Arc::new(ArcSwap::from_pointee(fleet.routers()));
    let underway = UnderwayCount::default();
    let is_draining = Arc::new(AtomicBool::new(false));
    let state = AdminState {
        pools: Arc::clone(&pools),
        metrics: Arc::clone(&metrics),
        is_draining: Arc::clone(&is_draining),
        config: Arc::new(ArcSwap::from_pointee(shown(&config))),
        explain: Arc::new(Explainer(Arc::clone(&live))),
    };
    let shown = Arc::clone(&state.config);
    control.spawn(serve_admin(admin_listener, state, config.listen));
    let running = Running {
        config: config.clone(),
        fleet,
        live: Arc::clone(&live),
        pools,
        shown,
        metrics: Arc::clone(&metrics),
    };
    control.spawn(reloader.run(running));

    let drain = Drain {
        is_draining: Arc::clone(&is_draining),
        underway: underway.clone(),
        limit: config.drain,
    };
    let ledger = Ledger::new(metrics, access_log.clone());
    tracing::info!(listen = %config.listen, admin = %config.admin, "serving");
    server::run(&config, live, ledger, underway, is_draining, drain)?;
    control.shutdown_background();
    tracing::info!("stopped");
    Ok(())
}

fn open_access_log(
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<AccessLog>>, StartError> {
    let destination = match &config.access_log {
        None => return Ok(None),
        Some(config::AccessLog::Stdout) => Destination::Stdout,
        Some(config::AccessLog::File(path)) => Destination::File(path.clone()),
    };
    let log = AccessLog::open(&destination, Arc::clone(metrics)).map_err(StartError::AccessLog)?;
    Ok(Some(Arc::new(log)))
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen {
        key,
        address,
        source,
    })
}

/// Pingora panics where it cannot bind; asking first gives an error that says what to do. Nothing is
/// listened on meanwhile: a client would be let in and then cut off.
fn check_free(key: &'static str, address: SocketAddr) -> Result<(), StartError> {
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // As Pingora does: connections of an earlier process may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    bound().map_err(|source| StartError::Listen {
        key,
        address,
        source,
    })
}

/// The configuration in force as the admin API shows it; it holds no secrets.
fn shown(config: &Config) -> serde_json::Value {
    json!({
        "listen": config.listen,
        "admin": config.admin,
        "threads": config.threads,
        "limits": {"body_bytes": config.limits.body_bytes},
        "retries": config.forward.retries,
        "explain": config.explain,
        "drain_s": config.drain.as_secs(),
        "pools": config.pools.iter().map(|pool| json!({
            "name": pool.name,
            "source": source_view::shown(&pool.endpoints),
            "policy": pool.policy,
            "capacity_tokens": pool.router.capacity,
            "host_tier_tokens": pool.router.host_tier,
            "feedback": pool.router.feedback,
        })).collect::<Vec<_>>(),
        "routes": config.routes.all().map(|route| shown_route(route, None)).collect::<Vec<_>>(),
    })
}

/// Answers operators once clients can connect: who is told that this is ready may come at once.
async fn serve_admin(listener: TcpListener, state: AdminState, clients: SocketAddr) {
    until_listening(clients).await;
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener));
    let served = match listener {
        Ok(listener) => axum::serve(listener, admin::app(state)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin API has stopped");
    }
}

async fn until_listening(address: SocketAddr) {
    // Any free port: only Pingora knows which.
    if address.port() == 0 {
        return;
    }
    let mut local = address;
    if address.ip().is_unspecified() {
        local.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    while tokio::net::TcpStream::connect(local).await.is_err() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Shows decisions through the admin API.
struct Explainer(Arc<ArcSwap<Live>>);

impl Explain for Explainer {
    fn explain(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<serde_json::Value, GatewayError> {
        explain(&self.0.load(), path, headers, body)
    }

    fn routes(&self) -> serde_json::Value {
        let live = self.0.load();
        let guarded = |route: &Route| live.guards.of(&route.name).map(|one| &**one);
        let shown = |route| shown_route(route, guarded(route));
        live.routes.all().map(shown).collect()
    }

    fn reset_target(&self, route: &str, target: &str) -> Option<bool> {
        self.0.load().guards.of(route)?.reset(target)
    }
}

/// What a new configuration changes while the gateway runs.
struct Running {
    config: Config,
    fleet: Fleet,
    live: Arc<ArcSwap<Live>>,
    pools: admin::Pools,
    shown: Arc<ArcSwap<serde_json::Value>>,
    metrics: Arc<Metrics>,
}

impl ReloadEvents for Running {
    fn apply(&mut self, config: Config) -> NeedsRestart {
        let waiting = self.config.needs_restart(&config);
        let live = self.fleet.apply(&config, &self.live.load().guards);
        self.live.store(Arc::new(live));
        self.pools.store(Arc::new(self.fleet.routers()));
        self.shown.store(Arc::new(shown(&config)));
        self.config = config;
        waiting
    }

    fn in_force(&mut self) {
        self.metrics.config_reloaded(true);
    }

    fn refused(&mut self, _: &ConfigError) {
        self.metrics.config_reloaded(false);
    }
}
