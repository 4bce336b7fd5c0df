//! The run itself: starts sessions when they are due, plays their turns, keeps the records.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{self, Message, Outgoing};
use super::client::{LoadClient, Outcome};
use super::load::{Conversation, Load, Script, Session};
use super::options::{ReplayError, ReplayOptions};
use super::record::{Record, Run, RunMeta};
use crate::trace::prompt_text;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that will be sent if none fails.
    pub planned: usize,
    /// Requests answered or failed.
    pub done: usize,
    /// Of these, failed.
    pub failed: usize,
    /// Turns that will not be sent because an earlier one failed or the run was stopped.
    pub skipped: usize,
    /// Prompt tokens answered, where the server tells.
    pub prompt_tokens: u64,
    /// Of these, found in a prefix cache.
    pub cached_tokens: u64,
}

/// Which request of the load.
#[derive(Clone, Copy)]
struct Place {
    session: u64,
    turn: u64,
}

/// When a request was due and how much later it was sent, both since the start of the run.
#[derive(Clone, Copy)]
struct Timetable {
    due: Duration,
    late: Duration,
}

/// No arrival and no thought takes longer.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

type OnProgress = Box<dyn Fn(&Progress) + Send + Sync>;

struct Driver {
    client: LoadClient,
    options: ReplayOptions,
    model: String,
    in_flight: Semaphore,
    started: Instant,
    book: Mutex<Book>,
    on_progress: OnProgress,
}

struct Book {
    records: Vec<Record>,
    progress: Progress,
}

/// Sends `load` and returns when its last answer is complete. `on_progress` is called after every
/// request and must not block.
///
/// # Errors
/// When the options make no sense or the target's models cannot be listed. Requests that fail are
/// records.
pub async fn run(
    load: Load,
    options: ReplayOptions,
    on_progress: impl Fn(&Progress) + Send + Sync + 'static,
) -> Result<Run, ReplayError> {
    run_until(load, options, on_progress, std::future::pending()).await
}

/// Like [`run`], but when `stop` completes, requests in flight are aborted and what has been
/// measured so far is the run; the rest counts as skipped.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    load: Load,
    options: ReplayOptions,
    on_progress: impl Fn(&Progress) + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Result<Run, ReplayError> {
    if options.time_scale.is_nan() || options.time_scale <= 0.0 || options.concurrency_max == 0 {
        return Err(ReplayError::OutOfRange);
    }
    let client = LoadClient::new(&options)?;
    let model = match &options.model {
        Some(model) => model.clone(),
        None => client.first_model().await?,
    };
    let progress = Progress {
        planned: load.requests(),
        ..Progress::default()
    };
    let started_at_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    let driver = Arc::new(Driver {
        client,
        model,
        in_flight: Semaphore::new(options.concurrency_max.min(Semaphore::MAX_PERMITS)),
        options,
        started: Instant::now(),
        book: Mutex::new(Book {
            records: Vec::new(),
            progress,
        }),
        on_progress: Box::new(on_progress),
    });
    tokio::select! {
        () = arrivals(&driver, load.sessions) => {}
        // Dropping the arrivals drops every session and its connection.
        () = stop => driver.skip_rest(),
    }
    Ok(driver.finish(load.description, started_at_s))
}

/// Starts every session at its time and waits for all of them.
async fn arrivals(driver: &Arc<Driver>, sessions: Vec<Session>) {
    let mut playing = JoinSet::new();
    for session in sessions {
        let due = driver.started + driver.scaled(session.starts_at);
        sleep_until(due).await;
        let driver = Arc::clone(driver);
        playing.spawn(async move { driver.play(session, due).await });
        while playing.try_join_next().is_some() {}
    }
    while playing.join_next().await.is_some() {}
}

impl Driver {
    async fn play(&self, session: Session, due: Instant) {
        match session.script {
            Script::Recorded {
                request,
                block_tokens,
                own_id,
            } => {
                let write = || {
                    let prompt = prompt_text(&request, block_tokens, own_id);
                    body::recorded(&self.options, &self.model, prompt, request.output_tokens)
                };
                self.request(
                    Place {
                        session: session.id,
                        turn: 0,
                    },
                    due,
                    write,
                )
                .await;
            }
            Script::Conversation(conversation) => {
                self.converse(session.id, &conversation, due).await;
            }
        }
    }

