//! A gateway is judged by what it does when engines misbehave; this makes them misbehave on
//! demand, a counted number of times.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

/// Planned faults kept at most; more are refused.
pub const FAULTS_MAX: usize = 1024;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answer with this status and an error body before any work.
    Status {
        /// 400..=599.
        code: u16,
    },
    /// Reset the connection (TCP RST) without a response.
    Reset,
    /// Answer 200, then an error event inside the stream, as vLLM does when its core dies.
    MidStreamError {
        /// Tokens sent before it.
        #[serde(default)]
        after_tokens: u64,
    },
    /// Answer 200, then reset the connection inside the stream.
    MidStreamReset {
        /// Tokens sent before it.
        #[serde(default)]
        after_tokens: u64,
    },
    /// Accept the request and never answer.
    Hang,
    /// Not a fault of inference: the next `count` health checks answer 503.
    Unhealthy,
}

/// A fault and how many inference requests it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// To how many requests; at least 1.
    #[serde(default = "once")]
    pub count: u32,
}

fn once() -> u32 {
    1
}

/// Why a fault was not planned. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Status outside 400..=599, or a count of 0.
    #[error("status must be 400..=599 and count at least 1")]
    OutOfRange,
    /// Too many planned.
    #[error("at most {FAULTS_MAX} faults can be planned")]
    Full,
}

/// Faults to come, in order, and a background rate of failures.
#[derive(Debug)]
pub(super) struct FaultPlan {
    planned: Mutex<VecDeque<Fault>>,
    unhealthy_checks: AtomicU32,
    fail_ratio: f64,
}

impl FaultPlan {
    pub(super) fn new(fail_ratio: f64) -> Self {
        Self {
            planned: Mutex::default(),
            unhealthy_checks: AtomicU32::new(0),
            fail_ratio,
        }
    }

    pub(super) fn plan(&self, fault: Fault) -> Result<(), FaultError> {
        let status_ok = match fault.kind {
            FaultKind::Status { code } => (400..=599).contains(&code),
            _ => true,
        };
        if !status_ok || fault.count == 0 {
            return Err(FaultError::OutOfRange);
        }
        if fault.kind == FaultKind::Unhealthy {
            self.unhealthy_checks.store(fault.count, Ordering::SeqCst);
            return Ok(());
        }
        let mut planned = self.planned.lock();
        if planned.len() >= FAULTS_MAX {
            return Err(FaultError::Full);
        }
        planned.push_back(fault);
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.planned.lock().clear();
        self.unhealthy_checks.store(0, Ordering::SeqCst);
    }

    /// Books a health check; false when it is to fail.
    pub(super) fn health_check(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.unhealthy_checks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_err()
    }

    /// The fault for inference request number `sequence`, if any.
    pub(super) fn take(&self, sequence: u64) -> Option<FaultKind> {
        let mut planned = self.planned.lock();
        if let Some(fault) = planned.front_mut() {
            let kind = fault.kind;
            fault.count -= 1;
            if fault.count == 0 {
                planned.pop_front();
            }
            return Some(kind);
        }
        drop(planned);
        // The hash of a counter is chance enough, and repeats from run to run.
        let draw = xxh3_64(&sequence.to_le_bytes()) as f64 / u64::MAX as f64;
        (draw < self.fail_ratio).then_some(FaultKind::Status { code: 503 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_end() {
        let plan = FaultPlan::new(0.0);
        plan.plan(Fault {
            kind: FaultKind::Reset,
            count: 2,
        })
        .unwrap();
        plan.plan(Fault {
            kind: FaultKind::Hang,
            count: 1,
        })
        .unwrap();
        let taken: Vec<_> = (0..4).map(|n| plan.take(n)).collect();
        let reset = Some(FaultKind::Reset);
        assert_eq!(taken, [reset, reset, Some(FaultKind::Hang), None]);
    }

    #[test]
    fn the_json_form_is_flat() {
        let parse = |text| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(
            parse(r#"{"kind":"status","code":503,"count":3}"#),
            Fault {
                kind: FaultKind::Status { code: 503 },
                count: 3
            }
        );
        assert_eq!(
            parse(r#"{"kind":"mid_stream_error"}"#),
            Fault {
                kind: FaultKind::MidStreamError { after_tokens: 0 },
                count: 1
            }
        );
        assert!(serde_json::from_str::<Fault>(r#"{"kind":"nonsense"}"#).is_err());
    }

    #[test]
    fn health_checks_fail_apart_from_inference() {
        let plan = FaultPlan::new(0.0);
        plan.plan(Fault {
            kind: FaultKind::Unhealthy,
            count: 2,
        })
        .unwrap();
        assert_eq!(plan.take(0), None);
        let checks: Vec<bool> = (0..3).map(|_| plan.health_check()).collect();
        assert_eq!(checks, [false, false, true]);
        plan.plan(Fault {
            kind: FaultKind::Unhealthy,
            count: u32::MAX,
        })
        .unwrap();
        plan.clear();
        assert!(plan.health_check());
    }

    #[test]
    fn limits_hold() {
        let plan = FaultPlan::new(0.0);
        let status = |code| Fault {
            kind: FaultKind::Status { code },
            count: 1,
        };
        assert_eq!(plan.plan(status(399)), Err(FaultError::OutOfRange));
        assert_eq!(plan.plan(status(600)), Err(FaultError::OutOfRange));
        let never = Fault {
            kind: FaultKind::Reset,
            count: 0,
        };
        assert_eq!(plan.plan(never), Err(FaultError::OutOfRange));
        for _ in 0..FAULTS_MAX {
            plan.plan(status(500)).unwrap();
        }
        assert_eq!(plan.plan(status(500)), Err(FaultError::Full));
        plan.clear();
        assert_eq!(plan.take(0), None);
    }

    #[test]
    fn the_fail_ratio_is_kept() {
        let plan = FaultPlan::new(0.25);
        let failed = (0..4000).filter(|n| plan.take(*n).is_some()).count();
        assert!((900..=1100).contains(&failed), "{failed} of 4000");
    }
}
