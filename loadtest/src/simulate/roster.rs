//! Who can be run: the default, our other policies, and the peers, each by its name.

use warmgate_routing::Policy;

use super::capacity::Maker;
use super::peer::PEERS;
use super::warmgate::Warmgate;

/// A policy under its name.
pub struct Entrant {
    /// Its name on the command line and in results.
    pub name: String,
    /// Whether it is what Warmgate does unless told otherwise.
    pub is_default: bool,
    /// Makes the router of one replica.
    pub maker: Box<Maker>,
}

/// Everybody, the default first.
#[must_use]
pub fn roster() -> Vec<Entrant> {
    let ours = Policy::NAMES.iter().map(|name| ours(name));
    let peers = PEERS.iter().map(|&(name, make)| Entrant {
        name: name.to_owned(),
        is_default: false,
        maker: Box::new(move |scenario, replica| make(&scenario.fleet(replica))),
    });
    ours.chain(peers).collect()
}

fn ours(name: &str) -> Entrant {
    let policy = Policy::by_name(name).expect("invariant: the list names what it finds");
    let is_default = policy.name() == Policy::default().name();
    Entrant {
        name: name.to_owned(),
        is_default,
        maker: Box::new(move |scenario, replica| {
            let fleet = scenario.fleet(replica);
            Box::new(Warmgate::new(&fleet, replica, policy.clone()))
        }),
    }
}
