//! Storage that grows a page at a time, so that growth never needs room for a second copy.

use std::ops::{Index, IndexMut};

/// "No entry", in every field that names one.
pub(super) const NONE: u32 = u32::MAX;

/// What an allocator may add to each allocation (glibc: a header of 8 bytes, rounded up to 16).
pub(super) const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// Entries per page: a page is 10 to 20 KiB, small beside any limit worth setting.
const PAGE_ENTRIES: usize = 256;

/// Bytes of a heap allocation of `count` values.
pub(super) const fn heap_bytes<T>(count: usize) -> usize {
    if count == 0 {
        0
    } else {
        count * size_of::<T>() + ALLOCATION_OVERHEAD_BYTES
    }
}

#[derive(Debug)]
enum Entry<T> {
    Vacant { next: u32 },
    Used(T),
}

/// A slab whose entries keep their number until removed.
#[derive(Debug)]
pub(super) struct Slab<T> {
    // Has its final capacity from the start, so that it is never copied either.
    pages: Vec<Box<[Entry<T>]>>,
    vacant: u32,
    len: usize,
}

impl<T> Slab<T> {
    const PAGE_BYTES: usize = heap_bytes::<Entry<T>>(PAGE_ENTRIES);

    /// A slab that can use up to `limit_bytes`.
    pub(super) fn with_limit(limit_bytes: usize) -> Slab<T> {
        let pages = Vec::with_capacity(limit_bytes / Self::PAGE_BYTES + 1);
        Slab {
            pages,
            vacant: NONE,
            len: 0,
        }
    }

    /// Everything allocated now.
    pub(super) fn bytes(&self) -> usize {
        heap_bytes::<Box<[Entry<T>]>>(self.pages.capacity()) + self.pages.len() * Self::PAGE_BYTES
    }

    /// What inserting `count` more would allocate.
    pub(super) fn growth_bytes(&self, count: usize) -> usize {
        let vacancies = self.pages.len() * PAGE_ENTRIES - self.len;
        count.saturating_sub(vacancies).div_ceil(PAGE_ENTRIES) * Self::PAGE_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if self.vacant == NONE {
            self.add_page();
        }
        let id = self.vacant;
        let entry = self.entry_mut(id);
        let Entry::Vacant { next } = *entry else {
            unreachable!("invariant: listed as vacant")
        };
        *entry = Entry::Used(value);
        self.vacant = next;
        self.len += 1;
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        let next = self.vacant;
        let entry = self.entry_mut(id);
        debug_assert!(matches!(entry, Entry::Used(_)), "removed twice");
        *entry = Entry::Vacant { next };
        self.vacant = id;
        self.len -= 1;
        if self.len == 0 {
            self.pages.clear();
            self.vacant = NONE;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let entries = self.pages.iter().flat_map(|page| page.iter());
        entries.zip(0u32..).filter_map(|(entry, id)| match entry {
            Entry::Used(value) => Some((id, value)),
            Entry::Vacant { .. } => None,
        })
    }

    fn add_page(&mut self) {
        let start = (self.pages.len() * PAGE_ENTRIES) as u32;
        let entry = |offset: u32| {
            let is_last = offset as usize + 1 == PAGE_ENTRIES;
            Entry::Vacant {
                next: if is_last { NONE } else { start + offset + 1 },
            }
        };
        debug_assert!(
            self.pages.len() < self.pages.capacity(),
            "limit ignored by the caller"
        );
        self.pages
            .push((0..PAGE_ENTRIES as u32).map(entry).collect());
        self.vacant = start;
    }

    fn entry_mut(&mut self, id: u32) -> &mut Entry<T> {
        &mut self.pages[id as usize / PAGE_ENTRIES][id as usize % PAGE_ENTRIES]
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        match &self.pages[id as usize / PAGE_ENTRIES][id as usize % PAGE_ENTRIES] {
            Entry::Used(value) => value,
            Entry::Vacant { .. } => unreachable!("invariant: ids name used entries"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        match self.entry_mut(id) {
            Entry::Used(value) => value,
            Entry::Vacant { .. } => unreachable!("invariant: ids name used entries"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_what_it_announced_and_reuses_before_growing() {
        let mut slab = Slab::with_limit(1 << 20);
        for value in 0..PAGE_ENTRIES * 2 {
            let before = slab.bytes();
            let announced = slab.growth_bytes(1);
            slab.insert(value);
            assert_eq!(slab.bytes(), before + announced);
            assert_eq!(announced > 0, value % PAGE_ENTRIES == 0);
        }
        assert_eq!(slab.growth_bytes(PAGE_ENTRIES), Slab::<usize>::PAGE_BYTES);
        assert_eq!(
            slab.growth_bytes(PAGE_ENTRIES + 1),
            2 * Slab::<usize>::PAGE_BYTES
        );
        slab.remove(7);
        assert_eq!(slab.growth_bytes(1), 0);
        assert_eq!(slab.insert(1_000), 7);
        assert_eq!(slab[7], 1_000);
    }

    #[test]
    fn gives_its_pages_back_when_empty() {
        let mut slab = Slab::with_limit(1 << 20);
        let empty = slab.bytes();
        let ids: Vec<u32> = (0..1_000).map(|value| slab.insert(value)).collect();
        assert!(slab.bytes() > empty);
        for id in ids {
            slab.remove(id);
        }
        assert_eq!(slab.bytes(), empty);
        assert_eq!(slab.insert(1), 0);
    }
}
