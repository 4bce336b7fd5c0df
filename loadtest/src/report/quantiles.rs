//! Percentiles, exact because a run fits in memory.

/// Percentiles of one quantity by nearest rank: the smallest value that at least p percent of all
/// values do not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Number of values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest value.
    pub max: f64,
}

impl Quantiles {
    /// Of `values` in any order; none without values.
    ///
    /// ```
    /// let of = warmgate_loadtest::report::Quantiles::of;
    /// let hundred = of((1..=100).map(f64::from).collect()).expect("there are values");
    /// assert_eq!((hundred.p50, hundred.p99, hundred.max), (50.0, 99.0, 100.0));
    /// assert!(of(vec![]).is_none());
    /// ```
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let max = *values.last()?;
        Some(Self {
            count: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: nearest_rank(&values, 0.50),
            p90: nearest_rank(&values, 0.90),
            p99: nearest_rank(&values, 0.99),
            max,
        })
    }
}

/// The value at `share` (0..=1) of sorted, non-empty `values`.
pub(super) fn nearest_rank(values: &[f64], share: f64) -> f64 {
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sets_have_percentiles_too() {
        let one = Quantiles::of(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p99, one.mean), (7.0, 7.0, 7.0));
        let two = Quantiles::of(vec![2.0, 1.0]).unwrap();
        assert_eq!((two.p50, two.p90), (1.0, 2.0));
    }
}
