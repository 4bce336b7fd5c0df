//! Latencies in bins of equal ratio, and how those of one target compare with another's.

use std::time::Duration;

use crate::units::Tokens;

/// Bins to a doubling: a latency is known within a factor of 2^(1/8), 9 %.
pub const BINS_PER_OCTAVE: usize = 8;
/// From 1 ms to 2^18 ms, more than four minutes; the first and the last bin take what lies beyond.
const OCTAVES: usize = 18;
const BINS: usize = OCTAVES * BINS_PER_OCTAVE;
/// Uncached tokens up to which a prompt belongs to a class, for all classes but the last.
const CLASS_TOKENS_MAX: [u64; TOKEN_CLASSES - 1] = [512, 4_096, 32_768];
/// Classes of prompts by what had to be computed of them.
pub(super) const TOKEN_CLASSES: usize = 4;
/// The same, of streams first and then of answers that come as a whole.
pub(super) const CLASSES: usize = 2 * TOKEN_CLASSES;
/// The quantile that is compared.
pub(super) const QUANTILE: f64 = 0.95;
/// Samples of stable that a class must have to be compared: of fewer, the quantile is their maximum.
pub const CLASS_SAMPLES_MIN: u32 = 20;

/// How many latencies fell into each bin.
#[derive(Clone, Debug)]
pub(super) struct Histogram([u32; BINS]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; BINS])
    }
}

impl Histogram {
    pub(super) fn add(&mut self, latency: Duration) {
        let count = &mut self.0[bin(latency)];
        *count = count.saturating_add(1);
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub(super) fn samples(&self) -> u32 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The quantile that is compared, as the geometric middle of its bin; none where there is nothing.
    pub(super) fn p95(&self) -> Option<Duration> {
        let bin = quantile(&self.0)?;
        let octaves = (bin as f64 + 0.5) / BINS_PER_OCTAVE as f64;
        Some(Duration::from_secs_f64(octaves.exp2() / 1_000.0))
    }
}

fn bin(latency: Duration) -> usize {
    let octaves = (latency.as_secs_f64() * 1_000.0).max(1.0).log2();
    ((octaves * BINS_PER_OCTAVE as f64) as usize).min(BINS - 1)
}

/// The place of the first count up to which [`QUANTILE`] of all are.
fn quantile(counts: &[u32]) -> Option<usize> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let rank = (QUANTILE * total as f64).ceil() as u64;
    let mut below = 0;
    counts.iter().position(|count| {
        below += u64::from(*count);
        *count > 0 && below >= rank
    })
}

/// The class of a request of whose prompt so many tokens had to be computed.
pub(super) fn class(is_stream: bool, uncached: Tokens) -> usize {
    let of_tokens = CLASS_TOKENS_MAX.partition_point(|most| *most < uncached.0);
    let first = if is_stream { 0 } else { TOKEN_CLASSES };
    first + of_tokens
}

/// How the latencies of one target compare with those of stable, class by class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Comparison {
    /// Samples in classes of which stable has enough.
    pub(super) compared: u32,
    /// Of these, samples that are surely longer than the limit times stable's quantile.
    pub(super) slow: u32,
    /// The quantile of latency over stable's quantile of the same class.
    pub(super) ratio: f64,
}

