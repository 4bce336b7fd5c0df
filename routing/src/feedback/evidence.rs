//! How many blocks were found, and how many were not, by how long they had not been used.
//!
//! A cache of `C` blocks holds what is nearer than `C` and nothing else. So the size that explains
//! best what an engine said is that with fewest blocks on the wrong side: absent though nearer, or
//! present though farther. That number is also the error that predictions with this size would have
//! had. No model of the engine's eviction is fitted: what it keeps in a tier behind, shares with
//! others or fills with generated tokens only moves the point.

use crate::units::Blocks;

/// Distances are told apart to 9 %.
const BINS_PER_OCTAVE: f64 = 8.0;
const BINS: usize = 32 * BINS_PER_OCTAVE as usize + 1;
/// Blocks on the wrong side that another size must save before it is believed.
const MARGIN_BLOCKS: f32 = 16.0;
/// Two sums of blocks are equal where they differ by less.
const ROUNDING_BLOCKS: f32 = 1.0;
/// How far beyond the farthest hit a size is raised where nothing speaks against it, in bins: by
/// 41 %. Too low costs more than too high, and what is not believed to be held is not asked for.
const OPTIMISM_BINS: usize = 4;
/// Present is plain where it outweighs absent so many times ...
const PLAINLY: f32 = 4.0;
/// ... and is more than this.
const PLAINLY_BLOCKS: f32 = 16.0;

/// Bins below a size in which nothing is plain: a quarter of it.
const EDGE_BINS: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    present: f32,
    absent: f32,
}

/// What was found and what was not, by distance. About 2 KiB.
#[derive(Debug)]
pub(super) struct Evidence {
    bins: Box<[Bin; BINS]>,
    /// Blocks that a bin remembers; when more come, the older count less.
    memory: f32,
    /// Weight of what is believed before anything is found.
    prior: f32,
    is_empty: bool,
}

impl Evidence {
    /// Nothing found yet, for a device of `device` blocks, where `total` is believed.
    pub(super) fn starting_at(device: Blocks, total: Blocks) -> Evidence {
        let device = device.0 as f32;
        let prior = (device / 32.0).clamp(32.0, 512.0);
        let mut evidence = Evidence {
            bins: Box::new([Bin::default(); BINS]),
            memory: (device / 16.0).clamp(256.0, 4_096.0),
            prior,
            is_empty: true,
        };
        let at = edge_at(total);
        evidence.bins[at.saturating_sub(1)].present = prior;
        evidence.bins[at.min(BINS - 1)].absent += prior;
        evidence
    }

    /// Whether nothing was found or missed so far.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Most that one answer may weigh, in blocks: no more than what is believed from the start.
    pub(super) fn answer_blocks_max(&self) -> f32 {
        self.prior
    }

    pub(super) fn add(&mut self, distance: Blocks, present: f32, absent: f32) {
        let bin = &mut self.bins[bin_of(distance)];
        bin.present += present;
        bin.absent += absent;
        let excess = (bin.present + bin.absent) / self.memory;
        if excess > 1.0 {
            bin.present /= excess;
            bin.absent /= excess;
        }
        self.is_empty = false;
    }

    /// The size that explains the evidence best; `current` where none is better by enough.
    pub(super) fn best_size(&self, current: Blocks) -> Blocks {
        let mut wrong = [0.0; BINS + 1];
        wrong[0] = self.bins.iter().map(|bin| bin.present).sum();
        for (at, bin) in self.bins.iter().enumerate() {
            wrong[at + 1] = wrong[at] + bin.absent - bin.present;
        }
        let least = wrong.iter().copied().fold(f32::INFINITY, f32::min);
        let now = edge_at(current);
        if wrong[now] <= least + MARGIN_BLOCKS {
            return current;
        }
        let is_best = |at: &usize| wrong[*at] <= least + ROUNDING_BLOCKS;
        let best = (0..=BINS).filter(is_best);
        let nearest = best
            .min_by_key(|at| at.abs_diff(now))
            .expect("invariant: some number is the least");
        if nearest < now {
            return edge(nearest);
        }
        let raised = (nearest..=BINS).take_while(is_best).take(OPTIMISM_BINS + 1);
        edge(raised.last().unwrap_or(nearest))
    }

