//! That what engines report makes predictions better, against exact LRU engines.
#![allow(clippy::print_stdout, reason = "the errors are a result as well")]

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use warmgate_routing::block::{BlockHash, BlockSize};
use warmgate_routing::endpoint::Engine;
use warmgate_routing::feedback::{Lesson, Reported, Sizes};
use warmgate_routing::report::EngineReport;
use warmgate_routing::router::{Observation, RouterSettings};
use warmgate_routing::{Ask, EndpointEvent, EndpointSpec, Policy, PromptBlocks, Router, Tokens};

const MODEL: &str = "m";
/// Tokens of an engine's own block, as vLLM's on a CPU.
const ENGINE_BLOCK: u64 = 32;
/// Bytes of a token; not the nominal four.
const BYTES_PER_TOKEN: u64 = 3;
const DEVICE: Tokens = Tokens(200_000);

/// An engine whose cache is an exact LRU list, of whatever size and tiers it has.
struct LruEngine {
    capacity_tokens: u64,
    // When each of its blocks was last used; and the other way round.
    used: BTreeMap<u64, u64>,
    by_use: BTreeMap<u64, u64>,
    clock: u64,
    queries: u64,
    hits: u64,
    start_s: f64,
    says_cached: bool,
}

impl LruEngine {
    fn of(capacity: Tokens) -> LruEngine {
        LruEngine {
            capacity_tokens: capacity.0,
            used: BTreeMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
            queries: 0,
            hits: 0,
            start_s: 1_000.0,
            says_cached: true,
        }
    }

    /// Computes a prompt of so many tokens, of which every engine block has a name.
    fn compute(&mut self, blocks: &[u64], tokens: u64) -> Reported {
        let found = blocks
            .iter()
            .take_while(|block| self.used.contains_key(block));
        // The last token is always computed.
        let cached =
            (found.count() as u64 * ENGINE_BLOCK).min((tokens - 1) / ENGINE_BLOCK * ENGINE_BLOCK);
        for &block in blocks.iter().rev() {
            self.clock += 1;
            if let Some(before) = self.used.insert(block, self.clock) {
                self.by_use.remove(&before);
            }
            self.by_use.insert(self.clock, block);
        }
        while self.used.len() as u64 * ENGINE_BLOCK > self.capacity_tokens {
            let (_, oldest) = self.by_use.pop_first().expect("it holds something");
            self.used.remove(&oldest);
        }
        self.queries += tokens;
        self.hits += cached;
        Reported {
            prompt_tokens: Some(Tokens(tokens)),
            cached_tokens: self.says_cached.then_some(Tokens(cached)),
        }
    }

    fn restart(&mut self) {
        self.used.clear();
        self.by_use.clear();
        self.start_s += 100.0;
        (self.queries, self.hits) = (0, 0);
    }

    fn report(&self) -> EngineReport {
        EngineReport {
            capacity: Some(DEVICE),
            prefix_queries: Some(Tokens(self.queries)),
            prefix_hits: Some(Tokens(self.hits)),
            process_start_s: Some(self.start_s),
            ..EngineReport::empty(Engine::Vllm)
        }
    }
}

/// One gateway, one engine, conversations that come back sooner or later.
struct World {
    router: Router,
    engine: LruEngine,
    rng: SmallRng,
    turns: Vec<u64>,
    errors: Vec<u64>,
    lessons: Vec<Lesson>,
    observations: Vec<Observation>,
    scrapes: bool,
}

/// Tokens that each turn of a conversation adds.
const TURN_TOKENS: u64 = 640;
const TURNS_MAX: u64 = 12;

impl World {
    fn new(feedback: bool, engine: LruEngine) -> World {
        let settings = RouterSettings {
            feedback,
            ..RouterSettings::default()
        };
        let router = Router::new(settings, Policy::default());
        let spec = EndpointSpec::at("a:1", ([127, 0, 0, 1], 1).into(), false);
        router.apply(EndpointEvent::Apply(spec));
        let mut world = World {
            router,
            engine,
            rng: SmallRng::seed_from_u64(11),
            turns: vec![0; 600],
            errors: Vec::new(),
            lessons: Vec::new(),
            observations: Vec::new(),
            scrapes: true,
        };
        world.scrape();
        world
    }

    fn scrape(&mut self) {
        let key = self.router.pool().all()[0].spec.key.clone();
        let seen = self.router.observe(&key, self.engine.report(), now());
        self.observations.push(seen);
    }

    fn sizes(&self) -> Sizes {
        self.router.sizes(self.router.pool().all()[0].id)
    }

