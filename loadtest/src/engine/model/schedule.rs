//! The start of a step: who takes part in it, and who is admitted.

use std::time::Duration;

use super::batch::Batch;
use super::sequence::{SequenceSlot, Stage};
use super::step::Step;
use super::{Load, Model};

/// The first waiting request does not fit until something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    slot: SequenceSlot,
    /// [`super::block_cache::BlockCache::loosened`] when it was refused.
    loosened: u64,
}

impl Model {
    /// When an engine without a step can start one; none before something changes from outside.
    pub(super) fn idle_start(&self) -> Option<Duration> {
        let arrival = self.waiting.next_arrival();
        let load = self.loading.front().map(|load| load.ends_at);
        // Only an abort leaves somebody waiting whom an idle engine could admit.
        let ready = self.is_first_admissible().then_some(self.free_since);
        let start = [arrival, load, ready].into_iter().flatten().min()?;
        Some(start.max(self.free_since))
    }

    pub(super) fn start_step(&mut self, at: Duration) {
        self.land_loads(at);
        self.waiting.arrive(at);
        let mut batch = Batch::new(self.config.max_batched_tokens);
        batch.add_decodes(self.decoding.len() as u64, self.decoding.context_tokens());
        self.grow_decodes();
        let mut prefilled = Vec::new();
        for index in 0..self.prefilling.len() {
            self.schedule_chunk(self.prefilling[index], &mut batch, &mut prefilled);
        }
        while batch.budget_tokens() > 0
            && self.is_first_admissible()
            && let Some(slot) = self.waiting.first()
        {
            if !self.admit(slot, at) {
                break;
            }
            self.waiting.pop_first();
            if self.sequences.get(slot).stage == Stage::Prefilling {
                self.prefilling.push(slot);
                self.schedule_chunk(slot, &mut batch, &mut prefilled);
            }
        }
        let work = batch.work();
        let is_empty = work.decodes + work.prefill_tokens == 0;
        self.step = (!is_empty).then(|| Step {
            ends_at: at.saturating_add(self.config.timing.step_time(work)),
            only_decodes: work.prefill_tokens == 0,
            prefilled,
        });
    }

    /// Requests running at once at most: each can have its token in every step.
    pub(super) fn seqs_at_most(&self) -> usize {
        let budget = usize::try_from(self.config.max_batched_tokens).unwrap_or(usize::MAX);
        self.config.max_seqs.min(budget)
    }

    /// Whether it may pay to try to admit the first waiting request.
    pub(super) fn is_first_admissible(&self) -> bool {
        let Some(slot) = self.waiting.first() else {
            return false;
        };
        let again = Refusal {
            slot,
            loosened: self.cache.loosened(),
        };
        if self.refusal == Some(again) {
            debug_assert!(!self.would_fit(slot), "nothing has made room");
            return false;
        }
        self.running() < self.seqs_at_most()
    }

    fn would_fit(&self, slot: SequenceSlot) -> bool {
        let sequence = self.sequences.get(slot);
        let limit = sequence.blocks_hit_at_most(self.config.block_tokens);
        let mut held = Vec::new();
        self.cache.find(&sequence.blocks[..limit], &mut held);
        let more = sequence.blocks_at_most(self.config.block_tokens) - held.len() as u64;
        self.cache.fits(&held, more)
    }

