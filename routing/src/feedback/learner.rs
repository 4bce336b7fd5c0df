//! What is learned of one endpoint's cache.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::answer::{self, Answer};
use super::counters::{Counters, Interval};
use super::evidence::Evidence;
use super::suspicion::{Judgement, Suspicion};
use crate::block::{BlockSize, NOMINAL_BYTES_PER_TOKEN};
use crate::prefix::{CacheSizes, Recall, Stamp};
use crate::units::{Blocks, Tokens};

/// Blocks that are remembered for each that the device holds. Tiers of more than this are not
/// learned in full; a host has rarely more memory than sixteen times its devices'.
pub const GHOSTS_PER_DEVICE: u32 = 16;
/// Hits that must be missing before an answer is a surprise.
pub const SURPRISE_TOKENS_MIN: Tokens = Tokens(512);
/// An answer is a surprise where it has less than this share of the hits that were predicted.
const SURPRISE_SHARE_MAX: f64 = 0.1;
/// The same of several answers together: what was computed again since is found among them.
const SURPRISES_SHARE_MAX: f64 = 0.5;
/// Weight of one answer in the bytes per token of an endpoint's prompts.
const RATE_WEIGHT: f64 = 0.05;
/// Change of that rate at which the device's size in blocks follows.
const RATE_CHANGE_MIN: f64 = 0.05;

/// What an endpoint is believed to have before it has proven anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Declared {
    /// Its device's cache.
    pub(crate) device: Tokens,
    /// All its tiers, as a multiple of that.
    pub(crate) ratio: f64,
}

/// What an answer or a reading of metrics leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The sizes are others than before.
    pub(crate) resized: bool,
    /// What was used at this stamp or before is lost.
    pub(crate) lost: Option<Stamp>,
}

/// One answer, in blocks and tokens of our own reckoning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) recall: &'a Recall,
    /// As it was when the request was sent.
    pub(crate) settled: Stamp,
    pub(crate) cached: Blocks,
}

/// What is learned of one endpoint's cache from what it reports. Concurrent.
#[derive(Debug)]
pub struct Learner {
    lesson: Mutex<Learned>,
    // Of the requests sent, and of those whose prompt is computed.
    sent: AtomicU32,
    settled: AtomicU32,
}

#[derive(Debug)]
struct Learned {
    block_bytes: f64,
    bytes_per_token: f64,
    /// The rate by which `device` was reckoned.
    device_rate: f64,
    device_tokens: Tokens,
    device: Blocks,
    total: Blocks,
    evidence: Evidence,
    suspicion: Suspicion,
    interval: Interval,
    /// Nothing from before proves anything.
    forgotten: Stamp,
    /// Its answers say what was cached.
    tells: bool,
}

impl Default for Learner {
    fn default() -> Learner {
        let nominal = f64::from(NOMINAL_BYTES_PER_TOKEN);
        Learner {
            lesson: Mutex::new(Learned {
                block_bytes: BlockSize::default().bytes() as f64,
                bytes_per_token: nominal,
                device_rate: nominal,
                device_tokens: Tokens::ZERO,
                device: Blocks(1),
                total: Blocks(1),
                evidence: Evidence::starting_at(Blocks(1), Blocks(1)),
                suspicion: Suspicion::default(),
                interval: Interval::default(),
                forgotten: Stamp::default(),
                tells: false,
            }),
            sent: AtomicU32::new(0),
            settled: AtomicU32::new(0),
        }
    }
}

impl Learner {
    /// The engine's device has a size; `declared` holds until something else is proven.
    pub(crate) fn set_device(&self, declared: Declared, block_size: BlockSize) {
        let mut learned = self.lesson.lock();
        let is_known = !learned.evidence.is_empty() && learned.device_tokens > Tokens::ZERO;
        // What was learned of this engine is better than what others say of theirs.
        let ratio = if is_known {
            f64::from(learned.total.0) / f64::from(learned.device.0)
        } else {
            declared.ratio
        };
        learned.block_bytes = block_size.bytes() as f64;
        learned.device_tokens = declared.device;
        learned.resize_device();
        let total = f64::from(learned.device.0) * ratio;
        learned.total = Blocks(total.clamp(1.0, f64::from(u32::MAX)) as u32);
        learned.evidence = Evidence::starting_at(learned.device, learned.total);
    }

