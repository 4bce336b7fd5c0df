//! Whether an endpoint has lost what it held, without having said so.

use super::answer::Answer;
use crate::prefix::Stamp;

/// Answers in a row that must surprise before the cache is taken for lost.
pub const SURPRISES_IN_A_ROW: u32 = 3;

/// What to make of one answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It proves what it says, and so do these, which were held back until now.
    Believe(Vec<Answer>),
    /// It is too odd to be believed alone.
    HoldBack,
    /// Everything from before this stamp is lost.
    Lost(Stamp),
}

/// Answers held back at most; when more come without a verdict, they are believed.
const HELD_BACK_MAX: usize = 64;
/// Blocks from before a suspected loss that refute it when they are found.
const REFUTING_BLOCKS: u32 = 2;

/// How often in a row an endpoint has surprised.
///
/// What was used after the first surprise may well be found: it was computed again. Only what was
/// last used before refutes that it was lost.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    surprises: u32,
    /// When the first of them was sent, the last use before.
    before: Stamp,
    held_back: Vec<Answer>,
}

impl Suspicion {
    /// So many answers have next to no hits where they were plainly to be expected; this is what
    /// they say together. The first of them was sent after what was used at `before`.
    pub(super) fn note_surprise(
        &mut self,
        answers: u32,
        answer: &Answer,
        before: Stamp,
    ) -> Judgement {
        let earlier = self.surprises;
        if earlier == 0 {
            self.before = before;
        }
        self.surprises = earlier.saturating_add(answers);
        if self.surprises < SURPRISES_IN_A_ROW {
            return self.hold_back(answer);
        }
        // What they said of sizes was said of a cache that is gone.
        self.held_back.clear();
        if earlier < SURPRISES_IN_A_ROW {
            // When it was lost nobody has said; what the first of them left is there again.
            return Judgement::Lost(self.before);
        }
        // Forgetting has not helped: the cache is as small as it says.
        Judgement::Believe(Vec::new())
    }

    /// An answer that is no surprise and refutes nothing.
    pub(super) fn note_other(&mut self, answer: &Answer, is_expected: bool) -> Judgement {
        if self.surprises >= SURPRISES_IN_A_ROW && is_expected {
            return self.end();
        }
        let is_suspected = (1..SURPRISES_IN_A_ROW).contains(&self.surprises);
        let (_, absent) = self.used_before(answer);
        if is_suspected && absent > 0 {
            return self.hold_back(answer);
        }
        Judgement::Believe(Vec::new())
    }

    /// Whether the answer has what would be lost.
    pub(super) fn is_refuted_by(&self, answer: &Answer) -> bool {
        let (present, absent) = self.used_before(answer);
        let is_suspected = (1..SURPRISES_IN_A_ROW).contains(&self.surprises);
        is_suspected && present >= REFUTING_BLOCKS && present >= absent / 8
    }

    /// Nothing was lost.
    pub(super) fn end(&mut self) -> Judgement {
        self.surprises = 0;
        Judgement::Believe(std::mem::take(&mut self.held_back))
    }

    fn hold_back(&mut self, answer: &Answer) -> Judgement {
        if self.held_back.len() == HELD_BACK_MAX {
            return self.end();
        }
        self.held_back.push(answer.clone());
        Judgement::HoldBack
    }

    /// Blocks from before the first surprise, present and absent.
    fn used_before(&self, answer: &Answer) -> (u32, u32) {
        let seen = answer.iter().filter(|seen| seen.stamp <= self.before);
        seen.fold((0, 0), |(present, absent), seen| {
            (present + seen.present, absent + seen.absent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::answer::Seen;
    use crate::units::Blocks;

    fn stamp(number: u32) -> Stamp {
        Stamp::from_number(number)
    }

    fn answer(number: u32, present: u32, absent: u32) -> Answer {
        let seen = Seen {
            distance: Blocks(10),
            present,
            absent,
            stamp: stamp(number),
        };
        Answer::from_iter([seen])
    }

    fn surprise(suspicion: &mut Suspicion, answers: u32, number: u32) -> Judgement {
        suspicion.note_surprise(answers, &answer(number, 0, 20), stamp(number))
    }

    #[test]
    fn three_surprises_are_a_loss_and_more_are_a_size() {
        let mut suspicion = Suspicion::default();
        assert_eq!(surprise(&mut suspicion, 1, 3), Judgement::HoldBack);
        assert_eq!(surprise(&mut suspicion, 1, 2), Judgement::HoldBack);
        let lost = surprise(&mut suspicion, 1, 5);
        assert_eq!(lost, Judgement::Lost(stamp(3)), "before the first");
        let small = surprise(&mut suspicion, 1, 6);
        assert_eq!(small, Judgement::Believe(vec![]), "it goes on");
        suspicion.note_other(&answer(7, 20, 0), true);
        let lost = surprise(&mut suspicion, 7, 9);
        assert_eq!(lost, Judgement::Lost(stamp(9)), "many at once");
    }

    #[test]
    fn what_was_used_before_refutes_a_loss_and_what_was_used_since_does_not() {
        let mut suspicion = Suspicion::default();
        surprise(&mut suspicion, 1, 10);
        let since = answer(11, 20, 0);
        assert!(!suspicion.is_refuted_by(&since));
        assert_eq!(
            suspicion.note_other(&since, true),
            Judgement::Believe(vec![])
        );
        let evicted = answer(2, 0, 20);
        assert_eq!(suspicion.note_other(&evicted, false), Judgement::HoldBack);
        assert!(!suspicion.is_refuted_by(&evicted));
        let before = answer(9, 20, 0);
        assert!(suspicion.is_refuted_by(&before));
        let held_back = vec![answer(10, 0, 20), evicted];
        assert_eq!(suspicion.end(), Judgement::Believe(held_back));
        assert!(!suspicion.is_refuted_by(&before), "nothing is suspected");
        for number in 20..23 {
            surprise(&mut suspicion, 1, number);
        }
        assert_eq!(surprise(&mut suspicion, 1, 24), Judgement::Believe(vec![]));
    }

    #[test]
    fn not_more_is_held_back_than_the_limit() {
        let mut suspicion = Suspicion::default();
        surprise(&mut suspicion, 1, 10);
        for _ in 1..HELD_BACK_MAX {
            let held = suspicion.note_other(&answer(2, 0, 20), false);
            assert_eq!(held, Judgement::HoldBack);
        }
        let Judgement::Believe(earlier) = suspicion.note_other(&answer(2, 0, 20), false) else {
            panic!("held back beyond the limit");
        };
        assert_eq!(earlier.len(), HELD_BACK_MAX);
    }
}
