//! What other routers would do, with the same engines, the same requests and the same news.
//!
//! Every policy is a [`rule::Rule`]: a function of the [`scene::Scene`], one file each, written
//! from the sources that its first lines name, with the constants that its users get unless they
//! set others. [`rule::Peer`] keeps for all of them what they look at: an exact [`ledger`] of what
//! they sent, the [`knowledge`] of which prompts went where, and the gauges last scraped.
//!
//! # Generosity
//! Where the original is worse informed than it could be, the peer is not: a comparison should
//! show what its policy is worth, not its plumbing.
//! - Ledgers are exact, and move with first tokens and ends at once.
//! - Knowledge is as large as all that an engine can hold, **host tier included**, which engines
//!   do not report and ours has to learn; it counts in the blocks of the engines themselves. Only
//!   the trees of SGLang, vLLM's router and SMG keep the bounds that they document.
//! - Gauges are as fresh as [`super::scenario::DEFAULT_SCRAPE`], 50 ms.
//! - A restarted engine is noticed at the next scrape, and what it held is forgotten.
//! - Equal costs are decided by chance, where some originals send everybody to the first.
//!
//! What is left out, each file says. Each gateway replica has a state of its own, and replicas
//! tell each other nothing: that is so of all the originals but SMG, whose synchronisation of
//! trees is left out, and Dynamo, whose replicas can tell each other what is active.
//!
//! Round robin, random, least request and power of two are policies of ours as well, and are not
//! repeated here.

mod cache_aware;
mod dynamo;
mod knowledge;
mod kubeai_chwbl;
mod least_tokens;
mod ledger;
mod llmd_2026;
mod llmd_default;
mod lmetric;
mod preble;
mod predicted_ttft;
mod prefix_hash;
mod ring;
mod rule;
mod scene;
mod sglang_cache_aware;
mod smg_spill;
#[cfg(test)]
mod stage;
mod sticky;
mod vllm_router;

use self::rule::Peer;
use super::contender::{Contender, FleetSpec};

/// Makes one replica of a peer.
type Maker = fn(&FleetSpec) -> Box<dyn Contender>;

/// Every peer by its name, the strong ones first.
pub(super) const PEERS: &[(&str, Maker)] = &[
    ("predicted_ttft", |fleet| {
        Box::new(Peer::new(fleet, predicted_ttft::PredictedTtft))
    }),
    ("llmd_default", |fleet| {
        Box::new(Peer::new(fleet, llmd_default::LlmdDefault))
    }),
    ("llmd_2026", |fleet| {
        Box::new(Peer::new(fleet, llmd_2026::Llmd2026))
    }),
    ("preble", |fleet| {
        Box::new(Peer::new(fleet, preble::Preble::new(fleet)))
    }),
    ("lmetric", |fleet| {
        Box::new(Peer::new(fleet, lmetric::Lmetric))
    }),
    ("vllm_router", vllm_router::new),
    ("sglang_cache_aware", sglang_cache_aware::new),
    ("smg_spill", smg_spill::new),
    ("dynamo", |fleet| {
        Box::new(Peer::new(fleet, dynamo::Dynamo::new(fleet)))
    }),
    ("kubeai_chwbl", |fleet| {
        let rule = kubeai_chwbl::KubeaiChwbl::new(fleet, kubeai_chwbl::KEY_TOKENS);
        Box::new(Peer::new(fleet, rule))
    }),
    ("kubeai_chwbl_1024", |fleet| {
        let rule = kubeai_chwbl::KubeaiChwbl::new(fleet, kubeai_chwbl::LONG_KEY_TOKENS);
        Box::new(Peer::new(fleet, rule))
    }),
    ("sticky", |fleet| {
        Box::new(Peer::new(fleet, sticky::Sticky::new(fleet)))
    }),
    ("prefix_hash", |fleet| {
        Box::new(Peer::new(fleet, prefix_hash::PrefixHash::new(fleet)))
    }),
    ("least_tokens", |fleet| {
        Box::new(Peer::new(fleet, least_tokens::LeastTokens))
    }),
];
