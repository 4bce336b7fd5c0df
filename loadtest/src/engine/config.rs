//! What an operator or a test can choose about a simulated engine, with vLLM's defaults.

use super::model::{HOST_LOAD_TOKENS_PER_S, HostTier, ModelConfig, Scheduling, TierFill, Timing};

/// Longest prompt body read, in bytes; larger ones get 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most answers (prompts times `n`) one HTTP request may ask for.
pub const CHOICES_MAX: usize = 128;
/// Tokens generated when the client names no limit.
pub const DEFAULT_OUTPUT_TOKENS: u64 = 128;

/// Everything about one simulated engine but its address.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Served names; the first is the main one. At least one.
    pub models: Vec<String>,
    /// KV cache size in tokens; rounded down to whole blocks.
    pub capacity_tokens: u64,
    /// Tokens in one cache block, 1..=4096 (vLLM: `--block-size`).
    pub block_tokens: u64,
    /// Tokens computed in one step at most (vLLM: `--max-num-batched-tokens`).
    pub max_batched_tokens: u64,
    /// Requests running at once at most (vLLM: `--max-num-seqs`).
    pub max_seqs: usize,
    /// Longest prompt plus answer in tokens (vLLM: `--max-model-len`).
    pub max_model_tokens: u64,
    /// Most prompt tokens of one request in one step; 0 for no limit but the step's (vLLM:
    /// `--long-prefill-token-threshold`).
    pub long_prefill_tokens: u64,
    /// In which order waiting requests are admitted (vLLM: `--scheduling-policy`).
    pub scheduling: Scheduling,
    /// Size in tokens of a KV cache in host memory, rounded down to whole blocks; 0 for none
    /// (vLLM: `--kv-offloading-size`).
    pub host_tier_tokens: u64,
    /// Tokens a second copied from it to the device, above 0; `speed` multiplies it.
    pub host_tier_tokens_per_s: f64,
    /// When blocks enter it.
    pub host_tier_fill: TierFill,
    /// How many times faster than the modelled GPU server; above 0, may be infinite.
    pub speed: f64,
    /// Answer at once with a small fixed body, without parsing or modelling the request: for
    /// measuring the CPU cost of what stands in front. The last request is not recorded.
    pub instant: bool,
    /// Share of inference requests answered with 503, 0..=1.
    pub fail_ratio: f64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            models: vec!["sim".to_owned()],
            capacity_tokens: 1_000_000,
            block_tokens: 16,
            max_batched_tokens: 8192,
            max_seqs: 256,
            max_model_tokens: 262_144,
            long_prefill_tokens: 0,
            scheduling: Scheduling::default(),
            host_tier_tokens: 0,
            host_tier_tokens_per_s: HOST_LOAD_TOKENS_PER_S,
            host_tier_fill: TierFill::default(),
            speed: 1.0,
            instant: false,
            fail_ratio: 0.0,
        }
    }
}

/// Why an [`EngineConfig`] makes no engine. The operator's fault; names the field and the range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No model name, or an empty one.
    #[error("models must hold at least one non-empty name")]
    NoModel,
    /// A number out of its range.
    #[error("{field} is {value} but must be {range}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        range: &'static str,
    },
}

impl EngineConfig {
    /// The size and speed of the model behind the HTTP face.
    ///
    /// # Errors
    /// When a field is out of its range.
    pub fn model_config(&self) -> Result<ModelConfig, ConfigError> {
        if self.models.is_empty() || self.models.iter().any(String::is_empty) {
            return Err(ConfigError::NoModel);
        }
        self.check_ranges()?;
        Ok(ModelConfig {
            block_tokens: self.block_tokens,
            capacity_blocks: self.capacity_tokens / self.block_tokens,
            max_batched_tokens: self.max_batched_tokens,
            max_seqs: self.max_seqs,
            long_prefill_tokens: Some(self.long_prefill_tokens).filter(|tokens| *tokens > 0),
            scheduling: self.scheduling,
            host_tier: self.host_tier(),
            timing: Timing {
                speed: self.speed,
                ..Timing::default()
            },
            token_events: true,
        })
    }

