//! Wait queue of an instance, in the order of service.
//!
//! **Order**, over all instances: by priority, then turn, then age. Turns are a round robin between callers: a caller's
//! next job gets the turn after its last waiting one, or that of the job in front, whichever is later. So of a hundred
//! jobs of one caller and one of another, the latter is served second. A job that has waited for a minute moves to the
//! next higher priority, so that none starves. The database assigns the turns; until then, and without a database, an
//! instance assigns its own.
//!
//! Each job is in several indexes, of which none takes more than O(log n) for a change: whatever changes a job takes it
//! out and puts it in again.
//!
//! Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm", with jobs for packets.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;

use super::groups::{Groups, Stuck};
use super::rank::{Rank, WaitingPlace};
use super::ranked::RankedSet;
use super::request::{Signal, SlotRequest};
use super::turns::{Shares, WaitingTurns};
use crate::generation::Priority;
use crate::store::milliseconds;

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
    /// Marks a job that lacks nothing but a slot, by the last pass that has looked at it.
    wants_slot: bool,
    /// Number of its group; none while a stagger holds it back.
    group: Option<u32>,
    /// Number of jobs ahead in the last notification.
    notified: Option<usize>,
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
pub(super) struct WaitQueue {
    waiters: HashMap<u64, Waiter>,
    /// Jobs of each queue, in order.
    lines: HashMap<Rc<str>, RankedSet<WaitingPlace>>,
    pub(super) groups: Groups,
    /// Jobs that a stagger holds back.
    staggered: BTreeSet<WaitingPlace>,
    /// Jobs without a row in the database.
    unentered: BTreeSet<WaitingPlace>,
    /// Jobs by the time of their move to the next higher priority.
    promotions: BTreeSet<(Duration, u64)>,
    /// Jobs of each request.
    requests: HashMap<u64, Vec<u64>>,
    /// Jobs whose clients follow their places, and those of them that were told none yet.
    listeners: BTreeSet<u64>,
    untold: BTreeSet<u64>,
    turns: WaitingTurns,
    shares: Shares,
    /// Number of jobs with a row in the database.
    written: usize,
}

