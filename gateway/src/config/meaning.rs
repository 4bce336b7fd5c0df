//! From what was typed to what it means. Notes every problem before it gives up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use warmgate_discovery::source::{FILE_BYTES_MAX, parse_endpoints_file};
use warmgate_routing::prefix::IndexLimits;
use warmgate_routing::{BlockSize, RouterSettings, Tokens};

use super::error::{At, Problems};
use super::load::Context;
use super::raw::{RawAccessLog, RawConfig, RawDns, RawForward, RawPool, RawScrape, RawTls};
use super::{
    AccessLog, Config, EndpointSource, Forward, PoolConfig, Scrape, Tls, UpstreamUrl, kubernetes,
    limit, routes, tls,
};

/// What `raw` means where the flags have their say; none where a problem was noted.
pub(super) fn meaning(
    raw: &RawConfig,
    context: &Context,
    problems: &mut Problems<'_>,
) -> Option<Config> {
    let mut raw = raw.clone();
    context.overrides.apply(&mut raw);
    let root = At::root();
    // Nothing returns before everything has been looked at.
    let listen = address(&raw.listen, &root.at("listen"), problems);
    let admin = address(&raw.admin, &root.at("admin"), problems);
    let tls = match &raw.tls {
        Some(raw) => tls_listener(raw, &root.at("tls"), context, problems).map(Some),
        None => Some(None),
    };
    let pools = pools(&raw, context, problems);
    let routes = routes::meaning(&raw, problems);
    let (listen, admin, tls) = (listen?, admin?, tls?);
    let addresses = [Some(listen), tls.as_ref().map(|tls| tls.listen)];
    // Port 0 is whichever is free, so never another's.
    if admin.port() != 0 && addresses.contains(&Some(admin)) {
        return problems.note(
            &root.at("admin"),
            format!("{admin} is also an address for clients: give it a port of its own"),
        );
    }
    if listen.port() != 0 && addresses[1] == addresses[0] {
        return problems.note(
            &root.at("tls").at("listen"),
            format!("{listen} is also `listen`: give it a port of its own"),
        );
    }
    Some(Config {
        listen,
        tls,
        admin,
        threads: raw.threads.map_or_else(cores, |threads| threads as usize),
        limits: raw.limits,
        forward: forward(&raw.forward),
        response_headers: raw.response_headers,
        explain: raw.explain,
        access_log: raw.access_log.as_ref().map(|raw| access_log(raw, context)),
        drain: Duration::from_secs(raw.shutdown.drain_s),
        pools: pools?,
        routes: routes?,
        guard_state: raw.guard_state.as_deref().map(|text| path(text, context)),
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn address(text: &str, at: &At, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => problems.note(
            at,
            format!(
                "`{text}` is not an IP address and a port: write for example `0.0.0.0:8080`, \
                 `127.0.0.1:8080` or `[::]:8080`"
            ),
        ),
    }
}

fn tls_listener(
    raw: &RawTls,
    at: &At,
    context: &Context,
    problems: &mut Problems<'_>,
) -> Option<Tls> {
    let listen = address(&raw.listen, &at.at("listen"), problems);
    let certificate = path(&raw.certificate, context);
    let key = path(&raw.key, context);
    let found = tls::certificates(&certificate);
    let certificates = found.or_else(|problem| problems.fail(&at.at("certificate"), problem));
    let found = tls::private_key(&key);
    let private_key = found.or_else(|problem| problems.fail(&at.at("key"), problem));
    tls::belong_together(certificates.ok()?, private_key.ok()?)
        .or_else(|problem| problems.fail(&at.at("key"), problem))
        .ok()?;
    Some(Tls {
        listen: listen?,
        certificate,
        key,
    })
}

fn path(text: &str, context: &Context) -> PathBuf {
    context.folder.join(text)
}

fn forward(raw: &RawForward) -> Forward {
    let seconds = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
    Forward {
        retries: raw.retries as usize,
        connect_timeout: Duration::from_millis(raw.connect_timeout_ms),
        first_byte_timeout: seconds(raw.first_byte_timeout_s),
        idle_timeout: seconds(raw.idle_timeout_s),
        keepalive: seconds(raw.keepalive_s),
        keepalive_connections: raw.keepalive_connections,
        mirrored_requests: raw.mirrored_requests,
    }
}

fn access_log(raw: &RawAccessLog, context: &Context) -> AccessLog {
    match raw.path.as_str() {
        "-" => AccessLog::Stdout,
        file => AccessLog::File(path(file, context)),
    }
}

fn pools(
    raw: &RawConfig,
    context: &Context,
    problems: &mut Problems<'_>,
) -> Option<Vec<PoolConfig>> {
    let at = At::root().at("pools");
    if raw.pools.is_empty() {
        return problems.note(
            &at,
            "no endpoints are named: write `--upstream http://host:port` or \
             `--service NAMESPACE/NAME` on the command line, or \
             `pools: [{name: main, upstreams: [\"http://host:port\"]}]` in the file",
        );
    }
    // Where it cannot be used, other mistakes of the pools are said all the same.
    let meant_cluster = kubernetes::cluster(raw, context, problems);
    let cluster = meant_cluster.clone().unwrap_or_default();
    let mut seen = BTreeMap::new();
    let mut meant = Vec::with_capacity(raw.pools.len());
    for (place, raw) in raw.pools.iter().enumerate() {
        let at = at.at(place);
        if let Some(first) = seen.insert(raw.name.as_str(), place) {
            let name = &raw.name;
            problems.note::<()>(
                &at.at("name"),
                format!("`{name}` is already the name of pools[{first}]: choose another"),
            );
        }
        meant.push(pool(raw, &at, context, &cluster, problems));
    }
    meant_cluster?;
    meant.into_iter().collect()
}

fn pool(
    raw: &RawPool,
    at: &At,
    context: &Context,
    cluster: &kubernetes::Cluster,
    problems: &mut Problems<'_>,
) -> Option<PoolConfig> {
    let named = pool_name(&raw.name, &at.at("name"), problems);
    let endpoints = endpoints(raw, at, context, cluster, problems);
    let block_size = BlockSize::from_tokens(raw.block_tokens)
        .expect("invariant: the range of block_tokens excludes zero and overflow");
    named?;
    Some(PoolConfig {
        name: raw.name.clone(),
        endpoints: endpoints?,
        policy: raw.policy.clone(),
        router: RouterSettings {
            block_size,
            index: IndexLimits {
                max_bytes: raw.index_bytes,
            },
            capacity: raw.capacity_tokens.map(Tokens),
            host_tier: raw.host_tier_tokens.map(Tokens),
            feedback: raw.feedback,
        },
        scrape: scrape(&raw.scrape),
    })
}

fn pool_name(name: &str, at: &At, problems: &mut Problems<'_>) -> Option<()> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_form = name.len() <= limit::POOL_NAME_BYTES_MAX
        && !name.is_empty()
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if has_form {
        return Some(());
    }
    let most = limit::POOL_NAME_BYTES_MAX;
    problems.note(
        at,
        format!("`{name}` is no pool name: use a-z, 0-9 and inner hyphens, at most {most} of them"),
    )
}

fn scrape(raw: &RawScrape) -> Scrape {
    Scrape {
        interval: Duration::from_millis(raw.interval_ms),
        timeout: Duration::from_millis(raw.timeout_ms),
    }
}

fn endpoints(
    raw: &RawPool,
    at: &At,
    context: &Context,
    cluster: &kubernetes::Cluster,
    problems: &mut Problems<'_>,
) -> Option<EndpointSource> {
    match (&raw.upstreams, &raw.file, &raw.dns, &raw.kubernetes) {
        (Some(urls), None, None, None) => upstreams(urls, &at.at("upstreams"), problems),
        (None, Some(file), None, None) => {
            let file = path(file, context);
            match endpoints_file(&file) {
                Ok(()) => Some(EndpointSource::File(file)),
                Err(problem) => problems.note(&at.at("file"), problem),
            }
        }
        (None, None, Some(dns), None) => dns_source(dns, &at.at("dns"), problems),
        (None, None, None, Some(raw)) => {
            let source = kubernetes::source(raw, &at.at("kubernetes"), cluster, problems);
            source.map(EndpointSource::Kubernetes)
        }
        (None, None, None, None) => problems.note(
            at,
            "has no endpoints: write one of `upstreams: [\"http://host:port\"]`, `file: PATH`, \
             `dns: {name: HOST, port: PORT}` and `kubernetes: {service: NAME}`",
        ),
        _ => problems.note(
            at,
            "has more than one of `upstreams`, `file`, `dns` and `kubernetes`: keep one, and make \
             another pool for the rest",
        ),
    }
}

/// Whether the file can be read now; discovery reads it again while the gateway runs.
fn endpoints_file(file: &Path) -> Result<(), String> {
    let name = file.display();
    let opened = File::open(file).map_err(|error| {
        format!("{name} cannot be read ({error}): relative paths start at the folder of this file")
    })?;
    let mut text = String::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    opened
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("{name} is longer than {FILE_BYTES_MAX} bytes"));
    }
    match parse_endpoints_file(&text) {
        Ok(_) => Ok(()),
        Err(problem) => Err(format!("{name}: {problem}")),
    }
}

