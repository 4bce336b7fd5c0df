//! What gateway replicas tell each other so that they decide as one: plain data and what it does,
//! whatever carries it.
//!
//! Four replicas that learn only from their own traffic lose most of the capacity that one has on
//! agent sessions: each believes endpoints idle and caches cold. What restores it is small: every
//! decision, and the moments at which its weight changes. A letter is numbered by its sender; who
//! misses one drops what it believed of that sender's load and asks for all of it at once
//! ([`News::Underway`]). Prefixes need no such care: a lost one costs a recomputation, no more.
//!
//! A decision carries its prompt's chain, 8 bytes a block: 13 KB for a prompt of 100,000 tokens.
//! Nothing here is stored, ordered among replicas, or needs a leader.
//!
//! ```
//! use std::time::Instant;
//! use warmgate_routing::exchange::{Exchange, Heard, News, ReplicaId};
//! use warmgate_routing::router::{Router, RouterSettings};
//! use warmgate_routing::{EndpointEvent, EndpointSpec, Policy};
//!
//! # #[allow(clippy::disallowed_methods)] fn now() -> Instant { Instant::now() }
//! # let address = ([10, 0, 0, 1], 8000).into();
//! let here = Router::new(RouterSettings::default(), Policy::default());
//! here.apply(EndpointEvent::Apply(EndpointSpec::at("10.0.0.1:8000", address, false)));
//! let mut there = Exchange::new(ReplicaId(1));
//! let mut ours = Exchange::new(ReplicaId(2));
//!
//! let endpoint = here.pool().all()[0].clone();
//! let letter = there.sent(7, &endpoint.spec.key, Default::default(), &[]);
//! assert_eq!(ours.hear(&here, &letter, now()), Heard::Applied);
//! assert_eq!(endpoint.load.now().inflight, 1);
//! let letter = there.ended(7, None);
//! assert_eq!(ours.hear(&here, &letter, now()), Heard::Applied);
//! assert_eq!(endpoint.load.now().inflight, 0);
//! ```

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::block::{BlockHash, PromptBlocks};
use crate::endpoint::{Endpoint, EndpointKey};
use crate::feedback::Reported;
use crate::ledger::{LoadGuard, RequestCost};
use crate::router::{Router, Sent};
use crate::units::Tokens;

/// Requests in flight that are believed of one other replica; further ones do not weigh.
pub const UNDERWAY_MAX: usize = 65_536;
/// Other replicas that are listened to; letters of further ones are [ignored](Heard::Ignored).
pub const REPLICAS_MAX: usize = 64;

/// A gateway replica, for as long as its process lives: a restarted one takes a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

/// One message of one replica to all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Who says it.
    pub from: ReplicaId,
    /// Counts the sender's letters, from 0, without gaps.
    pub number: u64,
    /// What it says.
    pub news: News,
}

/// What has happened at a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A request was sent.
    Sent {
        /// Its weight and place.
        request: Underway,
        /// The chain of its prompt's full blocks.
        prompt: Arc<[BlockHash]>,
    },
    /// Its first token has come.
    FirstToken {
        /// The sender's number for the request.
        request: u64,
    },
    /// It has ended, in whatever way.
    Ended {
        /// The sender's number for the request.
        request: u64,
        /// What its engine had cached, where it was answered and says so: replicas learn the
        /// sizes of caches from each other's answers.
        answer: Option<Answer>,
    },
    /// Everything in flight at the sender; it replaces what was believed.
    Underway(Vec<Underway>),
}

/// What an answer told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Bytes of the prompt for each token that the engine counted.
    pub bytes_per_token: f64,
    /// Tokens of it that were cached, in whatever tier.
    pub cached: Tokens,
}

impl Answer {
    /// From what an engine reported of `prompt`; none where it did not say.
    #[must_use]
    pub fn new(prompt: &PromptBlocks, reported: Reported) -> Option<Answer> {
        let counted = reported
            .prompt_tokens
            .filter(|counted| *counted > Tokens::ZERO)?;
        Some(Answer {
            bytes_per_token: (prompt.bytes + prompt.further_bytes) as f64 / counted.as_f64(),
            cached: reported.cached_tokens?,
        })
    }
}

/// One request in flight at another replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// The sender's number for it; never used again while that replica lives.
    pub request: u64,
    /// Where it is.
    pub endpoint: EndpointKey,
    /// What it weighs there.
    pub cost: RequestCost,
    /// Whether it is past its first token.
    pub is_decoding: bool,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It counts now.
    Applied,
    /// Letters before it were lost: ask its sender for [`Exchange::underway`].
    Gap,
    /// It repeats or precedes what is known, or limits are reached.
    Ignored,
}

/// One replica's side of the exchange: what it has in flight, and what the others have.
#[derive(Debug)]
pub struct Exchange {
    id: ReplicaId,
    next_number: u64,
    own: HashMap<u64, Underway>,
    others: HashMap<ReplicaId, Other>,
}

