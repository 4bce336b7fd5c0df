//! What a run can choose, and why it may not start.

use std::time::Duration;

use http::HeaderName;

/// Requests in flight at most, unless chosen otherwise.
pub const CONCURRENCY_DEFAULT: usize = 1024;
/// A request without a complete answer after this long has failed.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Response header in which Warmgate names the endpoint that answered.
pub const ENDPOINT_HEADER: HeaderName = HeaderName::from_static("x-warmgate-endpoint");

/// Which API recorded prompts are sent to. Conversations always use chat completions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptApi {
    /// `/v1/completions`: the prompt is exactly the recorded blocks.
    #[default]
    Completions,
    /// `/v1/chat/completions`, as one user message: the chat template comes on top.
    Chat,
}

/// How a load is sent.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Base URL, `http://host:port`.
    pub target: String,
    /// Name of the run in tables and plots.
    pub name: String,
    /// Model to ask for; the first that the target lists when absent.
    pub model: Option<String>,
    /// API for recorded prompts.
    pub prompt_api: PromptApi,
    /// Ask for streams; without them there is no TTFT.
    pub stream: bool,
    /// Send `ignore_eos`, a vLLM extension, so that answers have the asked length.
    pub ignore_eos: bool,
    /// Header that carries the session's number, if any.
    pub session_header: Option<HeaderName>,
    /// Arrivals and think times are divided by this; above 0.
    pub time_scale: f64,
    /// Requests in flight at most, at least 1.
    pub concurrency_max: usize,
    /// Time for one complete answer.
    pub request_timeout: Duration,
}

impl ReplayOptions {
    /// Streams to `target` as fast as recorded, with all limits at their defaults.
    pub fn new(target: &str) -> Self {
        Self {
            target: target.trim_end_matches('/').to_owned(),
            name: "run".to_owned(),
            model: None,
            prompt_api: PromptApi::default(),
            stream: true,
            ignore_eos: false,
            session_header: None,
            time_scale: 1.0,
            concurrency_max: CONCURRENCY_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
        }
    }
}

/// Why a run did not start. Single requests that fail are records, not errors.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The target is no plain HTTP URL. The caller's fault.
    #[error("target {target:?} is not a URL like http://host:port")]
    Target {
        /// What was given.
        target: String,
    },
    /// An option out of its range. The caller's fault.
    #[error("time scale must be above 0 and concurrency at least 1")]
    OutOfRange,
    /// The target could not be asked for its models. Its fault; a retry may help.
    #[error("cannot ask {url} for its models: {reason}; is the server up, or pass a model name")]
    Models {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
}
