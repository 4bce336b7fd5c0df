//! The guard of a route and the steps of its canary: from rules as typed.

use serde::Serialize;
use warmgate_routing::guard::{GuardSettings, GuardSettingsError, Step, check_steps};

use crate::config::error::{At, Problems};
use crate::config::raw_routes::RawRoute;

/// What watches a route's targets. The first of them is the one that others are compared with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuardRules {
    /// What is tolerated.
    pub settings: GuardSettings,
    /// How the weight of the only other target rises; empty: it does not.
    pub steps: Vec<Step>,
}

/// What the keys `guard` and `steps` of a route mean; none where a problem was noted.
pub(super) fn rules(
    raw: &RawRoute,
    at: &At,
    problems: &mut Problems<'_>,
) -> Option<Option<GuardRules>> {
    if raw.guard.is_none() && raw.steps.is_empty() {
        return Some(None);
    }
    let settings = raw.guard.clone().unwrap_or_default();
    let within = settings.check();
    let guard_at = at.at("guard");
    let within = within.or_else(|error| note(&error, &guard_at, problems));
    let steps_at = at.at("steps");
    let steps = check_steps(&raw.steps).or_else(|error| note(&error, &steps_at, problems));
    let targets = raw.targets.len();
    if !raw.steps.is_empty() && targets != 2 {
        let problem = format!(
            "steps lead from one target to another, and there are {targets}: list stable, then its canary"
        );
        return problems.note(&steps_at, problem);
    }
    if targets < 2 {
        let problem = "there is no canary to watch: list a second target, or take the guard out";
        return problems.note(&guard_at, problem);
    }
    within.ok().and(steps.ok())?;
    Some(Some(GuardRules {
        settings,
        steps: raw.steps.clone(),
    }))
}

fn note(error: &GuardSettingsError, at: &At, problems: &mut Problems<'_>) -> Result<(), ()> {
    let at = match error.place {
        Some(place) => at.at(place),
        None => at.clone(),
    };
    let at = match error.key {
        "" => at,
        key => at.at(key),
    };
    problems.note::<()>(&at, error.problem.clone());
    Err(())
}
