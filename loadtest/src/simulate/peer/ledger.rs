//! What a peer has in flight on each endpoint: exact and instant, whether the original counts so
//! well or not.

use std::collections::HashMap;

use super::super::contender::{EndpointIx, RequestIx};

/// A peer's own requests on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Sent and not ended.
    pub(super) in_flight: u64,
    /// Prompt tokens believed not to be cached there, of those without a first token.
    pub(super) queued_tokens: u64,
    /// Prompt tokens of all in flight, cached or not.
    pub(super) prompt_tokens: u64,
}

/// What one request weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) endpoint: EndpointIx,
    /// Prompt tokens believed not to be cached there.
    pub(super) uncached_tokens: u64,
    pub(super) prompt_tokens: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    loads: Vec<Load>,
    underway: HashMap<RequestIx, Entry>,
}

#[derive(Debug)]
struct Entry {
    weight: Weight,
    is_queued: bool,
}

impl Ledger {
    pub(super) fn new(endpoints: usize) -> Ledger {
        Ledger {
            loads: vec![Load::default(); endpoints],
            underway: HashMap::new(),
        }
    }

    pub(super) fn load(&self, endpoint: EndpointIx) -> Load {
        self.loads[endpoint.0]
    }

    pub(super) fn sent(&mut self, id: RequestIx, weight: Weight) {
        let load = &mut self.loads[weight.endpoint.0];
        load.in_flight += 1;
        load.queued_tokens += weight.uncached_tokens;
        load.prompt_tokens += weight.prompt_tokens;
        let entry = Entry {
            weight,
            is_queued: true,
        };
        let before = self.underway.insert(id, entry);
        assert!(before.is_none(), "invariant: a request is sent once");
    }

    /// Where it runs; none where it is not underway.
    pub(super) fn first_token(&mut self, id: RequestIx) -> Option<EndpointIx> {
        let entry = self.underway.get_mut(&id)?;
        let Weight {
            endpoint,
            uncached_tokens,
            ..
        } = entry.weight;
        if entry.is_queued {
            entry.is_queued = false;
            self.loads[endpoint.0].queued_tokens -= uncached_tokens;
        }
        Some(endpoint)
    }

    /// Where it ran; none where it was not underway.
    pub(super) fn ended(&mut self, id: RequestIx) -> Option<EndpointIx> {
        let endpoint = self.first_token(id)?;
        let entry = self.underway.remove(&id)?;
        let load = &mut self.loads[endpoint.0];
        load.in_flight -= 1;
        load.prompt_tokens -= entry.weight.prompt_tokens;
        Some(endpoint)
    }

    /// Panics where something is left though nothing is in flight.
    pub(super) fn check_idle(&self) {
        assert!(self.underway.is_empty(), "requests that nobody has");
        for load in &self.loads {
            assert_eq!(*load, Load::default(), "idle, the ledger says otherwise");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_given_back_in_two_steps_and_once() {
        let (id, endpoint) = (RequestIx(7), EndpointIx(1));
        let mut ledger = Ledger::new(2);
        ledger.sent(
            id,
            Weight {
                endpoint,
                uncached_tokens: 70,
                prompt_tokens: 100,
            },
        );
        let load = |in_flight, queued_tokens, prompt_tokens| Load {
            in_flight,
            queued_tokens,
            prompt_tokens,
        };
        assert_eq!(ledger.load(endpoint), load(1, 70, 100));
        ledger.first_token(id);
        ledger.first_token(id);
        assert_eq!(ledger.load(endpoint), load(1, 0, 100));
        assert_eq!(ledger.ended(id), Some(endpoint));
        assert_eq!(ledger.ended(id), None);
        ledger.check_idle();
    }
}
