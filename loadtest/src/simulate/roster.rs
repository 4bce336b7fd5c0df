//! Who can be run: the default, our other policies, and the peers, each by its name.

use warmgate_routing::Policy;
use warmgate_routing::policy::cost::Cost;

use super::capacity::Maker;
use super::peer::PEERS;
use super::warmgate::Warmgate;

/// A policy under its name.
pub struct Entrant {
    /// Its name on the command line and in results.
    pub name: String,
    /// Whether it is what Warmgate does unless told otherwise.
    pub is_default: bool,
    /// Whether it is a policy of Warmgate, and no peer.
    pub is_ours: bool,
    /// Makes the router of one replica.
    pub maker: Box<Maker>,
}

/// Everybody, the default first.
#[must_use]
pub fn roster() -> Vec<Entrant> {
    let ours = Policy::NAMES.iter().map(|name| {
        let policy = Policy::by_name(name).expect("invariant: the list names what it finds");
        ours(name, policy)
    });
    let with_homes = ours_with_homes();
    let peers = PEERS.iter().map(|&(name, make)| Entrant {
        name: name.to_owned(),
        is_default: false,
        is_ours: false,
        maker: Box::new(move |scenario, replica| make(&scenario.fleet(replica))),
    });
    ours.chain([with_homes]).chain(peers).collect()
}

/// The default for several replicas that do not talk: half off at the session's rendezvous home.
fn ours_with_homes() -> Entrant {
    let policy = Policy::Cost(Cost {
        home_discount: 0.5,
        ..Cost::default()
    });
    ours("cost_with_homes", policy)
}

fn ours(name: &str, policy: Policy) -> Entrant {
    let is_default = policy == Policy::default();
    Entrant {
        name: name.to_owned(),
        is_default,
        is_ours: true,
        maker: Box::new(move |scenario, replica| {
            let fleet = scenario.fleet(replica);
            Box::new(Warmgate::new(&fleet, replica, policy.clone()))
        }),
    }
}
