//! Where feedback on the caches of one pool's endpoints comes from, and which of them have lost
//! theirs. Routing forgets and goes on; operators want to see it later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use warmgate_routing::Tokens;
use warmgate_routing::report::EngineReport;

use crate::stream::Usage;

/// What corrects the beliefs about an endpoint's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// It has answered nothing yet.
    Unknown,
    /// Its answers tell how many prompt tokens were cached.
    Answers,
    /// Its answers do not, the counters of its metrics page do.
    Counters,
    /// Nothing: neither says anything of hits.
    None,
    /// Nothing: the configuration says so.
    Off,
}

impl Feedback {
    /// Every source.
    pub const ALL: [Feedback; 5] = [
        Feedback::Unknown,
        Feedback::Answers,
        Feedback::Counters,
        Feedback::None,
        Feedback::Off,
    ];

    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Feedback::Unknown => "unknown",
            Feedback::Answers => "answers",
            Feedback::Counters => "counters",
            Feedback::None => "none",
            Feedback::Off => "off",
        }
    }
}

/// Losses of one endpoint's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// How many were noticed.
    pub count: u64,
    /// When the last was.
    pub last_at: Option<SystemTime>,
}

/// One pool's endpoints, by host and port. Concurrent.
#[derive(Debug, Default)]
pub struct Caches {
    is_off: AtomicBool,
    by_endpoint: Mutex<HashMap<Arc<str>, Known>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Whether answers have told what was cached; none before the first.
    tells: Option<bool>,
    losses: Losses,
}

impl Caches {
    /// Whether the configuration lets feedback correct anything.
    pub fn set_feedback(&self, is_on: bool) {
        self.is_off.store(!is_on, Ordering::Relaxed);
    }

    /// An endpoint has answered. Returns the tokens that were cached as it means them: older
    /// releases of vLLM leave the count out where it is zero (0.32 says zero), so of one that has
    /// told before, silence is zero.
    pub fn heard(&self, endpoint: &Arc<str>, usage: Usage) -> Option<Tokens> {
        let has_generated = usage.completion.is_some_and(|tokens| tokens > Tokens::ZERO);
        if usage.cached.is_none() && !(has_generated && usage.prompt.is_some()) {
            return None;
        }
        let mut known = self.by_endpoint.lock();
        let tells = &mut known.entry(Arc::clone(endpoint)).or_default().tells;
        let has_told = *tells == Some(true);
        *tells = Some(has_told || usage.cached.is_some());
        usage.cached.or(has_told.then_some(Tokens::ZERO))
    }

    /// An endpoint has lost its cache.
    pub fn lost(&self, endpoint: &Arc<str>, at: SystemTime) {
        let mut known = self.by_endpoint.lock();
        let losses = &mut known.entry(Arc::clone(endpoint)).or_default().losses;
        losses.count += 1;
        losses.last_at = Some(at);
    }

    /// What corrects the beliefs about an endpoint whose last metrics page said `report`.
    #[must_use]
    pub fn feedback(&self, endpoint: &str, report: Option<&EngineReport>) -> Feedback {
        if self.is_off.load(Ordering::Relaxed) {
            return Feedback::Off;
        }
        let has_counters = report
            .is_some_and(|report| report.prefix_queries.is_some() && report.prefix_hits.is_some());
        match self.known(endpoint).tells {
            None => Feedback::Unknown,
            Some(true) => Feedback::Answers,
            Some(false) if has_counters => Feedback::Counters,
            Some(false) => Feedback::None,
        }
    }

    /// How often, and when last, the endpoint has lost its cache.
    #[must_use]
    pub fn losses(&self, endpoint: &str) -> Losses {
        self.known(endpoint).losses
    }

    /// Forgets the endpoints that are no longer there.
    pub fn retain(&self, is_here: impl Fn(&str) -> bool) {
        self.by_endpoint
            .lock()
            .retain(|endpoint, _| is_here(endpoint));
    }

    fn known(&self, endpoint: &str) -> Known {
        let known = self.by_endpoint.lock();
        known.get(endpoint).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmgate_routing::endpoint::Engine;

    fn usage(prompt: u64, cached: Option<u64>, completion: u64) -> Usage {
        Usage {
            prompt: Some(Tokens(prompt)),
            cached: cached.map(Tokens),
            completion: Some(Tokens(completion)),
        }
    }

    #[test]
    fn silence_is_zero_only_of_an_endpoint_that_has_told_before() {
        let (caches, endpoint) = (Caches::default(), Arc::from("a:1"));
        assert_eq!(caches.heard(&endpoint, usage(100, None, 1)), None);
        let told = caches.heard(&endpoint, usage(100, Some(64), 1));
        assert_eq!(told, Some(Tokens(64)));
        let silent = caches.heard(&endpoint, usage(100, None, 1));
        assert_eq!(silent, Some(Tokens::ZERO));
        let embedding = caches.heard(&endpoint, usage(100, None, 0));
        assert_eq!(embedding, None, "nothing was generated");
        assert_eq!(caches.heard(&endpoint, Usage::default()), None);
    }

    #[test]
    fn feedback_says_what_it_lives_on() {
        let (caches, endpoint) = (Caches::default(), Arc::from("a:1"));
        let silent = EngineReport::empty(Engine::Vllm);
        let counting = EngineReport {
            prefix_queries: Some(Tokens(1)),
            prefix_hits: Some(Tokens(0)),
            ..silent.clone()
        };
        let of = |report| caches.feedback(&endpoint, report);
        assert_eq!(of(Some(&counting)), Feedback::Unknown);
        caches.heard(&endpoint, Usage::default());
        assert_eq!(of(Some(&counting)), Feedback::Unknown, "said nothing");
        caches.heard(&endpoint, usage(100, None, 1));
        assert_eq!(of(Some(&counting)), Feedback::Counters);
        assert_eq!(of(Some(&silent)), Feedback::None);
        assert_eq!(of(None), Feedback::None);
        caches.heard(&endpoint, usage(100, Some(0), 1));
        assert_eq!(of(None), Feedback::Answers);
        caches.set_feedback(false);
        assert_eq!(of(None), Feedback::Off);
    }

    #[test]
    fn losses_stay_until_the_endpoint_goes() {
        let (caches, endpoint) = (Caches::default(), Arc::from("a:1"));
        assert_eq!(caches.losses("a:1"), Losses::default());
        for _ in 0..2 {
            caches.lost(&endpoint, SystemTime::UNIX_EPOCH);
        }
        let twice = Losses {
            count: 2,
            last_at: Some(SystemTime::UNIX_EPOCH),
        };
        caches.retain(|endpoint| endpoint == "a:1");
        assert_eq!(caches.losses("a:1"), twice);
        caches.retain(|_| false);
        assert_eq!(caches.losses("a:1"), Losses::default());
    }
}
