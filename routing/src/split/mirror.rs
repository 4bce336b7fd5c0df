//! Which of a route's requests are copied to its mirror: each is drawn by itself.

use rand::{Rng, RngCore};

const MILLION: u32 = 1_000_000;

/// A share of requests, in millionths, so that what is asked for is met exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorShare(u32);

impl MirrorShare {
    /// Of 0 to 100 percent; what is less than a millionth and not nothing is a millionth. None
    /// outside of that.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<MirrorShare> {
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        let millionths = (percent * f64::from(MILLION / 100)).round() as u32;
        Some(MirrorShare(millionths.max(u32::from(percent > 0.0))))
    }

    /// 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION / 100)
    }

    /// Whether this request is one of them.
    #[must_use]
    pub fn takes(self, rng: &mut dyn RngCore) -> bool {
        rng.random_range(0..MILLION) < self.0
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_share_is_met_and_its_ends_are_exact() {
        let mut rng = SmallRng::seed_from_u64(7);
        for (percent, least, most) in [
            (0.0, 0, 0),
            (0.5, 380, 620),
            (5.0, 4_600, 5_400),
            (100.0, 100_000, 100_000),
        ] {
            let share = MirrorShare::from_percent(percent).unwrap();
            assert_eq!(share.percent(), percent);
            let taken = (0..100_000).filter(|_| share.takes(&mut rng)).count();
            assert!((least..=most).contains(&taken), "{percent}: {taken}");
        }
    }

    #[test]
    fn what_is_no_share() {
        for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(MirrorShare::from_percent(percent), None, "{percent}");
        }
        let least = MirrorShare::from_percent(1e-9).unwrap();
        assert_eq!(least, MirrorShare(1));
    }
}
