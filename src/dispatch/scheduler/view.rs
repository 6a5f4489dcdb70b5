//! Waiting jobs of other instances, by the last read of the database.
//!
//! A job that leaves a free slot alone though its turn has come is *silent*: its instance has died, or has lost the
//! database. Nobody waits for it, for ten seconds: then it has another chance.

use std::collections::HashMap;
use std::time::Duration;

use super::rank::Rank;
use crate::dispatch::crowd::Crowds;
use crate::gradio::space::Origin;

/// Time for which a job may leave a free slot alone.
const CHANCE: Duration = Duration::from_millis(400);
/// Time for which a silent job is left out: its row is gone by then, unless it is renewed.
const SILENCE: Duration = Duration::from_secs(10);

/// A waiting job of another instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteWaiter {
    pub(super) rank: Rank,
    pub(super) queue: String,
    /// Origins of Spaces that have failed it, separated by spaces.
    pub(super) avoid: String,
    /// Begin of its chance at a slot: the first read that has found it, or the end of its silence.
    pub(super) since: Duration,
    pub(super) is_silent: bool,
}

/// Waiting jobs of other instances in the order of service: the first of each queue.
#[derive(Debug, Default)]
pub(super) struct View(Vec<RemoteWaiter>);

impl View {
    /// Takes the jobs that the database has returned at `now`.
    pub(super) fn renew(&mut self, mut foreign: Vec<RemoteWaiter>, now: Duration) {
        let known: HashMap<&str, (Duration, bool)> =
            self.0.iter().map(|waiter| (&*waiter.rank.id, (waiter.since, waiter.is_silent))).collect();
        for waiter in &mut foreign {
            (waiter.since, waiter.is_silent) = match known.get(&*waiter.rank.id) {
                Some((since, is_silent)) => (*since, *is_silent && now < *since),
                None => (now, false),
            };
        }
        foreign.sort_unstable_by(|one, other| one.rank.cmp(&other.rank));
        self.0 = foreign;
    }

    /// Takes that the Space at `origin` has had `count` free slots since `since`: whoever has not taken one in its turn
    /// is silent.
    pub(super) fn free(&mut self, origin: &Origin, count: usize, since: Duration, crowds: &Crowds, now: Duration) {
        let wanting = self.0.iter_mut().filter(|waiter| !waiter.is_silent && waiter.wants(origin, crowds));
        for waiter in wanting.take(count) {
            if now.saturating_sub(waiter.since.max(since)) >= CHANCE {
                (waiter.since, waiter.is_silent) = (now.saturating_add(SILENCE), true);
            }
        }
    }

    /// The jobs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RemoteWaiter> {
        self.0.iter().filter(|waiter| !waiter.is_silent)
    }

    /// Number of jobs ahead of `rank` that can run at the Space at `origin`.
    pub(super) fn before(&self, rank: &Rank, origin: &Origin, crowds: &Crowds) -> usize {
        let earlier = self.iter().take_while(|foreign| foreign.rank < *rank);
        earlier.filter(|foreign| foreign.wants(origin, crowds)).count()
    }

    /// Number of jobs that can run at the Space at `origin`.
    pub(super) fn waiting_for(&self, origin: &Origin, crowds: &Crowds) -> usize {
        self.iter().filter(|foreign| foreign.wants(origin, crowds)).count()
    }

    /// Drops the first `count` jobs that can go to the Space at `origin`: slots were released for them.
    pub(super) fn serve(&mut self, mut count: usize, origin: &Origin, crowds: &Crowds) {
        self.0.retain(|waiter| {
            let is_served = count > 0 && !waiter.is_silent && waiter.wants(origin, crowds);
            count -= usize::from(is_served);
            !is_served
        });
    }

    /// Number of jobs of `queue` ahead of `rank`.
    pub(super) fn all_before(&self, rank: &Rank, queue: &str) -> usize {
        self.iter().take_while(|foreign| foreign.rank < *rank).filter(|foreign| foreign.queue == queue).count()
    }
}

impl RemoteWaiter {
    fn wants(&self, origin: &Origin, crowds: &Crowds) -> bool {
        crowds.wants(&self.queue, origin) && !self.avoid.split(' ').any(|avoided| avoided == origin.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn row(turn: i64, queue: &str) -> RemoteWaiter {
        let rank = Rank { priority: 1, turn, since: 0, id: format!("{turn}").into() };
        let (queue, avoid) = (queue.to_owned(), String::new());
        RemoteWaiter { rank, queue, avoid, since: Duration::ZERO, is_silent: false }
    }

    #[test]
    fn who_leaves_a_slot_alone_in_its_turn_is_passed_over_for_a_while() {
        let catalog = Catalog::parse("a=o/1", "", &mut Vec::new());
        let (crowds, pool) = (Crowds::of(&catalog), &catalog.find(Some("a")).unwrap().pool);
        let (queue, origin) = (crowds.place(pool).queue, pool[0].space.origin().clone());
        let rows = || (1..4).map(|turn| row(turn, &queue)).collect::<Vec<_>>();
        let at = |milliseconds| Duration::from_millis(milliseconds);
        let mut view = View::default();
        let mut look = |count, now| {
            view.renew(rows(), at(now));
            view.free(&origin, count, at(100), &crowds, at(now));
            view.waiting_for(&origin, &crowds)
        };
        assert_eq!((look(1, 200), look(1, 599)), (3, 3));
        assert_eq!(look(1, 600), 2, "the first one's turn had come");
        assert_eq!(look(2, 700), 0, "and then that of the others");
        assert_eq!((look(0, 10_599), look(1, 10_600)), (0, 1), "it has another chance");
        assert_eq!(look(3, 10_999), 3);
        assert_eq!(look(3, 11_000), 2, "and lets it go by");
    }
}
