//! The way from a source to its pool: whole lists, and problems said once.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use warmgate_routing::endpoint::EndpointSpec;
use warmgate_routing::{EndpointEvent, EndpointKey};

use super::error::SourceError;
use crate::events::DiscoveryEvents;

/// Most endpoints of a pool.
pub const ENDPOINTS_MAX: usize = 10_000;

/// The pool that a source reported to is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pool is gone")]
pub struct Stopped;

/// Where a source tells what it knows.
pub struct Updates {
    pool: Arc<str>,
    sender: mpsc::Sender<EndpointEvent>,
    events: Arc<dyn DiscoveryEvents>,
    last: Option<Vec<EndpointSpec>>,
    problems: BTreeSet<String>,
    is_in_touch: Option<bool>,
}

impl Updates {
    /// For the source of `pool`.
    #[must_use]
    pub fn new(
        pool: Arc<str>,
        sender: mpsc::Sender<EndpointEvent>,
        events: Arc<dyn DiscoveryEvents>,
    ) -> Updates {
        Updates {
            pool,
            sender,
            events,
            last: None,
            problems: BTreeSet::new(),
            is_in_touch: None,
        }
    }

    /// Whether what this source knows is what there is, for sources that are told of changes and
    /// would not notice their absence. Only a change is told on.
    pub fn note_touch(&mut self, is_in_touch: bool) {
        if self.is_in_touch.replace(is_in_touch) == Some(is_in_touch) {
            return;
        }
        if is_in_touch {
            self.events.source_in_touch(&self.pool);
        } else {
            self.events.source_out_of_touch(&self.pool);
        }
    }

    /// The complete list now; of one key the first counts. A list equal to the last one is not
    /// told again. `problems` are those of this round: each is counted every time and logged when
    /// it is new, and their end is logged too.
    ///
    /// # Errors
    /// When the pool is gone.
    pub async fn publish(
        &mut self,
        mut specs: Vec<EndpointSpec>,
        mut problems: Vec<SourceError>,
    ) -> Result<(), Stopped> {
        let mut keys = BTreeSet::new();
        specs.retain(|spec| keys.insert(spec.key.clone()));
        if specs.len() > ENDPOINTS_MAX {
            problems.push(SourceError::TooMany {
                found: specs.len(),
                max: ENDPOINTS_MAX,
            });
            specs.truncate(ENDPOINTS_MAX);
        }
        self.report(&problems);
        if self.last.as_ref() == Some(&specs) {
            return Ok(());
        }
        self.send(EndpointEvent::Init).await?;
        for spec in &specs {
            self.send(EndpointEvent::InitApply(spec.clone())).await?;
        }
        self.send(EndpointEvent::InitDone).await?;
        tracing::info!(pool = %self.pool, endpoints = specs.len(), "endpoints of the pool");
        self.last = Some(specs);
        Ok(())
    }

    /// Nothing new is known, for these reasons; what was known stays.
    pub fn report(&mut self, problems: &[SourceError]) {
        let now: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        for problem in problems {
            self.events.source_failed(&self.pool, problem.failure());
        }
        for problem in now.difference(&self.problems) {
            tracing::warn!(pool = %self.pool, error = %problem, "source of endpoints has a problem");
        }
        if now.is_empty() && !self.problems.is_empty() {
            tracing::info!(pool = %self.pool, "source of endpoints has recovered");
        }
        self.problems = now;
    }

    /// One endpoint is new or changed, for sources that are told of single changes.
    ///
    /// # Errors
    /// When the pool is gone.
    pub async fn apply(&mut self, spec: EndpointSpec) -> Result<(), Stopped> {
        self.last = None;
        self.send(EndpointEvent::Apply(spec)).await
    }

    /// One endpoint is gone, for sources that are told of single changes.
    ///
    /// # Errors
    /// When the pool is gone.
    pub async fn delete(&mut self, key: EndpointKey) -> Result<(), Stopped> {
        self.last = None;
        self.send(EndpointEvent::Delete(key)).await
    }

