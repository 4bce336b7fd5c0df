//! Turns what one engine step computes into how long it takes, without a GPU.

use std::time::Duration;

/// What one step of continuous batching computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepWork {
    /// Prompt tokens computed in this step.
    pub prefill_tokens: u64,
    /// Sum over those tokens of the tokens before them, i.e. what their attention reads.
    pub prefill_context_tokens: u64,
    /// Requests that produce one more token by decoding.
    pub decodes: u64,
    /// Sum over decoding requests of the tokens they hold.
    pub decode_context_tokens: u64,
}

/// Linear cost of a step. The default is a 70B-class model on four H100 at about half of peak,
/// from FLOP and byte counts (140 GFLOP a token, 2.6 MFLOP a token of context, 164 kB of KV a
/// token); an estimate, not a fit: believe ratios, not digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Fixed seconds of every step.
    pub step_s: f64,
    /// Seconds for each prompt token computed.
    pub per_prefill_token_s: f64,
    /// Seconds for each prompt token computed and token of its context.
    pub per_prefill_context_token_s: f64,
    /// Seconds for each decoding request.
    pub per_decode_s: f64,
    /// Seconds for each token held by a decoding request.
    pub per_decode_context_token_s: f64,
    /// Everything is divided by this; above 0. Infinity makes every step take no time.
    pub speed: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            step_s: 15e-3,
            per_prefill_token_s: 65e-6,
            per_prefill_context_token_s: 1e-9,
            per_decode_s: 50e-6,
            per_decode_context_token_s: 20e-9,
            speed: 1.0,
        }
    }
}

impl Timing {
    /// How long a step with this work takes.
    ///
    /// ```
    /// use warmgate_loadtest::engine::{StepWork, Timing};
    /// let work = StepWork { prefill_tokens: 1000, ..StepWork::default() };
    /// assert_eq!(Timing::default().step_time(&work).as_millis(), 80); // 15 ms + 1000 x 65 us
    /// ```
    pub fn step_time(&self, work: &StepWork) -> Duration {
        let seconds = self.step_s
            + self.per_prefill_token_s * work.prefill_tokens as f64
            + self.per_prefill_context_token_s * work.prefill_context_tokens as f64
            + self.per_decode_s * work.decodes as f64
            + self.per_decode_context_token_s * work.decode_context_tokens as f64;
        Duration::try_from_secs_f64(seconds / self.speed).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_counts() {
        let work = StepWork {
            prefill_tokens: 1_000,
            prefill_context_tokens: 1_000_000,
            decodes: 10,
            decode_context_tokens: 50_000,
        };
        // 15 + 65 + 1 + 0.5 + 1 ms
        assert_eq!(
            Timing::default().step_time(&work),
            Duration::from_micros(82_500)
        );
    }

    #[test]
    fn speed_divides_and_infinity_is_free() {
        let at = |speed| {
            Timing {
                speed,
                ..Timing::default()
            }
            .step_time(&StepWork::default())
        };
        assert_eq!(at(2.0), Duration::from_micros(7_500));
        assert_eq!(at(f64::INFINITY), Duration::ZERO);
    }
}
