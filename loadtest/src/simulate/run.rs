//! One run: a population goes through routers to engines, in virtual time.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use warmgate_routing::exchange::{Heard, Letter};

use super::checker::Checker;
use super::contender::{Arrival, Contender, EndpointIx, Gauges, RequestIx, Usage};
use super::outcome::{Measured, Outcome};
use super::population::{Planned, Population};
use super::scenario::{FaultKind, Scenario};
use super::timeline::{Happening, Timeline};
use super::workload::Moment;
use crate::engine::{BlockHash, Event, EventKind, Model, Request, RequestId};

/// Wait before a request is tried again when no endpoint takes any, or its endpoint died.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Between checks of all states.
const CHECK_EVERY: u32 = 512;

/// When a run may end before its end: its question is answered. `u64::MAX` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// More bad requests than this.
    pub bad_max: usize,
    /// More late ones than this.
    pub late_max: usize,
}

impl GiveUp {
    /// Plays every run to its end.
    pub const NEVER: GiveUp = GiveUp {
        bad_max: usize::MAX,
        late_max: usize::MAX,
    };
}

/// Plays `population` through one router for each replica, in `contenders`.
///
/// # Panics
/// Where an invariant is broken; the message names the seed that replays it.
pub fn run(
    scenario: &Scenario,
    population: &Population,
    contenders: Vec<Box<dyn Contender>>,
    give_up: GiveUp,
) -> Outcome {
    assert_eq!(
        contenders.len(),
        scenario.replicas,
        "invariant: one router for each replica"
    );
    let mut play = Play::new(scenario, population, contenders);
    let gave_up = play.until_done(give_up);
    play.outcome(gave_up)
}

/// Where a request is.
#[derive(Clone, Copy, Debug)]
struct Underway {
    replica: usize,
    endpoint: EndpointIx,
    due: Duration,
    predicted_tokens: u64,
    first_token: Option<FirstToken>,
}

#[derive(Clone, Copy, Debug)]
struct FirstToken {
    at: Duration,
    cached_tokens: u64,
    loaded_tokens: u64,
}

struct Endpoint {
    model: Model,
    alarm: u64,
    started_at: Duration,
}

struct Play<'a> {
    scenario: &'a Scenario,
    population: &'a Population,
    contenders: Vec<Box<dyn Contender>>,
    endpoints: Vec<Endpoint>,
    timeline: Timeline,
    /// First due time of each request that is alive.
    due: Vec<Option<Duration>>,
    underway: Vec<Option<Underway>>,
    measured: Vec<Measured>,
    checker: Checker,
    rng: SmallRng,
    now: Duration,
    retried: u64,
    bad: usize,
    late: usize,
}

