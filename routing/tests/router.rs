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

mod listing {
    use super::*;

    #[test]
    fn a_list_counts_as_a_whole_when_it_is_complete() {
        let router = router(&["a", "b"]);
        let before = router.pool();
        router.apply(EndpointEvent::Init);
        router.apply(EndpointEvent::InitApply(spec("b")));
        router.apply(EndpointEvent::InitApply(spec("c")));
        assert!(
            Arc::ptr_eq(&before, &router.pool()),
            "nothing is published yet"
        );
        router.apply(EndpointEvent::InitDone);
        assert_eq!(names(&router), ["b", "c"]);
        assert_eq!(endpoint(&router, "b").id, before.all()[1].id);
    }

    #[test]
    fn a_list_begun_again_starts_from_nothing() {
        let router = router(&[]);
        router.apply(EndpointEvent::Init);
        router.apply(EndpointEvent::InitApply(spec("a")));
        router.apply(EndpointEvent::Init);
        router.apply(EndpointEvent::InitApply(spec("b")));
        router.apply(EndpointEvent::InitDone);
        assert_eq!(names(&router), ["b"]);
    }

    #[test]
    fn the_same_list_again_changes_nothing() {
        let router = router(&["a"]);
        let before = router.pool();
        router.apply(EndpointEvent::Init);
        router.apply(EndpointEvent::InitApply(spec("a")));
        router.apply(EndpointEvent::InitDone);
        router.apply(EndpointEvent::Apply(spec("a")));
        router.apply(EndpointEvent::Delete(key("unknown")));
        assert!(Arc::ptr_eq(&before, &router.pool()));
    }

    #[test]
    fn ten_thousand_endpoints_make_one_pool_and_one_more_for_their_models() {
        const COUNT: usize = 10_000;
        let router = router(&[]);
        let mut pool = router.pool();
        let mut pools = 0;
        let mut count = |router: &Router| {
            let after = router.pool();
            pools += usize::from(!Arc::ptr_eq(&pool, &after));
            pool = after;
            pools
        };
        router.apply(EndpointEvent::Init);
        for number in 0..COUNT {
            router.apply(EndpointEvent::InitApply(spec(&format!("e{number}"))));
            assert_eq!(count(&router), 0);
        }
        router.apply(EndpointEvent::InitDone);
        assert_eq!(count(&router), 1);
        assert_eq!(router.pool().all().len(), COUNT);
        for number in 0..COUNT {
            router.observe_models(&key(&format!("e{number}")), models(&["m", "n"]));
            assert_eq!(count(&router), 2);
        }
        let pool = router.pool();
        assert_eq!(pool.serving("n").map(|serving| serving.len()), Some(COUNT));
        assert!(pool.serving("other").is_none(), "everybody has spoken");
    }

    #[test]
    fn a_readiness_blip_keeps_what_was_learned_and_a_deletion_drops_it() {
        let router = router(&["a", "b"]);
        let prompt = prompt(1, 8);
        warm(&router, &prompt, "a");
        router.apply(EndpointEvent::Apply(EndpointSpec {
            serving: Serving::NotReady,
            ..spec("a")
        }));
        let decision = decide(&router, "m", &prompt).unwrap();
        assert_eq!(decision.order.len(), 1);
        assert_eq!(decision.order[0].endpoint.spec.key, key("b"));
        assert_eq!(held(&router, &prompt, "a"), Blocks(8));
        router.apply(EndpointEvent::Apply(spec("a")));
        let decision = decide(&router, "m", &prompt).unwrap();
        assert_eq!(decision.order[0].endpoint.spec.key, key("a"));

        let id = endpoint(&router, "a").id;
        router.apply(EndpointEvent::Delete(key("a")));
        assert_eq!(router.index().occupancy(id), Blocks::ZERO);
        router.apply(EndpointEvent::Apply(spec("a")));
        assert_eq!(held(&router, &prompt, "a"), Blocks::ZERO);
    }

    #[test]
    fn a_restarted_container_is_cold_under_its_old_identity() {
        let router = router(&["a", "b"]);
        let of_pod = |restarts| EndpointSpec {
            pod: Some(Arc::new(Pod {
                restarts: Some(restarts),
                ..Pod::default()
            })),
            ..spec("a")
        };
        let prompt = prompt(1, 8);
        router.apply(EndpointEvent::Apply(of_pod(1)));
        let id = endpoint(&router, "a").id;
        warm(&router, &prompt, "a");
        router.apply(EndpointEvent::Apply(of_pod(1)));
        assert_eq!(held(&router, &prompt, "a"), Blocks(8));
        router.apply(EndpointEvent::Init);
        router.apply(EndpointEvent::InitApply(of_pod(2)));
        router.apply(EndpointEvent::InitApply(spec("b")));
        router.apply(EndpointEvent::InitDone);
        assert_eq!(held(&router, &prompt, "a"), Blocks::ZERO);
        assert_eq!(endpoint(&router, "a").id, id);
    }

