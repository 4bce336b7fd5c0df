//! What the command line says about the configuration: it wins over the file, also on reload.

use std::net::SocketAddr;
use std::path::PathBuf;

use warmgate_routing::Policy;

use super::raw::{RawConfig, RawPool};
use super::raw_routes::{RawRoute, RawTarget};
use super::{ANY_MODEL, COMMAND_LINE_POOL, ServiceRef, UpstreamUrl};

/// Flags of `warmgate serve`; what is absent or empty leaves the file as it is.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// In place of `listen`.
    pub listen: Option<SocketAddr>,
    /// In place of `admin`.
    pub admin: Option<SocketAddr>,
    /// In place of `threads`.
    pub threads: Option<u32>,
    /// In place of `pools` and `routes`: one pool, [`COMMAND_LINE_POOL`], which takes every model.
    pub upstreams: Vec<UpstreamUrl>,
    /// In place of `pools` and `routes` likewise, where there are no `upstreams`.
    pub service: Option<ServiceRef>,
    /// In place of `kubernetes.kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// Name in [`Policy::NAMES`]: the policy of every pool. A pool that has it already keeps its
    /// parameters.
    pub policy: Option<&'static str>,
}

impl Overrides {
    pub(super) fn apply(&self, raw: &mut RawConfig) {
        if let Some(listen) = self.listen {
            raw.listen = listen.to_string();
        }
        if let Some(admin) = self.admin {
            raw.admin = admin.to_string();
        }
        if self.threads.is_some() {
            raw.threads = self.threads;
        }
        if let Some(pool) = self.pool() {
            raw.pools = vec![pool];
            raw.routes = vec![RawRoute::to(
                ANY_MODEL,
                RawTarget::to_pool(COMMAND_LINE_POOL),
            )];
        }
        let Some(name) = self.policy else { return };
        for pool in &mut raw.pools {
            if pool.policy.name() != name {
                pool.policy = Policy::by_name(name)
                    .expect("invariant: the flag's parser takes names of policies only");
            }
        }
    }

    /// The one pool that stands in for those of the file, if any does.
    fn pool(&self) -> Option<RawPool> {
        let mut pool = RawPool::named(COMMAND_LINE_POOL);
        match &self.service {
            _ if !self.upstreams.is_empty() => {
                let urls = self.upstreams.iter().map(UpstreamUrl::to_string);
                pool.upstreams = Some(urls.collect());
            }
            Some(service) => pool.kubernetes = Some(service.raw()),
            None => return None,
        }
        Some(pool)
    }
}