fn upstreams(urls: &[String], at: &At, problems: &mut Problems<'_>) -> Option<EndpointSource> {
    if urls.is_empty() {
        return problems.note(at, "is empty: write at least one `http://host:port`");
    }
    let mut seen = BTreeMap::new();
    let mut meant = Vec::with_capacity(urls.len());
    for (place, url) in urls.iter().enumerate() {
        let url = match url.parse::<UpstreamUrl>() {
            Ok(url) => url,
            Err(error) => {
                problems.note::<()>(&at.at(place), error);
                continue;
            }
        };
        if let Some(first) = seen.insert(url.clone(), place) {
            problems.note::<()>(
                &at.at(place),
                format!("{url} is already at place {first}: name each endpoint once"),
            );
        }
        meant.push(url);
    }
    (seen.len() == urls.len()).then_some(EndpointSource::Upstreams(meant))
}

fn dns_source(raw: &RawDns, at: &At, problems: &mut Problems<'_>) -> Option<EndpointSource> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = &raw.name;
    let labels = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 || !labels.split('.').all(label) {
        return problems.note(
            &at.at("name"),
            format!("`{name}` is no host name: write only the name, without scheme and port"),
        );
    }
    Some(EndpointSource::Dns {
        name: raw.name.clone(),
        port: raw.port,
        tls: raw.tls,
    })
}
