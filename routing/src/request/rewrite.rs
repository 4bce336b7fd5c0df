//! What a client may not tell an engine, and how it is cut out of the body with all else left as
//! it is.
//!
//! Clients speak to the gateway; only the gateway tells engines where to fetch KV blocks, with
//! whom to pair up, and which rank takes a request.

use std::ops::Range;

use super::json::Span;

/// Fields removed from the top of a body, and from vLLM's `vllm_xargs` within it.
const STRIPPED: &[&str] = &[
    // vLLM asserts on what connectors read here: `{"do_remote_prefill":true}` alone, or a
    // `remote_kv_source` that is no object, ends the server for everybody.
    "kv_transfer_params",
    // Would be read by a connector in the same way.
    "remote_kv_source",
    // As above, for encoder caches: the address to fetch embeddings from.
    "ec_transfer_params",
    // SGLang's choice of data-parallel rank (and its deprecated name): choosing is our business,
    // and a rank that does not exist is an error 400.
    "routed_dp_rank",
    "data_parallel_rank",
    "disagg_prefill_dp_rank",
];

/// SGLang's pairing of prefill and decode (`bootstrap_host`, `_port`, `_room`): two requests with
/// the same room block a decode server for good, and host 2.2.2.2 makes it answer from nothing.
const STRIPPED_PREFIX: &str = "bootstrap_";

/// The member of the body whose members vLLM merges with what it passes to connectors.
pub(super) const ENGINE_ARGUMENTS: &str = "vllm_xargs";

/// Whether a field of this (decoded) name is kept from the engine.
pub(super) fn is_stripped(name: &str) -> bool {
    STRIPPED.contains(&name) || name.starts_with(STRIPPED_PREFIX)
}

/// Finds what to cut out of one object so that valid JSON is left: name, value, and one comma.
#[derive(Debug, Default)]
pub(super) struct Eraser {
    cuts: Vec<Span>,
    kept_end: Option<usize>,
    pending: Option<Span>,
}

impl Eraser {
    /// Takes the next member, in order.
    pub(super) fn member(&mut self, member: Span, is_stripped: bool) {
        if let Some(stripped) = self.pending.take() {
            self.cuts.push(Span {
                start: stripped.start,
                end: member.start,
            });
        }
        if is_stripped {
            self.pending = Some(member);
        } else {
            self.kept_end = Some(member.end);
        }
    }

    /// The cuts in order, and whether anything is left.
    pub(super) fn close(mut self) -> (Vec<Span>, bool) {
        if let Some(last) = self.pending {
            // No member follows whose comma could go: the one before goes, with all since then.
            let since = self.kept_end.unwrap_or(0);
            let tail = self.cuts.partition_point(|cut| cut.start < since);
            let first = self.cuts.get(tail).map_or(last.start, |cut| cut.start);
            self.cuts.truncate(tail);
            let start = self.kept_end.unwrap_or(first);
            self.cuts.push(Span {
                start,
                end: last.end,
            });
        }
        (self.cuts, self.kept_end.is_some())
    }
}

/// Everything in a body that may have to change before an engine sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    /// What must go, in order.
    pub(super) cuts: Vec<Span>,
    /// Values of the field `model`, in order; more than one if the client repeats itself.
    pub(super) model_values: Vec<Span>,
    /// After the opening brace.
    pub(super) top: usize,
    /// Whether any field is left after the cuts.
    pub(super) has_fields: bool,
}

impl Edits {
    /// The body with the cuts made and `model` put in place of the client's, or none where that
    /// is the body as it came.
    pub(super) fn apply(&self, body: &str, model: Option<&str>) -> Option<Vec<u8>> {
        if self.cuts.is_empty() && model.is_none() {
            return None;
        }
        let mut changes: Vec<(Range<usize>, &str)> = self
            .cuts
            .iter()
            .map(|cut| (cut.start..cut.end, ""))
            .collect();
        let name = model.map(|model| serde_json::Value::from(model).to_string());
        let inserted = name.as_ref().map(|name| {
            let comma = if self.has_fields { "," } else { "" };
            format!("\"model\":{name}{comma}")
        });
        match (&name, &inserted) {
            (Some(_), Some(inserted)) if self.model_values.is_empty() => {
                changes.push((self.top..self.top, inserted));
            }
            (Some(name), _) => {
                changes.extend(
                    self.model_values
                        .iter()
                        .map(|at| (at.start..at.end, &**name)),
                );
            }
            (None, _) => {}
        }
        // An insertion comes before a cut that starts at the same place.
        changes.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = changes.iter().map(|(_, text)| text.len()).sum();
        let mut rewritten = Vec::with_capacity(body.len() + added);
        let mut from = 0;
        for (range, text) in changes {
            rewritten.extend_from_slice(&body.as_bytes()[from..range.start]);
            rewritten.extend_from_slice(text.as_bytes());
            from = range.end;
        }
        rewritten.extend_from_slice(&body.as_bytes()[from..]);
        Some(rewritten)
    }
}
