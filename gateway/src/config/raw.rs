//! The configuration as it is typed: every key, its default, its range and its meaning, once.
//!
//! The JSON Schema and the configuration reference are printed from these types, and the ranges
//! are enforced from the same attributes. What the keys mean together is found out in `meaning`.

use std::time::Duration;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warmgate_discovery::ProbeSettings;
use warmgate_routing::Policy;

use super::kubernetes::{RawCluster, RawKubernetes};
use super::limit;
use super::raw_routes::RawRoute;

const MIB: u64 = 1 << 20;

/// The configuration file of `warmgate serve`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawConfig {
    /// Address and port for clients: HTTP/1.1, and HTTP/2 without TLS. A change needs a restart.
    pub listen: String,
    /// A second listener for clients, with TLS. A change needs a restart.
    #[garde(dive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RawTls>,
    /// Address and port of health, metrics and the admin API. It has no authentication: keep it
    /// away from clients. A change needs a restart.
    pub admin: String,
    /// Threads that forward requests; where absent, one for each core that the process may use.
    /// A change needs a restart.
    #[garde(range(min = 1, max = limit::THREADS_MAX))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bounds on what one client may ask for.
    #[garde(dive)]
    pub limits: Limits,
    /// How requests are sent to endpoints.
    #[garde(dive)]
    pub forward: RawForward,
    /// Which headers are added to answers.
    pub response_headers: ResponseHeaders,
    /// Whether a client may ask for the decision behind its answer with `x-warmgate-explain: 1`.
    /// The answer shows addresses and load of endpoints.
    pub explain: bool,
    /// One line of JSON for each request, without prompts; where absent, none is written.
    /// A change needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<RawAccessLog>,
    /// What happens on SIGTERM.
    #[garde(dive)]
    pub shutdown: RawShutdown,
    /// The cluster that pools with `kubernetes` are found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<RawCluster>,
    /// The endpoints, in groups that serve the same weights. At least one, here, by `--upstream` or
    /// by `--service`.
    #[garde(length(max = limit::POOLS_MAX), dive)]
    pub pools: Vec<RawPool>,
    /// Which model is served by which pools; an exact name wins over `*`. Where absent and there is
    /// one pool, every model goes to it.
    #[garde(length(max = limit::ROUTES_MAX), dive)]
    pub routes: Vec<RawRoute>,
    /// File in which guards keep steps and trips from one start to the next; it is made. A relative
    /// path starts at the folder of the configuration file. Where absent, a start begins with the
    /// first step and nothing tripped. A change needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard_state: Option<String>,
}

impl Default for RawConfig {
    fn default() -> RawConfig {
        RawConfig {
            listen: "0.0.0.0:8080".to_owned(),
            tls: None,
            admin: "127.0.0.1:9090".to_owned(),
            threads: None,
            limits: Limits::default(),
            forward: RawForward::default(),
            response_headers: ResponseHeaders::default(),
            explain: false,
            access_log: None,
            shutdown: RawShutdown::default(),
            kubernetes: None,
            pools: Vec::new(),
            routes: Vec::new(),
            guard_state: None,
        }
    }
}

/// The TLS listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawTls {
    /// Address and port.
    pub listen: String,
    /// PEM file of the certificate, then of those that signed it. A relative path starts at the
    /// folder of the configuration file.
    pub certificate: String,
    /// PEM file of the certificate's private key.
    pub key: String,
}

/// Bounds on what one client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Limits {
    /// Largest request body, in bytes; a larger one is answered with 413. A body is held in memory
    /// until its answer begins.
    #[garde(range(min = limit::BODY_BYTES_MIN, max = limit::BODY_BYTES_MAX))]
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 32 * MIB,
        }
    }
}

/// How requests are sent to endpoints.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawForward {
    /// Further endpoints to try where one fails before the first byte of its answer.
    #[garde(range(max = limit::RETRIES_MAX))]
    pub retries: u32,
    /// Longest wait for a connection, in milliseconds.
    #[garde(range(min = 1, max = limit::TIMEOUT_MS_MAX))]
    pub connect_timeout_ms: u64,
    /// Longest wait from the request sent to the first byte of the answer, in seconds; 0: for ever.
    /// An answer that is not streamed begins when it is complete.
    #[garde(range(max = limit::TIMEOUT_S_MAX))]
    pub first_byte_timeout_s: u64,
    /// Longest silence within an answer, in seconds; 0: for ever.
    #[garde(range(max = limit::TIMEOUT_S_MAX))]
    pub idle_timeout_s: u64,
    /// How long an unused connection to an endpoint is kept, in seconds; 0: not at all. Keep it
    /// below the keep-alive of the engine (vLLM: 5 s), or requests meet connections that it has
    /// just closed.
    #[garde(range(max = limit::TIMEOUT_S_MAX))]
    pub keepalive_s: u64,
    /// Unused connections kept in all. A change needs a restart.
    #[garde(range(max = limit::KEEPALIVE_CONNECTIONS_MAX))]
    pub keepalive_connections: usize,
    /// Most copies for mirrors under way at one time, in this process; further requests are not
    /// copied. Each holds the body of its request in memory.
    #[garde(range(max = limit::MIRRORED_REQUESTS_MAX))]
    pub mirrored_requests: usize,
}

impl Default for RawForward {
    fn default() -> RawForward {
        RawForward {
            retries: 2,
            connect_timeout_ms: 1_000,
            first_byte_timeout_s: 600,
            idle_timeout_s: 300,
            keepalive_s: 4,
            keepalive_connections: 1_024,
            mirrored_requests: 64,
        }
    }
}