#[derive(Debug, Default)]
struct Other {
    next_number: u64,
    /// A letter was lost: nothing is believed until everything is told at once.
    is_behind: bool,
    weights: HashMap<u64, Weight>,
}

/// A request of another replica on an endpoint of ours.
#[derive(Debug)]
enum Weight {
    /// Heard of when it was sent.
    Sent(Sent),
    /// Heard of later: its prompt is not known.
    Load(LoadGuard),
}

impl Exchange {
    /// Nothing said, nothing heard.
    #[must_use]
    pub fn new(id: ReplicaId) -> Exchange {
        Exchange {
            id,
            next_number: 0,
            own: HashMap::new(),
            others: HashMap::new(),
        }
    }

    /// The letter for a request just sent. `request` is a number not used before.
    pub fn sent(
        &mut self,
        request: u64,
        endpoint: &EndpointKey,
        cost: RequestCost,
        prompt: &[BlockHash],
    ) -> Letter {
        let underway = Underway {
            request,
            endpoint: endpoint.clone(),
            cost,
            is_decoding: false,
        };
        self.own.insert(request, underway.clone());
        self.letter(News::Sent {
            request: underway,
            prompt: prompt.into(),
        })
    }

    /// The letter for a first token.
    pub fn first_token(&mut self, request: u64) -> Letter {
        if let Some(underway) = self.own.get_mut(&request) {
            underway.is_decoding = true;
        }
        self.letter(News::FirstToken { request })
    }

    /// The letter for an end.
    pub fn ended(&mut self, request: u64, answer: Option<Answer>) -> Letter {
        self.own.remove(&request);
        self.letter(News::Ended { request, answer })
    }

    /// The letter for a replica that has just joined, or that has missed one.
    pub fn underway(&mut self) -> Letter {
        let mut all: Vec<Underway> = self.own.values().cloned().collect();
        all.sort_unstable_by_key(|underway| underway.request);
        self.letter(News::Underway(all))
    }

    /// Lets another replica's letter weigh on `router`.
    pub fn hear(&mut self, router: &Router, letter: &Letter, now: Instant) -> Heard {
        let is_known = self.others.contains_key(&letter.from);
        if letter.from == self.id || (!is_known && self.others.len() >= REPLICAS_MAX) {
            return Heard::Ignored;
        }
        let other = self.others.entry(letter.from).or_default();
        if letter.number < other.next_number {
            return Heard::Ignored;
        }
        let is_gap = letter.number > other.next_number;
        other.next_number = letter.number + 1;
        let is_all = matches!(letter.news, News::Underway(_));
        if is_all {
            other.is_behind = false;
        } else if is_gap {
            other.is_behind = true;
            other.weights.clear();
        }
        let is_behind = other.is_behind;
        other.apply(router, &letter.news, now);
        if is_behind {
            Heard::Gap
        } else {
            Heard::Applied
        }
    }

    /// The replica is gone: nothing of it is in flight any more.
    pub fn forget(&mut self, replica: ReplicaId) {
        self.others.remove(&replica);
    }

    /// Requests in flight: our own, and the others' that weigh here.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let others = self.others.values().map(|other| other.weights.len()).sum();
        (self.own.len(), others)
    }

    fn letter(&mut self, news: News) -> Letter {
        let number = self.next_number;
        self.next_number += 1;
        Letter {
            from: self.id,
            number,
            news,
        }
    }
}

impl Other {
    fn apply(&mut self, router: &Router, news: &News, now: Instant) {
        match news {
            News::Sent { request, prompt } => {
                let Some(endpoint) = find(router, &request.endpoint) else {
                    return;
                };
                let sent = router.weigh(&endpoint, request.cost, prompt, now);
                if !self.is_behind && self.weights.len() < UNDERWAY_MAX {
                    self.weights.insert(request.request, Weight::Sent(sent));
                }
            }
            News::FirstToken { request } => match self.weights.get_mut(request) {
                Some(Weight::Sent(sent)) => sent.note_first_token(),
                Some(Weight::Load(guard)) => guard.note_first_token(),
                None => {}
            },
            News::Ended { request, answer } => {
                if let (Some(Weight::Sent(sent)), Some(answer)) =
                    (self.weights.remove(request), answer)
                {
                    router.hear(&sent, answer.bytes_per_token, Some(answer.cached));
                }
            }
            News::Underway(all) => {
                self.weights.clear();
                for underway in all {
                    if let Some(endpoint) = find(router, &underway.endpoint) {
                        self.take(&endpoint, underway);
                    }
                }
            }
        }
    }

    fn take(&mut self, endpoint: &Endpoint, underway: &Underway) {
        if self.weights.len() >= UNDERWAY_MAX {
            return;
        }
        let mut guard = LoadGuard::take(&endpoint.load, underway.cost);
        if underway.is_decoding {
            guard.note_first_token();
        }
        self.weights.insert(underway.request, Weight::Load(guard));
    }
}

