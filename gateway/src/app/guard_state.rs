//! The file in which guards keep steps and trips from one start to the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::proxy::guards::SavedGuards;
use crate::proxy::live::Live;

/// Time between two looks at every canary.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two writings where nothing has changed but how long a step has been held.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// What the file says; nothing where there is none yet or it cannot be used.
pub(super) fn read(path: &Path) -> SavedGuards {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return SavedGuards::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "guards begin anew: their file cannot be read");
            return SavedGuards::new();
        }
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "guards begin anew: their file is damaged");
        SavedGuards::new()
    })
}

/// Looks at canaries, and keeps the file up to date where there is one.
pub(super) async fn run(live: Arc<ArcSwap<Live>>, path: Option<PathBuf>) {
    let mut file = path.map(StateFile::new);
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let live = live.load();
        live.guards.check();
        if let Some(file) = &mut file {
            file.keep(live.guards.save(), Instant::now());
        }
    }
}

struct StateFile {
    path: PathBuf,
    written: Option<(SavedGuards, Instant)>,
}

impl StateFile {
    fn new(path: PathBuf) -> StateFile {
        StateFile {
            path,
            written: None,
        }
    }

    fn keep(&mut self, saved: SavedGuards, now: Instant) {
        if let Some((before, at)) = &self.written {
            let is_due = now.saturating_duration_since(*at) >= WRITE_INTERVAL;
            let is_news = without_times(&saved) != without_times(before);
            if saved == *before || !(is_due || is_news) {
                return;
            }
        }
        if let Err(error) = write(&self.path, &saved) {
            let path = self.path.display();
            tracing::error!(%path, %error, "the guards' state cannot be written: a restart would forget it");
        }
        self.written = Some((saved, now));
    }
}

fn without_times(saved: &SavedGuards) -> SavedGuards {
    let mut saved = saved.clone();
    for guard in saved.values_mut() {
        for progress in guard.canaries.values_mut() {
            progress.held_ms = 0;
        }
    }
    saved
}

/// All or nothing: a file that is half written would forget trips.
fn write(path: &Path, saved: &SavedGuards) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(saved)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(held_ms: u64, step: usize) -> SavedGuards {
        let text = format!(
            r#"{{"chat": {{"fingerprint": "00", "canaries": {{"canary":
                {{"step": {step}, "held_ms": {held_ms}, "phase": "holding"}}}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn news_at_once_and_times_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guards.json");
        assert_eq!(read(&path), SavedGuards::new());
        let mut file = StateFile::new(path.clone());
        let start = Instant::now();
        file.keep(saved(0, 0), start);
        assert_eq!(read(&path), saved(0, 0));
        file.keep(saved(1_000, 0), start + Duration::from_secs(1));
        assert_eq!(read(&path), saved(0, 0));
        file.keep(saved(0, 1), start + Duration::from_secs(2));
        assert_eq!(read(&path), saved(0, 1));
        file.keep(saved(9_000, 1), start + Duration::from_secs(12));
        assert_eq!(read(&path), saved(9_000, 1));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path), SavedGuards::new(), "damaged");
    }
}
