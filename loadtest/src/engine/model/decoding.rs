//! Requests past their first token advance in lockstep, one token a step. So a step need not
//! visit them: their sum of context, and the next step at which anybody ends or needs a block,
//! say all that it must know.

use super::sequence::SequenceSlot;

/// Later than any step.
const NEVER: u64 = u64::MAX;

/// A request past its first token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub slot: SequenceSlot,
    /// Number of its first decode step.
    pub first_step: u64,
    /// Tokens it held before that step.
    pub first_context: u64,
    /// Number of the step that gives its last token.
    pub last_step: u64,
    /// Number of the next step that fills or begins a block; `u64::MAX` for none.
    pub block_step: u64,
    /// Whether it makes blocks of its answer visible.
    pub publishes: bool,
}

impl Member {
    /// Tokens it holds before step `number`.
    pub(super) fn context_before(&self, number: u64) -> u64 {
        self.first_context + (number - self.first_step)
    }
}

/// All requests past their first token, in the order in which they came to it.
#[derive(Debug)]
pub(super) struct Decoding {
    members: Vec<Member>,
    context_tokens: u64,
    next_end_step: u64,
    next_block_step: u64,
}

impl Decoding {
    pub(super) fn new() -> Self {
        Self {
            members: Vec::new(),
            context_tokens: 0,
            next_end_step: NEVER,
            next_block_step: NEVER,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Sum of the tokens that all hold before the step that runs or comes next.
    pub(super) fn context_tokens(&self) -> u64 {
        self.context_tokens
    }

    /// Number of the step at whose end somebody is done.
    pub(super) fn next_end_step(&self) -> u64 {
        self.next_end_step
    }

    /// Number of the step at whose start somebody's blocks change.
    pub(super) fn next_block_step(&self) -> u64 {
        self.next_block_step
    }

    pub(super) fn join(&mut self, member: Member) {
        self.context_tokens += member.first_context;
        self.next_end_step = self.next_end_step.min(member.last_step);
        self.next_block_step = self.next_block_step.min(member.block_step);
        self.members.push(member);
    }

    /// Takes out a member before the end of step `number`.
    pub(super) fn leave(&mut self, slot: SequenceSlot, number: u64) {
        let mut gone_tokens = 0;
        self.members.retain(|member| {
            let stays = member.slot != slot;
            if !stays {
                gone_tokens += member.context_before(number);
            }
            stays
        });
        self.context_tokens -= gone_tokens;
        self.look_ahead();
    }

    /// Books the end of step `number`: everybody holds a token more, and who got the last one goes
    /// to `ended`.
    pub(super) fn end_step(&mut self, number: u64, ended: &mut Vec<SequenceSlot>) {
        self.context_tokens += self.members.len() as u64;
        if self.next_end_step > number {
            return;
        }
        let mut gone_tokens = 0;
        self.members.retain(|member| {
            let stays = member.last_step > number;
            if !stays {
                gone_tokens += member.context_before(number + 1);
                ended.push(member.slot);
            }
            stays
        });
        self.context_tokens -= gone_tokens;
        self.look_ahead();
    }

    /// Appends the members whose blocks change at the start of step `number`, with the tokens they
    /// will hold after it; `following` says when that is next, given the tokens held by then.
    pub(super) fn take_growing(
        &mut self,
        number: u64,
        growing: &mut Vec<(SequenceSlot, u64)>,
        following: impl Fn(SequenceSlot, u64) -> Option<u64>,
    ) {
        for member in &mut self.members {
            if member.block_step == number {
                let tokens = member.context_before(number) + 1;
                growing.push((member.slot, tokens));
                let ahead = following(member.slot, tokens).map(|at| at - tokens);
                member.block_step = ahead.map_or(NEVER, |steps| number + 1 + steps);
            }
        }
        self.look_ahead();
    }

    fn look_ahead(&mut self) {
        let ends = self.members.iter().map(|member| member.last_step);
        self.next_end_step = ends.min().unwrap_or(NEVER);
        let blocks = self.members.iter().map(|member| member.block_step);
        self.next_block_step = blocks.min().unwrap_or(NEVER);
    }

    /// Panics when the sums contradict the members. For tests.
    pub(super) fn check_invariants(&self, number: u64) {
        let contexts = self
            .members
            .iter()
            .map(|member| member.context_before(number));
        assert_eq!(contexts.sum::<u64>(), self.context_tokens);
        let ends = self.members.iter().map(|member| member.last_step);
        assert_eq!(ends.min().unwrap_or(NEVER), self.next_end_step);
        let blocks = self.members.iter().map(|member| member.block_step);
        assert_eq!(blocks.min().unwrap_or(NEVER), self.next_block_step);
    }
}
