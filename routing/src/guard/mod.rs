//! Guards: taking a bad version out before many have met it, and letting a good one in step by step.
//!
//! # When
//! A route has a stable target and others, its canaries. What fails or is slow in a canary shows only
//! under real traffic, and people look too late. A guard compares each canary with stable over a
//! sliding window; on a breach the canary's weight falls to 0, or to that of the last good step. With
//! steps it also rises by itself, as long as the canary is fine.
//!
//! # How a canary is judged
//! By the share of requests that failed, the share of answers that the engine gave up, and p95 of TTFT
//! and TPOT over stable's. Every judgement is about a share of requests, for p95 that of the requests
//! slower than the limit times stable's p95, which must not be more than 5 %:
//!
//! | the share | verdict | what follows |
//! |---|---|---|
//! | is surely beyond the limit: the lower bound of its interval at three sigma is | [`Verdict::Breach`] | out |
//! | the same, but stable is beyond it too and the canary not surely worse | [`Verdict::Doubtful`] | waits |
//! | is beyond it as seen, which may be chance | [`Verdict::Doubtful`] | waits |
//! | is within, of fewer requests than the minimum | [`Verdict::TooFew`] | waits |
//! | is within | [`Verdict::Fine`] | time counts towards the step's hold |
//!
//! Requests that are missing to the minimum are taken to be good, so that a canary that fails outright
//! is out before it has failed so many. A TTFT is compared with those of prompts of which about as
//! much had to be computed: conversations that just moved are cold, which is not the canary's fault.
//! Why these rules, and what they were tried on: decision 0013.
//!
//! | file | what |
//! |---|---|
//! | `observation`, `latency`, `window` | what is seen -> what a target did lately |
//! | `settings` | what is tolerated, and steps |
//! | `verdict` | two windows -> a verdict |
//! | `rollout` | verdicts and time -> step, trip, weight |
//! | `route` | all that for the targets of a route; weights, events, saved state |
//!
//! ```
//! use std::time::{Duration, Instant};
//! use warmgate_routing::Tokens;
//! use warmgate_routing::guard::{
//!     ErrorClass, GuardPlan, GuardSettings, GuardedTarget, Moment, Observation, RolloutEvent,
//!     RouteGuard, Step,
//! };
//!
//! let target = |name: &str| GuardedTarget {
//!     name: name.into(),
//!     weight: 1,
//!     serves: format!("pool-{name}"),
//! };
//! let plan = GuardPlan {
//!     targets: vec![target("stable"), target("canary")],
//!     stable: 0,
//!     settings: GuardSettings::default(),
//!     steps: vec![Step { weight: 5, hold_s: 60 }, Step { weight: 100, hold_s: 60 }],
//! };
//! let mut now = Moment { steady: Instant::now(), unix_ms: 1_800_000_000_000 };
//! let guard = RouteGuard::new(plan, now);
//! assert_eq!((guard.weight(0), guard.weight(1)), (95, 5));
//!
//! // Every second request of the canary fails: the eighth error is one too many.
//! let good = Observation::Begun {
//!     ttft: Duration::from_millis(80),
//!     is_stream: true,
//!     uncached: Tokens(300),
//! };
//! let bad = Observation::Failed(ErrorClass::Status5xx);
//! let mut event = None;
//! for number in 0..16 {
//!     assert_eq!(event, None);
//!     now.steady += Duration::from_millis(500);
//!     let seen = if number % 2 == 0 { &good } else { &bad };
//!     event = guard.observe(1, seen, now.steady, now);
//! }
//! let event = event.expect("tripped");
//! assert!(matches!(event.event, RolloutEvent::Tripped { from: 5, to: 0, .. }));
//! assert_eq!((guard.weight(0), guard.weight(1)), (100, 0));
//!
//! guard.reset("canary", now);
//! assert_eq!(guard.weight(1), 5);
//! ```

mod latency;
mod observation;
mod rollout;
mod route;
mod settings;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

pub use latency::{BINS_PER_OCTAVE, CLASS_SAMPLES_MIN};
pub use observation::{Counts, ErrorClass, Observation};
pub use rollout::{Moment, Phase, Progress, Rollout, RolloutEvent, Trip};
pub use route::{
    Fingerprint, GuardEvent, GuardPlan, GuardedTarget, NotResumed, RouteGuard, SavedGuard,
    TargetReport,
};
pub use settings::{
    GuardSettings, GuardSettingsError, HOLD_S_MAX, MIN_REQUESTS, OnBreach, RATIO_MAX, STEP_WEIGHT,
    STEPS_MAX, Step, WINDOW_S, check_steps,
};
pub use verdict::{CONFIDENCE_Z, Finding, Measure, Verdict, judge};
pub use window::{SLOTS, Tally, Window};
