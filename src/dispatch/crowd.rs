//! Queues of jobs that compete for the same Spaces.
//!
//! Jobs of models with the same pool wait in one *queue* of bounded length. Queues whose pools share a Space, directly
//! or through other queues, form a *crowd*: turns are comparable among its jobs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::catalog::{Catalog, PoolMember};
use crate::gradio::space::Origin;
use crate::hex::hex;

/// Queues and crowds of a catalogue.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    queues: HashMap<Rc<str>, Queue>,
}

#[derive(Debug)]
struct Queue {
    crowd: Rc<str>,
    origins: HashSet<Origin>,
}

/// Names of a queue and of its crowd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueKey {
    pub(super) queue: Rc<str>,
    pub(super) crowd: Rc<str>,
}

impl Crowds {
    /// Queues and crowds of `catalog`.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut crowds = Self::default();
        for model in catalog.models() {
            crowds.add(&model.pool);
        }
        crowds
    }

    /// Adds the queue of `pool` and merges the crowds that it connects.
    fn add(&mut self, pool: &[PoolMember]) {
        let origins: HashSet<Origin> = pool.iter().map(|member| member.space.origin().clone()).collect();
        let name = name(pool);
        let mut crowd = Rc::clone(&name);
        for queue in self.queues.values_mut().filter(|queue| !queue.origins.is_disjoint(&origins)) {
            crowd = Rc::clone(&queue.crowd).min(crowd);
        }
        let joined: HashSet<Rc<str>> = self
            .queues
            .values()
            .filter(|queue| !queue.origins.is_disjoint(&origins))
            .map(|queue| Rc::clone(&queue.crowd))
            .collect();
        for queue in self.queues.values_mut().filter(|queue| joined.contains(&queue.crowd)) {
            queue.crowd = Rc::clone(&crowd);
        }
        self.queues.insert(name, Queue { crowd, origins });
    }

    /// Queue and crowd of jobs for `pool`.
    pub(super) fn place(&self, pool: &[PoolMember]) -> QueueKey {
        let queue = name(pool);
        let crowd = self.queues.get(&queue).map_or_else(|| Rc::clone(&queue), |queue| Rc::clone(&queue.crowd));
        QueueKey { queue, crowd }
    }

    /// True if jobs of `queue` can run at the Space at `origin`.
    pub(super) fn wants(&self, queue: &str, origin: &Origin) -> bool {
        self.queues.get(queue).is_some_and(|queue| queue.origins.contains(origin))
    }

    /// Queues whose jobs can run at one of the Spaces at `origins`.
    pub(super) fn queues_for(&self, origins: &HashSet<Origin>) -> Vec<Rc<str>> {
        let meant = self.queues.iter().filter(|(_, queue)| !queue.origins.is_disjoint(origins));
        meant.map(|(name, _)| Rc::clone(name)).collect()
    }
}

/// Name of a pool's queue: the same on all instances, independent of the pool's order.
fn name(pool: &[PoolMember]) -> Rc<str> {
    let mut origins: Vec<String> = pool.iter().map(|member| member.space.origin().to_string()).collect();
    origins.sort_unstable();
    let digest = Sha256::digest(origins.join(" "));
    hex(digest.iter().take(8)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(spaces: &str) -> Catalog {
        Catalog::parse(spaces, "", &mut Vec::new())
    }

    #[test]
    fn queues_that_share_a_space_are_one_crowd() {
        let catalog = catalog("a=o/1,a=o/2,b=o/2,c=o/3,d=o/3,d=o/1,e=o/9,f=o/2,f=o/1");
        let crowds = Crowds::of(&catalog);
        let place = |model: &str| crowds.place(&catalog.find(Some(model)).unwrap().pool);
        for model in ["b", "c", "d"] {
            assert_eq!(place(model).crowd, place("a").crowd, "{model}");
            assert_ne!(place(model).queue, place("a").queue, "{model}");
        }
        assert_ne!(place("e").crowd, place("a").crowd);
        assert_eq!(place("f"), place("a"), "in whatever order they are named");
        let origin = |model: &str| catalog.find(Some(model)).unwrap().pool[0].space.origin().clone();
        assert!(crowds.wants(&place("a").queue, &origin("b")) && !crowds.wants(&place("b").queue, &origin("a")));
        assert_eq!(crowds.queues_for(&HashSet::from([origin("e")])), [place("e").queue]);
    }
}
