//! Who was used longest ago, in constant time: a list threaded through the slots of a slab.
//! Caches that hold their entries themselves need the order alone, and a library's list or map
//! would store (and hash) every key a second time.

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Links {
    older: u32,
    newer: u32,
}

/// Slots from the least to the most recently used; a slot is in the list once or not at all.
#[derive(Debug)]
pub(super) struct LruList {
    links: Vec<Links>,
    oldest: u32,
    newest: u32,
    len: usize,
}

impl LruList {
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a slot that is not in the list at its young end.
    pub(super) fn push_newest(&mut self, slot: u32) {
        let index = slot as usize;
        if index >= self.links.len() {
            let unlinked = Links {
                older: NONE,
                newer: NONE,
            };
            self.links.resize(index + 1, unlinked);
        }
        self.links[index] = Links {
            older: self.newest,
            newer: NONE,
        };
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].newer = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes a slot that is in the list out of it.
    pub(super) fn remove(&mut self, slot: u32) {
        let Links { older, newer } = self.links[slot as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
        self.len -= 1;
    }

    /// Takes out the slot used longest ago.
    pub(super) fn pop_oldest(&mut self) -> Option<u32> {
        let slot = self.oldest;
        if slot == NONE {
            return None;
        }
        self.remove(slot);
        Some(slot)
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let there = |slot: u32| (slot != NONE).then_some(slot);
        std::iter::successors(there(self.oldest), move |slot| {
            there(self.links[*slot as usize].newer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_leave_in_the_order_in_which_they_came() {
        let mut list = LruList::new();
        for slot in [3, 0, 7, 5] {
            list.push_newest(slot);
        }
        list.remove(0);
        list.remove(3);
        list.push_newest(3);
        assert_eq!(list.iter().collect::<Vec<_>>(), [7, 5, 3]);
        assert_eq!(list.len(), 3);
        list.remove(3);
        assert_eq!((list.pop_oldest(), list.pop_oldest()), (Some(7), Some(5)));
        assert_eq!((list.pop_oldest(), list.len()), (None, 0));
        list.push_newest(1);
        assert_eq!(list.pop_oldest(), Some(1));
    }
}
