//! All objects of one kind that a selection covers, kept as the API server has them.
//!
//! A list, then a watch from its resource version; both again from the start after any error, be it
//! an expired version (410), a broken connection or an API server that was set back to an older
//! state. A new list replaces the old one when it is complete, not before: what was deleted
//! meanwhile disappears, and an API server that is away makes nothing disappear.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Length of one watch in seconds; the API server ends it, and the next goes on where it stood. A
/// connection that died in silence is found out 5 s later.
const WATCH_S: u32 = 30;
/// Pause after the first error.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Pause after many: an API server that is back is asked within this time.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// Pause while the API server refuses, or does not know the kind: that ends by somebody's hand.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

/// What became of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing has been heard yet.
    Unheard,
    /// What is known is what there is.
    InTouch,
    /// The API server does not answer, for this reason.
    Lost(String),
    /// The account may not ask, for this reason.
    Refused(String),
    /// The API server has no such kind: its CRD is not installed.
    NoSuchKind,
}

/// What is known now.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    /// What was read of each object, in the order of namespace and name.
    pub(crate) objects: Vec<Arc<T>>,
    /// Whether a complete list has ever been there.
    pub(crate) was_listed: bool,
    pub(crate) standing: Standing,
}

/// A watch that runs until this is dropped.
pub(crate) struct Watch<T> {
    known: Arc<Mutex<Known<T>>>,
    task: AbortHandle,
}

