//! The engine itself, as a state machine whose clock is an argument, so that one model serves
//! both virtual time and real sockets.
//!
//! Continuous batching as in vLLM V1: each step gives every running request, first come first
//! served, one decode token or a chunk of its prompt, then admits waiting requests while the
//! token budget, the sequence limit and the cache allow.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::batch::{Batch, Chunk};
use super::block_cache::{BlockCache, BlockCensus, BlockHash};
use super::event::{Event, EventKind};
use super::model_config::{ModelConfig, Scheduling};
use super::request::{Request, RequestId, SubmitError};
use super::sequence::Sequence;

/// Totals since the start; all only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Steps computed.
    pub steps: u64,
    /// Prompt tokens looked up in the prefix cache, at admission.
    pub prefix_queries_tokens: u64,
    /// Prompt tokens found there.
    pub prefix_hits_tokens: u64,
    /// Prompt tokens that the device lacked and the host tier was asked for; 0 without a tier.
    pub host_queries_tokens: u64,
    /// Prompt tokens loaded from the host tier.
    pub host_hits_tokens: u64,
    /// Prompt tokens of requests that reached their first token.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Requests that got their whole answer.
    pub finished: u64,
    /// Requests aborted while waiting or running.
    pub aborted: u64,
}

#[derive(Debug)]
struct Step {
    ends_at: Duration,
    chunks: Vec<Chunk>,
}

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
    sequences: HashMap<RequestId, Sequence>,
    waiting: VecDeque<RequestId>,
    running: Vec<RequestId>,
    step: Option<Step>,
    /// End of the last step; the next one cannot begin earlier.
    free_since: Duration,
    counters: Counters,
}

impl Model {
    /// An idle engine with an empty cache.
    pub fn new(config: ModelConfig) -> Self {
        Self {
            cache: BlockCache::new(config.capacity_blocks),
            config,
            sequences: HashMap::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            step: None,
            free_since: Duration::ZERO,
            counters: Counters::default(),
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
        if self.sequences.contains_key(&request.id) {
            return Err(SubmitError::DuplicateId(request.id));
        }
        let sequence = Sequence {
            arrived_at: now,
            priority: match self.config.scheduling {
                Scheduling::Fcfs => 0,
                Scheduling::Priority => request.priority,
            },
            blocks: request.blocks,
            prompt_tokens: request.prompt_tokens,
            output_tokens: request.output_tokens,
            cached_tokens: 0,
            prefilled_tokens: 0,
            computed_tokens: 0,
            generated_tokens: 0,
            pinned_blocks: 0,
            private_blocks: 0,
            reserved_blocks: 0,
        };
        let needed = sequence.blocks_at_most(self.config.block_tokens);
        if needed > self.config.capacity_blocks {
            return Err(SubmitError::TooLong {
                needed,
                capacity: self.config.capacity_blocks,
            });
        }
        let behind = |id: &RequestId| self.sequences[id].priority <= sequence.priority;
        let place = self.waiting.partition_point(behind);
        self.waiting.insert(place, request.id);
        self.sequences.insert(request.id, sequence);
        Ok(())
    }

    /// Drops a request at once; what it computed stays in the cache. False when it is not alive.
    pub fn abort(&mut self, id: RequestId) -> bool {
        let Some(sequence) = self.sequences.remove(&id) else {
            return false;
        };
        self.release(&sequence);
        self.running.retain(|other| *other != id);
        self.waiting.retain(|other| *other != id);
        self.counters.aborted += 1;
        true
    }

    /// The engine's process dies and comes back at `now` with empty caches: everything alive is
    /// aborted and named, in order of id. The counters go on. `advance` to `now` first, or what
    /// had happened by then is lost too.
    pub fn restart(&mut self, now: Duration) -> Vec<RequestId> {
        let mut lost: Vec<RequestId> = self.sequences.drain().map(|(id, _)| id).collect();
        lost.sort_unstable();
        self.waiting.clear();
        self.running.clear();
        self.step = None;
        self.free_since = self.free_since.max(now);
        self.cache = BlockCache::new(self.config.capacity_blocks);
        self.counters.aborted += lost.len() as u64;
        lost
    }

    /// When `advance` has something to do next; none while nothing is alive.
    pub fn next_wake(&self) -> Option<Duration> {
        match &self.step {
            Some(step) => Some(step.ends_at),
            None => self.next_arrival(),
        }
    }

    /// Plays all steps that end by `now`, starts those that can start, and says what happened, in
    /// order of time.
    pub fn advance(&mut self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.step.take() {
                Some(step) if step.ends_at > now => {
                    self.step = Some(step);
                    return events;
                }
                Some(step) => {
                    self.free_since = step.ends_at;
                    self.finish_step(step, &mut events);
                    self.start_step(self.free_since);
                }
                None => match self.next_arrival() {
                    Some(at) if at <= now => {
                        self.start_step(at);
                        debug_assert!(self.step.is_some(), "an idle engine admits whatever fits");
                        if self.step.is_none() {
                            return events;
                        }
                    }
                    _ => return events,
                },
            }
        }
    }