    #[test]
    fn what_is_sent_to_one_that_has_gone_is_not_remembered() {
        let router = router(&["a"]);
        let prompt = prompt(1, 8);
        let decision = decide(&router, "m", &prompt).unwrap();
        router.apply(EndpointEvent::Delete(key("a")));
        let guard = router.send(&decision.order[0], &prompt, now());
        let IndexStats {
            holdings, blocks, ..
        } = router.index().stats();
        assert_eq!((holdings, blocks), (0, 0));
        drop(guard);
        assert_eq!(decision.order[0].endpoint.load.now(), Load::default());
    }
}

mod reports {
    use super::*;

    #[test]
    fn capacity_is_as_set_else_as_reported_else_the_default() {
        let blocks = |tokens: Tokens| Blocks((tokens.0 / 64) as u32);
        let unset = router(&["a", "b"]);
        assert_eq!(capacity(&unset, "a"), blocks(DEFAULT_CAPACITY));
        assert_ne!(
            blocks(DEFAULT_CAPACITY),
            UNREPORTED,
            "the router has its own"
        );
        let says = |tokens: Option<Tokens>| EngineReport {
            capacity: tokens,
            ..report()
        };
        unset.observe(&key("a"), says(Some(Tokens(64_000))), now());
        assert_eq!(capacity(&unset, "a"), Blocks(1_000));
        assert_eq!(capacity(&unset, "b"), blocks(DEFAULT_CAPACITY));
        unset.observe(&key("a"), says(Some(Tokens(128_000))), now());
        assert_eq!(capacity(&unset, "a"), Blocks(2_000));
        unset.observe(&key("a"), says(None), now());
        assert_eq!(capacity(&unset, "a"), blocks(DEFAULT_CAPACITY));
        unset.observe(&key("a"), says(Some(Tokens(1))), now());
        assert_eq!(capacity(&unset, "a"), Blocks(1), "less than a block");

        let settings = RouterSettings {
            capacity: Some(Tokens(6_400)),
            ..RouterSettings::default()
        };
        let set = router_with(settings, &["a"]);
        assert_eq!(capacity(&set, "a"), Blocks(100));
        set.observe(&key("a"), says(Some(Tokens(64_000))), now());
        assert_eq!(capacity(&set, "a"), Blocks(100));
    }

    #[test]
    fn a_restart_forgets_the_cache_and_keeps_the_capacity() {
        let first = EngineReport {
            capacity: Some(Tokens(64_000)),
            process_start_s: Some(1_000.0),
            prefix_queries: Some(Tokens(500)),
            ..report()
        };
        let younger = EngineReport {
            process_start_s: Some(1_060.0),
            ..first.clone()
        };
        let backwards = EngineReport {
            prefix_queries: Some(Tokens(499)),
            ..first.clone()
        };
        let same = EngineReport {
            process_start_s: Some(1_000.4),
            prefix_queries: Some(Tokens(900)),
            ..first.clone()
        };
        let silent = EngineReport {
            process_start_s: None,
            prefix_queries: None,
            ..first.clone()
        };
        let cases = [(&younger, 0), (&backwards, 0), (&same, 8), (&silent, 8)];
        for (second, kept) in cases {
            let router = router(&["a", "b"]);
            let prompt = prompt(1, 8);
            warm(&router, &prompt, "b");
            router.observe(&key("a"), first.clone(), now());
            warm(&router, &prompt, "a");
            router.observe(&key("a"), second.clone(), now());
            assert_eq!(held(&router, &prompt, "a"), Blocks(kept), "{second:?}");
            assert_eq!(held(&router, &prompt, "b"), Blocks(8), "b did not restart");
            assert_eq!(capacity(&router, "a"), Blocks(1_000));
        }
    }

    #[test]
    fn gauges_less_what_is_ours_is_what_others_send_until_the_report_is_old() {
        let router = router(&["a"]);
        let decision = decide(&router, "m", &prompt(1, 8)).unwrap();
        let send = || router.send(&decision.order[0], &prompt(1, 8), now());
        let mut guards: Vec<_> = (0..3).map(|_| send()).collect();
        guards[0].note_first_token();
        let foreign = |running, waiting| {
            let says = EngineReport {
                running,
                waiting,
                ..report()
            };
            router.observe(&key("a"), says.clone(), now());
            router.observe(&key("a"), says, now());
            let load = endpoint(&router, "a").load.now();
            (load.foreign_running, load.foreign_waiting)
        };
        // One of ours decodes and two wait.
        assert_eq!(foreign(Some(1), Some(2)), (0, 0));
        assert_eq!(foreign(Some(5), Some(2)), (4, 0));
        assert_eq!(foreign(Some(5), Some(6)), (4, 4));
        assert_eq!(foreign(Some(0), Some(0)), (0, 0), "older than our requests");
        assert_eq!(foreign(Some(u32::MAX), Some(u32::MAX)).1, u32::MAX - 3);
        assert_eq!(foreign(None, None), (0, 0));

        let seen = now();
        let says = EngineReport {
            running: Some(10),
            ..report()
        };
        router.observe(&key("a"), says.clone(), seen);
        router.observe(&key("a"), says, seen);
        assert!(router.expire_reports(seen + REPORT_STALE_AFTER).is_empty());
        assert_eq!(endpoint(&router, "a").load.now().foreign_running, 7);
        let late = seen + REPORT_STALE_AFTER + Duration::from_millis(1);
        let stale = router.expire_reports(late);
        assert_eq!(stale.len(), 1);
        assert_eq!(endpoint(&router, "a").load.now().foreign_running, 0);
        assert_eq!(endpoint(&router, "a").load.now().inflight, 3);
    }

