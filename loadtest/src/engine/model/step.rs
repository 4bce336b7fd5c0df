//! A step while it runs, its end, and how long nothing will happen.

use std::time::Duration;

use super::Model;
use super::decoding::Member;
use super::event::{Event, EventKind};
use super::sequence::{SequenceSlot, Stage};
use super::timing::StepWork;

/// Steps looked ahead at most: an arrival makes the rest of the look worthless.
const FORECAST_STEPS_MAX: u64 = 512;

/// The step that runs; everybody in the decoding stage takes part in it.
#[derive(Debug)]
pub(super) struct Step {
    pub ends_at: Duration,
    pub only_decodes: bool,
    /// Whose prompt is complete when it ends.
    pub prefilled: Vec<SequenceSlot>,
}

impl Model {
    /// Ends the step that runs; returns when that was.
    pub(super) fn finish_step(&mut self, events: &mut Vec<Event>) -> Duration {
        let step = self.step.take().expect("invariant: a step runs");
        let at = step.ends_at;
        let number = self.counters.steps;
        self.counters.steps += 1;
        self.counters.generation_tokens += self.decoding.len() as u64;
        self.free_since = at;
        if self.config.token_events || self.decoding.next_end_step() == number {
            self.report_decodes(number, at, events);
        }
        let mut ended = Vec::new();
        self.decoding.end_step(number, &mut ended);
        for slot in ended {
            self.complete(slot);
        }
        if !step.prefilled.is_empty() {
            for slot in step.prefilled {
                self.end_prefill(slot, at, events);
            }
            let sequences = &self.sequences;
            self.prefilling
                .retain(|slot| sequences.is(*slot, Stage::Prefilling));
        }
        at
    }

    fn report_decodes(&self, number: u64, at: Duration, events: &mut Vec<Event>) {
        for member in self.decoding.members() {
            let id = self.sequences.get(member.slot).id;
            if self.config.token_events {
                let kind = EventKind::Token;
                events.push(Event { id, at, kind });
            }
            if member.last_step == number {
                let kind = EventKind::Finished;
                events.push(Event { id, at, kind });
            }
        }
    }

    /// A prompt is complete: its request gets its first token and decodes from now on.
    fn end_prefill(&mut self, slot: SequenceSlot, at: Duration, events: &mut Vec<Event>) {
        let block_tokens = self.config.block_tokens;
        let sequence = self.sequences.get_mut(slot);
        sequence.stage = Stage::Decoding;
        if let Some(host) = &mut self.host {
            host.prompt_computed(sequence.prompt_blocks(block_tokens));
        }
        self.counters.prompt_tokens += sequence.prompt_tokens;
        self.counters.prompt_computed_tokens += sequence.computed_tokens;
        self.counters.prompt_device_tokens += sequence.device_tokens;
        self.counters.prompt_host_tokens += sequence.host_tokens;
        self.counters.generation_tokens += 1;
        let id = sequence.id;
        let kind = EventKind::FirstToken {
            cached_tokens: sequence.device_tokens + sequence.host_tokens,
            loaded_tokens: sequence.host_tokens,
        };
        events.push(Event { id, at, kind });
        if sequence.output_tokens == 1 {
            let kind = EventKind::Finished;
            events.push(Event { id, at, kind });
            self.complete(slot);
            return;
        }
        let first_step = self.counters.steps;
        let context = sequence.prompt_tokens;
        let block_change = sequence.next_block_change(context, block_tokens);
        let named_tokens = sequence.blocks.len() as u64 * block_tokens;
        self.decoding.join(Member {
            slot,
            first_step,
            first_context: context,
            // The first token is out already.
            last_step: first_step + sequence.output_tokens - 2,
            block_step: block_change.map_or(u64::MAX, |tokens| first_step + tokens - context),
            publishes: named_tokens > context,
        });
    }

    fn complete(&mut self, slot: SequenceSlot) {
        self.release(slot);
        self.counters.finished += 1;
    }

    /// When the next event comes at the earliest, as far as steps can be foreseen; none when no
    /// step runs.
    pub(super) fn forecast(&self) -> Option<Duration> {
        let step = self.step.as_ref()?;
        let foreseeable = step.only_decodes
            && !self.config.token_events
            // An abort may have left the step without anybody, or made room.
            && self.decoding.len() > 0
            && !self.is_first_admissible()
            && self.waiting.next_arrival().is_none()
            && !self.may_admit_after_publishing();
        if !foreseeable {
            return Some(step.ends_at);
        }
        let decodes = self.decoding.len() as u64;
        let mut work = StepWork {
            decodes,
            decode_context_tokens: self.decoding.context_tokens(),
            ..StepWork::default()
        };
        let number = self.counters.steps;
        let last = self.decoding.next_end_step();
        let load = self.loading.front().map(|load| load.ends_at);
        let mut ends_at = step.ends_at;
        for _ in number..last.min(number + FORECAST_STEPS_MAX) {
            if load.is_some_and(|load| load <= ends_at) {
                break;
            }
            work.decode_context_tokens += decodes;
            ends_at = ends_at.saturating_add(self.config.timing.step_time(&work));
        }
        Some(ends_at)
    }

    /// Whether a block of an answer may make room for somebody who waits.
    fn may_admit_after_publishing(&self) -> bool {
        let publishes = |member: &Member| member.publishes;
        self.waiting.first().is_some() && self.decoding.members().iter().any(publishes)
    }
}