impl<T: PartialEq + Send + Sync + 'static> Watch<T> {
    /// Watches what `api` and `selection` cover; `read` keeps what matters of each object. Tells
    /// `changed` whenever [`Watch::seen`] differs from before, and at each failure.
    pub(crate) fn start<K>(
        api: Api<K>,
        selection: watcher::Config,
        read: fn(K) -> T,
        changed: Arc<Notify>,
    ) -> Watch<T>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let known = Arc::new(Mutex::new(Known::default()));
        let selection = selection.timeout(WATCH_S);
        let task = tokio::spawn(run(api, selection, read, Arc::clone(&known), changed));
        Watch {
            known,
            task: task.abort_handle(),
        }
    }

    /// What is known now.
    pub(crate) fn seen(&self) -> Seen<T> {
        lock(&self.known).seen()
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<K, T>(
    api: Api<K>,
    selection: watcher::Config,
    read: fn(K) -> T,
    known: Arc<Mutex<Known<T>>>,
    changed: Arc<Notify>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: PartialEq,
{
    let mut rng = SmallRng::from_os_rng();
    let mut pause = RETRY_MIN;
    loop {
        let mut events = pin!(watcher(api.clone(), selection.clone()));
        while let Some(event) = events.next().await {
            let is_list_complete = matches!(event, Ok(Event::InitDone));
            let failure = event.as_ref().err().map(standing_of);
            let is_news = match event {
                Ok(event) => lock(&known).take(event, read),
                Err(_) => true,
            };
            if is_list_complete {
                pause = RETRY_MIN;
            }
            if is_news && failure.is_none() {
                changed.notify_one();
            }
            if let Some(failure) = failure {
                if matches!(failure, Standing::Refused(_) | Standing::NoSuchKind) {
                    pause = REFUSED_RETRY;
                }
                lock(&known).standing = failure;
                changed.notify_one();
                break;
            }
        }
        tokio::time::sleep(pause.mul_f64(rng.random_range(0.5..=1.0))).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

fn standing_of(error: &watcher::Error) -> Standing {
    use watcher::Error;
    let status = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status.map(|status| status.code) {
        Some(401 | 403) => Standing::Refused(told(error)),
        Some(404) => Standing::NoSuchKind,
        _ => Standing::Lost(told(error)),
    }
}

/// The innermost reason: those around it say only that something failed.
fn told(error: &watcher::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// A lock is held for no more than a copy; a panic elsewhere leaves it as it is.
fn lock<T>(known: &Mutex<Known<T>>) -> MutexGuard<'_, Known<T>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct ObjectName {
    namespace: String,
    name: String,
}

struct Known<T> {
    objects: HashMap<ObjectName, Arc<T>>,
    /// Of a list that is not complete yet: nothing of it counts.
    listing: HashMap<ObjectName, Arc<T>>,
    was_listed: bool,
    standing: Standing,
}

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        Known {
            objects: HashMap::new(),
            listing: HashMap::new(),
            was_listed: false,
            standing: Standing::Unheard,
        }
    }
}

impl<T: PartialEq> Known<T> {
    /// True where what is known has changed.
    fn take<K: Resource>(&mut self, event: Event<K>, read: fn(K) -> T) -> bool {
        match event {
            Event::Init => {
                self.listing.clear();
                false
            }
            Event::InitApply(object) => {
                let (name, object) = (name_of(&object), Arc::new(read(object)));
                self.listing.insert(name, object);
                false
            }
            Event::InitDone => {
                let is_news = self.standing != Standing::InTouch || self.objects != self.listing;
                self.objects = std::mem::take(&mut self.listing);
                self.was_listed = true;
                self.standing = Standing::InTouch;
                is_news
            }
            Event::Apply(object) => {
                let (name, object) = (name_of(&object), Arc::new(read(object)));
                let before = self.objects.insert(name, Arc::clone(&object));
                before.is_none_or(|before| before != object)
            }
            Event::Delete(object) => self.objects.remove(&name_of(&object)).is_some(),
        }
    }

    fn seen(&self) -> Seen<T> {
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_unstable_by_key(|(name, _)| *name);
        Seen {
            objects: objects
                .into_iter()
                .map(|(_, object)| Arc::clone(object))
                .collect(),
            was_listed: self.was_listed,
            standing: self.standing.clone(),
        }
    }
}

fn name_of(object: &impl Resource) -> ObjectName {
    ObjectName {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn read(object: ConfigMap) -> String {
        object.name_any()
    }

    fn names(known: &Known<String>) -> Vec<String> {
        let seen = known.seen().objects;
        seen.iter().map(|name| (**name).clone()).collect()
    }

    #[test]
    fn a_list_counts_when_it_is_complete() {
        let mut known = Known::default();
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("b")), read);
        assert!(!known.seen().was_listed);
        assert!(known.take(Event::<ConfigMap>::InitDone, read));
        assert!(known.take(Event::Apply(object("a")), read));
        assert_eq!(names(&known), ["a", "b"]);
        // Broken off, and listed anew: what is gone disappears with the end of the list.
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("c")), read);
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("b")), read);
        assert_eq!(names(&known), ["a", "b"]);
        assert!(known.take(Event::<ConfigMap>::InitDone, read));
        assert_eq!(names(&known), ["b"]);
    }

    #[test]
    fn only_what_matters_is_news() {
        let mut known = Known::default();
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("a")), read);
        known.take(Event::<ConfigMap>::InitDone, read);
        assert!(!known.take(Event::Apply(object("a")), read));
        assert!(!known.take(Event::Delete(object("b")), read));
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("a")), read);
        assert!(!known.take(Event::<ConfigMap>::InitDone, read), "as before");
        known.standing = Standing::Lost("away".to_owned());
        known.take(Event::Init, read);
        known.take(Event::InitApply(object("a")), read);
        assert!(known.take(Event::<ConfigMap>::InitDone, read), "in touch");
        assert!(known.take(Event::Delete(object("a")), read));
    }

    #[test]
    fn tells_refusal_from_absence() {
        let api = |code| {
            let status = Status::failure("told so", "Reason").with_code(code);
            watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
        };
        for (code, is_refusal) in [(401, true), (403, true), (410, false), (500, false)] {
            let standing = standing_of(&api(code));
            assert_eq!(matches!(standing, Standing::Refused(_)), is_refusal);
            assert_eq!(matches!(standing, Standing::Lost(_)), !is_refusal);
        }
        assert_eq!(standing_of(&api(404)), Standing::NoSuchKind);
        let said = standing_of(&api(403));
        assert!(matches!(said, Standing::Refused(reason) if reason.contains("told so")));
    }
}
