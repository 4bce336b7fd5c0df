//! One JSON line for each request, without prompt text, written off the request's path.
//!
//! A request leaves its line in a bounded queue, which costs a lock and no wake-up. A thread of
//! its own empties the queue every [`WRITE_INTERVAL`] or when it is half full. What the queue
//! cannot hold, or the destination does not take, is counted as lost: a slow disk must not slow
//! down an answer.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::metrics::Metrics;

mod line;
mod queue;

pub use line::{Entry, MODEL_BYTES_MAX, PATH_BYTES_MAX, REQUEST_ID_BYTES_MAX};

use line::Line;
use queue::Queue;

/// Lines that wait for the writer, about 400 bytes each; further ones are lost and counted.
pub const LINES_MAX: usize = 65_536;
/// Longest time that a line waits for the writer while the queue is nearly empty.
pub const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// Where the lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    #[default]
    Stdout,
    /// The end of a file, which is made where it does not exist.
    File(PathBuf),
}

impl Destination {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        })
    }
}

/// The access log. Dropping it writes what is left.
#[derive(Debug)]
pub struct AccessLog {
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// Where the file cannot be opened for appending, or no thread can be started.
    pub fn open(destination: &Destination, metrics: Arc<Metrics>) -> io::Result<AccessLog> {
        AccessLog::start(destination.open()?, metrics)
    }

    fn start(out: Box<dyn Write + Send>, metrics: Arc<Metrics>) -> io::Result<AccessLog> {
        let queue = Arc::new(Queue::new(LINES_MAX, WRITE_INTERVAL));
        let (theirs, counters) = (Arc::clone(&queue), Arc::clone(&metrics));
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&theirs, out, &counters))?;
        Ok(AccessLog {
            queue,
            writer: Mutex::new(Some(writer)),
            metrics,
        })
    }

    /// Puts a line in the queue, or counts it as lost.
    pub fn note(&self, entry: &Entry<'_>) {
        if self.queue.push(Line::from(entry)).is_err() {
            self.metrics.access_log_dropped(1);
        }
    }

    /// Writes what is in the queue and ends the writer; later lines are lost and counted. Blocks
    /// for as long as the destination does.
    pub fn close(&self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            self.metrics.bug();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_all(queue: &Queue, mut out: Box<dyn Write + Send>, metrics: &Metrics) {
    let mut is_failing = false;
    let mut text = Vec::new();
    while let Some(lines) = queue.take() {
        text.clear();
        for line in &lines {
            match serde_json::to_vec(line) {
                Ok(json) => {
                    text.extend_from_slice(&json);
                    text.push(b'\n');
                }
                Err(_) => metrics.bug(),
            }
        }
        match out.write_all(&text).and_then(|()| out.flush()) {
            Ok(()) => is_failing = false,
            Err(error) => {
                metrics.access_log_dropped(lines.len() as u64);
                // Once an outage: the counter says the rest.
                if !is_failing {
                    tracing::error!(%error, "the access log cannot be written; lines are lost until it can");
                }
                is_failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