    fn host_tier(&self) -> Option<HostTier> {
        (self.host_tier_tokens > 0).then_some(HostTier {
            capacity_blocks: self.host_tier_tokens / self.block_tokens,
            load_tokens_per_s: self.host_tier_tokens_per_s * self.speed,
            fill: self.host_tier_fill,
        })
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let checks = [
            (
                "block_tokens",
                self.block_tokens.to_string(),
                "1..=4096",
                (1..=4096).contains(&self.block_tokens),
            ),
            (
                "capacity_tokens",
                self.capacity_tokens.to_string(),
                "at least one block",
                self.capacity_tokens >= self.block_tokens,
            ),
            (
                "max_batched_tokens",
                self.max_batched_tokens.to_string(),
                "at least 1",
                self.max_batched_tokens >= 1,
            ),
            (
                "max_seqs",
                self.max_seqs.to_string(),
                "at least 1",
                self.max_seqs >= 1,
            ),
            (
                "max_model_tokens",
                self.max_model_tokens.to_string(),
                "at least 2",
                self.max_model_tokens >= 2,
            ),
            (
                "host_tier_tokens",
                self.host_tier_tokens.to_string(),
                "0 or at least one block",
                self.host_tier_tokens == 0 || self.host_tier_tokens >= self.block_tokens,
            ),
            (
                "host_tier_tokens_per_s",
                self.host_tier_tokens_per_s.to_string(),
                "above 0",
                self.host_tier_tokens_per_s > 0.0,
            ),
            ("speed", self.speed.to_string(), "above 0", self.speed > 0.0),
            (
                "fail_ratio",
                self.fail_ratio.to_string(),
                "0..=1",
                (0.0..=1.0).contains(&self.fail_ratio),
            ),
        ];
        match checks.into_iter().find(|(.., ok)| !ok) {
            Some((field, value, range, _)) => Err(ConfigError::OutOfRange {
                field,
                value,
                range,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        let model = EngineConfig::default().model_config().unwrap();
        assert_eq!(model, ModelConfig::default(), "one set of defaults");
    }

    #[test]
    fn zero_means_off_for_the_optional_flags() {
        let model = EngineConfig {
            long_prefill_tokens: 1,
            host_tier_tokens: 33,
            speed: 2.0,
            ..EngineConfig::default()
        }
        .model_config()
        .unwrap();
        assert_eq!(model.long_prefill_tokens, Some(1));
        let tier = model.host_tier.unwrap();
        assert_eq!(tier.capacity_blocks, 2);
        assert_eq!(tier.load_tokens_per_s, 2.0 * HOST_LOAD_TOKENS_PER_S);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let base = EngineConfig::default;
        let wrong = [
            EngineConfig {
                models: vec![],
                ..base()
            },
            EngineConfig {
                models: vec![String::new()],
                ..base()
            },
            EngineConfig {
                block_tokens: 0,
                ..base()
            },
            EngineConfig {
                block_tokens: 4097,
                ..base()
            },
            EngineConfig {
                capacity_tokens: 15,
                ..base()
            },
            EngineConfig {
                max_batched_tokens: 0,
                ..base()
            },
            EngineConfig {
                max_seqs: 0,
                ..base()
            },
            EngineConfig {
                max_model_tokens: 1,
                ..base()
            },
            EngineConfig {
                host_tier_tokens: 15,
                ..base()
            },
            EngineConfig {
                host_tier_tokens_per_s: 0.0,
                ..base()
            },
            EngineConfig {
                speed: 0.0,
                ..base()
            },
            EngineConfig {
                speed: f64::NAN,
                ..base()
            },
            EngineConfig {
                fail_ratio: 1.01,
                ..base()
            },
        ];
        for config in wrong {
            assert!(config.model_config().is_err(), "{config:?}");
        }
    }

    #[test]
    fn the_ends_of_the_ranges_are_allowed() {
        let base = EngineConfig::default;
        let right = [
            EngineConfig {
                block_tokens: 4096,
                ..base()
            },
            EngineConfig {
                capacity_tokens: 16,
                host_tier_tokens: 16,
                ..base()
            },
            EngineConfig {
                speed: f64::INFINITY,
                fail_ratio: 1.0,
                ..base()
            },
        ];
        for config in right {
            assert!(config.model_config().is_ok(), "{config:?}");
        }
    }
}