    /// Requests admitted and not finished.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests not yet admitted.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the engine was built with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Share of the cache that running requests use, 0..=1.
    pub fn cache_usage_ratio(&self) -> f64 {
        self.cache.usage_ratio()
    }

    /// Where all cache blocks are.
    pub fn census(&self) -> BlockCensus {
        self.cache.census()
    }

    /// How many leading blocks of `chain` a request would find now.
    pub fn prefix_match(&self, chain: &[BlockHash]) -> usize {
        self.cache.prefix_match(chain)
    }

    /// Forgets every cached block that no running request uses.
    pub fn reset_prefix_cache(&mut self) {
        self.cache.clear_idle();
    }

    /// Panics when the state contradicts itself. For tests: it visits everything.
    pub fn check_invariants(&self) {
        self.cache.check_invariants();
        assert_eq!(
            self.sequences.len(),
            self.running.len() + self.waiting.len()
        );
        assert!(self.running.len() <= self.config.max_seqs);
        let (mut private, mut reserved) = (0, 0);
        for sequence in self.running.iter().map(|id| &self.sequences[id]) {
            private += sequence.private_blocks;
            reserved += sequence.reserved_blocks;
            let prompt_done = sequence.computed_tokens.min(sequence.prompt_tokens);
            assert_eq!(
                prompt_done,
                sequence.cached_tokens + sequence.prefilled_tokens
            );
            assert!(sequence.cached_tokens < sequence.prompt_tokens);
            assert_eq!(sequence.cached_tokens % self.config.block_tokens, 0);
            assert!(!sequence.is_finished());
        }
        let census = self.cache.census();
        assert_eq!((census.private, census.reserved), (private, reserved));
        let in_places = census.shared_pinned + census.shared_idle + census.private + census.free;
        assert_eq!(in_places, census.capacity);
        if self.running.is_empty() {
            assert_eq!(census.shared_pinned, 0, "an idle engine pins nothing");
        }
    }

    fn next_arrival(&self) -> Option<Duration> {
        let front = self.waiting.front()?;
        Some(self.sequences[front].arrived_at.max(self.free_since))
    }

    fn start_step(&mut self, at: Duration) {
        let mut batch = Batch::new(self.config.max_batched_tokens);
        for index in 0..self.running.len() {
            self.schedule(self.running[index], &mut batch);
        }
        while let Some(&id) = self.waiting.front() {
            let has_room = batch.budget_tokens() > 0 && self.running.len() < self.config.max_seqs;
            if !has_room || self.sequences[&id].arrived_at > at || !self.admit(id) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(id);
            self.schedule(id, &mut batch);
        }
        let ends_at = at.saturating_add(self.config.timing.step_time(batch.work()));
        let chunks = batch.into_chunks();
        self.step = (!chunks.is_empty()).then_some(Step { ends_at, chunks });
    }

