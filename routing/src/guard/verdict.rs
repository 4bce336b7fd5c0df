//! Whether what a canary did is worse than what is tolerated, or may be chance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::latency::{self, Comparison, QUANTILE};
use super::settings::GuardSettings;
use super::window::Tally;

/// Standard deviations between what is seen and what is believed. A guard looks again with every
/// error, for as long as a canary lives: with 3, one that fails exactly as often as is tolerated is
/// taken out in one window of 75, one that fails half as often in none of thousands (decision 0013).
pub const CONFIDENCE_Z: f64 = 3.0;

/// What a canary is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Share of requests that failed.
    ErrorRate,
    /// Share of answers that ended as they should not.
    AbnormalRate,
    /// p95 of the time to first token over stable's, among prompts of a class.
    TtftP95Ratio,
    /// p95 of the time per output token over stable's.
    TpotP95Ratio,
}

impl Measure {
    /// The name in logs and in the admin API: `error_rate`, `abnormal_rate`, `ttft_p95_ratio` or
    /// `tpot_p95_ratio`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::ErrorRate => "error_rate",
            Measure::AbnormalRate => "abnormal_rate",
            Measure::TtftP95Ratio => "ttft_p95_ratio",
            Measure::TpotP95Ratio => "tpot_p95_ratio",
        }
    }
}

/// A measure beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was measured.
    pub what: Measure,
    /// What was seen of it: a share, or a ratio to stable.
    pub observed: f64,
    /// What is tolerated.
    pub limit: f64,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            what,
            observed,
            limit,
        } = self;
        write!(out, "{} {observed:.3} > {limit}", what.as_str())
    }
}

/// What a canary's window says about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Everything that is judged is within its limit.
    Fine {
        /// Whether latencies could be compared; else errors alone speak for it.
        is_compared: bool,
    },
    /// Too little was seen to call it fine.
    TooFew {
        /// Requests seen.
        requests: u32,
        /// Requests needed.
        needed: u32,
    },
    /// Beyond a limit, but it may be chance, or stable does no better.
    Doubtful(Finding),
    /// Surely beyond a limit, and surely worse than stable.
    Breach(Finding),
}

/// Bad ones among so many.
#[derive(Clone, Copy, Debug)]
struct Share {
    bad: u32,
    of: u32,
}

impl Share {
    fn new(bad: u32, of: u32) -> Share {
        // A stream may break a window after it began.
        let of = of.max(bad);
        Share { bad, of }
    }

    /// As if those that are missing to `least` were good.
    fn of_at_least(self, least: u32) -> Share {
        let of = self.of.max(least);
        Share { of, ..self }
    }

    fn rate(self) -> f64 {
        f64::from(self.bad) / f64::from(self.of.max(1))
    }

    /// Where the true share is, at [`CONFIDENCE_Z`]: the score interval of Wilson, "Probable
    /// inference, the law of succession, and statistical inference" (1927).
    fn interval(self) -> (f64, f64) {
        let (n, p, z2) = (f64::from(self.of.max(1)), self.rate(), CONFIDENCE_Z.powi(2));
        let centre = p + z2 / (2.0 * n);
        let half = CONFIDENCE_Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        let low = if self.bad == 0 {
            0.0
        } else {
            (centre - half) / scale
        };
        (low, (centre + half) / scale)
    }

    /// Whether it is surely more than another: method 10 of Newcombe, "Interval estimation for the
    /// difference between independent proportions" (1998).
    fn is_surely_more_than(self, other: Share) -> bool {
        let (low, _) = self.interval();
        let (_, high) = other.interval();
        let (mine, theirs) = (self.rate(), other.rate());
        mine - theirs > ((mine - low).powi(2) + (high - theirs).powi(2)).sqrt()
    }
}

enum Standing {
    Within,
    Doubtful(Finding),
    Beyond(Finding),
}

