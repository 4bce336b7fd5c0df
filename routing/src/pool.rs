//! The endpoints that serve one set of weights: an immutable snapshot, and how the next one is made.
//!
//! Sources speak the contract of kube's watcher: after [`EndpointEvent::Init`] comes a full list,
//! and only [`EndpointEvent::InitDone`] makes what was not in it disappear.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::endpoint::{Endpoint, EndpointId, EndpointKey, EndpointSpec, Observed};
use crate::report::ServedModel;

/// Endpoints of a pool at one moment, and which of them serve which model.
#[derive(Debug, Default)]
pub struct Pool {
    /// Sorted by id.
    all: Arc<[Arc<Endpoint>]>,
    by_model: BTreeMap<String, Box<[Arc<Endpoint>]>>,
}

impl Pool {
    /// A snapshot of `endpoints` by what each has said about its models.
    #[must_use]
    pub fn new(mut endpoints: Vec<Arc<Endpoint>>) -> Pool {
        endpoints.sort_by_key(|endpoint| endpoint.id);
        let observed: Vec<Arc<Observed>> = endpoints
            .iter()
            .map(|endpoint| endpoint.observed.load_full())
            .collect();
        let listed = observed.iter().filter_map(|seen| seen.models.as_ref());
        let names = listed.flatten().map(|model| model.name.as_str());
        let mut by_model: BTreeMap<&str, Vec<Arc<Endpoint>>> =
            names.map(|name| (name, Vec::new())).collect();
        for (endpoint, seen) in endpoints.iter().zip(&observed) {
            let Some(models) = &seen.models else {
                let everything = by_model.values_mut();
                everything.for_each(|serving| serving.push(Arc::clone(endpoint)));
                continue;
            };
            for model in models {
                let serving = by_model.entry(&model.name).or_default();
                // A name may be listed twice.
                if serving.last().is_none_or(|last| last.id != endpoint.id) {
                    serving.push(Arc::clone(endpoint));
                }
            }
        }
        let by_model = by_model.into_iter();
        Pool {
            by_model: by_model
                .map(|(name, serving)| (name.to_owned(), serving.into()))
                .collect(),
            all: endpoints.into(),
        }
    }

    /// All endpoints, sorted by id.
    #[must_use]
    pub fn all(&self) -> &Arc<[Arc<Endpoint>]> {
        &self.all
    }

    /// The endpoints that may serve `model`, sorted by id: those that list it and those that have
    /// not listed anything. None where every endpoint has listed its models and none has this one.
    /// An empty name is that of whichever model an endpoint has.
    #[must_use]
    pub fn serving(&self, model: &str) -> Option<Cow<'_, [Arc<Endpoint>]>> {
        if let Some(serving) = self.by_model.get(model) {
            return Some(Cow::Borrowed(serving));
        }
        if self.by_model.is_empty() || model.is_empty() {
            return Some(Cow::Borrowed(&self.all));
        }
        let silent: Vec<_> = self
            .all
            .iter()
            .filter(|endpoint| endpoint.observed.load().models.is_none())
            .cloned()
            .collect();
        (!silent.is_empty()).then_some(Cow::Owned(silent))
    }

    /// Model names that endpoints have listed, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.by_model.keys().map(String::as_str)
    }

    /// Whether `models` are exactly the names that endpoints have listed.
    pub(crate) fn names_are(&self, models: &[ServedModel]) -> bool {
        let names: BTreeSet<&str> = models.iter().map(|model| model.name.as_str()).collect();
        names.into_iter().eq(self.models())
    }

    /// The endpoint of that id.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        by_id(&self.all, id)
    }
}

/// Finds an id among endpoints that are sorted by id.
pub(crate) fn by_id(endpoints: &[Arc<Endpoint>], id: EndpointId) -> Option<&Arc<Endpoint>> {
    // Ids rise and never repeat: it stands this far behind the first, or nearer where some between
    // them have gone. Mostly none has, and one look is enough.
    let farthest = id.0.checked_sub(endpoints.first()?.id.0)? as usize;
    match endpoints.get(farthest) {
        Some(endpoint) if endpoint.id == id => Some(endpoint),
        _ => {
            let near = &endpoints[..farthest.min(endpoints.len())];
            let place = near.binary_search_by_key(&id, |endpoint| endpoint.id);
            near.get(place.ok()?)
        }
    }
}

/// What a source of endpoints reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// A full list follows.
    Init,
    /// One entry of the full list.
    InitApply(EndpointSpec),
    /// The list is complete: what was not in it is gone.
    InitDone,
    /// One endpoint is new or changed.
    Apply(EndpointSpec),
    /// One endpoint is gone.
    Delete(EndpointKey),
}

/// The mutable side of a pool: applies events, hands out ids.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    known: HashMap<EndpointKey, Arc<Endpoint>>,
    // A list that is not complete yet: nothing of it counts.
    listing: Option<Vec<EndpointSpec>>,
    next_id: u32,
}

/// What an event changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Endpoints that were not there before.
    pub(crate) joined: Vec<Arc<Endpoint>>,
    /// Endpoints that are no longer there.
    pub(crate) gone: Vec<Arc<Endpoint>>,
    /// Endpoints that have begun a new life under the same key.
    pub(crate) restarted: Vec<Arc<Endpoint>>,
    has_updates: bool,
}

impl Change {
    /// Whether everything is as it was.
    pub(crate) fn is_none(&self) -> bool {
        self.joined.is_empty() && self.gone.is_empty() && !self.has_updates
    }
}

