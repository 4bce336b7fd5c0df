//! What a run leaves behind, in memory and as files that any tool can read.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One request. Times are in ms; `ttft_ms` and `e2e_ms` count from the moment it was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of its session.
    pub session: u64,
    /// Turn within the session, from 0.
    pub turn: u64,
    /// When it was due, since the start of the run.
    pub due_ms: f64,
    /// How much later it was sent, because too many requests were in flight.
    pub late_ms: f64,
    /// HTTP status; absent when there was no response.
    pub status: Option<u16>,
    /// Why it failed; absent when it did not.
    pub error: Option<String>,
    /// Time to the first token; absent without a stream.
    pub ttft_ms: Option<f64>,
    /// Mean time per output token after the first; absent with fewer than two.
    pub tpot_ms: Option<f64>,
    /// Time to the end of the answer.
    pub e2e_ms: f64,
    /// From `usage`; absent when the server did not tell.
    pub prompt_tokens: Option<u64>,
    /// From `usage`; absent when the server did not tell.
    pub cached_tokens: Option<u64>,
    /// From `usage`, else the number of chunks with text.
    pub output_tokens: u64,
    /// From the response header `x-warmgate-endpoint`.
    pub endpoint: Option<String>,
}

/// What a run was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// Name in tables and plots.
    pub name: String,
    /// Where requests went.
    pub target: String,
    /// Model asked for.
    pub model: String,
    /// Where the load came from.
    pub load: String,
    /// Arrivals were divided by this.
    pub time_scale: f64,
    /// Streams were asked for.
    pub stream: bool,
    /// Unix seconds.
    pub started_at_s: f64,
    /// From the start to the last answer.
    pub duration_s: f64,
    /// Turns without an answer because an earlier one of their session failed or the run stopped.
    pub skipped: usize,
    /// Version of the load tester.
    pub version: String,
}

/// A complete run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it was.
    pub meta: RunMeta,
    /// Its requests in the order they were due.
    pub records: Vec<Record>,
}

/// Why a run could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what a run writes.
    #[error("{path}, line {line}: {source}")]
    Json {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

const META_FILE: &str = "run.json";
const RECORDS_FILE: &str = "requests.jsonl";

impl Run {
    /// Writes `run.json` and `requests.jsonl` into `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), StoreError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join(META_FILE);
        let mut meta = serde_json::to_string_pretty(&self.meta).map_err(json_at(&path, 1))?;
        meta.push('\n');
        std::fs::write(&path, meta).map_err(at(&path))?;
        let path = dir.join(RECORDS_FILE);
        let mut file = BufWriter::new(File::create(&path).map_err(at(&path))?);
        for (index, record) in self.records.iter().enumerate() {
            let line = serde_json::to_string(record).map_err(json_at(&path, index + 1))?;
            writeln!(file, "{line}").map_err(at(&path))?;
        }
        file.flush().map_err(at(&path))
    }

    /// Reads what [`Run::save`] wrote.
    ///
    /// # Errors
    /// When a file is missing or not what a run writes.
    pub fn load(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(META_FILE);
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let meta = serde_json::from_str(&text).map_err(json_at(&path, 1))?;
        let path = dir.join(RECORDS_FILE);
        let file = BufReader::new(File::open(&path).map_err(at(&path))?);
        let mut records = Vec::new();
        for (index, line) in file.lines().enumerate() {
            let line = line.map_err(at(&path))?;
            records.push(serde_json::from_str(&line).map_err(json_at(&path, index + 1))?);
        }
        Ok(Self { meta, records })
    }

    /// Whether `dir` holds a run.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(META_FILE).is_file()
    }

    /// The run in numbers.
    pub fn summary(&self) -> crate::report::Summary {
        crate::report::Summary::of(self)
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

fn json_at(path: &Path, line: usize) -> impl FnOnce(serde_json::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Json { path, line, source }
}