    /// Looks up the prefix and reserves room for the rest; false when there is none now.
    fn admit(&mut self, id: RequestId) -> bool {
        let block_tokens = self.config.block_tokens;
        let sequence = self
            .sequences
            .get_mut(&id)
            .expect("invariant: waiting ids are alive");
        let limit = sequence
            .blocks_hit_at_most(block_tokens)
            .min(sequence.blocks.len());
        let hit = self.cache.prefix_match(&sequence.blocks[..limit]);
        let more = sequence.blocks_at_most(block_tokens) - hit as u64;
        if !self.cache.try_admit(&sequence.blocks[..hit], more) {
            return false;
        }
        sequence.pinned_blocks = hit;
        sequence.reserved_blocks = more;
        sequence.cached_tokens = hit as u64 * block_tokens;
        sequence.computed_tokens = sequence.cached_tokens;
        self.counters.prefix_queries_tokens += sequence.prompt_tokens;
        self.counters.prefix_hits_tokens += sequence.cached_tokens;
        true
    }

    /// Gives a running request its share of the batch and the blocks for it.
    fn schedule(&mut self, id: RequestId, batch: &mut Batch) {
        let sequence = self
            .sequences
            .get_mut(&id)
            .expect("invariant: running ids are alive");
        let tokens = match sequence.prefill_left() {
            0 => u64::from(batch.add_decode(id, sequence.computed_tokens)),
            left => {
                let wanted = left.min(self.config.long_prefill_tokens.unwrap_or(left));
                batch.add_prefill(id, sequence.computed_tokens, wanted)
            }
        };
        let needed = (sequence.computed_tokens + tokens).div_ceil(self.config.block_tokens);
        let held = sequence.pinned_blocks as u64 + sequence.private_blocks;
        let more = needed.saturating_sub(held);
        self.cache.allocate(more);
        sequence.private_blocks += more;
        sequence.reserved_blocks -= more;
    }

    fn finish_step(&mut self, step: Step, events: &mut Vec<Event>) {
        self.counters.steps += 1;
        let mut any_finished = false;
        for Chunk { id, tokens } in step.chunks {
            // An aborted request leaves a hole in the batch: the work was done for nobody.
            let Some(sequence) = self.sequences.get_mut(&id) else {
                continue;
            };
            let was_prefill = sequence.prefill_left() > 0;
            sequence.computed_tokens += tokens;
            if was_prefill {
                sequence.prefilled_tokens += tokens;
            }
            let full = (sequence.computed_tokens / self.config.block_tokens) as usize;
            while sequence.pinned_blocks < full.min(sequence.blocks.len()) {
                self.cache.publish(sequence.blocks[sequence.pinned_blocks]);
                sequence.pinned_blocks += 1;
                sequence.private_blocks -= 1;
            }
            if sequence.prefill_left() > 0 {
                continue;
            }
            let kind = if was_prefill {
                self.counters.prompt_tokens += sequence.prompt_tokens;
                EventKind::FirstToken {
                    cached_tokens: sequence.cached_tokens,
                    loaded_tokens: 0,
                }
            } else {
                EventKind::Token
            };
            sequence.generated_tokens += 1;
            self.counters.generation_tokens += 1;
            if was_prefill || self.config.token_events {
                events.push(Event {
                    id,
                    at: step.ends_at,
                    kind,
                });
            }
            if sequence.is_finished() {
                any_finished = true;
                events.push(Event {
                    id,
                    at: step.ends_at,
                    kind: EventKind::Finished,
                });
            }
        }
        if any_finished {
            self.remove_finished();
        }
    }

    fn remove_finished(&mut self) {
        let running = std::mem::take(&mut self.running);
        for id in running {
            if !self.sequences[&id].is_finished() {
                self.running.push(id);
                continue;
            }
            if let Some(sequence) = self.sequences.remove(&id) {
                self.release(&sequence);
                self.counters.finished += 1;
            }
        }
    }

    fn release(&mut self, sequence: &Sequence) {
        let chain = &sequence.blocks[..sequence.pinned_blocks];
        self.cache
            .release(chain, sequence.private_blocks, sequence.reserved_blocks);
    }
}
