//! From the rules as typed to rules without ambiguity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warmgate_routing::split::{MirrorShare, Stickiness};

use super::{Match, Mirror, Route, Routes, Target, fallback, guard, matching};
use crate::config::error::{At, Problems};
use crate::config::raw::RawConfig;
use crate::config::raw_routes::{RawMirror, RawRoute, RawStickyBy, RawTarget};
use crate::config::{ANY_MODEL, limit};

/// What the target of a mirror is called where one is named.
const MIRROR_NAME: &str = "mirror";

/// What the rules mean; none where a problem was noted.
pub(in crate::config) fn meaning(raw: &RawConfig, problems: &mut Problems<'_>) -> Option<Routes> {
    let at = At::root().at("routes");
    let pools: Vec<&str> = raw.pools.iter().map(|pool| pool.name.as_str()).collect();
    if raw.routes.is_empty() {
        return match pools.as_slice() {
            // That there are none has been said already.
            [] => None,
            [only] => {
                let catch_all = RawRoute::to(ANY_MODEL, RawTarget::to_pool(only));
                rules(&[catch_all], &pools, &at, problems)
            }
            several => problems.note(
                &at,
                format!(
                    "there are {} pools and no routes: write \
                     `routes: [{{model: \"*\", targets: [{{pool: {}}}]}}]`",
                    several.len(),
                    several[0]
                ),
            ),
        };
    }
    rules(&raw.routes, &pools, &at, problems)
}

fn rules(raw: &[RawRoute], pools: &[&str], at: &At, problems: &mut Problems<'_>) -> Option<Routes> {
    let names = names(raw, at, problems);
    // Of each model, the place of every rule and what it takes.
    let mut seen: BTreeMap<&str, Vec<(usize, Match)>> = BTreeMap::new();
    let mut routes = names.is_some().then(Routes::default);
    for (place, rule) in raw.iter().enumerate() {
        let at = at.at(place);
        let named = model_name(&rule.model, &at.at("model"), problems);
        let matching = matching::meaning(&rule.matching, &at.at("match"), problems);
        let targets = targets(&rule.targets, &at.at("targets"), pools, problems);
        let mirror = mirror(rule.mirror.as_ref(), &at.at("mirror"), pools, problems);
        let guard = guard::rules(rule, &at, problems);
        let (Some(()), Some(matching), Some(targets), Some(mirror), Some(guard)) =
            (named, matching, targets, mirror, guard)
        else {
            routes = None;
            continue;
        };
        let before = seen.entry(&rule.model).or_default();
        if let Some((first, _)) = before.iter().find(|(_, other)| other.covers(&matching)) {
            let model = &rule.model;
            let problem = format!(
                "is never reached: routes[{first}] already takes these requests for `{model}`: \
                 put it before that one, match something else, or take it out"
            );
            routes = problems.note(&at, problem);
            continue;
        }
        before.push((place, matching.clone()));
        if let (Some(routes), Some(names)) = (&mut routes, &names) {
            routes.add(Route {
                name: Arc::clone(&names[place]),
                model: rule.model.clone(),
                matching,
                stickiness: stickiness(rule),
                takes_force: rule.force_target,
                targets,
                mirror,
                guard,
            });
        }
    }
    routes
}

/// The name of every rule: as typed, else made of its model's.
fn names(raw: &[RawRoute], at: &At, problems: &mut Problems<'_>) -> Option<Vec<Arc<str>>> {
    let mut is_whole = true;
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (place, rule) in raw.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        let at = at.at(place).at("name");
        let most = limit::ROUTE_NAME_BYTES_MAX;
        if name.is_empty() || name.len() > most {
            let problem = format!("a route's name has 1 to {most} bytes: write another");
            is_whole &= problems.note::<()>(&at, problem).is_some();
        } else if !taken.insert(name) {
            let problem = format!("`{name}` is already the name of another route: choose another");
            is_whole &= problems.note::<()>(&at, problem).is_some();
        }
    }
    let mut made: BTreeSet<String> = BTreeSet::new();
    let name = |rule: &RawRoute| {
        if let Some(name) = &rule.name {
            return name.as_str().into();
        }
        let model = &rule.model;
        let numbered = (2..).map(|number| format!("{model}-{number}"));
        let free = std::iter::once(model.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name.as_str()) && made.insert(name.clone()));
        free.expect("invariant: numbers do not end").into()
    };
    let names = raw.iter().map(name).collect();
    is_whole.then_some(names)
}

