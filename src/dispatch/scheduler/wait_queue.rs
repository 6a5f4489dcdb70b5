//! Jobs that wait in an instance, in the order in which they are served.
//!
//! **Order**, over all instances: by priority, then by turn, then by age. Turns are fair between callers, as in round
//! robin: a caller's next job gets the turn after its last waiting one, or that of the one in front, whichever comes
//! later. So of a hundred jobs of one caller and one of another, the one is served second. A job that has waited for a
//! minute counts among those of the next higher priority, so that none starves. The database gives the turns, where
//! there is one; until then, and without one, an instance goes by its own.
//!
//! Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm", with jobs for packets.

use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;

use super::request::{Signal, SlotRequest};
use crate::generation::Priority;
use crate::store::milliseconds;

/// Place in the order of service. The least comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: i64,
    pub(super) turn: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) since: i64,
    /// Tells two apart that agree in all else.
    pub(super) id: String,
}

/// A job that waits.
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) request: SlotRequest,
    pub(super) rank: Rank,
    /// Chooses its two Spaces.
    pub(super) draw: u64,
    pub(super) signal: mpsc::UnboundedSender<Signal>,
    /// Its row in the database.
    pub(super) entry: RowState,
    /// Whether it would begin, had it a slot.
    pub(super) wants_slot: bool,
    /// When it is to be looked at again, if nothing else happens.
    pub(super) again: Option<Duration>,
    /// Number of jobs before it, as it was last notified.
    pub(super) notified: Option<usize>,
    /// Whether the database has given it its turn.
    pub(super) has_turn: bool,
}

/// A waiting job's row in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowState {
    /// There is none.
    None,
    /// It is being written.
    Pending,
    /// It is there, under that id.
    Written(String),
}

/// Time after which a job counts as one of the next higher priority.
const PROMOTION: Duration = Duration::from_secs(60);

/// Jobs that wait in an instance.
#[derive(Default)]
pub(super) struct WaitQueue(Vec<Waiter>);

/// Value of a priority in the order.
pub(super) fn priority(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

impl Waiter {
    /// When it counts as one of the next higher priority.
    pub(super) fn promotion(&self) -> Option<Duration> {
        let steps = priority(self.request.priority) - self.rank.priority + 1;
        let wait = PROMOTION.saturating_mul(u32::try_from(steps).unwrap_or(1));
        (self.rank.priority > 0 && self.entry != RowState::Pending).then(|| self.request.since.saturating_add(wait))
    }
}

impl WaitQueue {
    /// Adds a job.
    pub(super) fn push(&mut self, id: u64, request: SlotRequest, draw: u64, signal: mpsc::UnboundedSender<Signal>) {
        let priority = priority(request.priority);
        let rank = Rank {
            priority,
            turn: self.next_turn(&request, priority),
            since: milliseconds(request.since),
            id: format!("{id:020}"),
        };
        let waiter = Waiter {
            id,
            request,
            rank,
            draw,
            signal,
            entry: RowState::None,
            wants_slot: false,
            again: None,
            notified: None,
            has_turn: false,
        };
        self.insert(waiter);
    }

    /// Puts a job that was taken out back to its place.
    pub(super) fn insert(&mut self, waiter: Waiter) {
        let place = self.0.partition_point(|other| other.rank <= waiter.rank);
        self.0.insert(place, waiter);
    }

    /// Lets those that have waited for long count among the more urgent. Returns their rows in the database, which are
    /// to go.
    pub(super) fn promote(&mut self, now: Duration) -> Vec<String> {
        let mut rows = Vec::new();
        while let Some(at) = self.0.iter().position(|waiter| waiter.promotion().is_some_and(|due| due <= now)) {
            let mut waiter = self.0.remove(at);
            if let RowState::Written(id) = std::mem::replace(&mut waiter.entry, RowState::None) {
                rows.push(id);
            }
            waiter.rank.priority -= 1;
            waiter.rank.turn = self.next_turn(&waiter.request, waiter.rank.priority);
            waiter.has_turn = false;
            self.insert(waiter);
        }
        rows
    }

    fn next_turn(&self, request: &SlotRequest, priority: i64) -> i64 {
        let crowd = || {
            let is_meant = move |waiter: &&Waiter| {
                waiter.request.place.crowd == request.place.crowd && waiter.rank.priority == priority
            };
            self.0.iter().filter(is_meant)
        };
        let front = crowd().map(|waiter| waiter.rank.turn).min().unwrap_or(1);
        let mine = crowd().filter(|waiter| waiter.request.caller == request.caller);
        mine.map(|waiter| waiter.rank.turn + 1).max().unwrap_or(front).max(front)
    }

    /// Whether one more job of that caller would have too many before it, where `most` may wait in a queue: a caller's
    /// part is as large as every other's.
    pub(super) fn is_full(&self, request: &SlotRequest, most: usize) -> bool {
        let there = || self.0.iter().filter(|waiter| waiter.request.place.queue == request.place.queue);
        let mine = there().filter(|waiter| waiter.request.caller == request.caller).count();
        let mut others: Vec<&Rc<str>> =
            there().map(|waiter| &waiter.request.caller).filter(|caller| **caller != request.caller).collect();
        others.sort_unstable();
        others.dedup();
        mine.saturating_mul(others.len() + 1) >= most
    }

    /// Takes all jobs out, in their order.
    pub(super) fn take(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.0)
    }

    /// Puts jobs back that were taken out and are still in their order.
    pub(super) fn restore(&mut self, waiters: Vec<Waiter>) {
        self.0 = waiters;
    }

    /// Takes the job of that id out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let at = self.0.iter().position(|waiter| waiter.id == id)?;
        Some(self.0.remove(at))
    }

    /// Gives a job the turn that the database has for it.
    pub(super) fn reorder(&mut self, id: u64, turn: i64, entry: String) -> bool {
        let Some(mut waiter) = self.remove(id) else { return false };
        (waiter.rank.turn, waiter.rank.id, waiter.has_turn) = (turn, entry.clone(), true);
        waiter.entry = RowState::Written(entry);
        self.insert(waiter);
        true
    }

    pub(super) fn find(&mut self, id: u64) -> Option<&mut Waiter> {
        self.0.iter_mut().find(|waiter| waiter.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter> {
        self.0.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
