//! A simulated vLLM server, so that routing can be tested, demonstrated and measured without
//! a GPU.
//!
//! Two layers. [`Model`] is pure: requests and the time go in, events come out; a simulation in
//! virtual time drives it directly. Around it stands an HTTP face with vLLM's paths, shapes,
//! metric names and errors, started by [`serve`].
//!
//! What is modelled: continuous batching with chunked prefill under a token budget, first come
//! first served or by priority; a prefix cache of chained blocks with LRU eviction, and where asked
//! for a second one in host memory behind a link; step times of a 70B-class model. What is not:
//! preemption (room for the whole answer is reserved at admission), sampling, stop tokens (an
//! answer is as long as `max_tokens` says), a tokenizer (a token is four bytes).
//!
//! For tests an engine can misbehave on demand ([`Fault`], `POST /sim/fault`) and shows what
//! reached it ([`EngineState`], `GET /sim/state`; [`ReceivedRequest`], `GET /sim/last_request`).

mod answer;
mod api;
mod config;
mod exchange;
mod fault;
mod http;
mod inspect;
mod instant;
mod metrics;
mod model;
mod prompt;
mod respond;
mod runner;
mod server;

pub use config::{BODY_BYTES_MAX, CHOICES_MAX, ConfigError, DEFAULT_OUTPUT_TOKENS, EngineConfig};
pub use fault::{FAULTS_MAX, Fault, FaultError, FaultKind};
pub use inspect::{EngineState, ReceivedRequest, SHOWN_BODY_BYTES_MAX};
pub use model::{
    BlockCensus, BlockHash, Counters, Event, EventKind, HOST_LOAD_TOKENS_PER_S, HostTier, Model,
    ModelConfig, Request, RequestId, Scheduling, StepWork, SubmitError, TierFill, Timing,
};
pub use prompt::{BYTES_PER_TOKEN, ChainRoot, Prompt};
pub use server::{EngineHandle, ServeError, serve};