/// Judges a canary by its window and stable's.
#[must_use]
pub fn judge(settings: &GuardSettings, canary: &Tally, stable: &Tally) -> Verdict {
    let judge = Judge {
        settings,
        canary,
        stable,
    };
    let ttft = judge.compare(Measure::TtftP95Ratio);
    let tpot = judge.compare(Measure::TpotP95Ratio);
    let standings = [
        judge.share(Measure::ErrorRate, |tally| tally.counts.errors()),
        judge.share(Measure::AbnormalRate, |tally| tally.counts.abnormal()),
        judge.latency(Measure::TtftP95Ratio, &ttft),
        judge.latency(Measure::TpotP95Ratio, &tpot),
    ];
    let mut doubt = None;
    for standing in standings {
        match standing {
            Standing::Beyond(finding) => return Verdict::Breach(finding),
            Standing::Doubtful(finding) => doubt = doubt.or(Some(finding)),
            Standing::Within => {}
        }
    }
    let (requests, needed) = (canary.counts.requests, settings.min_requests);
    if requests < needed {
        return Verdict::TooFew { requests, needed };
    }
    let is_whole = |comparison: &Option<Comparison>| {
        comparison.is_none_or(|comparison| comparison.compared >= needed)
    };
    doubt.map_or(
        Verdict::Fine {
            is_compared: is_whole(&ttft) && is_whole(&tpot),
        },
        Verdict::Doubtful,
    )
}

struct Judge<'a> {
    settings: &'a GuardSettings,
    canary: &'a Tally,
    stable: &'a Tally,
}

