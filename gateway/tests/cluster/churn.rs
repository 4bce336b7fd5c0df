//! Endpoints that come, go and blip all the time, under load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{Api, shared, unique};
use crate::engines::{engine_at, pod_address};
use crate::in_cluster::gateway_of;
use crate::load::Load;
use crate::slices::{Endpoint, READY, Slice, UNREADY, service};
use crate::table::{of_api, until_equal};
use crate::usage::Usage;
use crate::witness::Witness;

const SLICES: u8 = 10;
const ENDPOINTS_OF_SLICE: u8 = 50;
/// First group of addresses.
const GROUP: u8 = 100;
const CHANGES_PER_S: u32 = 50;
/// Seconds of churn, longer where the machine cannot keep up; the environment may ask for more.
const CHURN_S: (&str, u32) = ("WARMGATE_CLUSTER_CHURN_S", 20);
/// The gateway knows of a change after this time at the latest.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;
const SEED: u64 = 1;

/// An engine that should get no new request.
struct Left {
    /// Resource version of the change that says so.
    version: u64,
    /// Requests that it has got up to the last look.
    received: u64,
}

struct Churn<'a> {
    api: &'a Api,
    slices: Vec<Slice>,
    /// By slice and place; all engines run all the time, so that a request in error is seen.
    engines: Vec<Vec<EngineHandle>>,
    left: BTreeMap<(usize, usize), Left>,
    /// The longest that any has got requests after its departure was an event.
    late_max: Duration,
    rng: SmallRng,
}

impl<'a> Churn<'a> {
    async fn prepare(api: &'a Api, namespace: &str) -> Churn<'a> {
        service(api, namespace, "model").await;
        let (mut slices, mut engines) = (vec![], vec![]);
        for number in 0..SLICES {
            let (mut endpoints, mut of_slice) = (vec![], vec![]);
            for place in 0..ENDPOINTS_OF_SLICE {
                let address = pod_address(GROUP + number, place);
                of_slice.push(engine_at(address).await);
                endpoints.push(endpoint_at(address));
            }
            let slice = Slice::new(namespace, "model", number.into(), endpoints);
            slice.apply(api).await;
            slices.push(slice);
            engines.push(of_slice);
        }
        Churn {
            api,
            slices,
            engines,
            left: BTreeMap::new(),
            late_max: Duration::ZERO,
            rng: SmallRng::seed_from_u64(SEED),
        }
    }

    /// Deletes an endpoint, has it fail its readiness probe, or brings one back: as another pod at
    /// that address, or ready again.
    async fn change(&mut self, witness: &Witness) {
        let slice = self.rng.random_range(0..usize::from(SLICES));
        let place = self.rng.random_range(0..usize::from(ENDPOINTS_OF_SLICE));
        let address = pod_address(GROUP + slice as u8, place as u8);
        let endpoints = &mut self.slices[slice].endpoints;
        let at = endpoints.iter().position(|one| one.address == address);
        let is_gone = match at {
            None => {
                endpoints.push(endpoint_at(address));
                false
            }
            Some(at) if endpoints[at].conditions == UNREADY => {
                endpoints[at].conditions = READY;
                false
            }
            Some(at) if self.rng.random_bool(0.5) => {
                endpoints.remove(at);
                true
            }
            Some(at) => {
                endpoints[at].conditions = UNREADY;
                true
            }
        };
        if !is_gone {
            self.look(witness);
            self.left.remove(&(slice, place));
        }
        let version = self.slices[slice].replace(self.api).await;
        if is_gone {
            let received = self.engines[slice][place].state().received_total;
            self.left.insert((slice, place), Left { version, received });
        }
    }

    /// Notes who has got requests after it left.
    fn look(&mut self, witness: &Witness) {
        for ((slice, place), left) in &mut self.left {
            let received = self.engines[*slice][*place].state().received_total;
            if received > left.received {
                left.received = received;
                let event = witness.saw(left.version);
                let late = event.map_or(Duration::ZERO, |at| at.elapsed());
                self.late_max = self.late_max.max(late);
            }
        }
    }
}

fn endpoint_at(address: std::net::IpAddr) -> Endpoint {
    let pod = unique("churning");
    Endpoint::of_named(address, &pod, &format!("uid-{pod}"))
}

fn churn_s() -> u32 {
    let asked = std::env::var(CHURN_S.0).ok();
    asked.map_or(CHURN_S.1, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_is_followed_and_deleted_endpoints_get_nothing() {
    let plane = shared().await;
    let api = plane.api();
    let namespace = api.namespace("churn").await;
    let mut churn = Churn::prepare(api, &namespace).await;
    let count = usize::from(SLICES) * usize::from(ENDPOINTS_OF_SLICE);
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", count).await;
    let witness = Witness::start(api, &namespace, gateway.id()).await;
    let load = Load::of_strangers(gateway.listen, CLIENTS);
    let (usage, begin) = (Usage::of(gateway.id()), Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CHANGES_PER_S);
    let changes = CHANGES_PER_S * churn_s();
    for _ in 0..changes {
        ticks.tick().await;
        churn.change(&witness).await;
        churn.look(&witness);
    }
    let last_change = Instant::now();
    let took = last_change - begin;
    let truth = of_api(api, &namespace).await;
    // What the machine withholds is not the gateway's delay.
    let limit = KNOWN_WITHIN + witness.starved();
    let known = until_equal(&gateway, &truth, last_change, limit).await;
    // The last to leave are watched for as long as they may take, and as long again.
    while last_change.elapsed() < 2 * KNOWN_WITHIN {
        ticks.tick().await;
        churn.look(&witness);
    }
    let (late, starved) = (churn.late_max, witness.starved());
    let used = usage.since();
    let tally = load.stop().await;
    tally.assert_sound();
    let engines = churn.engines.iter().flatten();
    let met = engines
        .filter(|engine| engine.state().received_total > 0)
        .count();
    let per_s = f64::from(changes) / took.as_secs_f64();
    println!(
        "churn: {changes} changes of {count} endpoints, {per_s:.0} a second; all known {known:?} \
         after the last; {} requests to {met} of them, none failed, none later than {late:?} after the \
         event that its endpoint leaves; gateway: {used}, without a CPU for {starved:?} of a second",
        tally.answered
    );
    assert!(
        late < KNOWN_WITHIN + starved,
        "{late:?}, {starved:?} of it starved"
    );
}
