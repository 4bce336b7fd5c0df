//! Recording where a prompt was sent: one node at a time from the root, each step complete in
//! itself, so that making room between two steps never meets a half-changed tree.

use super::ages::Stamps;
use super::lru::{Holding, Order};
use super::node::{Holder, Node, RUN_BLOCKS_MAX};
use super::slab::{NONE, heap_bytes};
use super::tree::{Step, Tree};
use super::{CacheSizes, Cutoffs, DEFAULT_CAPACITY, Recall, RecallStep};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;
use crate::units::Blocks;

/// How far the endpoint's path is recorded: the last node, the holding there, blocks so far.
#[derive(Clone, Copy)]
struct Reached {
    node: u32,
    holding: u32,
    depth: usize,
}

/// One prompt on its way into the tree.
struct Insertion {
    endpoint: EndpointId,
    /// Position of the endpoint's record.
    record: usize,
    /// Leading blocks that are recorded.
    blocks: usize,
    stamps: Stamps,
    /// As they were before.
    cutoffs: Cutoffs,
    recall: Recall,
    reached: Reached,
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
    /// Records that `endpoint` holds `prompt`, as newest. It may exceed its sizes afterwards.
    pub(super) fn insert(&mut self, prompt: &[BlockHash], endpoint: EndpointId) -> Recall {
        let Some(mut insertion) = self.begin(prompt.len(), endpoint) else {
            self.refused += 1;
            return Recall::default();
        };
        let prompt = &prompt[..insertion.blocks];
        while insertion.reached.depth < prompt.len() {
            let reached = insertion.reached;
            let rest = &prompt[reached.depth..];
            let change = self.next_change(reached.node, rest, endpoint);
            if self.fits(self.needed_bytes(reached.node, &change, endpoint)) {
                self.apply(&change, rest, &mut insertion);
            } else if !self.evict_before(reached.holding, Some(insertion.record)) {
                self.refused += 1;
                break;
            }
        }
        insertion.recall
    }

    /// Makes room for the endpoint's record and for the stamps of a prompt; none where it cannot.
    fn begin(&mut self, blocks: usize, endpoint: EndpointId) -> Option<Insertion> {
        let record = self.ensure_record(endpoint, CacheSizes::exactly(DEFAULT_CAPACITY))?;
        // The leading blocks are what an engine would match; the rest could only push them out.
        let remembered = self.records.at(record).sizes.ghosts.0 as usize;
        let blocks = blocks.min(remembered);
        if !self
            .records
            .at(record)
            .ages
            .has_stamps(Stamps::count(blocks))
        {
            self.renumber(record);
        }
        loop {
            let needed_bytes = self.records.stamps_growth_bytes(record, blocks);
            if self.fits(needed_bytes) {
                break;
            }
            if !self.evict_before(NONE, Some(record)) {
                return None;
            }
        }
        let stamps = self.records.open_stamps(record, blocks);
        Some(Insertion {
            endpoint,
            record,
            blocks,
            stamps,
            cutoffs: self.records.cutoffs(endpoint),
            recall: Recall {
                stamp: stamps.youngest,
                before: stamps.before,
                ..Recall::default()
            },
            reached: Reached {
                node: NONE,
                holding: NONE,
                depth: 0,
            },
        })
    }

    /// Starts the stamps of an endpoint anew, from its buckets: once in billions of prompts.
    fn renumber(&mut self, position: usize) {
        let record = self.records.at_mut(position);
        let mut id = record.recency.oldest();
        while id != NONE {
            let node = &mut self.nodes[self.holdings[id].node];
            let at = node
                .position(record.id)
                .expect("invariant: a holding has its holder");
            let holder = &mut node.holders[at];
            holder.stamp = record.ages.renumbered(holder.stamp);
            id = self.holdings[id].newer(Order::Endpoint);
        }
        record.ages.renumber();
        self.records.set_cutoffs(position);
    }

