//! Bounds of the configuration itself, and of what it may ask for.

/// Largest configuration file, in bytes. A thousand routes take about 100 KB.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Most YAML nodes in it, aliases expanded; an alias bomb ends here.
pub const CONFIG_NODES_MAX: usize = 100_000;
/// Deepest nesting in it; the deepest key of ours is at 6.
pub const CONFIG_DEPTH_MAX: usize = 32;
/// Most pools. Each is a label value of many metrics.
pub const POOLS_MAX: usize = 64;
/// Most routes.
pub const ROUTES_MAX: usize = 1_024;
/// Most upstreams written out in one pool; more come from a file or from DNS.
pub const UPSTREAMS_MAX: usize = 1_024;
/// Most Services named in one pool; more are found by their labels.
pub const SERVICES_MAX: usize = 64;
/// Most namespaces that one pool is looked for in; each is watched by itself.
pub const NAMESPACES_MAX: usize = 64;
/// Most labels by which a pool's Services are found.
pub const LABELS_MAX: usize = 16;
/// Longest pool name in bytes: a DNS label (RFC 1035), so that it can be a name in Kubernetes.
pub const POOL_NAME_BYTES_MAX: usize = 63;
/// Longest model name in a route, in bytes.
pub const MODEL_NAME_BYTES_MAX: usize = 256;
/// Longest name of a route, in bytes; a label value.
pub const ROUTE_NAME_BYTES_MAX: usize = 256;
/// Most targets of a route: as many as an HTTPRoute of the Gateway API has backends.
pub const TARGETS_MAX: usize = 16;
/// Longest name of a target, in bytes: that of an object in Kubernetes (RFC 1123 subdomain).
pub const TARGET_NAME_BYTES_MAX: usize = 253;
/// Most headers that a route matches; as in the Gateway API, like the two below.
pub const MATCH_HEADERS_MAX: usize = 16;
/// Longest value of such a header, in bytes.
pub const MATCH_VALUE_BYTES_MAX: usize = 4_096;
/// Longest host name that a route matches, in bytes (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest path that a route matches, in bytes.
pub const MATCH_PATH_BYTES_MAX: usize = 1_024;

/// Most threads that forward requests.
pub const THREADS_MAX: u32 = 1_024;
pub(super) const BODY_BYTES_MIN: u64 = 1_024;
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;
pub(super) const RETRIES_MAX: u32 = 10;
pub(super) const TIMEOUT_MS_MAX: u64 = 60_000;
pub(super) const TIMEOUT_S_MAX: u64 = 86_400;
pub(super) const KEEPALIVE_CONNECTIONS_MAX: usize = 65_536;
pub(super) const BLOCK_TOKENS_MIN: u32 = 1;
pub(super) const BLOCK_TOKENS_MAX: u32 = 4_096;
pub(super) const INDEX_BYTES_MIN: u64 = 1 << 20;
pub(super) const INDEX_BYTES_MAX: u64 = 1 << 40;
pub(super) const CAPACITY_TOKENS_MAX: u64 = 1_000_000_000_000;
pub(super) const SCRAPE_INTERVAL_MS_MIN: u64 = 50;
/// Half of the age at which routing takes a report for stale.
pub(super) const SCRAPE_INTERVAL_MS_MAX: u64 = 5_000;
/// Most copies for mirrors that may be under way; each holds a request's body.
pub const MIRRORED_REQUESTS_MAX: usize = 4_096;
pub(super) const PERCENT_MAX: f64 = 100.0;
pub(super) const WEIGHT_MAX: u32 = 1_000_000;
