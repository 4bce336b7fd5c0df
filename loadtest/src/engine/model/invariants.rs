//! What must hold between any two calls; tests ask after each.

use super::Model;
use super::sequence::{SequenceSlot, Stage};

impl Model {
    /// Panics when the state contradicts itself. For tests: it visits everything.
    pub fn check_invariants(&self) {
        self.cache.check_invariants();
        self.check_requests();
        self.check_blocks();
        self.decoding.check_invariants(self.counters.steps);
        if let Some(host) = &self.host {
            host.check_invariants();
            for block in self.cache.visible().filter(|_| host.is_exclusive()) {
                assert_eq!(host.prefix_match(&[block]), 0, "a block is in one tier");
            }
        }
    }

    fn check_requests(&self) {
        let totals = &self.counters;
        assert_eq!(self.sequences.len(), self.running() + self.waiting());
        assert_eq!(
            totals.submitted,
            totals.finished + totals.aborted + self.sequences.len() as u64,
            "no request is lost or ends twice"
        );
        assert_eq!(
            totals.prompt_tokens,
            totals.prompt_device_tokens + totals.prompt_host_tokens + totals.prompt_computed_tokens,
            "a finished prompt was found, loaded or computed"
        );
        assert!(self.running() <= self.seqs_at_most());
        let at = |slots: &mut dyn Iterator<Item = SequenceSlot>, stage| {
            slots.for_each(|slot| assert!(self.sequences.is(slot, stage)));
        };
        at(
            &mut self.loading.iter().map(|load| load.slot),
            Stage::Loading,
        );
        at(&mut self.prefilling.iter().copied(), Stage::Prefilling);
        let members = self.decoding.members();
        at(
            &mut members.iter().map(|member| member.slot),
            Stage::Decoding,
        );
        for sequence in self.sequences.iter() {
            let known = sequence.device_tokens + sequence.host_tokens;
            assert!(known < sequence.prompt_tokens);
            assert_eq!(known % self.config.block_tokens, 0);
            assert!(known + sequence.computed_tokens <= sequence.prompt_tokens);
            if sequence.stage == Stage::Decoding {
                assert_eq!(sequence.prefill_left(), 0);
            }
        }
    }

    fn check_blocks(&self) {
        let (mut private, mut reserved) = (0, 0);
        for sequence in self.sequences.iter() {
            private += sequence.private_blocks;
            reserved += sequence.reserved_blocks;
        }
        let census = self.cache.census();
        assert_eq!((census.private, census.reserved), (private, reserved));
        let in_places = census.shared_pinned + census.shared_idle + census.private + census.free;
        assert_eq!(in_places, census.capacity);
        if self.running() == 0 {
            assert_eq!(census.shared_pinned, 0, "an idle engine pins nothing");
        }
    }
}