    /// The next turn of some conversation: most of recent ones, the others at any time.
    fn turn(&mut self) {
        let count = self.turns.len() as f64;
        let conversation = (count * self.rng.random::<f64>().powi(2)) as usize;
        let turn = &mut self.turns[conversation];
        *turn = *turn % TURNS_MAX + 1;
        let (turn, epoch) = (*turn, conversation as u64);
        let tokens = 1_000 + turn * TURN_TOKENS;
        let name = |at: u64, kind: u64| (kind << 56) | (epoch << 24) | at;
        let block_bytes = BlockSize::default().bytes() as u64;
        let bytes = tokens * BYTES_PER_TOKEN;
        let prompt = PromptBlocks {
            hashes: (0..bytes / block_bytes)
                .map(|at| BlockHash(name(at, 1)))
                .collect(),
            bytes,
            ..PromptBlocks::default()
        };
        let blocks: Vec<u64> = (0..tokens / ENGINE_BLOCK).map(|at| name(at, 2)).collect();
        let ask = Ask {
            model: MODEL,
            prompt: &prompt,
            session: None,
            wanted: 1,
            explain: false,
        };
        let decision = self
            .router
            .decide(&ask, now(), &mut self.rng)
            .expect("it is ready");
        let mut sent = self.router.send(&decision.order[0], &prompt, now());
        let hits = self.engine.hits;
        let reported = self.engine.compute(&blocks, tokens);
        sent.note_first_token();
        let lesson = self.router.reported(&sent, MODEL, &prompt, reported, now());
        if let Some(cached) = reported.cached_tokens {
            assert_eq!(
                lesson.error,
                Some(Tokens(cached.0.abs_diff(lesson.predicted.0)))
            );
        }
        self.errors
            .push((self.engine.hits - hits).abs_diff(lesson.predicted.0));
        self.lessons.push(lesson);
    }

    /// Mean absolute error of predicted cached tokens over so many turns, after as many more.
    fn error(&mut self, warm_up: usize, turns: usize) -> f64 {
        for at in 0..warm_up + turns {
            self.turn();
            if self.scrapes && at % 10 == 9 {
                self.scrape();
            }
        }
        let last = &self.errors[self.errors.len() - turns..];
        last.iter().sum::<u64>() as f64 / turns as f64
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    Instant::now()
}

/// Mean errors without and with feedback.
fn errors(engine: impl Fn() -> LruEngine) -> (f64, f64, Sizes) {
    let mut without = World::new(false, engine());
    let mut with = World::new(true, engine());
    let errors = (without.error(2_500, 2_500), with.error(2_500, 2_500));
    assert!(
        with.lessons.iter().all(|lesson| !lesson.lost),
        "nothing is lost"
    );
    with.router.index().check_invariants();
    (errors.0, errors.1, with.sizes())
}

fn assert_learned((without, with, sizes): (f64, f64, Sizes), truth: Tokens) {
    println!(
        "mean error {without:.0} tokens without feedback, {with:.0} with; {sizes:?} for {truth}"
    );
    assert!(
        with <= without / 3.0,
        "{with} tokens with, {without} without"
    );
    let ratio = sizes.total.as_f64() / truth.as_f64();
    assert!((0.85..=1.25).contains(&ratio), "{sizes:?} for {truth}");
    assert_eq!(sizes.device, sizes.total.min(sizes.device));
}

#[test]
fn an_undeclared_tier_is_learned() {
    let truth = Tokens(DEVICE.0 * 4);
    assert_learned(errors(|| LruEngine::of(truth)), truth);
}

#[test]
fn a_cache_smaller_than_reported_is_learned() {
    let truth = Tokens(DEVICE.0 / 4);
    assert_learned(errors(|| LruEngine::of(truth)), truth);
}

#[test]
fn a_size_that_is_as_reported_stays() {
    let (without, with, sizes) = errors(|| LruEngine::of(DEVICE));
    println!("mean error {without:.0} tokens without feedback, {with:.0} with; {sizes:?}");
    let ratio = sizes.total.as_f64() / DEVICE.as_f64();
    assert!((0.85..=1.15).contains(&ratio), "{sizes:?}");
}

#[test]
fn counters_teach_what_answers_do_not_say() {
    for truth in [Tokens(DEVICE.0 * 4), Tokens(DEVICE.0 / 4)] {
        let engine = || LruEngine {
            says_cached: false,
            ..LruEngine::of(truth)
        };
        assert_learned(errors(engine), truth);
    }
}

#[test]
fn a_cache_lost_without_a_word_is_forgotten_with_an_alarm_and_its_size_kept() {
    let truth = Tokens(DEVICE.0 * 4);
    let mut worlds = [false, true].map(|feedback| World::new(feedback, LruEngine::of(truth)));
    for world in &mut worlds {
        world.scrapes = false;
        world.error(4_000, 1);
        world.engine.restart();
    }
    let before = worlds[1].sizes();
    let from = worlds[1].lessons.len();
    let [without, with] = worlds.each_mut().map(|world| world.error(0, 300));
    println!("mean error {without:.0} tokens without feedback, {with:.0} with, after a restart");
    assert!(
        with <= without / 3.0,
        "{with} tokens with, {without} without"
    );
    let [without, with] = &worlds;
    assert!(
        without.lessons.iter().all(|lesson| !lesson.lost),
        "measured only"
    );
    let alarms: Vec<usize> = (from..with.lessons.len())
        .filter(|&at| with.lessons[at].lost)
        .collect();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0] - from < 20, "{}", alarms[0] - from);
    let ratio = with.sizes().total.as_f64() / before.total.as_f64();
    assert!(
        (0.9..=1.1).contains(&ratio),
        "{before:?} {:?}",
        with.sizes()
    );
}

