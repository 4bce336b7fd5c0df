//! What a cluster says about the pod behind an endpoint; only a restart of its container changes
//! what is believed of the endpoint, the rest is for people.

use serde::Serialize;

/// The pod behind an endpoint, as its source last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; empty where the cluster did not tell.
    pub uid: String,
    /// As EndpointSlices say it, or as the pod's `Ready` condition does.
    pub conditions: Conditions,
    /// How often the container that serves has been restarted; none where pods may not be read.
    pub restarts: Option<u32>,
    /// The node that it runs on.
    pub node: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Zones whose clients should prefer it: `hints.forZones` of its EndpointSlice.
    pub for_zones: Vec<String>,
    /// Version of the weights, by the pod's labels.
    pub model_version: Option<String>,
}

/// What an EndpointSlice says of one of its endpoints
/// (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// New requests may go there.
    pub ready: bool,
    /// It answers, whether or not it terminates.
    pub serving: bool,
    /// It has been told to go away.
    pub terminating: bool,
}

impl Pod {
    /// Whether the container has been started again since `before` was seen: its memory is empty.
    #[must_use]
    pub fn has_restarted_since(&self, before: &Pod) -> bool {
        matches!((before.restarts, self.restarts), (Some(before), Some(now)) if now > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_higher_count_is_a_restart() {
        let seen = |restarts| Pod {
            restarts,
            ..Pod::default()
        };
        for (before, now, has_restarted) in [
            (Some(0), Some(1), true),
            (Some(3), Some(3), false),
            // Counted anew where a pod's status is written again from nothing.
            (Some(3), Some(0), false),
            // Pods could not be read for a while.
            (None, Some(3), false),
            (Some(3), None, false),
        ] {
            let verdict = seen(now).has_restarted_since(&seen(before));
            assert_eq!(verdict, has_restarted, "{before:?} -> {now:?}");
        }
    }
}
