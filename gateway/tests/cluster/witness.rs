//! Who sees what the gateway could have seen at the same time, to tell its delay from others'.

use std::collections::{BTreeMap, VecDeque};
use std::fs::DirEntry;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::control_plane::Api;
use crate::http_client;
use crate::slices::slices_path;

/// How often it is looked at whether the gateway gets a CPU.
const TICK: Duration = Duration::from_millis(100);
/// Looks of one second.
const WINDOW: usize = 10;

/// Watches the slices of a namespace until it is dropped.
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Seen {
    /// By resource version.
    events: BTreeMap<u64, Instant>,
    starved: Duration,
}

impl Seen {
    fn note(&mut self, starved: Duration) {
        self.starved = self.starved.max(starved);
    }
}

impl Witness {
    /// Begins with what happens from now on.
    pub async fn start(api: &Api, namespace: &str, gateway: u32) -> Witness {
        let path = slices_path(namespace);
        let list = api.get(&path).await.unwrap();
        let since = list["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{path}?watch=true&resourceVersion={since}");
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let stream = http_client::open(api.address(), request).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let tasks = [
            tokio::spawn(watch(stream, Arc::clone(&seen))),
            tokio::spawn(feel(gateway, Arc::clone(&seen))),
        ];
        Witness { seen, tasks }
    }

    /// When the change of that resource version was seen, if it has been.
    pub fn saw(&self, version: u64) -> Option<Instant> {
        self.seen.lock().unwrap().events.get(&version).copied()
    }

    /// The longest that one thread of the gateway could have run, within a second, and got no CPU.
    pub fn starved(&self) -> Duration {
        self.seen.lock().unwrap().starved
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn watch(mut stream: http_client::Opened, seen: Arc<Mutex<Seen>>) {
    let mut text = BytesMut::new();
    while let Some(Ok(bytes)) = stream.next().await {
        text.extend_from_slice(&bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let at = Instant::now();
            let event: Value = serde_json::from_slice(&text.split_to(end + 1)).unwrap();
            let version = version(&event["object"]);
            seen.lock().unwrap().events.insert(version, at);
        }
    }
}

async fn feel(process: u32, seen: Arc<Mutex<Seen>>) {
    let mut looks = VecDeque::new();
    loop {
        let now = waited(process);
        let starved = looks.front().and_then(|then: &BTreeMap<String, Duration>| {
            let of_thread = now.iter().map(|(thread, waited)| {
                let before = then.get(thread).copied().unwrap_or_default();
                waited.saturating_sub(before)
            });
            of_thread.max()
        });
        looks.push_back(now);
        if looks.len() > WINDOW {
            looks.pop_front();
        }
        seen.lock().unwrap().note(starved.unwrap_or_default());
        tokio::time::sleep(TICK).await;
    }
}

/// How long each thread of a process has waited for a CPU since it was started.
fn waited(process: u32) -> BTreeMap<String, Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |thread: std::io::Result<DirEntry>| {
        let thread = thread.ok()?;
        // It may have ended meanwhile.
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let waited_ns = text.split_whitespace().nth(1)?.parse().ok()?;
        let name = thread.file_name().to_string_lossy().into_owned();
        Some((name, Duration::from_nanos(waited_ns)))
    };
    threads.filter_map(of_thread).collect()
}

/// The resource version of an object.
pub fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap();
    text.parse().unwrap()
}