fn find(router: &Router, key: &EndpointKey) -> Option<Arc<Endpoint>> {
    let pool = router.pool();
    let found = pool.all().iter().find(|endpoint| endpoint.spec.key == *key);
    found.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointSpec;
    use crate::ledger::Load;
    use crate::policy::Policy;
    use crate::pool::EndpointEvent;
    use crate::router::RouterSettings;

    const COST: RequestCost = RequestCost {
        uncached: Tokens(70),
        prompt: Tokens(100),
    };

    struct Pair {
        router: Router,
        endpoint: Arc<Endpoint>,
        there: Exchange,
        here: Exchange,
    }

    fn pair() -> Pair {
        let router = Router::new(RouterSettings::default(), Policy::default());
        let address = ([10, 0, 0, 1], 8000).into();
        router.apply(EndpointEvent::Apply(EndpointSpec::at("a", address, false)));
        Pair {
            endpoint: Arc::clone(&router.pool().all()[0]),
            router,
            there: Exchange::new(ReplicaId(1)),
            here: Exchange::new(ReplicaId(2)),
        }
    }

    impl Pair {
        fn hear(&mut self, letter: &Letter) -> Heard {
            #[expect(clippy::disallowed_methods, reason = "any moment will do")]
            let now = Instant::now();
            self.here.hear(&self.router, letter, now)
        }
    }

    fn chain(blocks: u64) -> Vec<BlockHash> {
        (0..blocks).map(BlockHash).collect()
    }

    #[test]
    fn a_decision_elsewhere_weighs_and_warms_here() {
        let mut pair = pair();
        let key = pair.endpoint.spec.key.clone();
        let sent = pair.there.sent(1, &key, COST, &chain(4));
        let first = pair.there.first_token(1);
        let ended = pair.there.ended(1, None);
        assert_eq!(pair.hear(&sent), Heard::Applied);
        let queued = pair.endpoint.load.now();
        assert_eq!((queued.inflight, queued.queued_prefill), (1, Tokens(70)));
        assert_eq!(pair.router.index().occupancy(pair.endpoint.id).0, 4);
        assert_eq!(pair.hear(&first), Heard::Applied);
        assert_eq!(pair.endpoint.load.now().decoding, 1);
        assert_eq!(pair.hear(&first), Heard::Ignored, "again");
        assert_eq!(pair.hear(&ended), Heard::Applied);
        assert_eq!(pair.endpoint.load.now(), Load::default());
        assert_eq!((pair.here.count(), pair.there.count()), ((0, 0), (0, 0)));
    }

    #[test]
    fn who_missed_a_letter_believes_no_load_until_told_all() {
        let mut pair = pair();
        let key = pair.endpoint.spec.key.clone();
        let first = pair.there.sent(1, &key, COST, &[]);
        let _lost = pair.there.ended(1, None);
        let third = pair.there.sent(2, &key, COST, &chain(3));
        assert_eq!(pair.hear(&first), Heard::Applied);
        assert_eq!(pair.hear(&third), Heard::Gap);
        assert_eq!(pair.endpoint.load.now(), Load::default());
        assert_eq!(
            pair.router.index().occupancy(pair.endpoint.id).0,
            3,
            "a prefix needs no order"
        );
        let fourth = pair.there.first_token(2);
        assert_eq!(pair.hear(&fourth), Heard::Gap);
        let all = pair.there.underway();
        assert_eq!(pair.hear(&all), Heard::Applied);
        let load = pair.endpoint.load.now();
        assert_eq!((load.inflight, load.decoding), (1, 1));
        pair.here.forget(ReplicaId(1));
        assert_eq!(pair.endpoint.load.now(), Load::default());
    }

    #[test]
    fn limits_hold_for_replicas_and_for_requests() {
        let mut pair = pair();
        let key = pair.endpoint.spec.key.clone();
        for request in 0..=UNDERWAY_MAX as u64 {
            let letter = pair.there.sent(request, &key, COST, &[]);
            pair.hear(&letter);
        }
        let load = pair.endpoint.load.now();
        assert_eq!(load.inflight as usize, UNDERWAY_MAX);
        for replica in 0..REPLICAS_MAX as u64 {
            let mut other = Exchange::new(ReplicaId(100 + replica));
            let heard = pair.hear(&other.sent(0, &key, COST, &[]));
            let is_last = replica + 1 == REPLICAS_MAX as u64;
            assert_eq!(heard == Heard::Ignored, is_last, "replica {replica}");
        }
    }

    #[test]
    fn letters_survive_json() {
        let mut pair = pair();
        let key = pair.endpoint.spec.key.clone();
        let letter = pair.there.sent(1, &key, COST, &chain(2));
        let text = serde_json::to_string(&letter).unwrap();
        assert_eq!(serde_json::from_str::<Letter>(&text).unwrap(), letter);
    }
}
