//! What a guard tolerates, and the steps between which it watches.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::verdict::Measure;

/// Span of a window, in seconds: shorter and there are no requests in it, longer and good times of
/// long ago outvote a failure of now.
pub const WINDOW_S: std::ops::RangeInclusive<u64> = 1..=3_600;
/// Requests in a window that allow a verdict: of fewer than five, one error would be a breach.
pub const MIN_REQUESTS: std::ops::RangeInclusive<u32> = 5..=1_000_000;
/// Ratios of a canary's latency to stable's that can be told from 1 by bins of 9 %.
pub const RATIO_MAX: std::ops::RangeInclusive<f64> = 1.2..=100.0;
/// Steps of a rollout.
pub const STEPS_MAX: usize = 32;
/// Weight of a step, in percent of the route.
pub const STEP_WEIGHT: std::ops::RangeInclusive<u32> = 1..=100;
/// Longest hold of a step, in seconds: thirty days.
pub const HOLD_S_MAX: u64 = 30 * 24 * 3_600;

/// What a canary may do, over a sliding window, before it is taken out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// Span of the window in seconds. A minute is many requests where there is traffic at
    /// all, and short enough that a failure is not outvoted by what was before.
    #[schemars(range(min = 1, max = 3_600))]
    pub window_s: u64,
    /// Requests of the canary in the window without which it is not called fine. With
    /// 50, a canary that fails one request in a hundred is not mistaken for one that fails one in
    /// twenty.
    #[schemars(range(min = 5, max = 1_000_000))]
    pub min_requests: u32,
    /// Share of requests that may fail (5xx, no connection, no answer, broken streams).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate_max: f64,
    /// How many times stable's p95 of the time to first token the canary's may be, among
    /// prompts of which as much had to be computed; `null`: not judged. Twice is beyond what two
    /// deployments of one model differ by.
    #[schemars(range(min = 1.2, max = 100.0))]
    pub ttft_p95_ratio_max: Option<f64>,
    /// The same of the time per output token. Not judged unless set: another model or quantisation
    /// has another pace on purpose.
    #[schemars(range(min = 1.2, max = 100.0))]
    pub tpot_p95_ratio_max: Option<f64>,
    /// Share of answers that the engine may give up (finish reasons `abort` and `error`);
    /// `null`: not judged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub abnormal_rate_max: Option<f64>,
    /// The weight of a canary that has breached any of this.
    pub on_breach: OnBreach,
}

impl Default for GuardSettings {
    fn default() -> GuardSettings {
        GuardSettings {
            window_s: 60,
            min_requests: 50,
            error_rate_max: 0.05,
            ttft_p95_ratio_max: Some(2.0),
            tpot_p95_ratio_max: None,
            abnormal_rate_max: Some(0.05),
            on_breach: OnBreach::Out,
        }
    }
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The canary's share in percent of the route, more than in the step before.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
    /// Seconds for which the canary has to be fine before the next step, at most thirty days.
    #[schemars(range(max = 2_592_000))]
    pub hold_s: u64,
}

/// The weight of a canary that has breached what is tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// Weight 0: what it did wrong it does to whoever it is given.
    #[default]
    Out,
    /// The weight of the step before, for a canary that fails under load only; 0 if it breaches
    /// again there, or where there is no step before.
    LastGoodStep,
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct GuardSettingsError {
    /// The step's place, where it is about one.
    pub place: Option<usize>,
    /// The key, such as `window_s` or `weight`; empty where it is about all steps.
    pub key: &'static str,
    /// What is wrong and what to write, without the key.
    pub problem: String,
}

fn error(key: &'static str, problem: String) -> Result<(), GuardSettingsError> {
    let place = None;
    Err(GuardSettingsError {
        place,
        key,
        problem,
    })
}

impl GuardSettings {
    /// Whether every value is in its range.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn check(&self) -> Result<(), GuardSettingsError> {
        if !WINDOW_S.contains(&self.window_s) {
            let (least, most) = WINDOW_S.into_inner();
            return error("window_s", format!("write {least} to {most} seconds"));
        }
        if !MIN_REQUESTS.contains(&self.min_requests) {
            let (least, most) = MIN_REQUESTS.into_inner();
            return error("min_requests", format!("write {least} to {most} requests"));
        }
        let rates = [
            ("error_rate_max", Some(self.error_rate_max)),
            ("abnormal_rate_max", self.abnormal_rate_max),
        ];
        for (key, rate) in rates {
            if rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
                return error(key, "write a share from 0 to 1".to_owned());
            }
        }
        let ratios = [
            ("ttft_p95_ratio_max", self.ttft_p95_ratio_max),
            ("tpot_p95_ratio_max", self.tpot_p95_ratio_max),
        ];
        for (key, ratio) in ratios {
            if ratio.is_some_and(|ratio| !RATIO_MAX.contains(&ratio)) {
                let (least, most) = RATIO_MAX.into_inner();
                return error(key, format!("write a ratio from {least} to {most}"));
            }
        }
        Ok(())
    }

    /// Span of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_s)
    }

    /// What is tolerated of a measure; none where it is not judged.
    #[must_use]
    pub fn limit(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::ErrorRate => Some(self.error_rate_max),
            Measure::AbnormalRate => self.abnormal_rate_max,
            Measure::TtftP95Ratio => self.ttft_p95_ratio_max,
            Measure::TpotP95Ratio => self.tpot_p95_ratio_max,
        }
    }
}