    /// Returns whether the endpoint now holds too much.
    pub(super) fn set_sizes(&mut self, endpoint: EndpointId, sizes: CacheSizes) -> bool {
        let Some(record) = self.ensure_record(endpoint, sizes) else {
            self.refused += 1;
            return false;
        };
        self.records.at_mut(record).sizes = sizes;
        self.records.set_cutoffs(record);
        self.records.at(record).excess_blocks() > 0
    }

    /// Position of the endpoint's record, made where missing; none where there is no room for it.
    fn ensure_record(&mut self, endpoint: EndpointId, default: CacheSizes) -> Option<usize> {
        let position = match self.records.position(endpoint) {
            Ok(position) => return Some(position),
            Err(position) => position,
        };
        while !self.fits(self.records.growth_bytes()) {
            if !self.evict_before(NONE, None) {
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

    fn apply(&mut self, change: &Change, rest: &[BlockHash], insertion: &mut Insertion) {
        match *change {
            Change::Split(step) => self.split(step),
            Change::Lengthen { blocks } => self.lengthen(&rest[..blocks], insertion),
            Change::Create { blocks } => {
                let node = self.create(&insertion.reached, &rest[..blocks]);
                let matched = blocks;
                self.hold(Step { node, matched }, insertion);
            }
            Change::Hold(step) => self.hold(step, insertion),
        }
    }

    fn lengthen(&mut self, more: &[BlockHash], insertion: &mut Insertion) {
        let node = &mut self.nodes[insertion.reached.node];
        self.node_heap_bytes -= node.run_bytes();
        node.run = [&node.run, more].concat().into_boxed_slice();
        self.node_heap_bytes += node.run_bytes();
        self.blocks += more.len() as u64;
        let position = node
            .position(insertion.endpoint)
            .expect("invariant: the path so far is held");
        let holder = &mut node.holders[position];
        holder.blocks += more.len() as u32;
        let used = (holder.stamp, more.len() as u32);
        self.records.note_used(insertion.record, None, used);
        insertion.reached.depth += more.len();
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
    fn hold(&mut self, step: Step, insertion: &mut Insertion) {
        let node = &mut self.nodes[step.node];
        let (wanted, reached) = (step.matched as u32, insertion.reached);
        let stamp = insertion.stamps.at(reached.depth);
        let id = match node.position(insertion.endpoint) {
            Ok(position) => {
                let holder = &mut node.holders[position];
                let old = (holder.stamp, holder.blocks);
                holder.blocks = wanted.max(holder.blocks);
                holder.stamp = stamp;
                let (used, id) = ((stamp, holder.blocks), holder.holding);
                let distance = self.records.at(insertion.record).ages.distance(old.0);
                let remembered = RecallStep {
                    upto: Blocks(reached.depth as u32 + old.1),
                    distance: Blocks(u32::try_from(distance).unwrap_or(u32::MAX)),
                    stamp: old.0,
                };
                insertion.recall.note(remembered, insertion.cutoffs);
                self.records.note_used(insertion.record, Some(old), used);
                let recency = &mut self.records.at_mut(insertion.record).recency;
                recency.touch(&mut self.holdings, id, reached.holding);
                self.recency.touch(&mut self.holdings, id, reached.holding);
                id
            }
            Err(position) => {
                let endpoint = insertion.endpoint;
                let id = self.holdings.insert(Holding::new(step.node, endpoint));
                self.node_heap_bytes -= node.holders_bytes();
                let holder = Holder {
                    endpoint,
                    blocks: wanted,
                    holding: id,
                    stamp,
                };
                node.insert_holder(position, holder);
                self.node_heap_bytes += node.holders_bytes();
                self.records
                    .note_used(insertion.record, None, (stamp, wanted));
                let recency = &mut self.records.at_mut(insertion.record).recency;
                recency.link(&mut self.holdings, id, reached.holding);
                self.recency.link(&mut self.holdings, id, reached.holding);
                self.adopt(reached.holding, id);
                id
            }
        };
        insertion.reached = Reached {
            node: step.node,
            holding: id,
            depth: reached.depth + step.matched,
        };
    }
}