/// Compares class by class: a share of cold prompts that is larger than stable's, as it is wherever
/// conversations have just moved, does not count as slowness.
pub(super) fn compare(canary: &[Histogram], stable: &[Histogram], ratio_max: f64) -> Comparison {
    // Bins are of equal ratio, so the ratio of two latencies is the difference of their bins.
    let mut by_distance = [0_u32; 2 * BINS];
    for (canary, stable) in canary.iter().zip(stable) {
        if stable.samples() < CLASS_SAMPLES_MIN {
            continue;
        }
        let Some(reference) = quantile(&stable.0) else {
            continue;
        };
        for (bin, count) in canary.0.iter().enumerate() {
            let sum = &mut by_distance[BINS + bin - reference];
            *sum = sum.saturating_add(*count);
        }
    }
    let Some(at) = quantile(&by_distance) else {
        return Comparison::default();
    };
    let ratio = ((at as f64 - BINS as f64) / BINS_PER_OCTAVE as f64).exp2();
    // Two latencies whose bins are `n` apart are at least `n - 1` bins apart.
    let limit = (ratio_max.log2() * BINS_PER_OCTAVE as f64).ceil() + 1.0;
    let first_slow = (BINS as f64 + limit).clamp(0.0, (2 * BINS) as f64) as usize;
    let sum = |counts: &[u32]| counts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
    Comparison {
        compared: sum(&by_distance),
        slow: sum(&by_distance[first_slow..]),
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(latencies_ms: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in latencies_ms {
            histogram.add(Duration::from_millis(ms));
        }
        histogram
    }

    #[test]
    fn a_quantile_is_within_its_bin() {
        let width = (1.0 / BINS_PER_OCTAVE as f64).exp2();
        for last_ms in [20, 100, 999, 30_000, 200_000] {
            let p95 = histogram((1..=100).map(|part| part * last_ms / 100)).p95();
            let exact = 0.95 * last_ms as f64 / 1_000.0;
            let error = p95.unwrap().as_secs_f64() / exact;
            assert!((1.0 / width..width).contains(&error), "{last_ms}: {error}");
        }
        assert_eq!(histogram([]).p95(), None);
    }

    #[test]
    fn what_is_beyond_the_bins_falls_into_the_outermost() {
        assert_eq!(bin(Duration::ZERO), 0);
        assert_eq!(bin(Duration::from_millis(1)), 0);
        assert_eq!(bin(Duration::from_secs(262)), BINS - 1);
        assert_eq!(bin(Duration::from_secs(262) * 2), BINS - 1);
        assert_eq!(bin(Duration::MAX), BINS - 1);
    }

    #[test]
    fn classes_begin_after_their_limits() {
        for (place, most) in CLASS_TOKENS_MAX.into_iter().enumerate() {
            assert_eq!(class(true, Tokens(most)), place);
            assert_eq!(class(true, Tokens(most + 1)), place + 1);
            assert_eq!(class(false, Tokens(most)), TOKEN_CLASSES + place);
        }
        assert_eq!(class(true, Tokens::ZERO), 0);
        assert_eq!(class(true, Tokens(u64::MAX)), TOKEN_CLASSES - 1);
        assert_eq!(class(false, Tokens(u64::MAX)), CLASSES - 1);
    }

    #[test]
    fn equals_are_equal_and_only_what_is_surely_slower_is_slow() {
        let stable = [histogram(vec![100; 50])];
        for (ms, slow) in [(100, 0), (190, 0), (199, 0), (230, 40), (400, 40)] {
            let comparison = compare(&[histogram(vec![ms; 40])], &stable, 2.0);
            assert_eq!(comparison.compared, 40);
            assert_eq!(comparison.slow, slow, "{ms} ms");
            let error = comparison.ratio / (ms as f64 / 100.0);
            assert!((0.9..1.1).contains(&error), "{ms} ms: {error}");
        }
    }

    #[test]
    fn a_class_without_enough_of_stable_is_not_compared() {
        let few = CLASS_SAMPLES_MIN as usize - 1;
        let canary = [histogram(vec![900; 30])];
        let too_few = compare(&canary, &[histogram(vec![100; few])], 2.0);
        assert_eq!(too_few, Comparison::default());
        let enough = compare(&canary, &[histogram(vec![100; few + 1])], 2.0);
        assert_eq!((enough.compared, enough.slow), (30, 30));
    }

    #[test]
    fn more_cold_prompts_are_not_slowness() {
        let stable = [histogram(vec![100; 95]), histogram(vec![3_000; 25])];
        let canary = [histogram(vec![100; 10]), histogram(vec![3_000; 90])];
        let comparison = compare(&canary, &stable, 2.0);
        assert_eq!((comparison.compared, comparison.slow), (100, 0));
        assert!((comparison.ratio - 1.0).abs() < 1e-9);
    }
}