impl Registry {
    /// Applies one event.
    pub(crate) fn apply(&mut self, event: EndpointEvent) -> Change {
        let mut change = Change::default();
        match event {
            EndpointEvent::Init => self.listing = Some(Vec::new()),
            EndpointEvent::InitApply(spec) => self.listing.get_or_insert_default().push(spec),
            EndpointEvent::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let keys: HashSet<EndpointKey> =
                    listed.iter().map(|spec| spec.key.clone()).collect();
                for spec in listed {
                    self.upsert(spec, &mut change);
                }
                let gone = self.known.extract_if(|key, _| !keys.contains(key));
                change.gone.extend(gone.map(|(_, endpoint)| endpoint));
            }
            EndpointEvent::Apply(spec) => self.upsert(spec, &mut change),
            EndpointEvent::Delete(key) => change.gone.extend(self.known.remove(&key)),
        }
        change
    }

    /// The endpoint of that key.
    pub(crate) fn get(&self, key: &EndpointKey) -> Option<&Arc<Endpoint>> {
        self.known.get(key)
    }

    /// A snapshot of what is known now.
    pub(crate) fn snapshot(&self) -> Pool {
        Pool::new(self.known.values().cloned().collect())
    }

    fn upsert(&mut self, spec: EndpointSpec, change: &mut Change) {
        let endpoint = match self.known.get(&spec.key) {
            Some(old) if old.spec == spec => return,
            Some(old) => {
                change.has_updates = true;
                let is_restarted = spec.is_colder_than(&old.spec);
                let endpoint = Arc::new(old.with_spec(spec));
                if is_restarted {
                    change.restarted.push(Arc::clone(&endpoint));
                }
                endpoint
            }
            None => {
                let id = EndpointId(self.next_id);
                self.next_id = self
                    .next_id
                    .checked_add(1)
                    .expect("invariant: fewer than 2^32 endpoints in one process");
                let endpoint = Arc::new(Endpoint::new(id, spec));
                change.joined.push(Arc::clone(&endpoint));
                endpoint
            }
        };
        self.known.insert(endpoint.spec.key.clone(), endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Serving;

    fn spec(name: &str) -> EndpointSpec {
        EndpointSpec::at(name, ([127, 0, 0, 1], 8000).into(), false)
    }

    fn names(pool: &Pool) -> Vec<&str> {
        pool.all()
            .iter()
            .map(|endpoint| &*endpoint.spec.authority)
            .collect()
    }

    #[test]
    fn absence_is_not_deletion_until_the_list_is_complete() {
        let mut registry = Registry::default();
        registry.apply(EndpointEvent::Apply(spec("a")));
        registry.apply(EndpointEvent::Apply(spec("b")));
        registry.apply(EndpointEvent::Init);
        registry.apply(EndpointEvent::InitApply(spec("b")));
        assert_eq!(names(&registry.snapshot()), ["a", "b"]);
        let gone = registry.apply(EndpointEvent::InitDone).gone;
        assert_eq!(gone.len(), 1);
        assert_eq!(names(&registry.snapshot()), ["b"]);
    }

    #[test]
    fn an_id_is_found_whoever_went_before_it() {
        let endpoint = |id: u32| Arc::new(Endpoint::new(EndpointId(id), spec(&id.to_string())));
        for ids in [vec![], vec![7], vec![0, 1, 2, 3], vec![3, 4, 8, 9, 20]] {
            let pool = Pool::new(ids.iter().copied().map(endpoint).collect());
            for id in 0..25 {
                let found = pool.get(EndpointId(id)).map(|found| found.id.0);
                assert_eq!(found, ids.contains(&id).then_some(id), "{id} in {ids:?}");
            }
        }
    }

    #[test]
    fn a_change_of_state_keeps_identity_and_load_but_a_new_life_does_not() {
        let mut registry = Registry::default();
        registry.apply(EndpointEvent::Apply(spec("a")));
        let before = registry.snapshot();
        registry.apply(EndpointEvent::Apply(EndpointSpec {
            serving: Serving::NotReady,
            ..spec("a")
        }));
        let blip = registry.snapshot();
        assert_eq!(before.all()[0].id, blip.all()[0].id);
        assert!(Arc::ptr_eq(&before.all()[0].load, &blip.all()[0].load));
        registry.apply(EndpointEvent::Delete(spec("a").key));
        registry.apply(EndpointEvent::Apply(spec("a")));
        assert_ne!(before.all()[0].id, registry.snapshot().all()[0].id);
    }

    #[test]
    fn models_choose_endpoints_and_the_silent_may_serve_anything() {
        let lists = |names: &[&str]| {
            let models = names.iter().map(|name| ServedModel {
                name: (*name).into(),
                parent: None,
                max_model_len: None,
            });
            Observed {
                models: Some(models.collect()),
                report: None,
            }
        };
        let mut registry = Registry::default();
        registry.apply(EndpointEvent::Apply(spec("a")));
        registry.apply(EndpointEvent::Apply(spec("b")));
        let pool = registry.snapshot();
        assert_eq!(
            pool.serving("any").map(|serving| serving.len()),
            Some(2),
            "nobody has listed yet"
        );
        pool.all()[0]
            .observed
            .store(Arc::new(lists(&["m", "lora"])));
        let pool = registry.snapshot();
        assert_eq!(pool.serving("m").map(|serving| serving.len()), Some(2));
        assert_eq!(
            pool.serving("other").map(|serving| serving.len()),
            Some(1),
            "b is silent"
        );
        pool.all()[1].observed.store(Arc::new(lists(&["m"])));
        let pool = registry.snapshot();
        assert_eq!(pool.serving("lora").map(|serving| serving.len()), Some(1));
        assert!(pool.serving("other").is_none());
        assert_eq!(pool.serving("").map(|all| all.len()), Some(2), "no name");
        assert_eq!(pool.models().collect::<Vec<_>>(), ["lora", "m"]);
    }
}
