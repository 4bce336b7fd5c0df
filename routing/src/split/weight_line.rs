//! Weighted rendezvous: every target answers a key after a time of its own, and the first has it.
//!
//! The times are exponential with the weights as rates, drawn from a hash of key and name, so a
//! target is the first for as much of all keys as its weight is of all weights. It is the logarithmic
//! method of Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005).

use xxhash_rust::xxh3::xxh3_64;

use super::SplitKey;

/// Who a target is, whatever its weight and its place: a hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u64);

impl Identity {
    /// Of the target of that name.
    #[must_use]
    pub fn of(name: &str) -> Identity {
        Identity(xxh3_64(name.as_bytes()))
    }
}

/// What a split has to know of a target.
pub trait Weighted {
    /// Who it is: unique in its route.
    fn identity(&self) -> Identity;
    /// Its share, relative to the other targets' weights; 0: nobody.
    fn weight(&self) -> u32;
}

/// The target that `key` belongs to; none where no target has a weight.
#[must_use]
pub fn choose<T: Weighted>(targets: &[T], key: SplitKey) -> Option<&T> {
    let takes_part = targets.iter().filter(|target| target.weight() > 0);
    let timed = takes_part.map(|target| {
        let time = waiting(target.identity(), key) / f64::from(target.weight());
        (time, target)
    });
    let first = timed.min_by(|(time, target), (other_time, other)| {
        let order = time.total_cmp(other_time);
        order.then(target.identity().cmp(&other.identity()))
    });
    first.map(|(_, target)| target)
}

/// An exponential time of rate 1, above 0, the same for the same target and key everywhere.
///
/// The last bit of a logarithm may differ between processors: two gateways on unlike machines
/// disagree about one key in some 10^15.
fn waiting(target: Identity, key: SplitKey) -> f64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&target.0.to_le_bytes());
    bytes[8..].copy_from_slice(&key.0.to_le_bytes());
    // The 53 bits that a double can tell apart, and never 0 or 1, whose logarithms are no times.
    let uniform = ((xxh3_64(&bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln()
}