    /// How many times its device an endpoint holds, where its device has so many tokens and
    /// something has been learned of it.
    pub(crate) fn ratio_of(&self, device: Tokens) -> Option<f64> {
        let learned = self.lesson.lock();
        let is_like = learned.device_tokens == device && !learned.evidence.is_empty();
        is_like.then(|| f64::from(learned.total.0) / f64::from(learned.device.0))
    }

    /// Its sizes for the index.
    pub(crate) fn sizes(&self, remembers_ghosts: bool) -> CacheSizes {
        let learned = self.lesson.lock();
        let ghosts = learned.device.0.saturating_mul(GHOSTS_PER_DEVICE);
        CacheSizes {
            device: learned.device.min(learned.total),
            total: learned.total,
            ghosts: Blocks(if remembers_ghosts { ghosts } else { 0 }),
        }
    }

    /// Tokens in so many blocks, at the rate of this endpoint's prompts.
    pub(crate) fn tokens(&self, blocks: Blocks) -> Tokens {
        self.lesson.lock().tokens(f64::from(blocks.0))
    }

    /// A prompt was sent. Returns up to when the prompts before it had been computed.
    pub(crate) fn note_sent(&self, stamp: Stamp) -> Stamp {
        self.sent.fetch_max(stamp.number(), Ordering::Relaxed);
        Stamp::from_number(self.settled.load(Ordering::Relaxed))
    }

    /// A prompt has been computed: what it left can be found from now on.
    pub(crate) fn note_computed(&self, recall: &Recall, settled: Stamp, prompt: Tokens) {
        self.settled
            .fetch_max(recall.stamp.number(), Ordering::Relaxed);
        let mut learned = self.lesson.lock();
        if !learned.tells {
            learned.interval.note_request(recall, settled, prompt);
        }
    }

    /// An answer has told what was cached.
    pub(crate) fn hear(&self, heard: &Heard<'_>) -> Verdict {
        let mut learned = self.lesson.lock();
        if !learned.tells {
            learned.tells = true;
            learned.interval.clear();
        }
        let span = (learned.forgotten, heard.settled);
        let answer = answer::compare(heard.recall, heard.cached, span);
        learned.judge(1, answer, heard.recall.before)
    }

    /// An engine has counted the tokens of a prompt.
    pub(crate) fn note_rate(&self, bytes_per_token: f64) -> Verdict {
        Verdict {
            resized: self.lesson.lock().note_rate(bytes_per_token),
            lost: None,
        }
    }

    /// The engine's counters were read.
    pub(crate) fn count(&self, counters: Counters) -> Verdict {
        let mut learned = self.lesson.lock();
        if learned.tells {
            return Verdict::default();
        }
        let (forgotten, rate) = (learned.forgotten, learned.bytes_per_token);
        let blocks_per_token = rate / learned.block_bytes;
        match learned
            .interval
            .close(counters, forgotten, blocks_per_token)
        {
            Some(finding) => learned.judge(finding.requests, finding.answer, finding.before),
            None => Verdict::default(),
        }
    }

    /// The cache is empty: the engine has restarted. Its size is what it was.
    pub(crate) fn note_restart(&self) {
        let mut learned = self.lesson.lock();
        learned.forgotten = Stamp::from_number(self.sent.load(Ordering::Relaxed));
        learned.suspicion = Suspicion::default();
        learned.interval.clear();
    }
}

impl Learned {
    fn tokens(&self, blocks: f64) -> Tokens {
        Tokens((blocks * self.block_bytes / self.bytes_per_token) as u64)
    }

    fn resize_device(&mut self) {
        self.device_rate = self.bytes_per_token;
        let bytes = self.device_tokens.as_f64() * self.bytes_per_token;
        let blocks = bytes / self.block_bytes;
        self.device = Blocks(blocks.clamp(1.0, f64::from(u32::MAX)) as u32);
    }

