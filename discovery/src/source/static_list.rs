//! Endpoints named in the configuration; host names are resolved again and again.

use std::convert::Infallible;
use std::sync::Arc;

use super::Source;
use super::listing::{Listed, Listing, pause_after};
use super::resolver::Resolve;
use super::updates::{Stopped, Updates};
use super::upstream_url::UpstreamUrl;

pub(super) struct StaticList {
    listing: Listing,
}

impl StaticList {
    pub(super) fn new(urls: Vec<UpstreamUrl>, resolver: Arc<dyn Resolve>) -> StaticList {
        let entries = urls.into_iter().map(Listed::at).collect();
        StaticList {
            listing: Listing::new(entries, resolver),
        }
    }
}

impl Source for StaticList {
    async fn run(mut self, mut updates: Updates) -> Result<Infallible, Stopped> {
        // Addresses need not wait for names.
        let addresses = self.listing.specs();
        if !addresses.is_empty() || !self.listing.has_names() {
            updates.publish(addresses, Vec::new()).await?;
        }
        if !self.listing.has_names() {
            return std::future::pending().await;
        }
        loop {
            let problems = self.listing.resolve().await;
            let pause = pause_after(&problems);
            let specs = self.listing.specs();
            if specs.is_empty() {
                updates.report(&problems);
            } else {
                updates.publish(specs, problems).await?;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::resolver::scripted::ScriptedResolver;
    use crate::source::updates::record::Recorder;

    fn start(urls: &[&str], resolver: &ScriptedResolver) -> Recorder {
        let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        Recorder::start(StaticList::new(urls, Arc::new(resolver.clone())))
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_come_first_and_names_when_they_resolve() {
        let resolver = ScriptedResolver::default();
        let mut recorder = start(&["http://gpu-1:8000", "http://10.0.0.9:8000"], &resolver);
        assert_eq!(
            recorder.list().await,
            ["http://10.0.0.9:8000 10.0.0.9:8000"]
        );
        resolver.set("gpu-1", &["10.0.0.1:8000"]);
        let both = [
            "http://gpu-1:8000 10.0.0.1:8000",
            "http://10.0.0.9:8000 10.0.0.9:8000",
        ];
        assert_eq!(recorder.list().await, both);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moved_name_is_told_and_a_lost_one_is_not() {
        let resolver = ScriptedResolver::default();
        resolver.set("gpu-1", &["10.0.0.1:8000"]);
        let mut recorder = start(&["http://gpu-1:8000"], &resolver);
        assert_eq!(recorder.list().await, ["http://gpu-1:8000 10.0.0.1:8000"]);
        resolver.set("gpu-1", &[]);
        recorder.failures(3).await;
        resolver.set("gpu-1", &["10.0.0.2:8000"]);
        // The next list after the first: the failures in between told none.
        assert_eq!(recorder.list().await, ["http://gpu-1:8000 10.0.0.2:8000"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_list_is_a_complete_list() {
        let mut recorder = start(&[], &ScriptedResolver::default());
        assert!(recorder.list().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_listed_twice_is_one_endpoint() {
        let twice = ["http://10.0.0.9:80", "http://10.0.0.9"];
        let mut recorder = start(&twice, &ScriptedResolver::default());
        assert_eq!(recorder.list().await.len(), 1);
    }
}