    async fn converse(&self, session: u64, conversation: &Conversation, mut due: Instant) {
        let mut messages = body::opening(conversation);
        let output_tokens = conversation.output_tokens;
        for (number, turn) in conversation.turns.iter().enumerate() {
            if number > 0 {
                due = Instant::now() + self.scaled(turn.think);
                sleep_until(due).await;
            }
            messages.push(body::user(turn));
            let write = || body::chat(&self.options, &self.model, &messages, output_tokens);
            let place = Place {
                session,
                turn: number as u64,
            };
            let Some(answer) = self.request(place, due, write).await else {
                // Without the answer the next prompt would be another conversation.
                return self.skip(conversation.turns.len() - number - 1);
            };
            messages.push(Message {
                role: "assistant",
                content: answer,
            });
        }
    }

    /// Sends one request when there is room; the answer's text, unless it failed. The body is
    /// written only once it can be sent: prompts that wait take no memory.
    async fn request(
        &self,
        place: Place,
        due: Instant,
        write: impl FnOnce() -> Outgoing,
    ) -> Option<String> {
        let _room = self
            .in_flight
            .acquire()
            .await
            .expect("invariant: never closed");
        let outgoing = write();
        let late = due.elapsed();
        let header = self
            .options
            .session_header
            .as_ref()
            .map(|name| (name, place.session));
        let limit = self.options.request_timeout;
        let sent = timeout(limit, self.client.send(outgoing, header, due)).await;
        let outcome = sent.unwrap_or_else(|_| Outcome {
            error: Some(format!("timeout after {} s", limit.as_secs_f64())),
            end: due.elapsed(),
            ..Outcome::default()
        });
        let timetable = Timetable {
            due: due - self.started,
            late,
        };
        self.book(record(place, timetable, &outcome));
        outcome.error.is_none().then_some(outcome.text)
    }

    fn book(&self, record: Record) {
        let mut book = self.book.lock();
        book.progress.done += 1;
        book.progress.failed += usize::from(record.error.is_some());
        book.progress.prompt_tokens += record.prompt_tokens.unwrap_or(0);
        book.progress.cached_tokens += record.cached_tokens.unwrap_or(0);
        book.records.push(record);
        (self.on_progress)(&book.progress);
    }

    fn skip(&self, turns: usize) {
        let mut book = self.book.lock();
        book.progress.skipped += turns;
        (self.on_progress)(&book.progress);
    }

    fn skip_rest(&self) {
        let mut book = self.book.lock();
        let progress = &mut book.progress;
        progress.skipped = progress.planned - progress.done;
        (self.on_progress)(&book.progress);
    }

    fn scaled(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() / self.options.time_scale)
            .map_or(WAIT_MAX, |scaled| scaled.min(WAIT_MAX))
    }

    fn finish(&self, load: String, started_at_s: f64) -> Run {
        let mut book = self.book.lock();
        let mut records = std::mem::take(&mut book.records);
        records.sort_by(|a, b| a.due_ms.total_cmp(&b.due_ms));
        let meta = RunMeta {
            name: self.options.name.clone(),
            target: self.options.target.clone(),
            model: self.model.clone(),
            load,
            time_scale: self.options.time_scale,
            stream: self.options.stream,
            started_at_s,
            duration_s: self.started.elapsed().as_secs_f64(),
            skipped: book.progress.planned - records.len(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Run { meta, records }
    }
}

fn record(place: Place, timetable: Timetable, outcome: &Outcome) -> Record {
    let usage = outcome.usage.unwrap_or_default();
    let output_tokens = match usage.completion_tokens {
        0 => outcome.text_chunks,
        counted => counted,
    };
    let tpot_ms = match (outcome.first_token, outcome.last_token) {
        (Some(first), Some(last)) if output_tokens > 1 => {
            Some(millis((last - first).div_f64((output_tokens - 1) as f64)))
        }
        _ => None,
    };
    Record {
        session: place.session,
        turn: place.turn,
        due_ms: millis(timetable.due),
        late_ms: millis(timetable.late),
        status: outcome.status,
        error: outcome.error.clone(),
        ttft_ms: outcome.first_token.map(millis),
        tpot_ms,
        e2e_ms: millis(outcome.end),
        prompt_tokens: outcome.usage.map(|usage| usage.prompt_tokens),
        cached_tokens: outcome.usage.and_then(|usage| usage.cached_tokens),
        output_tokens,
        endpoint: outcome.endpoint.clone(),
    }
}

/// Milliseconds with microseconds behind the point.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
