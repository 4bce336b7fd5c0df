//! Loads the configuration again when its file changes or on SIGHUP; a bad one changes nothing.
//!
//! Polled by content, not notified: a ConfigMap swaps a symbolic link two folders above the file,
//! notifications do not cross every kind of mount, and some keep times in whole seconds only.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::{Config, ConfigError, Source};

/// Pause between two looks at the file.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Keys that have changed but take effect at the next start only; empty where none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeedsRestart(pub Vec<&'static str>);

/// Who is told about configurations.
pub trait ReloadEvents: Send {
    /// Puts `config` in force, as far as that goes while running, and says what has to wait:
    /// [`Config::needs_restart`].
    fn apply(&mut self, config: Config) -> NeedsRestart;

    /// What the file says now is in force. It may have been before: an edit was taken back.
    fn in_force(&mut self) {}

    /// What the file says now cannot be used; the last good configuration stays in force.
    fn refused(&mut self, _error: &ConfigError) {}
}

/// What one look at the file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Unchanged,
    /// What the file says now is in force.
    Applied,
    /// What the file says now cannot be used; the last good configuration stays in force.
    Refused,
}

/// Watches one file.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    /// What the last look found: the content, or why there is none.
    seen: Result<Vec<u8>, String>,
}

impl Reloader {
    /// Watches the file of `source`, of which the content `in_force` has been loaded.
    #[must_use]
    pub fn new(source: Source, in_force: Vec<u8>) -> Reloader {
        Reloader {
            source,
            seen: Ok(in_force),
        }
    }

    /// Looks at the file once; loads it where it differs from the last look.
    pub fn poll_once(&mut self, events: &mut dyn ReloadEvents) -> Look {
        self.look(events, false)
    }

    /// Loads the file even where it does not differ: other files that it names may.
    pub fn load_now(&mut self, events: &mut dyn ReloadEvents) -> Look {
        self.look(events, true)
    }

    /// Looks at the file every [`POLL_INTERVAL`], and loads it on SIGHUP, for ever; drop the
    /// future to stop. Where there is no file it only keeps SIGHUP from ending the process.
    ///
    /// # Errors
    /// Where SIGHUP cannot be listened for.
    pub async fn run(mut self, mut events: impl ReloadEvents) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.poll_once(&mut events),
                _ = hangup.recv() => self.load_now(&mut events),
            };
        }
    }

    fn look(&mut self, events: &mut dyn ReloadEvents, even_if_unchanged: bool) -> Look {
        let read = self.source.read();
        let seen = match &read {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => Err(error.to_string()),
        };
        if seen == self.seen && !even_if_unchanged {
            return Look::Unchanged;
        }
        self.seen = seen;
        match read.and_then(|bytes| self.source.parse(&bytes)) {
            Ok(config) => apply(config, events),
            Err(error) => refuse(&error, events),
        }
    }
}

fn apply(config: Config, events: &mut dyn ReloadEvents) -> Look {
    let NeedsRestart(waiting) = events.apply(config);
    events.in_force();
    if waiting.is_empty() {
        tracing::info!("configuration reloaded");
    } else {
        let keys = waiting.join(", ");
        tracing::warn!(
            keys,
            "configuration reloaded, but these keys need a restart"
        );
    }
    Look::Applied
}

fn refuse(error: &ConfigError, events: &mut dyn ReloadEvents) -> Look {
    tracing::error!(
        %error,
        "configuration refused, the last good one stays in force"
    );
    events.refused(error);
    Look::Refused
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    const GOOD: &str = "pools: [{name: a, upstreams: ['http://h:1']}]\n";
    const OTHER: &str = "listen: 0.0.0.0:81\npools: [{name: b, upstreams: ['http://h:1']}]\n";
    const BAD: &str = "pools: [{name: a}]\n";

    #[derive(Default)]
    struct Recorder {
        applied: Vec<String>,
        in_force: usize,
        refused: Vec<String>,
    }

    impl ReloadEvents for Recorder {
        fn apply(&mut self, config: Config) -> NeedsRestart {
            self.applied.push(config.pools[0].name.clone());
            NeedsRestart(vec!["listen"])
        }

        fn in_force(&mut self) {
            self.in_force += 1;
        }

        fn refused(&mut self, error: &ConfigError) {
            self.refused.push(error.to_string());
        }
    }

    fn watch(path: &Path, text: &str) -> (Reloader, Recorder) {
        std::fs::write(path, text).unwrap();
        let source = Source {
            file: Some(path.to_owned()),
            overrides: Overrides::default(),
        };
        let bytes = source.read().unwrap();
        source.parse(&bytes).unwrap();
        (Reloader::new(source, bytes), Recorder::default())
    }

    #[test]
    fn a_good_change_is_applied_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warmgate.yaml");
        let (mut reloader, mut events) = watch(&path, GOOD);
        assert_eq!(reloader.poll_once(&mut events), Look::Unchanged);
        std::fs::write(&path, OTHER).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Applied);
        assert_eq!(reloader.poll_once(&mut events), Look::Unchanged);
        assert_eq!((events.applied, events.in_force), (vec!["b".to_owned()], 1));
    }

    #[test]
    fn a_bad_change_keeps_the_old_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warmgate.yaml");
        let (mut reloader, mut events) = watch(&path, GOOD);
        std::fs::write(&path, BAD).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Refused);
        assert_eq!(
            reloader.poll_once(&mut events),
            Look::Unchanged,
            "said once"
        );
        assert!(events.applied.is_empty());
        assert!(
            events.refused[0].contains("pools[0]"),
            "{:?}",
            events.refused
        );
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Applied);
        assert_eq!(events.in_force, 1, "the gauge must return to valid");
    }

    #[test]
    fn a_file_that_is_gone_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warmgate.yaml");
        let (mut reloader, mut events) = watch(&path, GOOD);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Refused);
        assert_eq!(reloader.poll_once(&mut events), Look::Unchanged);
        assert_eq!(events.refused.len(), 1);
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Applied);
    }

    #[test]
    fn on_demand_even_an_unchanged_file_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warmgate.yaml");
        let (mut reloader, mut events) = watch(&path, GOOD);
        assert_eq!(reloader.load_now(&mut events), Look::Applied);
        std::fs::write(&path, BAD).unwrap();
        assert_eq!(reloader.load_now(&mut events), Look::Refused);
        assert_eq!(reloader.load_now(&mut events), Look::Refused);
        assert_eq!((events.in_force, events.refused.len()), (1, 2));
    }

    #[test]
    fn flags_win_on_reload_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warmgate.yaml");
        let (mut reloader, mut events) = watch(&path, GOOD);
        reloader.source.overrides.upstreams = vec!["http://flag:1".parse().unwrap()];
        std::fs::write(&path, OTHER).unwrap();
        assert_eq!(reloader.poll_once(&mut events), Look::Applied);
        assert_eq!(events.applied, ["main"]);
    }
}
