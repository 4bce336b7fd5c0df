//! From a file and flags to a [`Config`], or to one message that shows everything wrong with them.

use std::io::Read;
use std::path::{Path, PathBuf};

use garde::{Report, Validate};
use serde::Deserialize;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::error::Problems;
use super::meaning::meaning;
use super::{Config, ConfigError, Overrides, RawConfig, excerpt, limit};

/// Where the configuration comes from: a file, flags, or both.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if any.
    pub file: Option<PathBuf>,
    /// The flags.
    pub overrides: Overrides,
}

impl Source {
    /// Reads the file, if any, and finds out what it means together with the flags.
    ///
    /// # Errors
    /// Where the file cannot be read, or what is said cannot be meant.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.parse(&self.read()?)
    }

    /// The bytes of the file, empty where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or is longer than [`limit::CONFIG_BYTES_MAX`].
    pub fn read(&self) -> Result<Vec<u8>, ConfigError> {
        let Some(path) = &self.file else {
            return Ok(Vec::new());
        };
        let unreadable = |reason| ConfigError::Unreadable {
            path: path.clone(),
            reason,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(limit::CONFIG_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > limit::CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLong {
                path: path.clone(),
                limit: limit::CONFIG_BYTES_MAX,
            });
        }
        Ok(bytes)
    }

    /// What these bytes mean, if they were in the file.
    ///
    /// # Errors
    /// Where they are no configuration.
    pub fn parse(&self, bytes: &[u8]) -> Result<Config, ConfigError> {
        let invalid = |problem: String| ConfigError::Invalid {
            origin: self.origin(),
            problem,
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| invalid(format!(" this is no UTF-8 text: {error}")))?;
        let context = self.context();
        let raw = if text.trim().is_empty() {
            let document = Document(RawConfig::default());
            document
                .validate_with(&context)
                .map_err(|report| invalid(listed(&report)))?;
            document.0
        } else {
            document(text, &context).map_err(invalid)?
        };
        let mut report = Report::new();
        meaning(&raw, &context, &mut Problems::new(&mut report))
            .ok_or_else(|| invalid(listed(&report)))
    }

    fn origin(&self) -> String {
        self.file
            .as_ref()
            .map_or("command line".to_owned(), |path| path.display().to_string())
    }

    fn context(&self) -> Context {
        let folder = self.file.as_deref().and_then(Path::parent);
        Context {
            folder: folder.unwrap_or(Path::new("")).to_owned(),
            overrides: self.overrides.clone(),
        }
    }
}

/// What the meaning of a file depends on besides its text.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Where relative paths start.
    pub folder: PathBuf,
    /// The flags.
    pub overrides: Overrides,
}

/// The file, validated as a whole while the parser still knows where each key stands.
#[derive(Deserialize)]
#[serde(transparent)]
struct Document(RawConfig);

impl Validate for Document {
    type Context = Context;

    fn validate_into(
        &self,
        context: &Context,
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut Report,
    ) {
        self.0.validate_into(&(), parent, report);
        if report.is_empty() {
            meaning(&self.0, context, &mut Problems::new(report));
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: limit::CONFIG_NODES_MAX,
            max_depth: limit::CONFIG_DEPTH_MAX,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        // Else `yes` and `on` are booleans.
        strict_booleans: true,
    }
}

fn document(text: &str, context: &Context) -> Result<RawConfig, String> {
    let parsed =
        serde_saphyr::from_str_with_options_context_valid::<Document>(text, options(), context);
    let error = match parsed {
        Ok(Document(raw)) => return Ok(raw),
        Err(error) => error,
    };
    let mut mistakes = excerpt::mistakes(&error);
    if mistakes.is_empty() {
        // The parser knows line and column; which key that is takes a second pass.
        mistakes.push(excerpt::misread(&error, key_path(text)));
    }
    Err(excerpt::show(text, &mistakes))
}

/// Problems of flags alone, which stand in no line.
fn listed(report: &Report) -> String {
    let lines = report
        .iter()
        .map(|(path, error)| format!("\n  {path}: {error}"));
    lines.collect()
}

/// The key at which the text stops being a configuration by its types; none where it does not.
fn key_path(text: &str) -> Option<String> {
    let mut path = None;
    let _ = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |yaml| {
        serde_path_to_error::deserialize::<_, RawConfig>(yaml).map_err(|error| {
            path = Some(error.path().to_string()).filter(|path| path != "." && path != "?");
            error.into_inner()
        })
    });
    path
}