impl Judge<'_> {
    fn share(&self, what: Measure, bad: fn(&Tally) -> u32) -> Standing {
        let Some(limit) = self.settings.limit(what) else {
            return Standing::Within;
        };
        let share = |tally| Share::new(bad(tally), tally.counts.requests);
        let (canary, stable) = (share(self.canary), share(self.stable));
        let finding = Finding {
            what,
            observed: canary.rate(),
            limit,
        };
        let standing = self.standing(canary, limit, finding);
        let is_stable_known = stable.of >= self.settings.min_requests;
        match standing {
            // What both suffer from, an outage behind them or a client's odd prompts, is not the
            // canary's fault, and taking it out would help nobody.
            Standing::Beyond(finding)
                if is_stable_known
                    && stable.rate() > limit
                    && !canary.is_surely_more_than(stable) =>
            {
                Standing::Doubtful(finding)
            }
            standing => standing,
        }
    }

    /// None where this is not judged.
    fn compare(&self, what: Measure) -> Option<Comparison> {
        let ratio_max = self.settings.limit(what)?;
        let (canary, stable) = (self.canary, self.stable);
        let classes = |tally: &'_ Tally| match what {
            Measure::TpotP95Ratio => vec![tally.tpot.clone()],
            _ => tally.ttft.to_vec(),
        };
        Some(latency::compare(
            &classes(canary),
            &classes(stable),
            ratio_max,
        ))
    }

    /// A quantile is beyond a limit where more than its complement of the samples are: so latencies
    /// are judged as errors are, without a word about how they are distributed.
    fn latency(&self, what: Measure, comparison: &Option<Comparison>) -> Standing {
        let (Some(comparison), Some(limit)) = (comparison, self.settings.limit(what)) else {
            return Standing::Within;
        };
        let finding = Finding {
            what,
            observed: comparison.ratio,
            limit,
        };
        let slow = Share::new(comparison.slow, comparison.compared);
        self.standing(slow, 1.0 - QUANTILE, finding)
    }

    /// What is missing to the minimum counts as good: a breach may show early, and it would be one
    /// still if all went well from there.
    fn standing(&self, canary: Share, limit: f64, finding: Finding) -> Standing {
        let (low, _) = canary.of_at_least(self.settings.min_requests).interval();
        if low > limit {
            Standing::Beyond(finding)
        } else if canary.rate() > limit {
            Standing::Doubtful(finding)
        } else {
            Standing::Within
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::guard::{ErrorClass, Observation};

    fn tally(requests: u32, errors: u32, abnormal: u32) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..errors {
            let failed = Observation::Failed(ErrorClass::Status5xx);
            tally.counts.note(&failed);
        }
        for _ in 0..abnormal {
            let given_up = Observation::Failed(ErrorClass::GivenUp);
            tally.counts.note(&given_up);
        }
        tally.counts.requests = requests;
        tally
    }

    fn with_ttft(mut tally: Tally, samples: u32, ms: u64) -> Tally {
        for _ in 0..samples {
            tally.ttft[0].add(Duration::from_millis(ms));
            tally.tpot.add(Duration::from_millis(ms));
        }
        tally
    }

    /// `fine`, `too few`, or which measure is doubtful or breached.
    fn verdict(settings: &GuardSettings, canary: &Tally, stable: &Tally) -> String {
        match judge(settings, canary, stable) {
            Verdict::Fine { is_compared: true } => "fine".to_owned(),
            Verdict::Fine { is_compared: false } => "fine by errors".to_owned(),
            Verdict::TooFew { .. } => "too few".to_owned(),
            Verdict::Doubtful(finding) => format!("doubtful {}", finding.what.as_str()),
            Verdict::Breach(finding) => format!("breach {}", finding.what.as_str()),
        }
    }

    #[test]
    fn errors_against_the_limit_and_against_stable() {
        let settings = GuardSettings {
            ttft_p95_ratio_max: None,
            ..GuardSettings::default()
        };
        let good = (1_000, 10);
        for (canary, stable, expected) in [
            ((0, 0), good, "too few"),
            ((49, 0), good, "too few"),
            ((50, 0), good, "fine"),
            ((50, 2), good, "fine"),
            ((50, 3), good, "doubtful error_rate"),
            ((50, 7), good, "doubtful error_rate"),
            ((50, 8), good, "breach error_rate"),
            // Before the minimum: as many errors as would be a breach at it.
            ((7, 7), good, "too few"),
            ((8, 8), good, "breach error_rate"),
            ((1_000, 50), good, "fine"),
            ((1_000, 70), good, "doubtful error_rate"),
            ((1_000, 80), good, "breach error_rate"),
            // Streams of before the window break in it.
            ((0, 20), good, "breach error_rate"),
            // Stable fails as well: whose fault is it?
            ((100, 30), (1_000, 300), "doubtful error_rate"),
            ((100, 40), (1_000, 300), "doubtful error_rate"),
            ((100, 60), (1_000, 300), "breach error_rate"),
            ((100, 30), (1_000, 60), "breach error_rate"),
            ((100, 100), (1_000, 1_000), "doubtful error_rate"),
            // Too little is known of stable to excuse anything.
            ((100, 30), (49, 15), "breach error_rate"),
            ((100, 30), (50, 15), "doubtful error_rate"),
        ] {
            let canary = tally(canary.0, canary.1, 0);
            let stable = tally(stable.0, stable.1, 0);
            let counts = (canary.counts, stable.counts);
            assert_eq!(verdict(&settings, &canary, &stable), expected, "{counts:?}");
        }
    }

    #[test]
    fn abnormal_ends_only_where_they_are_judged() {
        let (canary, stable) = (tally(100, 0, 60), tally(100, 0, 2));
        let mut settings = GuardSettings {
            ttft_p95_ratio_max: None,
            ..GuardSettings::default()
        };
        settings.abnormal_rate_max = None;
        assert_eq!(verdict(&settings, &canary, &stable), "fine");
        settings.abnormal_rate_max = Some(0.2);
        assert_eq!(verdict(&settings, &canary, &stable), "breach abnormal_rate");
        let as_usual = tally(100, 0, 55);
        let shared = verdict(&settings, &canary, &as_usual);
        assert_eq!(shared, "doubtful abnormal_rate");
    }

    #[test]
    fn latency_against_stable() {
        let plain = || tally(50, 0, 0);
        let stable = with_ttft(plain(), 50, 100);
        let mut settings = GuardSettings::default();
        let slow = with_ttft(plain(), 50, 300);
        assert_eq!(verdict(&settings, &slow, &stable), "breach ttft_p95_ratio");
        let equal = with_ttft(plain(), 50, 110);
        assert_eq!(verdict(&settings, &equal, &stable), "fine");
        let some = with_ttft(with_ttft(plain(), 45, 100), 5, 300);
        assert_eq!(
            verdict(&settings, &some, &stable),
            "doubtful ttft_p95_ratio"
        );
        // As errors are: early where it is sure, never on a few.
        let few = |samples| with_ttft(tally(samples, 0, 0), samples, 300);
        assert_eq!(verdict(&settings, &few(7), &stable), "too few");
        assert_eq!(
            verdict(&settings, &few(8), &stable),
            "breach ttft_p95_ratio"
        );
        // Nothing to compare with, and it says so.
        assert_eq!(verdict(&settings, &slow, &plain()), "fine by errors");
        settings.ttft_p95_ratio_max = None;
        assert_eq!(verdict(&settings, &slow, &stable), "fine");
        settings.tpot_p95_ratio_max = Some(1.5);
        assert_eq!(verdict(&settings, &slow, &stable), "breach tpot_p95_ratio");
    }

    #[test]
    fn a_limit_of_nothing_trips_on_one_error_and_of_all_on_none() {
        let with_limit = |error_rate_max| GuardSettings {
            error_rate_max,
            ttft_p95_ratio_max: None,
            ..GuardSettings::default()
        };
        let (good, one, all) = (tally(50, 0, 0), tally(50, 1, 0), tally(50, 50, 0));
        assert_eq!(verdict(&with_limit(0.0), &good, &good), "fine");
        assert_eq!(verdict(&with_limit(0.0), &one, &good), "breach error_rate");
        assert_eq!(verdict(&with_limit(1.0), &all, &good), "fine");
    }

    #[test]
    fn a_finding_can_be_read() {
        let finding = Finding {
            what: Measure::ErrorRate,
            observed: 0.314_159,
            limit: 0.05,
        };
        assert_eq!(finding.to_string(), "error_rate 0.314 > 0.05");
    }

    /// Looks after every request of a window that always holds 50, as often as a guard ever would.
    /// Returns breaches, and requests before each.
    fn breaches(error_rate: f64, requests: u32) -> Vec<usize> {
        let settings = GuardSettings::default();
        let stable = tally(1_000, 0, 0);
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut window, mut breaches, mut since) = (VecDeque::new(), Vec::new(), 0);
        for _ in 0..requests {
            since += 1;
            let is_error = rng.random_bool(error_rate);
            window.push_back(is_error);
            if window.len() > settings.min_requests as usize {
                window.pop_front();
            }
            let errors = window.iter().filter(|is_error| **is_error).count() as u32;
            let canary = tally(window.len() as u32, errors, 0);
            if is_error && matches!(judge(&settings, &canary, &stable), Verdict::Breach(_)) {
                breaches.push(since);
                window.clear();
                since = 0;
            }
        }
        breaches
    }

    /// The claims of decision 0013.
    #[test]
    fn healthy_canaries_stay_and_failing_ones_are_out_within_the_minimum() {
        let windows = 2_000;
        let in_windows = |error_rate| breaches(error_rate, windows * 50).len();
        assert_eq!(in_windows(0.01), 0);
        assert!(in_windows(0.02) <= 1);
        assert!(in_windows(0.03) <= windows as usize / 200);
        let at_the_limit = in_windows(0.05);
        assert!(at_the_limit < windows as usize / 10, "{at_the_limit}");
        let mut needed = breaches(0.3, windows * 50);
        needed.sort_unstable();
        let (median, p99) = (needed[needed.len() / 2], needed[needed.len() * 99 / 100]);
        assert!(median <= 30 && p99 <= 55, "{median} {p99}");
    }
}
