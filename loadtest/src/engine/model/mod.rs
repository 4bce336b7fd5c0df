//! The engine itself, as a state machine whose clock is an argument, so that one model serves
//! both virtual time and real sockets.
//!
//! Continuous batching as in vLLM V1: each step gives every request past its first token one more,
//! then chunks of prompts to those admitted, first come first served, then admits waiting requests
//! while the token budget, the sequence limit and the cache allow. Blocks become visible when the
//! step that computes them is started, so two equal prompts in one step share (as in vLLM; an
//! aborted request may leave blocks visible that no step finished).
//!
//! With a host tier an admitted request takes what the device has, then as many further leading
//! blocks as the tier holds. These are copied over a link that serves one request after another;
//! meanwhile the request holds its blocks and its place among the running, and takes no part in
//! steps. An aborted copy keeps the link busy to its end.

mod batch;
mod block_cache;
mod config;
mod counters;
mod decoding;
mod event;
mod host_cache;
mod invariants;
mod lru;
mod request;
mod schedule;
mod sequence;
mod step;
mod timing;
mod waiting;

use std::collections::VecDeque;
use std::time::Duration;

use self::block_cache::BlockCache;
use self::decoding::Decoding;
use self::host_cache::HostCache;
use self::schedule::Refusal;
use self::sequence::{Sequence, SequenceSlot, Sequences, Stage};
use self::step::Step;
use self::waiting::WaitingQueue;

pub use self::block_cache::{BlockCensus, BlockHash};
pub use self::config::{HOST_LOAD_TOKENS_PER_S, HostTier, ModelConfig, Scheduling, TierFill};
pub use self::counters::Counters;
pub use self::event::{Event, EventKind};
pub use self::request::{Request, RequestId, SubmitError};
pub use self::timing::{StepWork, Timing};

/// One simulated engine.
///
/// ```
/// use std::time::Duration;
/// use warmgate_loadtest::engine::{EventKind, Model, ModelConfig, Request, RequestId};
/// let mut engine = Model::new(ModelConfig { capacity_blocks: 100, ..ModelConfig::default() });
/// let request = Request {
///     id: RequestId(1), blocks: vec![], prompt_tokens: 10, output_tokens: 1, priority: 0,
/// };
/// engine.submit(Duration::ZERO, request).expect("the request fits");
/// engine.advance(Duration::ZERO);
/// let wake = engine.next_wake().expect("a step runs");
/// let events = engine.advance(wake);
/// assert_eq!(events[0].kind, EventKind::FirstToken { cached_tokens: 0, loaded_tokens: 0 });
/// assert_eq!(events[1].kind, EventKind::Finished);
/// ```
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    cache: BlockCache,
    host: Option<HostCache>,
    sequences: Sequences,
    waiting: WaitingQueue,
    /// Admitted, in the order in which their copies end.
    loading: VecDeque<Load>,
    /// Admitted, with prompt tokens that no ended step has computed.
    prefilling: Vec<SequenceSlot>,
    decoding: Decoding,
    step: Option<Step>,
    /// End of the last step; the next one cannot begin earlier.
    free_since: Duration,
    /// The latest time that a caller named.
    told: Duration,
    /// Why the first waiting request was not admitted, so that not every step asks again.
    refusal: Option<Refusal>,
    /// No event comes before this; unknown after a change from outside.
    wake: Option<Duration>,
    counters: Counters,
}

/// A copy from the host tier.
#[derive(Clone, Copy, Debug)]
struct Load {
    slot: SequenceSlot,
    ends_at: Duration,
}

impl Model {
    /// An idle engine with empty caches.
    pub fn new(config: ModelConfig) -> Self {
        Self {
            cache: BlockCache::new(config.capacity_blocks),
            host: config.host_tier.map(HostCache::new),
            sequences: Sequences::default(),
            waiting: WaitingQueue::new(config.scheduling),
            loading: VecDeque::new(),
            prefilling: Vec::new(),
            decoding: Decoding::new(),
            step: None,
            free_since: Duration::ZERO,
            told: Duration::ZERO,
            refusal: None,
            wake: None,
            counters: Counters::default(),
            config,
        }
    }

    /// Queues a request that arrives at `now`.
    ///
    /// # Errors
    /// When it is empty, can never fit the cache, or its id is in use.
    pub fn submit(&mut self, now: Duration, request: Request) -> Result<(), SubmitError> {
        if request.prompt_tokens == 0 || request.output_tokens == 0 {
            return Err(SubmitError::Empty);
        }
        if self.sequences.slot(request.id).is_some() {
            return Err(SubmitError::DuplicateId(request.id));
        }
        let priority = request.priority;
        let sequence = Sequence::new(request);
        let needed = sequence.blocks_at_most(self.config.block_tokens);
        if needed > self.config.capacity_blocks {
            return Err(SubmitError::TooLong {
                needed,
                capacity: self.config.capacity_blocks,
            });
        }
        let slot = self.sequences.insert(sequence);
        self.waiting.push(slot, now, priority);
        self.counters.submitted += 1;
        self.touched(now);
        Ok(())
    }

