//! Wait queue of an instance, in the order of service.
//!
//! **Order**, over all instances: by priority, then turn, then age. Turns are a round robin between callers: a caller's
//! next job gets the turn after its last waiting one, or that of the job in front, whichever is later. So of a hundred
//! jobs of one caller and one of another, the latter is served second. A job that has waited for a minute moves to the
//! next higher priority, so that none starves. The database assigns the turns; until then, and without a database, an
//! instance assigns its own.
//!
//! Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm", with jobs for packets.

use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;

use super::request::{Past, Signal, SlotRequest};
use crate::generation::Priority;
use crate::store::milliseconds;

/// Rank in the order of service. The least comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: i64,
    pub(super) turn: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) since: i64,
    /// Tie breaker.
    pub(super) id: String,
}

/// A waiting job.
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) request: SlotRequest,
    pub(super) rank: Rank,
    /// Random number for the draw of its two Spaces.
    pub(super) draw: u64,
    pub(super) signal: mpsc::UnboundedSender<Signal>,
    /// State of its row in the database.
    pub(super) entry: RowState,
    /// Marks a job that lacks nothing but a slot.
    pub(super) wants_slot: bool,
    /// Time of the next scheduling pass for it without any event, since the Unix epoch.
    pub(super) again: Option<Duration>,
    /// Number of jobs ahead in the last notification.
    pub(super) notified: Option<usize>,
    /// Marks a turn that the database has assigned.
    pub(super) has_turn: bool,
}

/// State of a waiting job's row in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowState {
    /// No row.
    None,
    /// A write is under way.
    Pending,
    /// Written, with that id.
    Written(String),
}

/// Time after which a job moves to the next higher priority.
const PROMOTION: Duration = Duration::from_secs(60);

/// Waiting jobs of an instance.
#[derive(Default)]
pub(super) struct WaitQueue(Vec<Waiter>);

/// Number of a priority in the order of service.
pub(super) fn priority(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

impl Waiter {
    /// True for a job that no Space has failed, and that no stagger holds back.
    pub(super) fn is_plain(&self, now: Duration) -> bool {
        self.request.candidates.iter().all(|candidate| candidate.past == Past::Fresh)
            && self.request.stagger.is_over(now)
    }

    /// Time of its move to the next higher priority.
    pub(super) fn promotion(&self) -> Option<Duration> {
        let steps = priority(self.request.priority) - self.rank.priority + 1;
        let wait = PROMOTION.saturating_mul(u32::try_from(steps).unwrap_or(1));
        (self.rank.priority > 0 && self.entry != RowState::Pending).then(|| self.request.since.saturating_add(wait))
    }
}

impl WaitQueue {
    /// Adds a job with a turn of this instance.
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

    /// Inserts a job by its rank.
    pub(super) fn insert(&mut self, waiter: Waiter) {
        let place = self.0.partition_point(|other| other.rank <= waiter.rank);
        self.0.insert(place, waiter);
    }

    /// Moves jobs that have waited for long to the next higher priority. Returns the ids of their rows, which are to be
    /// deleted.
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

    /// True if the caller's share of the queue is full: `most` jobs in equal shares between callers.
    pub(super) fn is_full(&self, request: &SlotRequest, most: usize) -> bool {
        let there = || self.0.iter().filter(|waiter| waiter.request.place.queue == request.place.queue);
        let mine = there().filter(|waiter| waiter.request.caller == request.caller).count();
        let mut others: Vec<&Rc<str>> =
            there().map(|waiter| &waiter.request.caller).filter(|caller| **caller != request.caller).collect();
        others.sort_unstable();
        others.dedup();
        mine.saturating_mul(others.len() + 1) >= most
    }

    /// Takes all jobs out, in order.
    pub(super) fn take(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.0)
    }

    /// Puts jobs back that were taken out and are still in order.
    pub(super) fn restore(&mut self, waiters: Vec<Waiter>) {
        self.0 = waiters;
    }

    /// Removes the job of that id.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let at = self.0.iter().position(|waiter| waiter.id == id)?;
        Some(self.0.remove(at))
    }

    /// Moves a job to the turn that the database has assigned. Returns false where it is gone.
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
