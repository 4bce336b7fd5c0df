//! Recording where a prompt was sent: one node at a time from the root, each step complete in
//! itself, so that making room between two steps never meets a half-changed tree.

use super::lru::{Holding, Order};
use super::node::{Holder, Node, RUN_BLOCKS_MAX};
use super::slab::{NONE, heap_bytes};
use super::tree::{Step, Tree};
use super::{CacheSizes, DEFAULT_CAPACITY, Recall};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;

/// How far the endpoint's path is recorded: the last node, the holding there, blocks so far.
#[derive(Clone, Copy)]
struct Reached {
    node: u32,
    holding: u32,
    depth: usize,
}

/// What records the next part of the prompt.
enum Change {
    /// Lengthen the last run, which nothing follows yet.
    Lengthen { blocks: usize },
    /// A new child of the last node.
    Create { blocks: usize },
    /// Hold (and refresh) so many leading blocks of a child.
    Hold(Step),
    /// Cut a child in two where the prompt leaves it; no progress in itself.
    Split(Step),
}

impl Tree {
    /// Records that `endpoint` holds `prompt`, as newest. It may exceed its capacity afterwards.
    pub(super) fn insert(&mut self, prompt: &[BlockHash], endpoint: EndpointId) -> Recall {
        let recall = Recall {
            held: self.held(prompt, endpoint),
        };
        let default = CacheSizes::exactly(DEFAULT_CAPACITY);
        let Some(record) = self.ensure_record(endpoint, default) else {
            self.refused += 1;
            return recall;
        };
        // The leading blocks are what an engine would match; the rest could only push them out.
        let capacity = self.records.at(record).sizes.ghosts.0 as usize;
        let prompt = &prompt[..prompt.len().min(capacity)];
        let mut reached = Reached {
            node: NONE,
            holding: NONE,
            depth: 0,
        };
        while reached.depth < prompt.len() {
            let rest = &prompt[reached.depth..];
            let change = self.next_change(reached.node, rest, endpoint);
            if self.fits(self.needed_bytes(reached.node, &change, endpoint)) {
                self.apply(&change, rest, endpoint, record, &mut reached);
            } else if !self.evict_oldest_before(reached.holding) {
                self.refused += 1;
                return recall;
            }
        }
        recall
    }

    /// Returns whether the endpoint now holds too much.
    pub(super) fn set_sizes(&mut self, endpoint: EndpointId, sizes: CacheSizes) -> bool {
        let Some(record) = self.ensure_record(endpoint, sizes) else {
            self.refused += 1;
            return false;
        };
        let record = self.records.at_mut(record);
        record.sizes = sizes;
        record.excess_blocks() > 0
    }

    /// Position of the endpoint's record, made where missing; none where there is no room for it.
    fn ensure_record(&mut self, endpoint: EndpointId, default: CacheSizes) -> Option<usize> {
        let position = match self.records.position(endpoint) {
            Ok(position) => return Some(position),
            Err(position) => position,
        };
        while !self.fits(self.records.growth_bytes()) {
            if !self.evict_oldest_before(NONE) {
                return None;
            }
        }
        self.records.insert(position, endpoint, default);
        Some(position)
    }

    fn next_change(&self, node: u32, rest: &[BlockHash], endpoint: EndpointId) -> Change {
        let Some(step) = self.step(node, rest) else {
            let room = match node {
                NONE => 0,
                _ if self.nodes[node].children > 0 => 0,
                _ => RUN_BLOCKS_MAX - self.nodes[node].run.len(),
            };
            return match room.min(rest.len()) {
                0 => Change::Create {
                    blocks: rest.len().min(RUN_BLOCKS_MAX),
                },
                blocks => Change::Lengthen { blocks },
            };
        };
        let child = &self.nodes[step.node];
        let is_whole = step.matched == child.run.len();
        let is_end = step.matched == rest.len();
        let held = child
            .holder(endpoint)
            .map_or(0, |holder| holder.blocks as usize);
        // Within a run an endpoint's blocks share one recency: what it holds beyond the end of
        // this prompt is older, and has to become a node of its own.
        if is_whole || (is_end && held <= step.matched) {
            Change::Hold(step)
        } else {
            Change::Split(step)
        }
    }