    /// Looks up the prefix on both tiers and reserves room for the rest; false when there is none
    /// now.
    fn admit(&mut self, slot: SequenceSlot, at: Duration) -> bool {
        let block_tokens = self.config.block_tokens;
        let sequence = self.sequences.get_mut(slot);
        let limit = sequence.blocks_hit_at_most(block_tokens);
        sequence.held.clear();
        self.cache
            .find(&sequence.blocks[..limit], &mut sequence.held);
        let hit = sequence.held.len();
        let more = sequence.blocks_at_most(block_tokens) - hit as u64;
        if !self.cache.fits(&sequence.held, more) {
            sequence.held.clear();
            self.refusal = Some(Refusal {
                slot,
                loosened: self.cache.loosened(),
            });
            return false;
        }
        self.cache.admit(&sequence.held, more);
        sequence.reserved_blocks = more;
        sequence.device_tokens = hit as u64 * block_tokens;
        sequence.stage = Stage::Prefilling;
        self.counters.prefix_queries_tokens += sequence.prompt_tokens;
        self.counters.prefix_hits_tokens += sequence.device_tokens;
        let Some(host) = &mut self.host else {
            return true;
        };
        self.counters.host_queries_tokens += sequence.prompt_tokens - sequence.device_tokens;
        let loaded = host.prefix_match(&sequence.blocks[hit..limit]);
        if loaded == 0 {
            return true;
        }
        let tokens = loaded as u64 * block_tokens;
        let ends_at = host.load(at, &sequence.blocks[hit..hit + loaded], tokens);
        self.cache
            .allocate(loaded as u64, |block| host.device_evicted(block));
        sequence.private_blocks += loaded as u64;
        sequence.reserved_blocks -= loaded as u64;
        sequence.host_tokens = tokens;
        sequence.stage = Stage::Loading;
        self.counters.host_hits_tokens += tokens;
        self.loading.push_back(Load { slot, ends_at });
        true
    }

    /// Makes visible what has been copied by `at`; who waited for it goes on.
    fn land_loads(&mut self, at: Duration) {
        while let Some(load) = self.loading.pop_front_if(|load| load.ends_at <= at) {
            let sequence = self.sequences.get_mut(load.slot);
            sequence.stage = Stage::Prefilling;
            let tokens = sequence.prefilled_tokens();
            self.prefilling.push(load.slot);
            self.occupy(load.slot, tokens);
        }
    }

    /// Gives a request the next chunk of its prompt.
    fn schedule_chunk(
        &mut self,
        slot: SequenceSlot,
        batch: &mut Batch,
        prefilled: &mut Vec<SequenceSlot>,
    ) {
        let sequence = self.sequences.get_mut(slot);
        let left = sequence.prefill_left();
        let wanted = left.min(self.config.long_prefill_tokens.unwrap_or(left));
        let chunk = batch.add_prefill(sequence.prefilled_tokens(), wanted);
        if chunk == 0 {
            return;
        }
        sequence.computed_tokens += chunk;
        if chunk == left {
            prefilled.push(slot);
        }
        let tokens = sequence.prefilled_tokens();
        self.occupy(slot, tokens);
    }

    /// Blocks of the requests that decode, where this step begins or fills one.
    fn grow_decodes(&mut self) {
        let number = self.counters.steps;
        if self.decoding.next_block_step() != number {
            return;
        }
        let mut growing = Vec::new();
        let block_tokens = self.config.block_tokens;
        let sequences = &self.sequences;
        self.decoding
            .take_growing(number, &mut growing, |slot, tokens| {
                sequences.get(slot).next_block_change(tokens, block_tokens)
            });
        for (slot, tokens) in growing {
            self.occupy(slot, tokens);
        }
    }

    /// Gives a request the blocks for its first `tokens` tokens, and makes the full ones visible.
    fn occupy(&mut self, slot: SequenceSlot, tokens: u64) {
        let sequence = self.sequences.get_mut(slot);
        let needed = tokens.div_ceil(self.config.block_tokens);
        let more = needed.saturating_sub(sequence.held.len() as u64 + sequence.private_blocks);
        let host = &mut self.host;
        self.cache.allocate(more, |block| {
            if let Some(host) = host {
                host.device_evicted(block);
            }
        });
        sequence.private_blocks += more;
        sequence.reserved_blocks -= more;
        let full = (tokens / self.config.block_tokens) as usize;
        let full = full.min(sequence.blocks.len());
        while sequence.held.len() < full {
            let block = sequence.blocks[sequence.held.len()];
            sequence.held.push(self.cache.publish(block));
            sequence.private_blocks -= 1;
            if let Some(host) = &mut self.host {
                host.device_holds(block);
            }
        }
    }
}