/// Which headers are added to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseHeaders {
    /// `x-warmgate-endpoint`: address and port of the endpoint that answered.
    pub endpoint: bool,
    /// `x-warmgate-target`: name of the route's target that the request went to.
    pub target: bool,
}

impl Default for ResponseHeaders {
    fn default() -> ResponseHeaders {
        ResponseHeaders {
            endpoint: true,
            target: true,
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAccessLog {
    /// File to append to; `-`: standard output.
    pub path: String,
}

impl Default for RawAccessLog {
    fn default() -> RawAccessLog {
        RawAccessLog {
            path: "-".to_owned(),
        }
    }
}

/// What happens on SIGTERM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawShutdown {
    /// Longest time for answers under way to end, in seconds. Give Kubernetes'
    /// `terminationGracePeriodSeconds` some more.
    #[garde(range(max = limit::TIMEOUT_S_MAX))]
    pub drain_s: u64,
}

impl Default for RawShutdown {
    fn default() -> RawShutdown {
        RawShutdown { drain_s: 30 }
    }
}

/// The endpoints that serve one set of weights, with exactly one of `upstreams`, `file`, `dns`,
/// `kubernetes`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawPool {
    /// Name for routes and metric labels: small letters, digits and hyphens, at most 63, unique.
    pub name: String,
    /// Base URLs of model servers, as `http://host:port`. A host name is one endpoint.
    #[garde(length(max = limit::UPSTREAMS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstreams: Option<Vec<String>>,
    /// YAML file that lists endpoints, read again when it changes. A relative path starts at the
    /// folder of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A host name of which every address is an endpoint.
    #[garde(dive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<RawDns>,
    /// Endpoints that a cluster knows.
    #[garde(dive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<RawKubernetes>,
    /// How an endpoint is chosen.
    #[garde(custom(super::policy_range::check))]
    #[serde(default)]
    pub policy: Policy,
    /// Length of a prompt block, in tokens of 4 bytes. Smaller blocks find shorter common
    /// prefixes and cost more memory. A change forgets what the pool's prefix index has learnt.
    #[garde(range(min = limit::BLOCK_TOKENS_MIN, max = limit::BLOCK_TOKENS_MAX))]
    #[serde(default = "default_block_tokens")]
    pub block_tokens: u32,
    /// Bound of the pool's prefix index, in bytes. A change forgets what it has learnt.
    #[garde(range(min = limit::INDEX_BYTES_MIN, max = limit::INDEX_BYTES_MAX))]
    #[serde(default = "default_index_bytes")]
    pub index_bytes: u64,
    /// Tokens that the KV cache of one endpoint's device holds; where absent, what the engine
    /// reports, or 2,000,000 where it reports nothing. A change forgets what the prefix index has
    /// learnt.
    #[garde(range(min = 1, max = limit::CAPACITY_TOKENS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_tokens: Option<u64>,
    /// Tokens that one endpoint keeps behind its device, in host memory or in a shared store, as
    /// far as you know: what is believed until answers have shown the truth, up to 16 times the
    /// device. Where absent, as much as the device has at first; without `feedback`, none. A change
    /// forgets what the prefix index has learnt.
    #[garde(range(min = 1, max = limit::CAPACITY_TOKENS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_tier_tokens: Option<u64>,
    /// Whether what engines report of hits corrects what is believed of their caches; `false`: the
    /// error of predictions is only measured. A change forgets what the prefix index has learnt.
    #[serde(default = "default_feedback")]
    pub feedback: bool,
    /// How the engines' metrics are read.
    #[garde(dive)]
    #[serde(default)]
    pub scrape: RawScrape,
}

impl RawPool {
    /// A pool of no endpoints yet, with the defaults of every other key.
    pub(super) fn named(name: &str) -> RawPool {
        RawPool {
            name: name.to_owned(),
            upstreams: None,
            file: None,
            dns: None,
            kubernetes: None,
            policy: Policy::default(),
            block_tokens: default_block_tokens(),
            index_bytes: default_index_bytes(),
            capacity_tokens: None,
            host_tier_tokens: None,
            feedback: default_feedback(),
            scrape: RawScrape::default(),
        }
    }
}

fn default_block_tokens() -> u32 {
    64
}

fn default_feedback() -> bool {
    true
}

fn default_index_bytes() -> u64 {
    256 * MIB
}

/// A host name of which every address is an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawDns {
    /// Host name, for example that of a headless Service.
    pub name: String,
    /// Port of every address.
    #[garde(range(min = 1))]
    pub port: u16,
    /// Whether endpoints speak TLS.
    #[serde(default)]
    pub tls: bool,
}

/// How the engines' metrics are read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawScrape {
    /// Time between two readings of one endpoint, in milliseconds.
    #[garde(range(min = limit::SCRAPE_INTERVAL_MS_MIN, max = limit::SCRAPE_INTERVAL_MS_MAX))]
    pub interval_ms: u64,
    /// Longest wait for one reading, in milliseconds.
    #[garde(range(min = 1, max = limit::TIMEOUT_MS_MAX))]
    pub timeout_ms: u64,
}

impl Default for RawScrape {
    fn default() -> RawScrape {
        let probe = ProbeSettings::default();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        RawScrape {
            interval_ms: ms(probe.interval),
            timeout_ms: ms(probe.timeout),
        }
    }
}
