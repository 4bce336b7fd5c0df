//! Names to addresses, by whatever the system uses for that.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;

/// Pause between two resolutions of a name.
pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);
/// Pause after one that failed.
pub const RESOLVE_RETRY: Duration = Duration::from_secs(1);
/// Longest wait for the system's resolver.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves a name to the addresses behind it.
pub(crate) trait Resolve: Send + Sync + 'static {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// `getaddrinfo` on a thread of its own: `/etc/hosts`, search domains and all.
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.collect())
        })
    }
}

/// The addresses of a name in one family, sorted: IPv4 where there is any. An engine on both is
/// one engine, and those that listen on one only mostly listen on IPv4.
pub(crate) async fn addresses(
    resolver: &dyn Resolve,
    host: &str,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    let resolving = resolver.resolve(host, port);
    let mut found = tokio::time::timeout(RESOLVE_TIMEOUT, resolving)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer from the resolver"))??;
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod scripted {
    //! A resolver whose answers a test writes.

    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    pub(crate) struct ScriptedResolver(Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>);

    impl ScriptedResolver {
        /// From now on `host` has these addresses; none: it does not exist.
        pub(crate) fn set(&self, host: &str, addresses: &[&str]) {
            let parsed = addresses.iter().map(|text| text.parse().unwrap());
            let mut known = self.0.lock().unwrap();
            known.insert(host.to_owned(), parsed.collect());
        }
    }

    impl Resolve for ScriptedResolver {
        fn resolve(
            &self,
            host: &str,
            _port: u16,
        ) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let found = self.0.lock().unwrap().get(host).cloned();
            Box::pin(async move {
                found
                    .filter(|found| !found.is_empty())
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name"))
            })
        }
    }

    #[tokio::test]
    async fn takes_one_family_sorted_and_once() {
        let resolver = ScriptedResolver::default();
        resolver.set(
            "both",
            &["[::1]:1", "10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"],
        );
        resolver.set("six", &["[::2]:1", "[::1]:1"]);
        let shown = async |host| format!("{:?}", addresses(&resolver, host, 1).await.unwrap());
        assert_eq!(shown("both").await, "[10.0.0.1:1, 10.0.0.2:1]");
        assert_eq!(shown("six").await, "[[::1]:1, [::2]:1]");
        assert!(addresses(&resolver, "nobody", 1).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_given_up() {
        struct Silent;
        impl Resolve for Silent {
            fn resolve(&self, _: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
                Box::pin(std::future::pending())
            }
        }
        let error = addresses(&Silent, "host", 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
