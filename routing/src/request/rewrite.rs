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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::super::{Api, InferenceRequest};
    use super::*;

    fn rewritten(body: &str, model: Option<&str>) -> Option<String> {
        let request = InferenceRequest::parse(Api::ChatCompletions, body.as_bytes()).unwrap();
        request
            .rewritten(model)
            .map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn cuts_leave_the_rest_as_it_was() {
        let cases = [
            (r#"{"a":1}"#, None),
            (
                r#"{"kv_transfer_params":{"do_remote_prefill":true}}"#,
                Some("{}"),
            ),
            (r#"{"bootstrap_room":1,"a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"a":1,"bootstrap_host":"x"}"#, Some(r#"{"a":1}"#)),
            (
                r#"{ "a" : 1 , "rid":2, "bootstrap_host":"x" , "b":[] }"#,
                Some(r#"{ "a" : 1 , "rid":2, "b":[] }"#),
            ),
            (
                r#"{"a":1,"remote_kv_source":1,"ec_transfer_params":{} }"#,
                Some(r#"{"a":1 }"#),
            ),
            (
                r#"{"routed_dp_rank":1,"a":1,"data_parallel_rank":0}"#,
                Some(r#"{"a":1}"#),
            ),
            (
                r#"{"kv\u005ftransfer_params":1,"a":1,"kv_transfer_params":2}"#,
                Some(r#"{"a":1}"#),
            ),
            (
                r#"{"vllm_xargs":{"x":1,"kv_transfer_params":{}}}"#,
                Some(r#"{"vllm_xargs":{"x":1}}"#),
            ),
            (r#"{"messages":[{"kv_transfer_params":1}]}"#, None),
        ];
        for (body, expected) in cases {
            assert_eq!(rewritten(body, None).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn the_model_is_replaced_at_the_top_only() {
        let cases = [
            (
                r#"{"model":"a","messages":[{"model":"a"}]}"#,
                Some(r#"{"model":"new \"x\"","messages":[{"model":"a"}]}"#),
            ),
            (
                r#"{"model" : "a", "model":"b"}"#,
                Some(r#"{"model" : "new \"x\"", "model":"new \"x\""}"#),
            ),
            (r#"{"model":null}"#, Some(r#"{"model":"new \"x\""}"#)),
            (r#"{"n":1}"#, Some(r#"{"model":"new \"x\"","n":1}"#)),
            ("{}", Some(r#"{"model":"new \"x\""}"#)),
            (r#"{"bootstrap_room":1}"#, Some(r#"{"model":"new \"x\""}"#)),
            (r#"{"model":"new \"x\""}"#, None),
        ];
        for (body, expected) in cases {
            assert_eq!(
                rewritten(body, Some("new \"x\"")).as_deref(),
                expected,
                "{body}"
            );
        }
    }

    /// Members as they stand in an object, duplicates and all.
    fn members(object: &str) -> Vec<(String, String)> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, String)>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(members)
            }
        }
        let mut json = serde_json::Deserializer::from_str(object);
        let members = json.deserialize_map(Members).unwrap();
        json.end().unwrap();
        members
    }

    fn object(depth: u32) -> BoxedStrategy<String> {
        let name = prop::sample::select(vec![
            "\"model\"",
            "\"messages\"",
            "\"user\"",
            "\"vllm_xargs\"",
            "\"kv_transfer_params\"",
            "\"kv_transfer\\u005fparams\"",
            "\"bootstrap_room\"",
            "\"remote_kv_source\"",
        ]);
        let plain = prop::sample::select(vec!["1", "\"m\"", "null", "[ {} ]", "\"a,\\\"}\""]);
        let value = if depth == 0 {
            plain.prop_map(str::to_owned).boxed()
        } else {
            prop_oneof![3 => plain.prop_map(str::to_owned), 1 => object(depth - 1)].boxed()
        };
        let space = || prop::sample::select(vec!["", "", " ", "\n\t"]);
        let member = (space(), name, space(), space(), value, space()).prop_map(
            |(a, name, b, c, value, d)| {
                // A model that is no string is refused before anything is rewritten.
                let value = if name == "\"model\"" {
                    "\"m\"".to_owned()
                } else {
                    value
                };
                format!("{a}{name}{b}:{c}{value}{d}")
            },
        );
        prop::collection::vec(member, 0..7)
            .prop_map(|members| format!("{{{}}}", members.join(",")))
            .boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn what_is_left_is_the_body_without_the_stripped_fields(
            body in object(2), model in prop::option::of("[a-z\"]{1,5}"),
        ) {
            let before = members(&body);
            let mut expected: Vec<(String, String)> = Vec::new();
            if let Some(model) = &model && before.iter().all(|(name, _)| name != "model") {
                expected.push(("model".into(), serde_json::Value::from(&**model).to_string()));
            }
            for (name, value) in before.into_iter().filter(|(name, _)| !is_stripped(name)) {
                let value = match &model {
                    Some(model) if name == "model" => serde_json::Value::from(&**model).to_string(),
                    _ => value,
                };
                expected.push((name, value));
            }
            let after = rewritten(&body, model.as_deref());
            let mut after = members(after.as_deref().unwrap_or(&body));
            prop_assert_eq!(after.len(), expected.len());
            for (after, expected) in after.iter_mut().zip(&mut expected) {
                if expected.0 == ENGINE_ARGUMENTS && expected.1.starts_with('{') {
                    let mut inner = members(&expected.1);
                    inner.retain(|(name, _)| !is_stripped(name));
                    prop_assert_eq!(members(&after.1), inner);
                    after.1.clone_from(&expected.1);
                }
                prop_assert_eq!(after, expected);
            }
        }
    }
}
