//! A YAML file of endpoints, read again when its content changes.
//!
//! ```yaml
//! endpoints:
//!   - url: http://gpu-1:8000
//!   - url: http://10.0.0.7:30000
//!     engine: sglang
//!     role: both
//!     labels: {zone: a}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use warmgate_routing::endpoint::{Engine, Role};

use super::Source;
use super::error::SourceError;
use super::listing::{Listed, Listing, pause_after};
use super::resolver::Resolve;
use super::updates::{ENDPOINTS_MAX, Stopped, Updates};
use super::upstream_url::UpstreamUrl;

/// Pause between two looks at the file. Its whole content is compared: times of change lie where
/// a mounted volume is swapped, and notifications do not cross every kind of mount.
pub const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Largest file that is read.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most labels of an endpoint.
const LABELS_MAX: usize = 64;
/// Longest name or value of a label in bytes.
const LABEL_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    endpoints: Vec<RawEndpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoint {
    url: UpstreamUrl,
    #[serde(default)]
    engine: Option<Engine>,
    #[serde(default)]
    role: Role,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Reads the content of such a file.
///
/// # Errors
/// With line, column and reason: no YAML, an unknown key, a wrong value, an endpoint listed twice,
/// or a limit passed.
pub fn parse_endpoints_file(text: &str) -> Result<Vec<Listed>, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let raw: RawFile =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    if raw.endpoints.len() > ENDPOINTS_MAX {
        let found = raw.endpoints.len();
        return Err(format!(
            "endpoints: {found} of them, at most {ENDPOINTS_MAX} are allowed"
        ));
    }
    let mut seen = BTreeSet::new();
    for (place, endpoint) in raw.endpoints.iter().enumerate() {
        if !seen.insert(&endpoint.url) {
            return Err(format!(
                "endpoints[{place}].url: {} is listed twice",
                endpoint.url
            ));
        }
        let is_too_long = |text: &String| text.len() > LABEL_BYTES_MAX;
        let mut labels = endpoint.labels.iter();
        if endpoint.labels.len() > LABELS_MAX
            || labels.any(|(k, v)| is_too_long(k) || is_too_long(v))
        {
            return Err(format!(
                "endpoints[{place}].labels: at most {LABELS_MAX} labels of {LABEL_BYTES_MAX} bytes are allowed"
            ));
        }
    }
    let listed = |raw: RawEndpoint| Listed {
        url: raw.url,
        engine: raw.engine,
        role: raw.role,
        labels: raw.labels,
    };
    Ok(raw.endpoints.into_iter().map(listed).collect())
}

pub(super) struct EndpointsFile {
    path: PathBuf,
    listing: Listing,
    /// Content at the last look, and what is wrong with it.
    text: Option<String>,
    invalid: Option<String>,
    is_loaded: bool,
}

impl EndpointsFile {
    pub(super) fn new(path: PathBuf, resolver: Arc<dyn Resolve>) -> EndpointsFile {
        EndpointsFile {
            path,
            listing: Listing::new(Vec::new(), resolver),
            text: None,
            invalid: None,
            is_loaded: false,
        }
    }

    /// Looks at the file. True where another valid list is in force.
    async fn look(&mut self) -> Result<bool, SourceError> {
        let text = self.read().await?;
        if self.text.as_ref() == Some(&text) {
            return self
                .invalid
                .clone()
                .map_or(Ok(false), |reason| Err(self.is_no_list(reason)));
        }
        let parsed = parse_endpoints_file(&text);
        self.text = Some(text);
        match parsed {
            Ok(entries) => {
                self.listing.replace(entries);
                self.invalid = None;
                self.is_loaded = true;
                Ok(true)
            }
            Err(reason) => {
                self.invalid = Some(reason.clone());
                Err(self.is_no_list(reason))
            }
        }
    }