    /// Upper bound of what the change allocates before it frees anything.
    fn needed_bytes(&self, last: u32, change: &Change, endpoint: EndpointId) -> usize {
        let new_node =
            || self.nodes.growth_bytes(1) + self.children.growth_bytes(self.nodes.len() + 1);
        match *change {
            Change::Lengthen { blocks } => {
                heap_bytes::<BlockHash>(self.nodes[last].run.len() + blocks)
            }
            Change::Create { blocks } => {
                new_node() + self.holdings.growth_bytes(1) + heap_bytes::<BlockHash>(blocks)
            }
            Change::Hold(step) => {
                let node = &self.nodes[step.node];
                match node.position(endpoint) {
                    Ok(_) => 0,
                    Err(_) => self.holdings.growth_bytes(1) + node.holders_growth_bytes(),
                }
            }
            Change::Split(step) => {
                let node = &self.nodes[step.node];
                new_node()
                    + self.holdings.growth_bytes(node.holders.len())
                    + Node::holders_bytes_for(node.holders.len())
                    + heap_bytes::<BlockHash>(step.matched)
                    + heap_bytes::<BlockHash>(node.run.len() - step.matched)
            }
        }
    }

    fn apply(
        &mut self,
        change: &Change,
        rest: &[BlockHash],
        endpoint: EndpointId,
        record: usize,
        reached: &mut Reached,
    ) {
        match *change {
            Change::Split(step) => self.split(step),
            Change::Lengthen { blocks } => {
                self.lengthen(reached.node, &rest[..blocks], endpoint);
                self.records.at_mut(record).blocks += blocks as u64;
                reached.depth += blocks;
            }
            Change::Create { blocks } => {
                let node = self.create(reached, &rest[..blocks]);
                self.hold(
                    Step {
                        node,
                        matched: blocks,
                    },
                    endpoint,
                    record,
                    reached,
                );
            }
            Change::Hold(step) => self.hold(step, endpoint, record, reached),
        }
    }

    fn lengthen(&mut self, id: u32, more: &[BlockHash], endpoint: EndpointId) {
        let node = &mut self.nodes[id];
        self.node_heap_bytes -= node.run_bytes();
        node.run = [&node.run, more].concat().into_boxed_slice();
        self.node_heap_bytes += node.run_bytes();
        self.blocks += more.len() as u64;
        let position = node
            .position(endpoint)
            .expect("invariant: the path so far is held");
        node.holders[position].blocks += more.len() as u32;
    }

    fn create(&mut self, reached: &Reached, run: &[BlockHash]) -> u32 {
        let node = Node::new(reached.node, reached.depth as u32, run.into());
        self.node_heap_bytes += node.run_bytes();
        self.blocks += run.len() as u64;
        let id = self.nodes.insert(node);
        self.children.insert(&mut self.nodes, id);
        if reached.node != NONE {
            self.nodes[reached.node].children += 1;
        }
        id
    }

    /// Makes the endpoint hold at least `step.matched` blocks of the node, as newest but its path.
    fn hold(&mut self, step: Step, endpoint: EndpointId, record: usize, reached: &mut Reached) {
        let node = &mut self.nodes[step.node];
        let wanted = step.matched as u32;
        let recency = &mut self.records.at_mut(record).recency;
        let (id, added) = match node.position(endpoint) {
            Ok(position) => {
                let holder = &mut node.holders[position];
                let added = wanted.saturating_sub(holder.blocks);
                holder.blocks += added;
                recency.touch(&mut self.holdings, holder.holding, reached.holding);
                self.recency
                    .touch(&mut self.holdings, holder.holding, reached.holding);
                (holder.holding, added)
            }
            Err(position) => {
                let id = self.holdings.insert(Holding::new(step.node, endpoint));
                self.node_heap_bytes -= node.holders_bytes();
                node.insert_holder(
                    position,
                    Holder {
                        endpoint,
                        blocks: wanted,
                        holding: id,
                    },
                );
                self.node_heap_bytes += node.holders_bytes();
                recency.link(&mut self.holdings, id, reached.holding);
                self.recency.link(&mut self.holdings, id, reached.holding);
                self.adopt(reached.holding, id);
                (id, wanted)
            }
        };
        self.records.at_mut(record).blocks += u64::from(added);
        *reached = Reached {
            node: step.node,
            holding: id,
            depth: reached.depth + step.matched,
        };
    }