    /// Distance up to which blocks are plainly found: what is missing there is not
    /// evicted but lost. Half of `believed` where nothing has been found or missed so far.
    pub(super) fn reach(&self, believed: Blocks) -> Blocks {
        if self.is_empty {
            return Blocks(believed.0 / 2);
        }
        // Near the edge blocks come and go by the engine's own order.
        let most = edge_at(believed).saturating_sub(EDGE_BINS);
        let plain = |bin: &Bin| bin.present > PLAINLY_BLOCKS && bin.present > PLAINLY * bin.absent;
        let farthest = self.bins[..most].iter().rposition(plain);
        farthest.map_or(Blocks::ZERO, |at| edge(at + 1))
    }
}

fn octaves(blocks: Blocks) -> f64 {
    f64::from(blocks.0.max(1)).log2() * BINS_PER_OCTAVE
}

fn bin_of(distance: Blocks) -> usize {
    octaves(distance) as usize
}

/// The bin that a cache of this size ends before.
fn edge_at(size: Blocks) -> usize {
    octaves(size).round() as usize
}

/// Size of a cache that holds all bins before this one.
fn edge(bin: usize) -> Blocks {
    let blocks = (bin as f64 / BINS_PER_OCTAVE).exp2();
    Blocks(blocks.round().min(f64::from(u32::MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Blocks = Blocks(10_000);

    fn evidence() -> Evidence {
        Evidence::starting_at(START, START)
    }

    /// Blocks at distances spread over these octaves, found below a size.
    fn engine(evidence: &mut Evidence, size: u32, distances: std::ops::Range<u32>, rounds: u32) {
        for _ in 0..rounds {
            let span = f64::from(distances.end) / f64::from(distances.start);
            for at in 0..40 {
                let times = span.powf(f64::from(at) / 40.0);
                let distance = (f64::from(distances.start) * times) as u32;
                let (present, absent) = if distance < size {
                    (20.0, 0.0)
                } else {
                    (0.0, 20.0)
                };
                evidence.add(Blocks(distance), present, absent);
            }
        }
    }

    #[test]
    fn sizes_smaller_and_larger_are_found_and_changes_followed() {
        for size in [300, 2_000, 9_000, 12_000, 40_000, 100_000] {
            let mut evidence = evidence();
            engine(&mut evidence, size, 10..160_000, 20);
            let found = evidence.best_size(START).0;
            let ratio = f64::from(found) / f64::from(size);
            assert!((0.6..=1.7).contains(&ratio), "{found} for {size}");
            engine(&mut evidence, size, size / 2..size * 2, 20);
            let found = evidence.best_size(Blocks(found)).0;
            let ratio = f64::from(found) / f64::from(size);
            assert!((0.9..=1.1).contains(&ratio), "{found} for {size}");
        }
        let mut evidence = evidence();
        engine(&mut evidence, 40_000, 10..160_000, 50);
        let larger = evidence.best_size(START);
        engine(&mut evidence, 5_000, 10..160_000, 50);
        let smaller = evidence.best_size(larger);
        assert!(
            larger > Blocks(35_000) && smaller < Blocks(6_000),
            "{larger} {smaller}"
        );
    }

    #[test]
    fn thin_evidence_and_what_agrees_change_nothing() {
        let mut evidence = evidence();
        assert_eq!(evidence.best_size(START), START);
        let most = evidence.answer_blocks_max();
        evidence.add(Blocks(30_000), most, 0.0);
        assert_eq!(evidence.best_size(START), START, "one answer");
        evidence.add(Blocks(30_000), most, 0.0);
        assert!(evidence.best_size(START) > Blocks(30_000), "two");
        let mut evidence = self::evidence();
        engine(&mut evidence, START.0, 10..9_000, 20);
        engine(&mut evidence, START.0, 11_000..50_000, 20);
        assert_eq!(evidence.best_size(START), START);
    }

    #[test]
    fn an_engine_without_a_cache_has_none() {
        let mut evidence = evidence();
        engine(&mut evidence, 0, 1..20_000, 20);
        assert!(evidence.best_size(START) <= Blocks(1));
    }

    #[test]
    fn what_is_missing_within_reach_of_plain_hits_is_lost() {
        let mut evidence = evidence();
        assert_eq!(evidence.reach(START), Blocks(5_000), "nothing known");
        engine(&mut evidence, 500, 10..4_000, 20);
        let reach = evidence.reach(START);
        assert!((400..=550).contains(&reach.0), "{reach}");
    }

    #[test]
    fn any_distance_has_a_bin() {
        for distance in [0, 1, 2, 3, u32::MAX - 1, u32::MAX] {
            let mut evidence = evidence();
            evidence.add(Blocks(distance), 1.0, 1.0);
            evidence.best_size(Blocks(distance));
            evidence.reach(Blocks(distance));
        }
    }
}