fn stickiness(rule: &RawRoute) -> Stickiness {
    match (rule.sticky, rule.sticky_by) {
        (false, _) => Stickiness::Nothing,
        (true, RawStickyBy::Conversation) => Stickiness::Conversation,
        (true, RawStickyBy::ApiKey) => Stickiness::ApiKey,
    }
}

fn model_name(model: &str, at: &At, problems: &mut Problems<'_>) -> Option<()> {
    let most = limit::MODEL_NAME_BYTES_MAX;
    if model.is_empty() || model.len() > most {
        let problem = format!("a model name has 1 to {most} bytes: write a name, or `*` for any");
        return problems.note(at, problem);
    }
    if model != ANY_MODEL && model.contains('*') {
        let problem = format!("`{model}`: write a whole model name, or `*` alone for any");
        return problems.note(at, problem);
    }
    Some(())
}

fn targets(
    raw: &[RawTarget],
    at: &At,
    pools: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Vec<Target>> {
    if raw.is_empty() {
        return problems.note(at, "is empty: write `targets: [{pool: NAME}]`");
    }
    let mut seen = BTreeMap::new();
    let mut meant = Vec::with_capacity(raw.len());
    for (place, raw) in raw.iter().enumerate() {
        let at = at.at(place);
        let Some(target) = target(raw, &at, pools, problems) else {
            continue;
        };
        if let Some(first) = seen.insert(Arc::clone(&target.name), place) {
            let name = &target.name;
            let problem = format!(
                "`{name}` is already the name of targets[{first}]: give each target a `name` of its own"
            );
            problems.note::<()>(&at, problem);
            continue;
        }
        meant.push(target);
    }
    if meant.len() == raw.len() && meant.iter().all(|target| target.weight == 0) {
        return problems.note(at, "no target has a weight: give at least one more than 0");
    }
    if meant.len() < raw.len() {
        return None;
    }
    fallback::resolve(raw, meant, at, pools, problems)
}

fn target(raw: &RawTarget, at: &At, pools: &[&str], problems: &mut Problems<'_>) -> Option<Target> {
    let name = raw.name.as_ref().unwrap_or(&raw.pool);
    let most = limit::TARGET_NAME_BYTES_MAX;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = (1..=most).contains(&name.len()) && name.bytes().all(fits);
    // What is wrong with a pool's name has been said at the pool.
    if raw.name.is_some() && !is_name {
        let problem = format!(
            "`{name}` is no name of a target: use letters, digits, `-`, `_` and `.`, at most {most} of them"
        );
        return problems.note(&at.at("name"), problem);
    }
    pool(&raw.pool, at, pools, problems)?;
    served_model(raw.model.as_deref(), at, problems)?;
    Some(Target {
        name: name.as_str().into(),
        pool: raw.pool.clone(),
        weight: raw.weight,
        model: raw.model.clone(),
        fallback: None,
        is_implied: false,
    })
}

/// None where a problem was noted.
fn mirror(
    raw: Option<&RawMirror>,
    at: &At,
    pools: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Option<Mirror>> {
    let Some(raw) = raw else { return Some(None) };
    pool(&raw.pool, at, pools, problems)?;
    served_model(raw.model.as_deref(), at, problems)?;
    // What is outside of the range has been said already.
    let share = MirrorShare::from_percent(raw.percent)?;
    let target = Target {
        name: MIRROR_NAME.into(),
        pool: raw.pool.clone(),
        weight: 0,
        model: raw.model.clone(),
        fallback: None,
        is_implied: true,
    };
    Some(Some(Mirror { target, share }))
}

fn pool(name: &str, at: &At, pools: &[&str], problems: &mut Problems<'_>) -> Option<()> {
    if pools.contains(&name) {
        return Some(());
    }
    let problem = format!("no pool is called `{name}`: there is {}", list(pools));
    problems.note(&at.at("pool"), problem)
}

fn served_model(model: Option<&str>, at: &At, problems: &mut Problems<'_>) -> Option<()> {
    let Some(model) = model else { return Some(()) };
    let at = at.at("model");
    model_name(model, &at, problems)?;
    if model == ANY_MODEL {
        let problem = "`*` is no name to send: write one, or leave the key out for the client's";
        return problems.note(&at, problem);
    }
    Some(())
}

fn list(pools: &[&str]) -> String {
    if pools.is_empty() {
        return "no pool".to_owned();
    }
    let quoted: Vec<String> = pools.iter().map(|pool| format!("`{pool}`")).collect();
    quoted.join(", ")
}