    /// Lists a new holding as a child of another (of none, at the root).
    fn adopt(&mut self, parent: u32, id: u32) {
        if parent == NONE {
            return;
        }
        let next = self.holdings[parent].first_child;
        self.holdings[parent].first_child = id;
        self.holdings[id].next_sibling = next;
        if next != NONE {
            self.holdings[next].prev_sibling = id;
        }
    }

    /// Cuts a node in two. The new one is the upper part, so that children keep their parent.
    fn split(&mut self, step: Step) {
        let lower_id = step.node;
        let at = step.matched as u32;
        self.children.remove(&mut self.nodes, lower_id);
        let lower = &mut self.nodes[lower_id];
        self.node_heap_bytes -= lower.run_bytes();
        let upper_run: Box<[BlockHash]> = lower.run[..step.matched].into();
        lower.run = lower.run[step.matched..].into();
        lower.first = lower.run[0];
        let mut upper = Node::new(lower.parent, lower.start, upper_run);
        upper.children = 1;
        upper.holders.reserve_exact(lower.holders.len());
        lower.start += at;
        self.node_heap_bytes += lower.run_bytes() + upper.run_bytes() + upper.holders_bytes();
        let upper_id = self.nodes.insert(upper);
        self.nodes[lower_id].parent = upper_id;
        self.children.insert(&mut self.nodes, upper_id);
        self.children.insert(&mut self.nodes, lower_id);

        for position in 0..self.nodes[lower_id].holders.len() {
            let holder = self.nodes[lower_id].holders[position];
            let upper_holder = if holder.blocks > at {
                let holding = self.split_holding(holder.holding, upper_id);
                Holder {
                    blocks: at,
                    holding,
                    ..holder
                }
            } else {
                self.holdings[holder.holding].node = upper_id;
                holder
            };
            self.nodes[upper_id].holders.push(upper_holder);
            self.nodes[lower_id].holders[position].blocks -= upper_holder.blocks;
        }
        self.nodes[lower_id]
            .holders
            .retain(|holder| holder.blocks > 0);
    }

    /// A holding of the upper part, just newer than that of the lower and in its family place.
    fn split_holding(&mut self, lower: u32, upper_node: u32) -> u32 {
        let endpoint = self.holdings[lower].endpoint;
        let upper = self.holdings.insert(Holding::new(upper_node, endpoint));
        let newer = self.holdings[lower].newer(Order::Endpoint);
        self.records
            .of_holder(endpoint)
            .recency
            .link(&mut self.holdings, upper, newer);
        let newer = self.holdings[lower].newer(Order::Everyone);
        self.recency.link(&mut self.holdings, upper, newer);

        let (prev, next) = (
            self.holdings[lower].prev_sibling,
            self.holdings[lower].next_sibling,
        );
        self.link_siblings(upper_node, endpoint, prev, upper);
        self.holdings[upper].next_sibling = next;
        if next != NONE {
            self.holdings[next].prev_sibling = upper;
        }
        self.holdings[upper].first_child = lower;
        self.holdings[lower].prev_sibling = NONE;
        self.holdings[lower].next_sibling = NONE;
        upper
    }

    /// Makes `id` (or none) the next after `prev`, or the first child of what `endpoint` holds of
    /// the parent of `node`.
    pub(super) fn link_siblings(&mut self, node: u32, endpoint: EndpointId, prev: u32, id: u32) {
        if id != NONE {
            self.holdings[id].prev_sibling = prev;
        }
        if prev != NONE {
            self.holdings[prev].next_sibling = id;
            return;
        }
        let parent = self.nodes[node].parent;
        if parent != NONE {
            let holder = self.nodes[parent].holder(endpoint);
            let holding = holder
                .expect("invariant: who holds a child holds its parent")
                .holding;
            self.holdings[holding].first_child = id;
        }
    }
}