    async fn send(&self, event: EndpointEvent) -> Result<(), Stopped> {
        self.sender.send(event).await.map_err(|_| Stopped)
    }
}

#[cfg(test)]
pub(crate) mod record {
    //! Runs a source and hands a test what it tells.

    use tokio::task::JoinHandle;

    use super::*;
    use crate::events::SourceFailure;
    use crate::source::Source;

    struct Failures(mpsc::Sender<SourceFailure>);

    impl DiscoveryEvents for Failures {
        fn source_failed(&self, _pool: &str, why: SourceFailure) {
            let _ = self.0.try_send(why);
        }
    }

    pub(crate) struct Recorder {
        events: mpsc::Receiver<EndpointEvent>,
        failures: mpsc::Receiver<SourceFailure>,
        task: JoinHandle<()>,
    }

    impl Recorder {
        pub(crate) fn start(source: impl Source + 'static) -> Recorder {
            let (sender, events) = mpsc::channel(1);
            let (failed, failures) = mpsc::channel(1);
            let updates = Updates::new("main".into(), sender, Arc::new(Failures(failed)));
            let task = tokio::spawn(async move {
                let _ = source.run(updates).await;
            });
            Recorder {
                events,
                failures,
                task,
            }
        }

        /// The next complete list, as `key address`.
        pub(crate) async fn list(&mut self) -> Vec<String> {
            assert_eq!(self.events.recv().await, Some(EndpointEvent::Init));
            let mut list = Vec::new();
            loop {
                match self.events.recv().await {
                    Some(EndpointEvent::InitApply(spec)) => {
                        list.push(format!("{} {}", spec.key, spec.address));
                    }
                    Some(EndpointEvent::InitDone) => return list,
                    other => panic!("not within a list: {other:?}"),
                }
            }
        }

        /// Waits for that many failures.
        pub(crate) async fn failures(&mut self, count: usize) {
            for _ in 0..count {
                assert!(self.failures.recv().await.is_some());
            }
        }
    }

    impl Drop for Recorder {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    fn specs(count: usize) -> Vec<EndpointSpec> {
        let spec = |n: usize| {
            let address = ([10, 0, 0, 1], 8000).into();
            EndpointSpec::at(&format!("gpu-{n}:8000"), address, false)
        };
        (0..count).map(spec).collect()
    }

    #[tokio::test]
    async fn a_pool_is_cut_at_its_limit_and_that_is_said() {
        for (count, told, failure) in [
            (ENDPOINTS_MAX, ENDPOINTS_MAX, None),
            (
                ENDPOINTS_MAX + 1,
                ENDPOINTS_MAX,
                Some(SourceFailure::TooMany),
            ),
        ] {
            let (sender, mut events) = mpsc::channel(ENDPOINTS_MAX + 2);
            let (failed, mut failures) = mpsc::channel(1);
            let mut updates = Updates::new("main".into(), sender, Arc::new(Failures(failed)));
            updates.publish(specs(count), Vec::new()).await.unwrap();
            drop(updates);
            let mut events_told = 0;
            while events.recv().await.is_some() {
                events_told += 1;
            }
            assert_eq!(events_told, told + 2);
            assert_eq!(failures.recv().await, failure);
        }
    }

    #[tokio::test]
    async fn a_list_is_told_once() {
        let (sender, mut events) = mpsc::channel(8);
        let mut updates = Updates::new("main".into(), sender, Arc::new(()));
        for _ in 0..3 {
            updates.publish(specs(1), Vec::new()).await.unwrap();
        }
        drop(updates);
        let mut events_told = 0;
        while events.recv().await.is_some() {
            events_told += 1;
        }
        assert_eq!(events_told, 3);
    }

    #[tokio::test]
    async fn a_pool_that_is_gone_stops_its_source() {
        let (sender, events) = mpsc::channel(8);
        drop(events);
        let mut updates = Updates::new("main".into(), sender, Arc::new(()));
        assert_eq!(updates.publish(specs(1), Vec::new()).await, Err(Stopped));
    }
}