    #[test]
    fn whoever_answers_a_probe_is_there_and_strangers_are_ignored() {
        let router = router(&["a"]);
        let health = Arc::clone(&endpoint(&router, "a").health);
        health.note_failure(Failure::Connect, now());
        assert_eq!(health.standing(now()), Standing::Ejected);
        router.observe(&key("a"), report(), now());
        assert_eq!(health.standing(now()), Standing::Healthy);
        health.note_failure(Failure::Connect, now());
        router.observe_models(&key("a"), models(&["m"]));
        assert_eq!(health.standing(now()), Standing::Healthy);
        router.observe(&key("stranger"), report(), now());
        router.observe_models(&key("stranger"), models(&["x"]));
        assert_eq!(router.pool().models().collect::<Vec<_>>(), ["m"]);
    }

    #[test]
    fn a_report_and_a_list_of_models_leave_each_other_alone() {
        let router = router(&["a"]);
        router.observe(&key("a"), report(), now());
        router.observe_models(&key("a"), models(&["m"]));
        router.observe(&key("a"), report(), now());
        let seen = endpoint(&router, "a").observed.load_full();
        assert_eq!(seen.models, Some(models(&["m"])));
        assert!(seen.report.is_some());
    }
}

mod decisions {
    use super::*;

    #[test]
    fn tokens_are_reckoned_as_engines_have_counted() {
        let router = router(&["a"]);
        let prompt = prompt(1, 8);
        assert_eq!(decide(&router, "m", &prompt).unwrap().prompt, Tokens(512));
        let sent = router.send(
            &decide(&router, "m", &prompt).unwrap().order[0],
            &prompt,
            now(),
        );
        let reported = Reported {
            prompt_tokens: Some(Tokens(1_024)),
            cached_tokens: None,
        };
        router.reported(&sent, "m", &prompt, reported, now());
        assert_eq!(decide(&router, "m", &prompt).unwrap().prompt, Tokens(1_024));
        assert_eq!(decide(&router, "n", &prompt).unwrap().prompt, Tokens(512));
    }

    #[test]
    fn what_was_sent_in_vain_is_not_remembered_and_what_was_there_before_is() {
        let router = router(&["a"]);
        let (first_turn, next_turn) = (prompt(1, 4), prompt(1, 6));
        warm(&router, &first_turn, "a");
        let decision = decide(&router, "m", &next_turn).unwrap();
        drop(router.send(&decision.order[0], &next_turn, now()));
        assert_eq!(held(&router, &next_turn, "a"), Blocks(6));
        router.take_back(&decision.order[0], &next_turn);
        assert_eq!(held(&router, &next_turn, "a"), Blocks(4));
    }

    #[test]
    fn errors_say_whose_fault_it_is() {
        let router = router(&["a", "b"]);
        let prompt = prompt(1, 2);
        router.observe_models(&key("a"), models(&["m", "n"]));
        let served_by_b = decide(&router, "other", &prompt).unwrap();
        assert_eq!(served_by_b.order.len(), 1, "b has not said what it serves");
        router.observe_models(&key("b"), models(&["m"]));
        let no_model = Unroutable::NoSuchModel {
            model: "other".to_owned(),
            known: vec!["m".to_owned(), "n".to_owned()],
        };
        assert_eq!(decide(&router, "other", &prompt).unwrap_err(), no_model);
        router.apply(EndpointEvent::Apply(EndpointSpec {
            serving: Serving::Terminating,
            ..spec("a")
        }));
        let refused = decide(&router, "n", &prompt).unwrap_err();
        assert_eq!(refused, Unroutable::NoEndpoint);
        let empty = Router::new(RouterSettings::default(), Policy::default());
        let refused = decide(&empty, "m", &prompt).unwrap_err();
        assert_eq!(refused, Unroutable::NoEndpoint);
    }

    #[test]
    fn a_model_that_appears_and_goes_changes_who_is_asked() {
        let router = router(&["a", "b"]);
        for name in ["a", "b"] {
            router.observe_models(&key(name), models(&["m"]));
        }
        router.observe_models(&key("b"), models(&["m", "lora"]));
        let decision = decide(&router, "lora", &prompt(1, 2)).unwrap();
        assert_eq!(decision.order.len(), 1);
        assert_eq!(decision.order[0].endpoint.spec.key, key("b"));
        router.observe_models(&key("b"), models(&["m"]));
        assert!(decide(&router, "lora", &prompt(1, 2)).is_err());
        assert_eq!(decide(&router, "m", &prompt(1, 2)).unwrap().order.len(), 2);
    }
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