/// Whether steps make a rollout: few enough, each in its range, and rising.
///
/// # Errors
/// Names the first that does not.
pub fn check_steps(steps: &[Step]) -> Result<(), GuardSettingsError> {
    if steps.len() > STEPS_MAX {
        return error("", format!("write at most {STEPS_MAX} steps"));
    }
    let mut before = 0;
    for (place, step) in steps.iter().enumerate() {
        let about = |key, problem| {
            Err(GuardSettingsError {
                place: Some(place),
                key,
                problem,
            })
        };
        if !STEP_WEIGHT.contains(&step.weight) || step.weight <= before {
            let least = before + 1;
            let problem = format!("write a percentage from {least} to 100: steps only rise");
            return about("weight", problem);
        }
        if step.hold_s > HOLD_S_MAX {
            return about("hold_s", format!("write at most {HOLD_S_MAX} seconds"));
        }
        before = step.weight;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_range() {
        type Change = fn(&mut GuardSettings);
        let cases: [(&str, Change, Change); 8] = [
            ("window_s", |s| s.window_s = 1, |s| s.window_s = 0),
            ("window_s", |s| s.window_s = 3_600, |s| s.window_s = 3_601),
            (
                "min_requests",
                |s| s.min_requests = 5,
                |s| s.min_requests = 4,
            ),
            (
                "min_requests",
                |s| s.min_requests = 1_000_000,
                |s| s.min_requests = 1_000_001,
            ),
            (
                "error_rate_max",
                |s| s.error_rate_max = 1.0,
                |s| s.error_rate_max = 1.01,
            ),
            (
                "abnormal_rate_max",
                |s| s.abnormal_rate_max = Some(0.0),
                |s| s.abnormal_rate_max = Some(f64::NAN),
            ),
            (
                "ttft_p95_ratio_max",
                |s| s.ttft_p95_ratio_max = Some(1.2),
                |s| s.ttft_p95_ratio_max = Some(1.19),
            ),
            (
                "tpot_p95_ratio_max",
                |s| s.tpot_p95_ratio_max = Some(100.0),
                |s| s.tpot_p95_ratio_max = Some(101.0),
            ),
        ];
        assert_eq!(GuardSettings::default().check(), Ok(()));
        for (key, within, beyond) in cases {
            let mut settings = GuardSettings::default();
            within(&mut settings);
            assert_eq!(settings.check(), Ok(()), "{key}");
            beyond(&mut settings);
            assert_eq!(settings.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn steps_are_few_rise_and_end() {
        let steps = |weights: &[u32]| -> Vec<Step> {
            let step = |weight: &u32| Step {
                weight: *weight,
                hold_s: HOLD_S_MAX,
            };
            weights.iter().map(step).collect()
        };
        let key = |weights: &[u32]| {
            let error = check_steps(&steps(weights)).err()?;
            Some((error.place, error.key))
        };
        assert_eq!(key(&[]), None);
        assert_eq!(key(&[1, 5, 25, 50, 100]), None);
        assert_eq!(key(&[0, 5]), Some((Some(0), "weight")));
        assert_eq!(key(&[5, 101]), Some((Some(1), "weight")));
        assert_eq!(key(&[5, 5]), Some((Some(1), "weight")));
        let rising: Vec<u32> = (1..=STEPS_MAX as u32 + 1).collect();
        assert_eq!(key(&rising[..STEPS_MAX]), None);
        assert_eq!(key(&rising), Some((None, "")));
        let mut long = steps(&[1, 2]);
        long[1].hold_s += 1;
        assert_eq!(check_steps(&long).unwrap_err().key, "hold_s");
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        let read = |text| serde_json::from_str::<GuardSettings>(text);
        assert_eq!(read("{}").unwrap(), GuardSettings::default());
        let off = read(r#"{"ttft_p95_ratio_max": null}"#).unwrap();
        assert_eq!(off.limit(Measure::TtftP95Ratio), None);
        assert!(read(r#"{"window": 1}"#).is_err());
    }
}