/// Number of a priority in the order of service.
pub(super) fn priority(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

impl Waiter {
    pub(super) fn place(&self) -> WaitingPlace {
        (self.rank.clone(), self.id)
    }

    /// True for a job that a stagger holds back.
    pub(super) fn is_staggered(&self) -> bool {
        self.group.is_none()
    }

    fn is_written(&self) -> bool {
        matches!(self.entry, RowState::Written(_))
    }

    /// Time of its move to the next higher priority.
    fn promotion(&self) -> Option<Duration> {
        let steps = priority(self.request.priority) - self.rank.priority + 1;
        let wait = PROMOTION.saturating_mul(u32::try_from(steps).unwrap_or(1));
        (self.rank.priority > 0 && self.entry != RowState::Pending).then(|| self.request.since.saturating_add(wait))
    }
}

impl WaitQueue {
    /// Adds a job with a turn of this instance.
    pub(super) fn push(
        &mut self,
        id: u64,
        request: SlotRequest,
        draw: u64,
        signal: mpsc::UnboundedSender<Signal>,
        now: Duration,
    ) {
        let priority = priority(request.priority);
        let rank = Rank {
            priority,
            turn: self.turns.next(&request, priority),
            since: milliseconds(request.since),
            id: format!("{id:020}").into(),
        };
        self.shares.add(&request);
        self.requests.entry(request.request).or_default().push(id);
        if request.is_followed {
            self.listeners.insert(id);
            self.untold.insert(id);
        }
        let group = request.stagger.is_over(now).then(|| self.groups.number(&request));
        let (entry, wants_slot, notified, has_turn) = (RowState::None, false, None, false);
        self.put_in(Waiter { id, request, rank, draw, signal, entry, wants_slot, group, notified, has_turn });
    }

    /// Removes the job of that id.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.take_out(id)?;
        self.shares.remove(&waiter.request);
        if let Some(jobs) = self.requests.get_mut(&waiter.request.request) {
            jobs.retain(|job| *job != id);
            if jobs.is_empty() {
                self.requests.remove(&waiter.request.request);
            }
        }
        self.listeners.remove(&id);
        self.untold.remove(&id);
        Some(waiter)
    }

    /// Takes a job out of all indexes that a change may concern.
    fn take_out(&mut self, id: u64) -> Option<Waiter> {
        let mut waiter = self.waiters.remove(&id)?;
        waiter.wants_slot = self.wants_slot(&waiter);
        let (place, request) = (waiter.place(), &waiter.request);
        if let Some(line) = self.lines.get_mut(&request.place.queue) {
            line.remove(&place);
            if line.len() == 0 {
                self.lines.remove(&request.place.queue);
            }
        }
        match waiter.group {
            Some(group) => self.groups.remove(group, &place, waiter.is_written()),
            None => drop(self.staggered.remove(&place)),
        }
        self.turns.remove(request, waiter.rank.priority, waiter.rank.turn);
        if let Some(due) = waiter.promotion() {
            self.promotions.remove(&(due, id));
        }
        self.unentered.remove(&place);
        self.written -= usize::from(waiter.is_written());
        Some(waiter)
    }

    fn put_in(&mut self, mut waiter: Waiter) {
        let (place, request) = (waiter.place(), &waiter.request);
        self.lines.entry(Rc::clone(&request.place.queue)).or_default().insert(place.clone());
        self.turns.add(request, waiter.rank.priority, waiter.rank.turn);
        if let Some(due) = waiter.promotion() {
            self.promotions.insert((due, waiter.id));
        }
        if waiter.entry == RowState::None {
            self.unentered.insert(place.clone());
        }
        self.written += usize::from(waiter.is_written());
        if waiter.group.is_some() {
            // It may have gone with its last job.
            let number = self.groups.number(&waiter.request);
            self.groups.add(number, place, waiter.is_written());
            waiter.group = Some(number);
        } else {
            self.staggered.insert(place);
        }
        self.waiters.insert(waiter.id, waiter);
    }

    /// Moves jobs that have waited for long to the next higher priority. Returns the ids of their rows, which are to be
    /// deleted.
    pub(super) fn promote(&mut self, now: Duration) -> Vec<String> {
        let mut rows = Vec::new();
        while let Some(&(_, id)) = self.promotions.first().filter(|(due, _)| *due <= now) {
            let Some(mut waiter) = self.take_out(id) else { break };
            if let RowState::Written(id) = std::mem::replace(&mut waiter.entry, RowState::None) {
                rows.push(id);
            }
            waiter.rank.priority -= 1;
            waiter.rank.turn = self.turns.next(&waiter.request, waiter.rank.priority);
            waiter.has_turn = false;
            self.put_in(waiter);
        }
        rows
    }

    /// Time of the next move to a higher priority.
    pub(super) fn next_promotion(&self) -> Option<Duration> {
        self.promotions.first().map(|(due, _)| *due)
    }

    /// True if the caller's share of the queue is full: `most` jobs in equal shares between callers.
    pub(super) fn is_full(&self, request: &SlotRequest, most: usize) -> bool {
        self.shares.is_full(request, most)
    }

    /// Moves a job to the turn that the database has assigned. Returns false where it is gone.
    pub(super) fn reorder(&mut self, id: u64, turn: i64, entry: String) -> bool {
        let Some(mut waiter) = self.take_out(id) else { return false };
        (waiter.rank.turn, waiter.rank.id, waiter.has_turn) = (turn, entry.as_str().into(), true);
        waiter.entry = RowState::Written(entry);
        self.put_in(waiter);
        true
    }

    /// Sets the state of a job's row.
    pub(super) fn set_entry(&mut self, id: u64, entry: RowState) {
        if let Some(mut waiter) = self.take_out(id) {
            waiter.entry = entry;
            self.put_in(waiter);
        }
    }

    /// Sets whether a job lacks nothing but a slot.
    pub(super) fn set_wants_slot(&mut self, id: u64, wants_slot: bool) {
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.wants_slot = wants_slot;
        }
    }

    /// Takes jobs out of their groups that a stagger holds back by now, of those of a request. Returns their places.
    pub(super) fn hold_back(&mut self, request: u64, now: Duration) -> Vec<WaitingPlace> {
        let jobs = self.requests.get(&request).cloned().unwrap_or_default();
        jobs.into_iter().filter_map(|id| self.sort(id, now)).collect()
    }

    /// Moves a job into a group or out of it, by its stagger. Returns its place where it is held back from now on.
    fn sort(&mut self, id: u64, now: Duration) -> Option<WaitingPlace> {
        let known = self.waiters.get(&id)?;
        let is_staggered = !known.request.stagger.is_over(now);
        if is_staggered == known.is_staggered() {
            return None;
        }
        let mut waiter = self.take_out(id)?;
        waiter.group = (!is_staggered).then_some(0);
        let place = waiter.place();
        self.put_in(waiter);
        is_staggered.then_some(place)
    }

    /// Begins a scheduling pass: jobs whose stagger is over are as all others. Returns the first job of each group with
    /// its number, and those that a stagger holds back.
    pub(super) fn begin_pass(&mut self, now: Duration) -> Vec<(WaitingPlace, Option<u32>)> {
        let staggered: Vec<u64> = self.staggered.iter().map(|(_, id)| *id).collect();
        for id in staggered {
            self.sort(id, now);
        }
        self.groups.loosen();
        let firsts =
            self.groups.iter().filter_map(|(number, group)| Some((group.order.first()?.clone(), Some(number))));
        firsts.chain(self.staggered.iter().map(|place| (place.clone(), None))).collect()
    }

    /// Notes where a pass leaves a group off.
    pub(super) fn set_stuck(&mut self, number: u32, at: WaitingPlace, wants_slot: bool) {
        if let Some(group) = self.groups.get_mut(number) {
            group.stuck = Some(Stuck { at, wants_slot });
        }
    }

    /// True for a job that lacks nothing but a slot.
    pub(super) fn wants_slot(&self, waiter: &Waiter) -> bool {
        let group = waiter.group.and_then(|number| self.groups.get(number));
        group.and_then(|group| group.wants_slot(&waiter.place())).unwrap_or(waiter.wants_slot)
    }

    /// Jobs that lack nothing but a slot: the first of each group, and those that a stagger holds back elsewhere.
    pub(super) fn wanting(&self) -> impl Iterator<Item = &Waiter> {
        let firsts = self.groups.iter().filter_map(|(_, group)| {
            let mut place = group.order.first();
            while let Some(at) = place {
                let waiter = self.waiters.get(&at.1)?;
                match group.wants_slot(at) {
                    Some(false) => return None,
                    Some(true) => return Some(waiter),
                    None if waiter.wants_slot => return Some(waiter),
                    None => place = group.order.after(at),
                }
            }
            None
        });
        let staggered = self.staggered.iter().filter_map(|(_, id)| self.waiters.get(id));
        firsts.chain(staggered.filter(|waiter| waiter.wants_slot))
    }

    /// The first job that lacks nothing but a slot.
    pub(super) fn first_wanting(&self) -> Option<&Waiter> {
        self.wanting().min_by(|one, other| one.rank.cmp(&other.rank))
    }

    /// Jobs without a row in the database that lack nothing but a slot, in order.
    pub(super) fn unentered(&self) -> impl Iterator<Item = &Waiter> {
        let waiters = self.unentered.iter().filter_map(|(_, id)| self.waiters.get(id));
        waiters.filter(|waiter| self.wants_slot(waiter))
    }

    /// One job of each group, and those that a stagger holds back: together they have all candidates.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Waiter> {
        let firsts = self.groups.iter().filter_map(|(_, group)| group.order.first());
        firsts.chain(&self.staggered).filter_map(|(_, id)| self.waiters.get(id))
    }

    /// Number of jobs of its queue ahead of a job.
    pub(super) fn ahead(&self, waiter: &Waiter) -> usize {
        self.lines.get(&waiter.request.place.queue).map_or(0, |line| line.rank(&waiter.place()))
    }

    /// Jobs of a request.
    pub(super) fn of_request(&self, request: u64) -> Vec<u64> {
        self.requests.get(&request).cloned().unwrap_or_default()
    }

    /// Jobs whose clients follow their places: all, or those that were told none yet.
    pub(super) fn listeners(&self, all: bool) -> Vec<u64> {
        let listeners = if all { &self.listeners } else { &self.untold };
        listeners.iter().copied().collect()
    }

    /// Number of jobs whose clients follow their places.
    pub(super) fn listener_count(&self) -> usize {
        self.listeners.len()
    }

    /// Notifies a job of the number of jobs ahead, where that has changed.
    pub(super) fn notify(&mut self, id: u64, before: usize) {
        self.untold.remove(&id);
        if let Some(waiter) = self.waiters.get_mut(&id).filter(|waiter| waiter.notified != Some(before)) {
            waiter.notified = Some(before);
            let _ = waiter.signal.unbounded_send(Signal::Waiting(before));
        }
    }

    /// True while jobs have rows in the database.
    pub(super) fn has_rows(&self) -> bool {
        self.written > 0
    }

    pub(super) fn find(&self, id: u64) -> Option<&Waiter> {
        self.waiters.get(&id)
    }

    /// All jobs, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }
}
