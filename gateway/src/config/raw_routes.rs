//! Routes as they are typed: the keys below `routes`, with their defaults and ranges.

use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warmgate_routing::guard::{GuardSettings, STEPS_MAX, Step};

use super::limit;

/// Where some of the requests for one model go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawRoute {
    /// Model name in the request, or `*` for every name. Of the routes that name the model, the
    /// first that matches the request takes it; where none does, the first of `*` that matches.
    pub model: String,
    /// Name for metric labels and the admin API, unique; where absent, that of the model, for
    /// further routes of the same model with `-2`, `-3` and so on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What a request must have besides the model's name; where absent, nothing.
    #[garde(dive)]
    #[serde(
        default,
        rename = "match",
        skip_serializing_if = "RawMatch::is_everything"
    )]
    pub matching: RawMatch,
    /// Whether a conversation stays with the target that it began with, as far as weights allow;
    /// `false`: each request is drawn by itself.
    #[serde(default = "default_sticky")]
    pub sticky: bool,
    /// What stays together where the client names no session (by a header such as `x-session-id`,
    /// `prompt_cache_key` or `user`).
    #[serde(default)]
    pub sticky_by: RawStickyBy,
    /// Whether a client may choose a target by its name with `x-warmgate-target`, also one of
    /// weight 0. Elsewhere that header is ignored.
    #[serde(default)]
    pub force_target: bool,
    /// Where it goes: each target gets as large a share of conversations as its weight is of all.
    #[garde(length(max = limit::TARGETS_MAX), dive)]
    pub targets: Vec<RawTarget>,
    /// Where some of the requests are copied to; where absent, nowhere.
    #[garde(dive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<RawMirror>,
    /// What the targets after the first may do, beside the first, before they are taken out; where
    /// absent, nobody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardSettings>,
    /// How the weight of the second of two targets rises by itself, for as long as its guard finds it
    /// fine; the first has the rest of 100, and `weight` of neither counts.
    #[garde(length(max = STEPS_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl RawRoute {
    /// All requests for `model` to one target.
    #[must_use]
    pub fn to(model: &str, target: RawTarget) -> RawRoute {
        RawRoute {
            model: model.to_owned(),
            name: None,
            matching: RawMatch::default(),
            sticky: default_sticky(),
            sticky_by: RawStickyBy::default(),
            force_target: false,
            targets: vec![target],
            mirror: None,
            guard: None,
            steps: Vec::new(),
        }
    }
}

fn default_sticky() -> bool {
    true
}

/// What stays together where the client names no session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawStickyBy {
    /// A conversation, known by how it begins: the system prompt, the first message of the user,
    /// and the API key.
    #[default]
    Conversation,
    /// Everything under one API key.
    ApiKey,
}

/// What a request must have: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawMatch {
    /// The host that the request is for, such as `chat.example.com`, or `*.example.com` for all
    /// names below one. Its port does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Headers with exactly these values; of a header that comes several times one is enough. Case
    /// counts in values, not in names.
    #[garde(length(max = limit::MATCH_HEADERS_MAX))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Exactly this path, such as `/v1/chat/completions`, without a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A path that begins with these elements: `/v1/chat` is the beginning of
    /// `/v1/chat/completions`, not of `/v1/chats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
}

impl RawMatch {
    fn is_everything(&self) -> bool {
        *self == RawMatch::default()
    }
}

/// A pool, the model's name there, and its share.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawTarget {
    /// Name for `x-warmgate-target` and metric labels, unique in its route; where absent, that of
    /// the pool. The name decides which conversations belong to the target: with another name it
    /// gets others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the pool.
    pub pool: String,
    /// Share of conversations, relative to the other targets' weights; 0: none.
    #[garde(range(max = limit::WEIGHT_MAX))]
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Model name to send to the pool; where absent, the client's. The client sees the name that
    /// it asked for in every answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who takes a request that this target cannot take: the name of another target of the route,
    /// or of a pool. Where none of its endpoints is usable, none that was asked could be reached,
    /// or all broke off or refused (429, 502, 503, 504) before they answered. A pool that is no
    /// target of the route becomes one, of weight 0, under this target's `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// With `fallback`: requests also go there while each usable endpoint of this target's pool has
    /// at least so many prompt tokens to compute, of requests of this gateway without a first token.
    #[garde(range(min = 1, max = limit::CAPACITY_TOKENS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_tokens: Option<u64>,
}

fn default_weight() -> u32 {
    100
}

impl RawTarget {
    /// A route's requests to this pool, under the client's model name.
    #[must_use]
    pub fn to_pool(pool: &str) -> RawTarget {
        RawTarget {
            name: None,
            pool: pool.to_owned(),
            weight: default_weight(),
            model: None,
            fallback: None,
            saturated_tokens: None,
        }
    }
}

/// A pool that gets copies of a route's requests. Answers to copies are read and thrown away;
/// clients never wait for them. Copies carry `x-warmgate-mirror: 1`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawMirror {
    /// Name of the pool.
    pub pool: String,
    /// Model name to send to the pool; where absent, the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many of the route's requests are copied, each drawn by itself; the least is a millionth
    /// of all.
    #[garde(range(min = 0.0, max = limit::PERCENT_MAX))]
    #[serde(default = "default_percent")]
    pub percent: f64,
}

fn default_percent() -> f64 {
    limit::PERCENT_MAX
}
