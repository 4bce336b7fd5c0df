//! Gives the pure model a real clock, and each request a channel of its events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::model::{
    BlockHash, Counters, EventKind, Model, ModelConfig, Request, RequestId, SubmitError,
};

/// One answer to compute, before it has an id.
#[derive(Debug)]
pub(super) struct Job {
    pub blocks: Vec<BlockHash>,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub priority: i64,
}

/// Something that happened to one of the jobs of a [`Running`].
pub(super) type JobEvent = (usize, EventKind);

/// What the model looks like now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub running: usize,
    pub waiting: usize,
    pub usage_ratio: f64,
    pub counters: Counters,
    /// Of `counters.aborted`, those that a planned fault cut off.
    pub faulted: u64,
}

struct Listener {
    job: usize,
    events: mpsc::Sender<JobEvent>,
}

struct State {
    model: Model,
    listeners: HashMap<RequestId, Listener>,
    next_id: u64,
    /// Answers that a planned fault cut off; the model counts them as aborted.
    faulted: u64,
}

/// The model, its clock, and those who listen to it.
pub(super) struct Runner {
    state: Mutex<State>,
    started: Instant,
    sooner: Notify,
    changed: watch::Sender<()>,
}

impl Runner {
    pub(super) fn new(config: ModelConfig, changed: watch::Sender<()>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                model: Model::new(config),
                listeners: HashMap::new(),
                next_id: 0,
                faulted: 0,
            }),
            started: Instant::now(),
            sooner: Notify::new(),
            changed,
        })
    }

    /// Submits all `jobs` or none; dropping the result aborts those not finished.
    pub(super) fn submit(self: &Arc<Self>, jobs: Vec<Job>) -> Result<Running, SubmitError> {
        // Room for every event there will be, so that the model never waits for a slow client.
        let room = jobs
            .iter()
            .map(|job| job.output_tokens as usize + 1)
            .sum::<usize>();
        let (events, receiver) = mpsc::channel(room.max(1));
        let mut running = Running {
            runner: Arc::clone(self),
            ids: Vec::new(),
            receiver,
            cut_by_fault: false,
        };
        // Declared before the guard, dropped after it: an early return aborts what was submitted,
        // and that takes the lock.
        let mut state = self.state.lock();
        let now = self.started.elapsed();
        for (job, work) in jobs.into_iter().enumerate() {
            let id = RequestId(state.next_id);
            state.next_id += 1;
            state.model.submit(
                now,
                Request {
                    id,
                    blocks: work.blocks,
                    prompt_tokens: work.prompt_tokens,
                    output_tokens: work.output_tokens,
                    priority: work.priority,
                },
            )?;
            state.listeners.insert(
                id,
                Listener {
                    job,
                    events: events.clone(),
                },
            );
            running.ids.push(id);
        }
        state.play(now);
        drop(state);
        self.sooner.notify_one();
        self.changed.send_replace(());
        Ok(running)
    }

    /// Plays the model as time passes; never returns.
    pub(super) async fn drive(self: Arc<Self>) {
        loop {
            let wake = {
                let mut state = self.state.lock();
                if state.play(self.started.elapsed()) {
                    self.changed.send_replace(());
                }
                state.model.next_wake()
            };
            match wake {
                None => self.sooner.notified().await,
                Some(at) => self.sleep_until(at).await,
            }
        }
    }

    pub(super) fn glance(&self) -> Glance {
        let state = self.state.lock();
        Glance {
            running: state.model.running(),
            waiting: state.model.waiting(),
            usage_ratio: state.model.cache_usage_ratio(),
            counters: *state.model.counters(),
            faulted: state.faulted,
        }
    }

    pub(super) fn reset_prefix_cache(&self) {
        self.state.lock().model.reset_prefix_cache();
    }

    pub(super) fn reset_host_tier(&self) {
        self.state.lock().model.reset_host_tier();
    }

    async fn sleep_until(&self, at: Duration) {
        let Some(deadline) = self.started.checked_add(at) else {
            return self.sooner.notified().await;
        };
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = self.sooner.notified() => {}
        }
    }

    fn abort(&self, ids: &[RequestId], by_fault: bool) {
        let mut state = self.state.lock();
        for id in ids {
            state.listeners.remove(id);
            if state.model.abort(*id) && by_fault {
                state.faulted += 1;
            }
        }
        drop(state);
        self.changed.send_replace(());
    }
}

impl State {
    /// Advances the model and tells the listeners; true when anything happened.
    fn play(&mut self, now: Duration) -> bool {
        let events = self.model.advance(now);
        for event in &events {
            let Some(listener) = self.listeners.get(&event.id) else {
                continue;
            };
            // A receiver that is gone aborts through its `Running`; nothing to do here.
            let _ = listener.events.try_send((listener.job, event.kind));
            if event.kind == EventKind::Finished {
                self.listeners.remove(&event.id);
            }
        }
        !events.is_empty()
    }
}

/// Jobs in the model. Dropping it aborts them at once.
pub(super) struct Running {
    runner: Arc<Runner>,
    ids: Vec<RequestId>,
    receiver: mpsc::Receiver<JobEvent>,
    cut_by_fault: bool,
}

impl Running {
    /// Aborts what is left because of a planned fault, which is not the client's doing.
    pub(super) fn cut(mut self) {
        self.cut_by_fault = true;
    }

    /// The next event of any of the jobs; none after the last has finished.
    pub(super) async fn next(&mut self) -> Option<JobEvent> {
        self.receiver.recv().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runner.abort(&self.ids, self.cut_by_fault);
    }
}
