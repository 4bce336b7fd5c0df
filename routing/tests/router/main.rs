//! A router as discovery and the gateway use it: who is there, what they say, what is forgotten.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::{BlockHash, BlockSize};
use warmgate_routing::endpoint::{Endpoint, EndpointKey, Engine, Serving};
use warmgate_routing::feedback::Reported;
use warmgate_routing::health::{Failure, Standing};
use warmgate_routing::ledger::Load;
use warmgate_routing::pod::Pod;
use warmgate_routing::prefix::{DEFAULT_CAPACITY as UNREPORTED, IndexStats};
use warmgate_routing::report::{EngineReport, ServedModel};
use warmgate_routing::router::{DEFAULT_CAPACITY, REPORT_STALE_AFTER, RouterSettings};
use warmgate_routing::{
    Ask, Blocks, Decision, EndpointEvent, EndpointSpec, Policy, PromptBlocks, Router, Tokens,
    Unroutable,
};

mod decisions;
mod listing;
mod reports;
mod saturation;

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    Instant::now()
}

fn spec(name: &str) -> EndpointSpec {
    EndpointSpec::at(name, ([127, 0, 0, 1], 8000).into(), false)
}

fn key(name: &str) -> EndpointKey {
    spec(name).key
}

fn router(names: &[&str]) -> Router {
    router_with(RouterSettings::default(), names)
}

fn router_with(settings: RouterSettings, names: &[&str]) -> Router {
    let router = Router::new(settings, Policy::default());
    for name in names {
        router.apply(EndpointEvent::Apply(spec(name)));
    }
    router
}

fn endpoint(router: &Router, name: &str) -> Arc<Endpoint> {
    let pool = router.pool();
    let found = pool.all().iter().find(|found| found.spec.key == key(name));
    Arc::clone(found.expect("it was listed"))
}

fn names(router: &Router) -> Vec<String> {
    let pool = router.pool();
    let names = pool.all().iter();
    names
        .map(|found| found.spec.authority.to_string())
        .collect()
}

fn prompt(seed: u64, blocks: u64) -> PromptBlocks {
    PromptBlocks {
        hashes: (0..blocks).map(|at| BlockHash((seed << 32) + at)).collect(),
        bytes: blocks * BlockSize::default().bytes() as u64,
        ..PromptBlocks::default()
    }
}

fn decide(router: &Router, model: &str, prompt: &PromptBlocks) -> Result<Decision, Unroutable> {
    let ask = Ask {
        model,
        prompt,
        session: None,
        wanted: 3,
        explain: false,
    };
    router.decide(&ask, now(), &mut SmallRng::seed_from_u64(1))
}

fn held(router: &Router, prompt: &PromptBlocks, name: &str) -> Blocks {
    router
        .index()
        .held(&prompt.hashes, endpoint(router, name).id)
        .blocks
}

/// Sends the prompt to that endpoint, and is answered.
fn warm(router: &Router, prompt: &PromptBlocks, name: &str) {
    let decision = decide(router, "m", prompt).expect("all are ready");
    let mut order = decision.order.iter();
    let choice = order.find(|choice| choice.endpoint.spec.key == key(name));
    drop(router.send(choice.expect("all are wanted"), prompt, now()));
    assert_eq!(held(router, prompt, name).0 as usize, prompt.hashes.len());
}

fn report() -> EngineReport {
    EngineReport::empty(Engine::Vllm)
}

fn models(names: &[&str]) -> Vec<ServedModel> {
    let model = |name: &&str| ServedModel {
        name: (*name).to_owned(),
        parent: None,
        max_model_len: None,
    };
    names.iter().map(model).collect()
}

/// How many blocks of a prompt longer than any capacity an endpoint is taken to hold.
fn capacity(router: &Router, name: &str) -> Blocks {
    let id = endpoint(router, name).id;
    let endless: Vec<_> = (0..200_000).map(BlockHash).collect();
    router.index().insert(&endless, id);
    let capacity = router.index().occupancy(id);
    router.index().forget(id);
    capacity
}

proptest! {
    /// Whatever requests do, and whatever discovery says meanwhile, all weight is given back.
    #[test]
    fn the_ledger_returns_to_zero(
        steps in proptest::collection::vec((0..6_u8, any::<prop::sample::Index>(), 1..40_u64), 1..200),
    ) {
        let router = router(&["a", "b", "c"]);
        let loads: Vec<_> = router.pool().all().iter().map(|found| Arc::clone(&found.load)).collect();
        let mut underway = Vec::new();
        for (action, which, blocks) in steps {
            match action {
                0..=2 => {
                    let prompt = prompt(blocks % 5, blocks);
                    if let Ok(decision) = decide(&router, "m", &prompt) {
                        let choice = which.get(&decision.order);
                        underway.push(router.send(choice, &prompt, now()));
                    }
                }
                3 if !underway.is_empty() => {
                    let at = which.index(underway.len());
                    underway[at].note_first_token();
                }
                4 if !underway.is_empty() => {
                    underway.swap_remove(which.index(underway.len()));
                }
                _ => {
                    let name = ["a", "b", "c"][which.index(3)];
                    let serving = if blocks % 2 == 0 { Serving::Ready } else { Serving::NotReady };
                    router.apply(EndpointEvent::Apply(EndpointSpec { serving, ..spec(name) }));
                }
            }
            let inflight: u32 = loads.iter().map(|load| load.now().inflight).sum();
            prop_assert_eq!(inflight as usize, underway.len());
            for load in &loads {
                let load = load.now();
                prop_assert!(load.decoding <= load.inflight);
                prop_assert!(load.queued_prefill <= load.prompt);
            }
        }
        drop(underway);
        for load in loads {
            prop_assert_eq!(load.now(), Load::default());
        }
        router.index().check_invariants();
    }
}