#[test]
fn a_loss_shows_in_counters_too() {
    let engine = LruEngine {
        says_cached: false,
        ..LruEngine::of(Tokens(DEVICE.0 * 4))
    };
    let mut world = World::new(true, engine);
    world.error(3_000, 1);
    world.observations.clear();
    let (queries, hits) = (world.engine.queries, world.engine.hits);
    world.engine.restart();
    // An engine that keeps its counters, and does not say when it started.
    (world.engine.queries, world.engine.hits) = (queries, hits);
    world.engine.start_s -= 100.0;
    world.error(0, 200);
    let lost = world.observations.iter().filter(|seen| seen.lost).count();
    assert_eq!(lost, 1);
    assert!(world.observations.iter().all(|seen| !seen.restarted));
}

#[test]
fn a_restart_that_is_told_forgets_all_and_keeps_the_size() {
    let mut world = World::new(true, LruEngine::of(Tokens(DEVICE.0 * 4)));
    world.error(3_000, 1);
    let before = world.sizes();
    world.engine.restart();
    world.scrape();
    assert!(world.observations.last().is_some_and(|seen| seen.restarted));
    let id = world.router.pool().all()[0].id;
    assert_eq!(world.router.index().occupancy(id).0, 0);
    assert_eq!(world.sizes(), before);
    let error = world.error(0, 300);
    assert!(error < 100.0, "{error} tokens");
    assert!(world.lessons.iter().all(|lesson| !lesson.lost));
}

#[test]
fn a_new_endpoint_starts_from_what_others_with_its_device_have_proven() {
    let mut world = World::new(true, LruEngine::of(Tokens(DEVICE.0 * 4)));
    world.error(3_000, 1);
    let learned = world.sizes();
    let join = |name: &str, capacity: Tokens| {
        let spec = EndpointSpec::at(name, ([127, 0, 0, 1], 1).into(), false);
        let key = spec.key.clone();
        world.router.apply(EndpointEvent::Apply(spec));
        let report = EngineReport {
            capacity: Some(capacity),
            ..EngineReport::empty(Engine::Vllm)
        };
        world.router.observe(&key, report, now());
        let pool = world.router.pool();
        let joined = pool.all().iter().find(|endpoint| endpoint.spec.key == key);
        world.router.sizes(joined.expect("it joined").id)
    };
    let ratio = |sizes: Sizes| sizes.total.as_f64() / sizes.device.as_f64();
    let alike = join("b:1", DEVICE);
    assert!(
        (ratio(alike) / ratio(learned) - 1.0).abs() < 0.01,
        "{alike:?} {learned:?}"
    );
    // Of another device nothing is known, so a tier as large as it is taken to be there.
    assert_eq!(ratio(join("c:1", Tokens(DEVICE.0 * 2))), 2.0);
}

#[test]
fn an_engine_without_a_cache_is_learned_to_have_none() {
    let mut world = World::new(true, LruEngine::of(Tokens(0)));
    let error = world.error(300, 300);
    assert!(error < 40.0, "{error} tokens, {:?}", world.sizes());
    let alarms = world.lessons.iter().filter(|lesson| lesson.lost).count();
    assert!(alarms <= 1, "{alarms} alarms");
}

#[test]
fn a_declared_tier_is_believed_from_the_start() {
    let settings = RouterSettings {
        host_tier: Some(Tokens(DEVICE.0 * 3)),
        ..RouterSettings::default()
    };
    let router = Router::new(settings, Policy::default());
    let spec = EndpointSpec::at("a:1", ([127, 0, 0, 1], 1).into(), false);
    let key = spec.key.clone();
    router.apply(EndpointEvent::Apply(spec));
    router.observe(&key, LruEngine::of(DEVICE).report(), now());
    let sizes = router.sizes(router.pool().all()[0].id);
    assert_eq!(sizes.device, DEVICE);
    assert_eq!(sizes.total, Tokens(DEVICE.0 * 4));
}
