//! What an endpoint holds of a node, in two orders of recency: the endpoint's own, and everyone's.
//!
//! In both orders an endpoint's holding of a node is newer than its holdings of the node's
//! descendants, so the oldest holding is always one without descendants and can be cut from its
//! end. Touching a path from its root, each step right behind the one before, keeps it so.

use super::slab::{NONE, Slab};
use crate::endpoint::EndpointId;

/// The orders that every holding is linked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Among the holdings of its endpoint: for the endpoint's capacity.
    Endpoint = 0,
    /// Among all holdings: for the limit in bytes.
    Everyone = 1,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

const UNLINKED: Link = Link {
    newer: NONE,
    older: NONE,
};

/// One endpoint's hold on a node. How many blocks stands in the node, where lookups read it.
#[derive(Debug)]
pub(super) struct Holding {
    links: [Link; 2],
    pub(super) node: u32,
    pub(super) endpoint: EndpointId,
    // The same endpoint's holdings of the node's children, so that a subtree can be forgotten
    // without looking at children that only others hold.
    pub(super) first_child: u32,
    pub(super) next_sibling: u32,
    pub(super) prev_sibling: u32,
}

impl Holding {
    pub(super) fn new(node: u32, endpoint: EndpointId) -> Holding {
        Holding {
            links: [UNLINKED; 2],
            node,
            endpoint,
            first_child: NONE,
            next_sibling: NONE,
            prev_sibling: NONE,
        }
    }

    pub(super) fn newer(&self, order: Order) -> u32 {
        self.links[order as usize].newer
    }

    pub(super) fn older(&self, order: Order) -> u32 {
        self.links[order as usize].older
    }
}

/// Both ends of one order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recency {
    order: Order,
    newest: u32,
    oldest: u32,
}

impl Recency {
    pub(super) fn new(order: Order) -> Recency {
        Recency {
            order,
            newest: NONE,
            oldest: NONE,
        }
    }

    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    pub(super) fn oldest(&self) -> u32 {
        self.oldest
    }

    /// Links `id` as the next older of `newer`, or as the newest where that is [`NONE`].
    pub(super) fn link(&mut self, holdings: &mut Slab<Holding>, id: u32, newer: u32) {
        let at = self.order as usize;
        let older = if newer == NONE {
            self.newest
        } else {
            holdings[newer].links[at].older
        };
        holdings[id].links[at] = Link { newer, older };
        self.join(holdings, newer, id);
        self.join(holdings, id, older);
    }

    pub(super) fn unlink(&mut self, holdings: &mut Slab<Holding>, id: u32) {
        let Link { newer, older } = holdings[id].links[self.order as usize];
        self.join(holdings, newer, older);
    }

    /// Moves `id` to right behind `newer`.
    pub(super) fn touch(&mut self, holdings: &mut Slab<Holding>, id: u32, newer: u32) {
        if holdings[id].newer(self.order) != newer {
            self.unlink(holdings, id);
            self.link(holdings, id, newer);
        }
    }

    fn join(&mut self, holdings: &mut Slab<Holding>, newer: u32, older: u32) {
        let at = self.order as usize;
        match newer {
            NONE => self.newest = older,
            _ => holdings[newer].links[at].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => holdings[older].links[at].newer = newer,
        }
    }
}