    /// Drops a request at once; what it computed stays in the cache. False when it is not alive.
    pub fn abort(&mut self, id: RequestId) -> bool {
        let Some(slot) = self.sequences.slot(id) else {
            return false;
        };
        match self.sequences.get(slot).stage {
            Stage::Waiting => {
                self.waiting.remove(slot);
                // Its slot may soon be another's.
                self.refusal = None;
            }
            Stage::Loading => self.loading.retain(|load| load.slot != slot),
            Stage::Prefilling => {
                self.prefilling.retain(|other| *other != slot);
                if let Some(step) = &mut self.step {
                    step.prefilled.retain(|other| *other != slot);
                }
            }
            Stage::Decoding => self.decoding.leave(slot, self.counters.steps),
        }
        self.release(slot);
        self.counters.aborted += 1;
        self.touched(self.told);
        if self.step.is_none() {
            // What this makes room for starts now, not in the past.
            self.free_since = self.free_since.max(self.told);
        }
        true
    }

    /// The engine's process dies and comes back at `now` with empty caches: everything alive is
    /// aborted and named, in order of id. The counters go on. `advance` to `now` first, or what
    /// had happened by then is lost too.
    pub fn restart(&mut self, now: Duration) -> Vec<RequestId> {
        let lost = self.sequences.clear();
        let mut counters = self.counters;
        counters.aborted += lost.len() as u64;
        *self = Self {
            counters,
            free_since: self.free_since.max(now),
            told: self.told.max(now),
            ..Self::new(self.config)
        };
        lost
    }

    /// When `advance` has something to do next; none while nothing is alive. Never later than the
    /// next event, but it may be earlier. Without token events it looks ahead past steps that only
    /// decode, as far as nothing can change meanwhile.
    pub fn next_wake(&self) -> Option<Duration> {
        let soonest = || self.step.as_ref().map(|step| step.ends_at);
        self.wake.or_else(soonest).or_else(|| self.idle_start())
    }

    /// Plays all steps that end by `now`, starts those that can start, and says what happened, in
    /// order of time.
    pub fn advance(&mut self, now: Duration) -> Vec<Event> {
        self.told = self.told.max(now);
        let mut events = Vec::new();
        loop {
            let at = match &self.step {
                Some(step) if step.ends_at > now => break,
                Some(_) => self.finish_step(&mut events),
                None => match self.idle_start() {
                    Some(at) if at <= now => at,
                    _ => break,
                },
            };
            self.start_step(at);
        }
        if self.wake.is_none_or(|wake| wake <= now) {
            self.wake = self.forecast();
        }
        events
    }

    /// Requests admitted and not finished, those that wait for the host tier included.
    pub fn running(&self) -> usize {
        self.loading.len() + self.prefilling.len() + self.decoding.len()
    }

    /// Requests not yet admitted.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Totals since the model was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the engine was built with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Share of the device's cache that running requests use, 0..=1.
    pub fn cache_usage_ratio(&self) -> f64 {
        self.cache.usage_ratio()
    }

    /// Where all blocks of the device's cache are.
    pub fn census(&self) -> BlockCensus {
        self.cache.census()
    }

    /// Blocks in the host tier.
    pub fn host_blocks(&self) -> u64 {
        self.host.as_ref().map_or(0, HostCache::len)
    }

    /// How many leading blocks of `chain` a request would find on the device now.
    pub fn prefix_match(&self, chain: &[BlockHash]) -> usize {
        self.cache.prefix_match(chain)
    }

    /// How many leading blocks of `chain` the host tier holds, whatever the device has.
    pub fn host_prefix_match(&self, chain: &[BlockHash]) -> usize {
        self.host
            .as_ref()
            .map_or(0, |host| host.prefix_match(chain))
    }

    /// Forgets every block on the device that no running request uses. The host tier keeps its
    /// own, as after vLLM's `/reset_prefix_cache`.
    pub fn reset_prefix_cache(&mut self) {
        self.cache.clear_idle();
    }

    /// Forgets the host tier's blocks (vLLM: `/reset_prefix_cache?reset_external=true`).
    pub fn reset_host_tier(&mut self) {
        if let Some(host) = &mut self.host {
            host.clear();
        }
    }

    /// Something changed from outside: what was foreseen may come earlier now.
    fn touched(&mut self, now: Duration) {
        self.told = self.told.max(now);
        self.wake = None;
    }

    fn release(&mut self, slot: SequenceSlot) {
        let sequence = self.sequences.remove(slot);
        self.cache.release(
            &sequence.held,
            sequence.private_blocks,
            sequence.reserved_blocks,
        );
    }
}