    async fn read(&self) -> Result<String, SourceError> {
        let failed = |source| SourceError::Read {
            path: self.path.clone(),
            source,
        };
        let file = tokio::fs::File::open(&self.path).await.map_err(failed)?;
        let mut bytes = Vec::new();
        let bytes_max = FILE_BYTES_MAX as u64 + 1;
        file.take(bytes_max)
            .read_to_end(&mut bytes)
            .await
            .map_err(failed)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(self.is_no_list(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        String::from_utf8(bytes).map_err(|_| self.is_no_list("it is not UTF-8 text".to_owned()))
    }

    fn is_no_list(&self, reason: String) -> SourceError {
        SourceError::Invalid {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Source for EndpointsFile {
    async fn run(mut self, mut updates: Updates) -> Result<Infallible, Stopped> {
        let mut resolve_at = Instant::now();
        loop {
            let look = self.look().await;
            // After a failure names are due again at the next look, so that none of them is
            // taken for recovered in between.
            let is_due = self.is_loaded && Instant::now() >= resolve_at;
            let mut problems = Vec::new();
            if is_due || matches!(look, Ok(true)) {
                problems = self.listing.resolve().await;
                resolve_at = Instant::now() + pause_after(&problems);
            }
            problems.extend(look.err());
            let specs = self.listing.specs();
            // A list without one known address is a failing resolver, not an empty pool.
            if !self.is_loaded || (specs.is_empty() && self.listing.has_names()) {
                updates.report(&problems);
            } else {
                updates.publish(specs, problems).await?;
            }
            tokio::time::sleep(FILE_POLL_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::resolver::scripted::ScriptedResolver;
    use crate::source::updates::record::Recorder;

    #[test]
    fn reads_every_key() {
        let text = "endpoints:\n  - url: http://gpu-1:8000\n  - url: https://gpu-2\n    engine: tensorrt_llm\n    role: prefill\n    labels: {zone: a}\n";
        let read = parse_endpoints_file(text).unwrap();
        assert_eq!(read[0], Listed::at("http://gpu-1:8000".parse().unwrap()));
        assert_eq!(read[1].engine, Some(Engine::TensorrtLlm));
        assert_eq!(read[1].role, Role::Prefill);
        assert_eq!(read[1].labels["zone"], "a");
        assert!(parse_endpoints_file("endpoints: []").unwrap().is_empty());
    }

    #[test]
    fn refuses_with_place_and_reason() {
        for (text, says) in [
            ("", "line 1"),
            ("endpoints:\n  - {url: http://a, colour: red}", "colour"),
            ("endpoint: []", "endpoint"),
            ("endpoints:\n  - {url: a:8000}", "http://"),
            ("endpoints:\n  - {url: http://a, engine: ollama}", "ollama"),
            (
                "endpoints:\n  - {url: http://a}\n  - {url: http://a:80/}",
                "endpoints[1].url",
            ),
            ("endpoints: [{url: http://a, labels: {a: [1]}}]", "line 1"),
        ] {
            let error = parse_endpoints_file(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_beyond() {
        let of = |count: usize| {
            let line = |n| format!("  - url: http://gpu-{n}:8000\n");
            format!("endpoints:\n{}", (0..count).map(line).collect::<String>())
        };
        assert_eq!(
            parse_endpoints_file(&of(ENDPOINTS_MAX)).unwrap().len(),
            ENDPOINTS_MAX
        );
        assert!(
            parse_endpoints_file(&of(ENDPOINTS_MAX + 1))
                .unwrap_err()
                .contains("at most")
        );
        let labels = |count: usize, bytes: usize| {
            let label = |n| format!("l{n}: {}", "v".repeat(bytes));
            let labels: Vec<_> = (0..count).map(label).collect();
            format!(
                "endpoints: [{{url: http://a, labels: {{{}}}}}]",
                labels.join(", ")
            )
        };
        assert!(parse_endpoints_file(&labels(LABELS_MAX, LABEL_BYTES_MAX)).is_ok());
        assert!(parse_endpoints_file(&labels(LABELS_MAX + 1, 1)).is_err());
        assert!(parse_endpoints_file(&labels(1, LABEL_BYTES_MAX + 1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_read_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.yaml");
        let resolver = ScriptedResolver::default();
        resolver.set("gpu-1", &["10.0.0.1:8000"]);
        let file = EndpointsFile::new(path.clone(), Arc::new(resolver.clone()));
        let mut recorder = Recorder::start(file);
        recorder.failures(1).await;
        fs::write(&path, "endpoints: [{url: http://gpu-1:8000}]").unwrap();
        assert_eq!(recorder.list().await, ["http://gpu-1:8000 10.0.0.1:8000"]);
        fs::write(&path, "endpoints: [{url: http://gpu-1:8000").unwrap();
        recorder.failures(2).await;
        fs::remove_file(&path).unwrap();
        recorder.failures(2).await;
        fs::write(&path, "endpoints: [{url: http://10.0.0.2:8000}]").unwrap();
        assert_eq!(
            recorder.list().await,
            ["http://10.0.0.2:8000 10.0.0.2:8000"]
        );
        fs::write(&path, "endpoints: []").unwrap();
        assert!(recorder.list().await.is_empty());
    }

    #[tokio::test]
    async fn the_largest_file_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.yaml");
        let resolver = Arc::new(ScriptedResolver::default());
        let mut file = EndpointsFile::new(path.clone(), resolver);
        let of = |bytes: usize| format!("endpoints: []\n#{}", "x".repeat(bytes - 15));
        fs::write(&path, of(FILE_BYTES_MAX)).unwrap();
        assert!(file.look().await.unwrap());
        fs::write(&path, of(FILE_BYTES_MAX + 1)).unwrap();
        assert!(
            file.look()
                .await
                .unwrap_err()
                .to_string()
                .contains("larger")
        );
    }
}
