//! Which target takes over from which: names that exist, pools that become targets, no circles.

use std::sync::Arc;

use warmgate_routing::Tokens;

use super::{Fallback, Target};
use crate::config::error::{At, Problems};
use crate::config::raw_routes::RawTarget;

/// The targets with those that take over from them. A pool that is named and is no target of the
/// route becomes one, of weight 0. None where a problem was noted.
pub(super) fn resolve(
    raw: &[RawTarget],
    mut targets: Vec<Target>,
    at: &At,
    pools: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Vec<Target>> {
    let mut is_whole = true;
    for (place, raw) in raw.iter().enumerate() {
        let at = at.at(place);
        let Some(name) = raw.fallback.as_deref() else {
            if raw.saturated_tokens.is_some() {
                let problem = "is of use with `fallback` only: name who takes over";
                problems.note::<()>(&at.at("saturated_tokens"), problem);
                is_whole = false;
            }
            continue;
        };
        let found = stand_in(name, place, raw, &targets, pools);
        match found {
            Ok(StandIn::Target) => {}
            Ok(StandIn::Pool(target)) => targets.push(target),
            Err(problem) => {
                problems.note::<()>(&at.at("fallback"), problem);
                is_whole = false;
                continue;
            }
        }
        targets[place].fallback = Some(Fallback {
            target: name.into(),
            saturated: raw.saturated_tokens.map(Tokens),
        });
    }
    if let Some((place, names)) = circle(&targets) {
        let problem = format!("goes round in a circle ({names}): let one of them have no fallback");
        return problems.note(&at.at(place).at("fallback"), problem);
    }
    is_whole.then_some(targets)
}

/// What a name stands for.
enum StandIn {
    Target,
    Pool(Target),
}

fn stand_in(
    name: &str,
    place: usize,
    raw: &RawTarget,
    targets: &[Target],
    pools: &[&str],
) -> Result<StandIn, String> {
    let own = &targets[place];
    if *own.name == *name {
        return Err(format!(
            "`{name}` is the target itself: name another target or pool"
        ));
    }
    if let Some(known) = targets.iter().find(|target| *target.name == *name) {
        let is_same = !known.is_implied || known.model == own.model;
        return is_same.then_some(StandIn::Target).ok_or_else(|| {
            format!(
                "two targets fall back to the pool `{name}` under different models: write it as a \
                 target of weight 0"
            )
        });
    }
    if raw.pool == name {
        return Err(format!(
            "`{name}` is the target's own pool: name another target or pool"
        ));
    }
    if !pools.contains(&name) {
        return Err(format!(
            "neither a target of this route nor a pool is called `{name}`"
        ));
    }
    Ok(StandIn::Pool(Target {
        name: name.into(),
        pool: name.to_owned(),
        weight: 0,
        model: own.model.clone(),
        fallback: None,
        is_implied: true,
    }))
}

/// The first target from which fallbacks come back to where they were, and the way there.
fn circle(targets: &[Target]) -> Option<(usize, String)> {
    let next = |name: &Arc<str>| {
        let target = targets.iter().find(|target| target.name == *name)?;
        Some(&target.fallback.as_ref()?.target)
    };
    targets.iter().enumerate().find_map(|(place, target)| {
        let mut names = vec![&target.name];
        while let Some(name) = names.last().and_then(|last| next(last)) {
            let is_back = *name == target.name;
            names.push(name);
            if is_back {
                let names: Vec<&str> = names.iter().map(|name| &***name).collect();
                return Some((place, names.join(" -> ")));
            }
            // A circle that this one only leads to is found at its own members.
            if names.len() > targets.len() {
                return None;
            }
        }
        None
    })
}
