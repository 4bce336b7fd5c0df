//! The routing crate as the gateway uses it, with virtual time for a clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::{BlockSize, PromptBlocks};
use warmgate_routing::endpoint::{Engine, Serving};
use warmgate_routing::exchange::{Answer, Exchange, Heard, Letter, ReplicaId};
use warmgate_routing::feedback::Reported;
use warmgate_routing::report::EngineReport;
use warmgate_routing::request::SessionKey;
use warmgate_routing::router::Sent;
use warmgate_routing::units::Ratio;
use warmgate_routing::{
    Ask, Endpoint, EndpointEvent, EndpointSpec, Policy, Router, RouterSettings, Tokens,
};

use super::contender::{
    Arrival, Contender, EndpointIx, FleetSpec, Gauges, RequestIx, Route, Usage,
};

/// The model that everybody asks for.
const MODEL: &str = "sim";

/// One gateway replica.
pub struct Warmgate {
    router: Router,
    exchange: Exchange,
    letters: Vec<Letter>,
    underway: HashMap<RequestIx, Underway>,
    endpoints: Vec<Arc<Endpoint>>,
    device: Tokens,
    /// Virtual time 0 on the clock that routing is given.
    start: Instant,
    rng: SmallRng,
}

struct Underway {
    sent: Sent,
    prompt: Arc<PromptBlocks>,
}

impl Warmgate {
    /// The replica of that number under `policy`.
    #[must_use]
    pub fn new(fleet: &FleetSpec, replica: usize, policy: Policy) -> Warmgate {
        Warmgate::with(fleet, replica, policy, RouterSettings::default())
    }

    /// The same with other settings; the length of blocks is the fleet's in any case.
    #[must_use]
    pub fn with(
        fleet: &FleetSpec,
        replica: usize,
        policy: Policy,
        settings: RouterSettings,
    ) -> Warmgate {
        let block_tokens =
            u32::try_from(fleet.block_tokens).expect("invariant: blocks are shorter than prompts");
        let settings = RouterSettings {
            block_size: BlockSize::from_tokens(block_tokens)
                .expect("invariant: a block has tokens"),
            ..settings
        };
        let router = Router::new(settings, policy);
        for endpoint in 0..fleet.endpoints {
            router.apply(EndpointEvent::Apply(spec(endpoint, true)));
        }
        let endpoints = router.pool().all().to_vec();
        // Only differences to it are ever used.
        let start = Instant::now();
        Warmgate {
            router,
            exchange: Exchange::new(ReplicaId(replica as u64)),
            letters: Vec::new(),
            underway: HashMap::new(),
            endpoints,
            device: Tokens(fleet.device_tokens),
            start,
            rng: SmallRng::seed_from_u64(fleet.seed),
        }
    }
}

fn spec(endpoint: usize, is_ready: bool) -> EndpointSpec {
    let number = u16::try_from(endpoint).expect("invariant: fleets are smaller than 65,536");
    let [high, low] = number.to_be_bytes();
    let authority = format!("10.0.{high}.{low}:8000");
    let address = ([10, 0, high, low], 8000).into();
    EndpointSpec {
        serving: if is_ready {
            Serving::Ready
        } else {
            Serving::NotReady
        },
        engine: Some(Engine::Vllm),
        ..EndpointSpec::at(&authority, address, false)
    }
}

impl Contender for Warmgate {
    fn route(&mut self, arrival: &Arrival<'_>, now: Duration) -> Option<Route> {
        let now = self.start + now;
        let ask = Ask {
            model: MODEL,
            prompt: arrival.prompt,
            session: arrival.session.map(SessionKey),
            wanted: 1,
            explain: false,
        };
        let decision = self.router.decide(&ask, now, &mut self.rng).ok()?;
        let choice = &decision.order[0];
        let sent = self.router.send(choice, arrival.prompt, now);
        let predicted_tokens = sent.predicted.0;
        let letter = self.exchange.sent(
            arrival.id.0 as u64,
            &choice.endpoint.spec.key,
            choice.cost,
            &arrival.prompt.hashes,
        );
        self.letters.push(letter);
        self.underway.insert(
            arrival.id,
            Underway {
                sent,
                prompt: Arc::clone(arrival.prompt),
            },
        );
        Some(Route {
            endpoint: EndpointIx(choice.endpoint.id.0 as usize),
            predicted_tokens,
        })
    }

    fn first_token(&mut self, id: RequestIx, _now: Duration) {
        if let Some(underway) = self.underway.get_mut(&id) {
            underway.sent.note_first_token();
            self.letters.push(self.exchange.first_token(id.0 as u64));
        }
    }

    fn ended(&mut self, id: RequestIx, usage: Option<Usage>, now: Duration) {
        let Some(underway) = self.underway.remove(&id) else {
            return;
        };
        let Underway { sent, prompt } = &underway;
        let reported = usage.map(|usage| Reported {
            prompt_tokens: Some(Tokens(usage.prompt_tokens)),
            cached_tokens: Some(Tokens(usage.cached_tokens)),
        });
        let answer = reported.and_then(|reported| Answer::new(prompt, reported));
        self.letters.push(self.exchange.ended(id.0 as u64, answer));
        if let Some(reported) = reported {
            let now = self.start + now;
            self.router.reported(sent, MODEL, prompt, reported, now);
        }
    }

    fn scraped(&mut self, endpoint: EndpointIx, gauges: &Gauges, now: Duration) {
        let report = EngineReport {
            running: Some(gauges.running),
            waiting: Some(gauges.waiting),
            kv_usage: Some(Ratio::clamped(gauges.kv_usage)),
            capacity: Some(self.device),
            prefix_queries: Some(Tokens(gauges.prefix_queries)),
            prefix_hits: Some(Tokens(gauges.prefix_hits)),
            process_start_s: Some(gauges.started_at.as_secs_f64()),
            ..EngineReport::empty(Engine::Vllm)
        };
        let key = &self.endpoints[endpoint.0].spec.key;
        self.router.observe(key, report, self.start + now);
    }

    fn ready(&mut self, endpoint: EndpointIx, is_ready: bool, _now: Duration) {
        self.router
            .apply(EndpointEvent::Apply(spec(endpoint.0, is_ready)));
    }

    fn letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.letters)
    }

    fn hear(&mut self, letter: &Letter, now: Duration) -> Heard {
        self.exchange.hear(&self.router, letter, self.start + now)
    }

    fn underway(&mut self) -> Option<Letter> {
        Some(self.exchange.underway())
    }

    fn check(&self, is_idle: bool) {
        self.router.index().check_invariants();
        let stats = self.router.index().stats();
        let limit = RouterSettings::default().index.max_bytes;
        assert!(stats.bytes <= limit, "the index outgrew its bound");
        if is_idle {
            assert!(self.underway.is_empty(), "requests that nobody has");
            for endpoint in self.router.pool().all().iter() {
                let load = endpoint.load.now();
                assert_eq!(
                    (
                        load.inflight,
                        load.decoding,
                        load.queued_prefill,
                        load.prompt
                    ),
                    (0, 0, Tokens::ZERO, Tokens::ZERO),
                    "{} is idle, the ledger says otherwise",
                    endpoint.spec.authority
                );
            }
        }
    }
}
