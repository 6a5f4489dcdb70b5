//! Waiting jobs of other instances, by the last read of the database.

use super::wait_queue::Rank;
use crate::dispatch::crowd::Crowds;
use crate::gradio::space::Origin;

/// A waiting job of another instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteWaiter {
    pub(super) rank: Rank,
    pub(super) queue: String,
    /// Origins of Spaces that have failed it, separated by spaces.
    pub(super) avoid: String,
}

/// Waiting jobs of other instances in the order of service: the first of each queue.
#[derive(Debug, Default)]
pub(super) struct View(Vec<RemoteWaiter>);

impl View {
    /// A view of the jobs that the database has returned.
    pub(super) fn new(mut foreign: Vec<RemoteWaiter>) -> Self {
        foreign.sort_unstable_by(|one, other| one.rank.cmp(&other.rank));
        Self(foreign)
    }

    /// The jobs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RemoteWaiter> {
        self.0.iter()
    }

    /// Number of jobs ahead of `rank` that can run at the Space at `origin`.
    pub(super) fn before(&self, rank: &Rank, origin: &Origin, crowds: &Crowds) -> usize {
        let earlier = self.0.iter().take_while(|foreign| foreign.rank < *rank);
        earlier.filter(|foreign| foreign.wants(origin, crowds)).count()
    }

    /// Number of jobs that can run at the Space at `origin`.
    pub(super) fn waiting_for(&self, origin: &Origin, crowds: &Crowds) -> usize {
        self.0.iter().filter(|foreign| foreign.wants(origin, crowds)).count()
    }

    /// Drops the first `count` jobs that can go to the Space at `origin`: slots were released for them.
    pub(super) fn serve(&mut self, mut count: usize, origin: &Origin, crowds: &Crowds) {
        self.0.retain(|waiter| {
            let is_served = count > 0 && waiter.wants(origin, crowds);
            count -= usize::from(is_served);
            !is_served
        });
    }

    /// Number of jobs of `queue` ahead of `rank`.
    pub(super) fn all_before(&self, rank: &Rank, queue: &str) -> usize {
        self.0.iter().take_while(|foreign| foreign.rank < *rank).filter(|foreign| foreign.queue == queue).count()
    }
}

impl RemoteWaiter {
    fn wants(&self, origin: &Origin, crowds: &Crowds) -> bool {
        crowds.wants(&self.queue, origin) && !self.avoid.split(' ').any(|avoided| avoided == origin.to_string())
    }
}
