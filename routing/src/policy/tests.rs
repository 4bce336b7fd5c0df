//! Scenarios: endpoints with load and warm prompts in, the decision's table out.

use std::collections::BTreeSet;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::block::{BlockHash, PromptBlocks};
use crate::endpoint::EndpointSpec;
use crate::health::Failure;
use crate::ledger::{LoadGuard, RequestCost};
use crate::policy::Policy;
use crate::policy::cost::Cost;
use crate::pool::EndpointEvent;
use crate::prefix::CacheSizes;
use crate::request::SessionKey;
use crate::router::{Ask, Router, RouterSettings};
use crate::units::{Blocks, Tokens};

/// A pool of which each test describes only what matters.
struct Scene {
    router: Router,
    guards: Vec<LoadGuard>,
    now: Instant,
    rng: SmallRng,
}

impl Scene {
    fn new(policy: &str, endpoints: usize) -> Scene {
        let policy = Policy::by_name(policy).unwrap();
        let router = Router::new(RouterSettings::default(), policy);
        for number in 0..endpoints {
            let address = ([127, 0, 0, 1], 8000).into();
            let spec = EndpointSpec::at(&format!("e{number:02}"), address, false);
            router.apply(EndpointEvent::Apply(spec));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some instant to count from"
        )]
        let now = Instant::now();
        Scene {
            router,
            guards: Vec::new(),
            now,
            rng: SmallRng::seed_from_u64(7),
        }
    }

    fn warm(self, endpoint: usize, prompt: &PromptBlocks, blocks: usize) -> Scene {
        let id = self.router.pool().all()[endpoint].id;
        self.router.index().insert(&prompt.hashes[..blocks], id);
        self
    }

    fn busy(mut self, endpoint: usize, requests: usize, uncached: u64, decoding: bool) -> Scene {
        let cost = RequestCost {
            uncached: Tokens(uncached),
            prompt: Tokens(uncached),
        };
        for _ in 0..requests {
            let mut guard = LoadGuard::take(&self.router.pool().all()[endpoint].load, cost);
            if decoding {
                guard.note_first_token();
            }
            self.guards.push(guard);
        }
        self
    }

    fn failing(self, endpoint: usize) -> Scene {
        self.router.pool().all()[endpoint]
            .health
            .note_failure(Failure::Connect, self.now);
        self
    }

    fn order(&mut self, prompt: &PromptBlocks, session: Option<u64>) -> Vec<String> {
        let session = session.map(SessionKey);
        let ask = Ask {
            model: "m",
            prompt,
            session,
            wanted: 3,
            explain: false,
        };
        let decision = self.router.decide(&ask, self.now, &mut self.rng).unwrap();
        decision
            .order
            .iter()
            .map(|choice| choice.endpoint.spec.authority.to_string())
            .collect()
    }

    fn table(&mut self, prompt: &PromptBlocks) -> String {
        let ask = Ask {
            model: "m",
            prompt,
            session: None,
            wanted: 3,
            explain: true,
        };
        let decision = self.router.decide(&ask, self.now, &mut self.rng).unwrap();
        decision.explanation.unwrap().to_string()
    }
}

/// A prompt of so many blocks of 64 tokens; prompts of different seeds share nothing.
fn prompt(seed: u64, blocks: u64) -> PromptBlocks {
    PromptBlocks {
        hashes: (1..=blocks)
            .map(|block| BlockHash(seed << 32 | block))
            .collect(),
        bytes: blocks * 256,
        ..PromptBlocks::default()
    }
}