impl<'a> Play<'a> {
    fn new(
        scenario: &'a Scenario,
        population: &'a Population,
        contenders: Vec<Box<dyn Contender>>,
    ) -> Play<'a> {
        let mut timeline = Timeline::default();
        for &(at, request) in &population.starts {
            timeline.plan(at, Happening::Arrival(RequestIx(request)));
        }
        for (number, fault) in scenario.faults.iter().enumerate() {
            timeline.plan(fault.at, Happening::FaultBegins(number));
        }
        for endpoint in 0..scenario.endpoints {
            // Not all at once, as real scrapers do not.
            let at = scenario
                .scrape_every
                .mul_f64(endpoint as f64 / scenario.endpoints as f64);
            timeline.plan(at, Happening::Scrape(EndpointIx(endpoint)));
        }
        let endpoint = |_| Endpoint {
            model: Model::new(scenario.engine),
            alarm: 0,
            started_at: Duration::ZERO,
        };
        Play {
            endpoints: (0..scenario.endpoints).map(endpoint).collect(),
            contenders,
            timeline,
            due: vec![None; population.requests.len()],
            underway: vec![None; population.requests.len()],
            measured: Vec::with_capacity(population.expected),
            checker: Checker::new(scenario.seed),
            rng: SmallRng::seed_from_u64(scenario.seed),
            now: Duration::ZERO,
            retried: 0,
            bad: 0,
            late: 0,
            scenario,
            population,
        }
    }

    /// Returns whether it ended early.
    fn until_done(&mut self, give_up: GiveUp) -> bool {
        let mut since_check = 0;
        while let Some((at, happening)) = self.timeline.next() {
            self.checker.time(self.now, at);
            self.now = at;
            if !self.happen(happening) {
                continue;
            }
            if self.bad > give_up.bad_max || self.late > give_up.late_max {
                return true;
            }
            since_check += 1;
            if self.scenario.check_states && since_check == CHECK_EVERY {
                since_check = 0;
                self.check_states(false);
            }
        }
        self.finish();
        false
    }

    /// Returns whether anything can have changed.
    fn happen(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Arrival(id) => self.arrive(id),
            Happening::Alarm { endpoint, number } => {
                if self.endpoints[endpoint.0].alarm != number {
                    return false;
                }
                self.advance(endpoint);
            }
            Happening::Scrape(endpoint) => self.scrape(endpoint),
            Happening::FaultBegins(number) => self.begin_fault(number),
            Happening::FaultEnds(number) => {
                let endpoint = self.scenario.faults[number].endpoint;
                self.tell_ready(endpoint, true);
            }
            Happening::Letter { to, letter } => {
                if self.contenders[to].hear(&letter, self.now) == Heard::Gap {
                    let from = usize::try_from(letter.from.0).expect("invariant: replicas are few");
                    let all = self.contenders[from].underway();
                    self.post(from, all.into_iter().collect());
                }
            }
        }
        true
    }

    fn arrive(&mut self, id: RequestIx) {
        let is_first_try = self.due[id.0].is_none();
        if is_first_try {
            if self.now >= self.population.window.end {
                return;
            }
            self.due[id.0] = Some(self.now);
            self.checker.sent(id);
            self.follow(id, Moment::Sent);
        }
        let planned = &self.population.requests[id.0];
        let replica = self.rng.random_range(0..self.contenders.len());
        let arrival = Arrival {
            id,
            session: planned.session,
            prompt: &planned.prompt,
            prompt_tokens: planned.prompt_tokens,
        };
        let Some(route) = self.contenders[replica].route(&arrival, self.now) else {
            self.timeline
                .plan(self.now + RETRY_AFTER, Happening::Arrival(id));
            return;
        };
        self.underway[id.0] = Some(Underway {
            replica,
            endpoint: route.endpoint,
            due: self.due[id.0].expect("invariant: set at the first try"),
            predicted_tokens: route.predicted_tokens,
            first_token: None,
        });
        self.collect_letters(replica);
        let request = engine_request(id, planned);
        match self.endpoints[route.endpoint.0]
            .model
            .submit(self.now, request)
        {
            Ok(()) => self.advance(route.endpoint),
            // Longer than the whole cache: the engine says 400, on whichever endpoint.
            Err(_) => self.end(id, false),
        }
    }

    fn advance(&mut self, endpoint: EndpointIx) {
        let events = self.endpoints[endpoint.0].model.advance(self.now);
        for event in events {
            self.hear_engine(event);
        }
        let engine = &mut self.endpoints[endpoint.0];
        engine.alarm += 1;
        if let Some(wake) = engine.model.next_wake() {
            let number = engine.alarm;
            self.timeline
                .plan(wake.max(self.now), Happening::Alarm { endpoint, number });
        }
    }

    fn hear_engine(&mut self, event: Event) {
        let id = RequestIx(usize::try_from(event.id.0).expect("invariant: we gave the number"));
        match event.kind {
            EventKind::FirstToken {
                cached_tokens,
                loaded_tokens,
            } => {
                let underway = self.underway[id.0]
                    .as_mut()
                    .expect("invariant: the engine runs what is underway");
                underway.first_token = Some(FirstToken {
                    at: event.at,
                    cached_tokens,
                    loaded_tokens,
                });
                let replica = underway.replica;
                self.contenders[replica].first_token(id, self.now);
                self.collect_letters(replica);
            }
            EventKind::Token => {}
            EventKind::Finished => self.end(id, true),
        }
    }

    /// The request is over: answered in full, or not.
    fn end(&mut self, id: RequestIx, is_complete: bool) {
        let underway = self.underway[id.0]
            .take()
            .expect("invariant: what ends was underway");
        let planned = &self.population.requests[id.0];
        let first = underway.first_token;
        let usage = first.filter(|_| is_complete).map(|first| Usage {
            prompt_tokens: planned.prompt_tokens,
            cached_tokens: first.cached_tokens,
        });
        let told = usage.filter(|_| self.scenario.tells_cached_tokens);
        self.contenders[underway.replica].ended(id, told, self.now);
        self.collect_letters(underway.replica);
        self.checker.ended(id, planned, usage);
        if self.population.window.contains(&underway.due) {
            let further = planned.output_tokens - 1;
            let one = Measured {
                due: underway.due,
                prompt_tokens: planned.prompt_tokens,
                fresh_tokens: planned.fresh_tokens,
                cached_tokens: first.map(|first| first.cached_tokens),
                loaded_tokens: first.map_or(0, |first| first.loaded_tokens),
                predicted_tokens: underway.predicted_tokens,
                ttft: first.map(|first| first.at - underway.due),
                tpot: first
                    .filter(|_| is_complete && further > 0)
                    .map(|first| (self.now - first.at).div_f64(further as f64)),
                endpoint: underway.endpoint.0,
                is_complete,
            };
            self.bad += usize::from(!one.is_good());
            self.late += usize::from(one.is_late());
            self.measured.push(one);
        }
        self.follow(id, Moment::Ended);
    }

    fn follow(&mut self, id: RequestIx, moment: Moment) {
        for &(follower, when, pause) in &self.population.requests[id.0].followers {
            if when == moment {
                self.timeline
                    .plan(self.now + pause, Happening::Arrival(RequestIx(follower)));
            }
        }
    }

    fn scrape(&mut self, endpoint: EndpointIx) {
        let engine = &self.endpoints[endpoint.0];
        let counters = engine.model.counters();
        let gauges = Gauges {
            running: engine.model.running() as u32,
            waiting: engine.model.waiting() as u32,
            kv_usage: engine.model.cache_usage_ratio(),
            prefix_queries: counters.prefix_queries_tokens,
            prefix_hits: counters.prefix_hits_tokens,
            started_at: engine.started_at,
        };
        for contender in &mut self.contenders {
            if !is_lost(&mut self.rng, self.scenario.loss_ratio) {
                contender.scraped(endpoint, &gauges, self.now);
            }
        }
        // Nothing alive and nothing to come: the run is over.
        if self.checker.alive() > 0 || self.now < self.population.window.end {
            self.timeline.plan(
                self.now + self.scenario.scrape_every,
                Happening::Scrape(endpoint),
            );
        }
    }

    fn begin_fault(&mut self, number: usize) {
        let fault = self.scenario.faults[number];
        self.tell_ready(fault.endpoint, false);
        self.timeline
            .plan(self.now + fault.lasts, Happening::FaultEnds(number));
        if fault.kind == FaultKind::Blip {
            return;
        }
        let engine = &mut self.endpoints[fault.endpoint.0];
        engine.started_at = self.now + fault.lasts;
        let lost = engine.model.restart(self.now);
        engine.alarm += 1;
        for RequestId(id) in lost {
            let id = RequestIx(usize::try_from(id).expect("invariant: we gave the number"));
            let is_begun = self.underway[id.0].is_some_and(|one| one.first_token.is_some());
            if is_begun {
                self.end(id, false);
            } else {
                self.send_again(id);
            }
        }
    }

    fn send_again(&mut self, id: RequestIx) {
        let underway = self.underway[id.0]
            .take()
            .expect("invariant: the engine ran what is underway");
        self.retried += 1;
        self.contenders[underway.replica].ended(id, None, self.now);
        self.collect_letters(underway.replica);
        self.timeline
            .plan(self.now + RETRY_AFTER, Happening::Arrival(id));
    }

    fn tell_ready(&mut self, endpoint: EndpointIx, is_ready: bool) {
        for contender in &mut self.contenders {
            contender.ready(endpoint, is_ready, self.now);
        }
    }

    fn collect_letters(&mut self, replica: usize) {
        if self.contenders.len() > 1 {
            let letters = self.contenders[replica].letters();
            self.post(replica, letters);
        }
    }

    fn post(&mut self, from: usize, letters: Vec<Letter>) {
        let Some(lag) = self.scenario.exchange_lag else {
            return;
        };
        for letter in letters {
            for to in (0..self.contenders.len()).filter(|&to| to != from) {
                if !is_lost(&mut self.rng, self.scenario.loss_ratio) {
                    let letter = Box::new(letter.clone());
                    self.timeline
                        .plan(self.now + lag, Happening::Letter { to, letter });
                }
            }
        }
    }

    /// Everybody is told what is in flight, which is nothing, and everything has to be so.
    fn finish(&mut self) {
        if self.scenario.exchange_lag.is_some() {
            for from in 0..self.contenders.len() {
                let Some(letter) = self.contenders[from].underway() else {
                    continue;
                };
                for to in (0..self.contenders.len()).filter(|&to| to != from) {
                    self.contenders[to].hear(&letter, self.now);
                }
            }
        }
        self.checker.all_ended();
        self.check_states(true);
    }

    fn check_states(&self, is_idle: bool) {
        self.checker.replayable(|| {
            for endpoint in &self.endpoints {
                endpoint.model.check_invariants();
            }
            for contender in &self.contenders {
                contender.check(is_idle);
            }
        });
    }

    fn outcome(&self, gave_up: bool) -> Outcome {
        Outcome::of(
            &self.measured,
            self.scenario.endpoints,
            self.retried,
            gave_up,
        )
    }
}

fn is_lost(rng: &mut SmallRng, ratio: f64) -> bool {
    ratio > 0.0 && rng.random_bool(ratio)
}

fn engine_request(id: RequestIx, planned: &Planned) -> Request {
    Request {
        id: RequestId(id.0 as u64),
        blocks: planned
            .prompt
            .hashes
            .iter()
            .map(|hash| BlockHash(hash.0))
            .collect(),
        prompt_tokens: planned.prompt_tokens,
        output_tokens: planned.output_tokens,
        priority: 0,
    }
}
