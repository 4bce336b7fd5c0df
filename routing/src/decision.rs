//! Where a request should go and why: what routing returns and what people are shown.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::health::Standing;
use crate::ledger::{Load, RequestCost};
use crate::policy::Reason;
use crate::units::{Blocks, Tokens};

/// Rows of an explanation; further endpoints are only counted.
pub const EXPLAIN_ROWS_MAX: usize = 64;

/// The answer for one request.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Best first; never empty.
    pub order: Vec<Choice>,
    /// Length of the prompt.
    pub prompt: Tokens,
    /// The decision was made with less than usual.
    pub degraded: Option<Degraded>,
    /// Everything looked at, where that was asked for.
    pub explanation: Option<Explanation>,
}

/// One endpoint in the order of a decision.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Leading blocks of the prompt that it is believed to hold.
    pub held: Blocks,
    /// The same in tokens.
    pub matched: Tokens,
    /// Of these, tokens that it would have to load from a tier behind its device.
    pub loaded: Tokens,
    /// What the request will weigh there.
    pub cost: RequestCost,
    /// The policy's score, less is better.
    pub score: Option<f64>,
    /// Why it stands here.
    pub reason: Reason,
}

/// A decision made with less than usual; each kind is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// Every endpoint is ejected; one was tried all the same.
    AllEjected,
}

impl Degraded {
    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Degraded::AllEjected => "all_ejected",
        }
    }
}

/// The table behind a decision.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Name of the policy.
    pub policy: &'static str,
    /// Length of the prompt in tokens, estimated.
    pub prompt_tokens: Tokens,
    /// Bytes that a token of this model is taken for.
    pub bytes_per_token: f64,
    /// Endpoints that serve the model.
    pub endpoints: usize,
    /// Of these, endpoints that the policy looked at.
    pub considered: usize,
    /// The first of them, best first, then those that could not be used.
    pub rows: Vec<Row>,
}

/// One endpoint in an explanation.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Host and port.
    pub endpoint: Arc<str>,
    /// Prompt tokens believed to be cached there.
    pub matched_tokens: Tokens,
    /// Of these, tokens believed to be in a tier behind its device.
    pub loaded_tokens: Tokens,
    /// Tokens that it is believed to be able to hold in all tiers.
    pub capacity_tokens: Tokens,
    /// Prompt tokens that it would have to compute.
    pub uncached_tokens: Tokens,
    /// Uncached tokens that were sent there lately, fading.
    pub recent_work_tokens: Tokens,
    /// Its load before this request.
    pub load: Load,
    /// Its health.
    pub standing: Standing,
    /// The policy's score, less is better.
    pub score: Option<f64>,
    /// Why it stands here; none where it could not be used.
    pub reason: Option<Reason>,
}

impl fmt::Display for Explanation {
    /// The table as text, for scenario tests and terminals.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{}: prompt {} tokens, {} of {} endpoints considered",
            self.policy, self.prompt_tokens, self.considered, self.endpoints
        )?;
        writeln!(
            out,
            "endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason"
        )?;
        for row in &self.rows {
            let score = row
                .score
                .map_or_else(|| "-".to_owned(), |score| format!("{score:.1}"));
            let reason = row.reason.map_or_else(
                || format!("{:?}", row.standing),
                |reason| format!("{reason:?}"),
            );
            writeln!(
                out,
                "{:<16} {:>8} {:>7} {:>11} {:>7} {:>9} {:>9} {:>10}  {}",
                row.endpoint,
                row.matched_tokens,
                row.loaded_tokens,
                row.capacity_tokens,
                row.load.queued_prefill,
                row.load.decoding,
                row.load.requests(),
                score,
                reason
            )?;
        }
        Ok(())
    }
}