#[test]
fn warm_wins_while_waiting_is_cheaper_than_computing_again() {
    let agent = prompt(1, 100);
    let mut idle = Scene::new("cost", 3).warm(1, &agent, 90);
    insta::assert_snapshot!(idle.table(&agent), @"
    cost: prompt 6400 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e01                  5760       0     2000000       0         0         0     1920.0  Score
    e00                     0       0     2000000       0         0         0    19200.0  Score
    e02                     0       0     2000000       0         0         0    19200.0  Score
    ");
    let mut full = Scene::new("cost", 3)
        .warm(1, &agent, 90)
        .busy(1, 3, 6_000, false);
    insta::assert_snapshot!(full.table(&agent), @"
    cost: prompt 6400 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e00                     0       0     2000000       0         0         0    19200.0  Score
    e02                     0       0     2000000       0         0         0    19200.0  Score
    e01                  5760       0     2000000   18000         0         3    20820.0  Score
    ");
}

#[test]
fn what_is_loaded_from_a_tier_costs_little() {
    let agent = prompt(1, 100);
    let mut scene = Scene::new("cost", 3)
        .warm(0, &agent, 90)
        .warm(1, &agent, 90);
    let endpoint = scene.router.pool().all()[1].id;
    let sizes = CacheSizes {
        device: Blocks(50),
        total: Blocks(1_000),
        ghosts: Blocks(1_000),
    };
    scene.router.index().set_sizes(endpoint, sizes);
    scene = scene.warm(1, &prompt(2, 60), 60);
    insta::assert_snapshot!(scene.table(&agent), @"
    cost: prompt 6400 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e00                  5760       0     2000000       0         0         0     1920.0  Score
    e01                  5760    5760       64000       0         0         0     2496.0  Score
    e02                     0       0     2000000       0         0         0    19200.0  Score
    ");
}

#[test]
fn a_discount_at_home_makes_cold_sessions_agree_and_warm_ones_stay() {
    let discounted = || {
        let scene = Scene::new("cost", 4);
        scene.router.set_policy(Policy::Cost(Cost {
            home_discount: 0.5,
            ..Cost::default()
        }));
        scene
    };
    let mut firsts = BTreeSet::new();
    for session in 0..40 {
        let cold = prompt(session, 20);
        let home = Scene::new("session", 4).order(&cold, Some(session))[0].clone();
        let mut gateways = [discounted(), discounted()];
        for gateway in &mut gateways {
            assert_eq!(gateway.order(&cold, Some(session))[0], home);
        }
        firsts.insert(home.clone());
        let elsewhere = if home == "e00" { 1 } else { 0 };
        let mut warm = discounted().warm(elsewhere, &cold, 19);
        assert_ne!(warm.order(&cold, Some(session))[0], home, "warm elsewhere");
    }
    assert_eq!(firsts.len(), 4, "homes are everywhere");
    // Prompts without a session have no home, however much they share.
    let shared = prompt(7, 20);
    let mut scene = discounted();
    let firsts: BTreeSet<_> = (0..40)
        .map(|_| scene.order(&shared, None)[0].clone())
        .collect();
    assert_eq!(firsts.len(), 4);
}

#[test]
fn a_home_beyond_the_sample_is_looked_at_too() {
    let cold = prompt(3, 20);
    let home = Scene::new("session", 500).order(&cold, Some(9))[0].clone();
    let mut scene = Scene::new("cost", 500);
    scene.router.set_policy(Policy::Cost(Cost {
        home_discount: 0.5,
        ..Cost::default()
    }));
    for _ in 0..20 {
        assert_eq!(scene.order(&cold, Some(9))[0], home);
    }
}

#[test]
fn decodes_and_occupancy_break_ties() {
    let cold = prompt(2, 10);
    let mut scene = Scene::new("cost", 3)
        .busy(0, 4, 1_000, true)
        .busy(2, 8, 1_000, true);
    insta::assert_snapshot!(scene.table(&cold), @"
    cost: prompt 640 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e01                     0       0     2000000       0         0         0     1920.0  Score
    e00                     0       0     2000000       0         4         4     2376.0  Score
    e02                     0       0     2000000       0         8         8     2832.0  Score
    ");
}

#[test]
fn cold_requests_spread_over_idle_endpoints() {
    let mut scene = Scene::new("cost", 4);
    let mut firsts: Vec<_> = (0..64)
        .map(|seed| scene.order(&prompt(seed, 4), None)[0].clone())
        .collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts, ["e00", "e01", "e02", "e03"]);
}

#[test]
fn prefix_affinity_switches_at_its_thresholds() {
    let shared = prompt(3, 10);
    let warm = |blocks| {
        Scene::new("prefix_affinity", 3)
            .warm(1, &shared, blocks)
            .warm(0, &prompt(4, 5), 5)
    };
    insta::assert_snapshot!(warm(4).table(&shared), @"
    prefix_affinity: prompt 640 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e01                   256       0     2000000       0         0         0     -256.0  LongestMatch
    e00                     0       0     2000000       0         0         0       -0.0  LongestMatch
    e02                     0       0     2000000       0         0         0       -0.0  LongestMatch
    ");
    insta::assert_snapshot!(warm(3).table(&shared), @"
    prefix_affinity: prompt 640 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e02                     0       0     2000000       0         0         0        0.0  EmptiestCache
    e01                   192       0     2000000       0         0         0        3.0  EmptiestCache
    e00                     0       0     2000000       0         0         0        5.0  EmptiestCache
    ");
    insta::assert_snapshot!(warm(4).busy(1, 65, 10, true).table(&shared), @"
    prefix_affinity: prompt 640 tokens, 3 of 3 endpoints considered
    endpoint          matched  loaded of capacity  queued  decoding  requests      score  reason
    e00                     0       0     2000000       0         0         0        0.0  Imbalance
    e02                     0       0     2000000       0         0         0        0.0  Imbalance
    e01                   256       0     2000000       0        65        65       65.0  Imbalance
    ");
}

#[test]
fn round_robin_takes_turns_and_random_reaches_all() {
    let any = prompt(5, 1);
    let mut turns = Scene::new("round_robin", 3);
    let firsts: Vec<_> = (0..4).map(|_| turns.order(&any, None)[0].clone()).collect();
    assert_eq!(firsts, ["e00", "e01", "e02", "e00"]);
    let mut drawn = Scene::new("random", 3);
    let mut firsts: Vec<_> = (0..64)
        .map(|_| drawn.order(&any, None)[0].clone())
        .collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn least_request_and_power_of_two_prefer_the_idle() {
    let any = prompt(6, 1);
    let mut least = Scene::new("least_request", 3)
        .busy(0, 2, 1, true)
        .busy(1, 1, 1, true);
    assert_eq!(least.order(&any, None), ["e02", "e01", "e00"]);
    let mut two = Scene::new("power_of_two", 2).busy(0, 2, 1, true);
    assert!((0..32).all(|_| two.order(&any, None)[0] == "e01"));
}

#[test]
fn session_keeps_its_home_and_few_move_when_an_endpoint_goes() {
    let any = prompt(7, 1);
    let mut scene = Scene::new("session", 4);
    let homes: Vec<_> = (0..400).map(|key| scene.order(&any, Some(key))).collect();
    assert!((0..400).all(|key| scene.order(&any, Some(key)) == homes[key as usize]));
    let mut smaller = scene.failing(2);
    for (key, before) in homes.iter().enumerate() {
        let after = smaller.order(&any, Some(key as u64));
        let expected = if before[0] == "e02" {
            &before[1]
        } else {
            &before[0]
        };
        assert_eq!(&after[0], expected);
    }
    let at_home = homes.iter().filter(|order| order[0] == "e02").count();
    assert!(
        (60..=140).contains(&at_home),
        "about a quarter live at each: {at_home}"
    );
}

#[test]
fn consistent_hash_passes_over_an_overloaded_home() {
    let any = prompt(8, 1);
    let mut scene = Scene::new("consistent_hash", 4);
    let home = scene.order(&any, Some(1));
    let place = home[0][1..].parse().unwrap();
    let mut crowded = scene.busy(place, 8, 1, true);
    assert_eq!(crowded.order(&any, Some(1))[0], home[1]);
}

#[test]
fn every_policy_avoids_the_ejected_until_nobody_is_left() {
    let any = prompt(9, 4);
    for name in Policy::NAMES {
        let mut scene = Scene::new(name, 2).failing(0);
        assert!((0..8).all(|_| scene.order(&any, None) == ["e01"]), "{name}");
        let mut none_left = scene.failing(1);
        assert_eq!(none_left.order(&any, None).len(), 2, "{name}");
    }
}

#[test]
fn large_fleets_find_their_holders_and_a_lightly_loaded_rest() {
    let agent = prompt(10, 100);
    let mut scene = Scene::new("cost", 500).warm(321, &agent, 95);
    for _ in 0..32 {
        assert_eq!(scene.order(&agent, None)[0], "e321");
    }
}

#[test]
fn every_policy_has_a_name_that_finds_it() {
    for name in Policy::NAMES {
        let policy = Policy::by_name(name).unwrap();
        assert_eq!(policy.name(), *name);
        let typed: Policy = serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
        assert_eq!(typed.name(), *name);
    }
    let unknown = serde_json::json!({ "name": "cost", "no_such_weight": 1 });
    assert!(serde_json::from_value::<Policy>(unknown).is_err());
}
