//! What the engine remembers about one request between submission and its last token.

use hashbrown::HashMap;
use slab::Slab;

use super::block_cache::{BlockHash, BlockSlot};
use super::request::{Request, RequestId};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    /// Admitted, and waiting for its blocks from the host tier.
    Loading,
    Prefilling,
    Decoding,
}

/// One request inside the model.
#[derive(Debug)]
pub(super) struct Sequence {
    pub id: RequestId,
    pub stage: Stage,
    /// Full blocks of the prompt, then of the answer as far as the caller knows it.
    pub blocks: Vec<BlockHash>,
    pub prompt_tokens: u64,
    /// The answer is exactly this long.
    pub output_tokens: u64,
    /// Prompt tokens found on the device at admission.
    pub device_tokens: u64,
    /// Prompt tokens loaded from the host tier.
    pub host_tokens: u64,
    /// Prompt tokens this request computed itself, as far as steps for them were started.
    pub computed_tokens: u64,
    /// Where the leading blocks of `blocks` are that are visible and pinned by this request.
    pub held: Vec<BlockSlot>,
    pub private_blocks: u64,
    pub reserved_blocks: u64,
}

impl Sequence {
    pub(super) fn new(request: Request) -> Self {
        Self {
            id: request.id,
            stage: Stage::Waiting,
            blocks: request.blocks,
            prompt_tokens: request.prompt_tokens,
            output_tokens: request.output_tokens,
            device_tokens: 0,
            host_tokens: 0,
            computed_tokens: 0,
            held: Vec::new(),
            private_blocks: 0,
            reserved_blocks: 0,
        }
    }

    /// Prompt tokens whose KV exists once the step that runs has ended.
    pub(super) fn prefilled_tokens(&self) -> u64 {
        self.device_tokens + self.host_tokens + self.computed_tokens
    }

    /// Prompt tokens not yet scheduled; 0 once it decodes.
    pub(super) fn prefill_left(&self) -> u64 {
        self.prompt_tokens - self.prefilled_tokens()
    }

    /// Blocks for the longest state the request can reach.
    pub(super) fn blocks_at_most(&self, block_tokens: u64) -> u64 {
        (self.prompt_tokens + self.output_tokens).div_ceil(block_tokens)
    }

    /// The blocks that a hit may cover: the last prompt token is always recomputed, since its
    /// logits give the first token (seen on vLLM: 64 tokens in blocks of 32 hit 32).
    pub(super) fn blocks_hit_at_most(&self, block_tokens: u64) -> usize {
        let full = ((self.prompt_tokens - 1) / block_tokens) as usize;
        full.min(self.blocks.len())
    }

    /// Full blocks of the prompt.
    pub(super) fn prompt_blocks(&self, block_tokens: u64) -> &[BlockHash] {
        let full = (self.prompt_tokens / block_tokens) as usize;
        &self.blocks[..full.min(self.blocks.len())]
    }

    /// Tokens that it holds before its next decode step which begins a block or fills one that has
    /// a name, if it holds `tokens` now; none when no such step is left.
    pub(super) fn next_block_change(&self, tokens: u64, block_tokens: u64) -> Option<u64> {
        let begins = tokens.next_multiple_of(block_tokens);
        let fills = (tokens + 1).next_multiple_of(block_tokens) - 1;
        let is_named = fills / block_tokens < self.blocks.len() as u64;
        let next = if is_named { begins.min(fills) } else { begins };
        // The last token is never fed back.
        (next + 1 < self.prompt_tokens + self.output_tokens).then_some(next)
    }
}

/// Where a request is among [`Sequences`]; reused once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceSlot(u32);

/// Everything alive.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    slab: Slab<Sequence>,
    slots: HashMap<RequestId, SequenceSlot>,
}

impl Sequences {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn slot(&self, id: RequestId) -> Option<SequenceSlot> {
        self.slots.get(&id).copied()
    }

    pub(super) fn insert(&mut self, sequence: Sequence) -> SequenceSlot {
        let id = sequence.id;
        let slot = SequenceSlot(self.slab.insert(sequence) as u32);
        self.slots.insert(id, slot);
        slot
    }

    pub(super) fn get(&self, slot: SequenceSlot) -> &Sequence {
        &self.slab[slot.0 as usize]
    }

    pub(super) fn get_mut(&mut self, slot: SequenceSlot) -> &mut Sequence {
        &mut self.slab[slot.0 as usize]
    }

    /// Whether somebody is in `slot` who has come to `stage`.
    pub(super) fn is(&self, slot: SequenceSlot, stage: Stage) -> bool {
        let sequence = self.slab.get(slot.0 as usize);
        sequence.is_some_and(|sequence| sequence.stage == stage)
    }

    pub(super) fn remove(&mut self, slot: SequenceSlot) -> Sequence {
        let sequence = self.slab.remove(slot.0 as usize);
        self.slots.remove(&sequence.id);
        sequence
    }

    /// Forgets all; returns their ids in order.
    pub(super) fn clear(&mut self) -> Vec<RequestId> {
        let mut ids: Vec<RequestId> = self.slab.drain().map(|sequence| sequence.id).collect();
        ids.sort_unstable();
        self.slots.clear();
        ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.slab.iter().map(|(_, sequence)| sequence)
    }
}