    /// Returns whether the device holds another number of blocks now.
    fn note_rate(&mut self, bytes_per_token: f64) -> bool {
        self.bytes_per_token += RATE_WEIGHT * (bytes_per_token - self.bytes_per_token);
        let change = (self.bytes_per_token / self.device_rate - 1.0).abs();
        if change < RATE_CHANGE_MIN {
            return false;
        }
        // What is behind the device was learned in blocks, or is a multiple of it.
        let before = f64::from(self.device.0);
        self.resize_device();
        if self.evidence.is_empty() {
            let total = f64::from(self.total.0) * f64::from(self.device.0) / before;
            self.total = Blocks(total.clamp(1.0, f64::from(u32::MAX)) as u32);
            self.evidence = Evidence::starting_at(self.device, self.total);
        }
        true
    }

    /// What so many answers come to that say this together.
    fn judge(&mut self, answers: u32, answer: Answer, before: Stamp) -> Verdict {
        let judged = if self.suspicion.is_refuted_by(&answer) {
            self.suspicion.end()
        } else if self.is_surprise(answers, &answer) {
            self.suspicion.note_surprise(answers, &answer, before)
        } else {
            let is_expected = self.is_expected(&answer);
            self.suspicion.note_other(&answer, is_expected)
        };
        match judged {
            Judgement::HoldBack => Verdict::default(),
            Judgement::Lost(stamp) => {
                self.forgotten = self.forgotten.max(stamp);
                Verdict {
                    resized: false,
                    lost: Some(stamp),
                }
            }
            Judgement::Believe(earlier) => {
                for answer in &earlier {
                    self.believe(1, answer);
                }
                self.believe(answers, &answer);
                let most = self.device.0.saturating_mul(GHOSTS_PER_DEVICE);
                let best = self.evidence.best_size(self.total);
                let total = best.clamp(Blocks(1), Blocks(most.max(self.total.0)));
                let resized = total != self.total;
                self.total = total;
                Verdict {
                    resized,
                    lost: None,
                }
            }
        }
    }

    fn believe(&mut self, answers: u32, answer: &Answer) {
        let blocks: u32 = answer.iter().map(|seen| seen.present + seen.absent).sum();
        let most = self.evidence.answer_blocks_max() * answers as f32;
        let weight = (most / blocks.max(1) as f32).min(1.0);
        for seen in answer {
            let (present, absent) = (seen.present as f32, seen.absent as f32);
            self.evidence
                .add(seen.distance, present * weight, absent * weight);
        }
    }

    /// Much is missing that is plainly held as a rule.
    fn is_surprise(&self, answers: u32, answer: &Answer) -> bool {
        let reach = self.evidence.reach(self.total);
        let near = answer.iter().filter(|seen| seen.distance <= reach);
        let missing: u32 = near.map(|seen| seen.absent).sum();
        let needed = Tokens(SURPRISE_TOKENS_MIN.0 * u64::from(answers.min(3)));
        let (predicted, present) = self.predicted(answer);
        let share = if answers > 1 {
            SURPRISES_SHARE_MAX
        } else {
            SURPRISE_SHARE_MAX
        };
        self.tokens(f64::from(missing)) >= needed && present < share * predicted
    }

    /// Much was predicted, and is not missing.
    fn is_expected(&self, answer: &Answer) -> bool {
        let (predicted, present) = self.predicted(answer);
        self.tokens(predicted) >= SURPRISE_TOKENS_MIN && present >= SURPRISE_SHARE_MAX * predicted
    }

    /// Blocks believed to be held, and how many of them were.
    fn predicted(&self, answer: &Answer) -> (f64, f64) {
        let held = answer.iter().filter(|seen| seen.distance < self.total);
        held.fold((0.0, 0.0), |(predicted, present), seen| {
            let blocks = f64::from(seen.present + seen.absent);
            (predicted + blocks, present + f64::from(seen.present))
        })
    }
}
