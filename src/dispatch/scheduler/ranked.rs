//! Ordered set that knows the number of members before any key: a treap.
//!
//! Each node has a random weight, heavier than those below it, which keeps the tree balanced, and the size of its part
//! of the tree. Insertion, removal and counting take O(log n).
//!
//! Source: Seidel and Aragon, "Randomized Search Trees".

use std::cmp::Ordering;

/// Ordered set that counts the members before a key.
pub(super) struct RankedSet<K> {
    root: Subtree<K>,
    /// State of the weights.
    lots: u64,
}

type Subtree<K> = Option<Box<Node<K>>>;

struct Node<K> {
    key: K,
    weight: u64,
    size: usize,
    less: Subtree<K>,
    more: Subtree<K>,
}

impl<K> Default for RankedSet<K> {
    fn default() -> Self {
        Self { root: None, lots: 0 }
    }
}

impl<K: Ord> RankedSet<K> {
    /// Adds a member that isn't there.
    pub(super) fn insert(&mut self, key: K) {
        // SplitMix64.
        self.lots = self.lots.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.lots ^ (self.lots >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let weight = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let (less, more) = split(self.root.take(), &key);
        let new = Box::new(Node { key, weight, size: 1, less: None, more: None });
        self.root = join(join(less, Some(new)), more);
    }

    /// Removes a member. Returns false where it isn't there.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        take(&mut self.root, key)
    }

    pub(super) fn len(&self) -> usize {
        size(&self.root)
    }

    /// Number of members before `key`.
    pub(super) fn rank(&self, key: &K) -> usize {
        let (mut count, mut at) = (0, &self.root);
        while let Some(node) = at {
            at = if node.key < *key {
                count += size(&node.less) + 1;
                &node.more
            } else {
                &node.less
            };
        }
        count
    }

    /// The first member.
    pub(super) fn first(&self) -> Option<&K> {
        let mut node = self.root.as_ref()?;
        while let Some(less) = &node.less {
            node = less;
        }
        Some(&node.key)
    }

    /// The first member after `key`, which needn't be one.
    pub(super) fn after(&self, key: &K) -> Option<&K> {
        let (mut found, mut at) = (None, &self.root);
        while let Some(node) = at {
            at = if node.key > *key {
                found = Some(&node.key);
                &node.less
            } else {
                &node.more
            };
        }
        found
    }
}

impl<K> Node<K> {
    fn count(&mut self) {
        self.size = size(&self.less) + size(&self.more) + 1;
    }
}

fn size<K>(link: &Subtree<K>) -> usize {
    link.as_ref().map_or(0, |node| node.size)
}

/// Parts of a tree with the keys before `key`, and with the others.
fn split<K: Ord>(link: Subtree<K>, key: &K) -> (Subtree<K>, Subtree<K>) {
    let Some(mut node) = link else { return (None, None) };
    if node.key < *key {
        let (less, more) = split(node.more.take(), key);
        node.more = less;
        node.count();
        (Some(node), more)
    } else {
        let (less, more) = split(node.less.take(), key);
        node.less = more;
        node.count();
        (less, Some(node))
    }
}

/// Tree of both, the keys of `one` before those of `other`.
fn join<K>(one: Subtree<K>, other: Subtree<K>) -> Subtree<K> {
    match (one, other) {
        (None, link) | (link, None) => link,
        (Some(mut one), Some(mut other)) => Some(if one.weight > other.weight {
            one.more = join(one.more.take(), Some(other));
            one.count();
            one
        } else {
            other.less = join(Some(one), other.less.take());
            other.count();
            other
        }),
    }
}

fn take<K: Ord>(link: &mut Subtree<K>, key: &K) -> bool {
    let Some(node) = link else { return false };
    let is_there = match key.cmp(&node.key) {
        Ordering::Less => take(&mut node.less, key),
        Ordering::Greater => take(&mut node.more, key),
        Ordering::Equal => {
            let rest = join(node.less.take(), node.more.take());
            *link = rest;
            return true;
        }
    };
    node.count();
    is_there
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_as_a_list_does(steps in prop::collection::vec((0_u16..200, any::<bool>()), 0..400)) {
            let (mut set, mut there) = (RankedSet::default(), BTreeSet::new());
            for (key, goes) in steps {
                if goes {
                    prop_assert_eq!(set.remove(&key), there.remove(&key));
                } else if there.insert(key) {
                    set.insert(key);
                }
                prop_assert_eq!((set.len(), set.first()), (there.len(), there.first()));
                prop_assert_eq!(set.rank(&key), there.range(..key).count());
                prop_assert_eq!(set.after(&key), there.range(key + 1..).next());
            }
        }
    }

    #[test]
    fn it_stays_flat_whatever_the_order() {
        fn depth(link: &Subtree<u32>) -> usize {
            link.as_ref().map_or(0, |node| 1 + depth(&node.less).max(depth(&node.more)))
        }
        let mut set = RankedSet::default();
        (0..10_000).for_each(|key| set.insert(key));
        assert!(depth(&set.root) < 50, "{}", depth(&set.root));
        assert_eq!((set.len(), set.rank(&7_777)), (10_000, 7_777));
    }
}
