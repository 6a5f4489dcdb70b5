//! Turns of waiting jobs, and the shares of their callers.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::request::SlotRequest;

/// Turns that waiting jobs have, by crowd and priority.
#[derive(Default)]
pub(super) struct WaitingTurns(HashMap<(Rc<str>, i64), CrowdTurns>);

/// Turns of a crowd's jobs of a priority.
#[derive(Default)]
struct CrowdTurns {
    all: Tally<i64>,
    callers: HashMap<Rc<str>, Tally<i64>>,
}

/// Numbers of jobs of each queue, by caller.
#[derive(Default)]
pub(super) struct Shares(HashMap<Rc<str>, HashMap<Rc<str>, usize>>);

type Tally<K> = BTreeMap<K, usize>;

fn remove_one(count: &mut Tally<i64>, turn: i64) {
    if let Some(left) = count.get_mut(&turn) {
        *left -= 1;
        if *left == 0 {
            count.remove(&turn);
        }
    }
}

impl WaitingTurns {
    fn key(request: &SlotRequest, priority: i64) -> (Rc<str>, i64) {
        (Rc::clone(&request.place.crowd), priority)
    }

    /// Notes the turn of a job.
    pub(super) fn add(&mut self, request: &SlotRequest, priority: i64, turn: i64) {
        let level = self.0.entry(Self::key(request, priority)).or_default();
        *level.all.entry(turn).or_default() += 1;
        *level.callers.entry(Rc::clone(&request.caller)).or_default().entry(turn).or_default() += 1;
    }

    /// Forgets a turn that was noted.
    pub(super) fn remove(&mut self, request: &SlotRequest, priority: i64, turn: i64) {
        let key = Self::key(request, priority);
        let Some(level) = self.0.get_mut(&key) else { return };
        remove_one(&mut level.all, turn);
        if let Some(turns) = level.callers.get_mut(&request.caller) {
            remove_one(turns, turn);
            if turns.is_empty() {
                level.callers.remove(&request.caller);
            }
        }
        if level.all.is_empty() {
            self.0.remove(&key);
        }
    }

    /// Turn of a caller's next job: after its last one, or that of the job in front, whichever is later.
    pub(super) fn next(&self, request: &SlotRequest, priority: i64) -> i64 {
        let Some(level) = self.0.get(&Self::key(request, priority)) else { return 1 };
        let front = level.all.keys().next().copied().unwrap_or(1);
        let last = level.callers.get(&request.caller).and_then(|turns| turns.keys().next_back());
        last.map_or(front, |last| (last + 1).max(front))
    }
}

impl Shares {
    /// Notes a job.
    pub(super) fn add(&mut self, request: &SlotRequest) {
        let callers = self.0.entry(Rc::clone(&request.place.queue)).or_default();
        *callers.entry(Rc::clone(&request.caller)).or_default() += 1;
    }

    /// Forgets a job that was noted.
    pub(super) fn remove(&mut self, request: &SlotRequest) {
        let Some(callers) = self.0.get_mut(&request.place.queue) else { return };
        if let Some(jobs) = callers.get_mut(&request.caller) {
            *jobs -= 1;
            if *jobs == 0 {
                callers.remove(&request.caller);
            }
        }
        if callers.is_empty() {
            self.0.remove(&request.place.queue);
        }
    }

    /// True if the caller's share of the queue is full: `most` jobs in equal shares between callers.
    pub(super) fn is_full(&self, request: &SlotRequest, most: usize) -> bool {
        let callers = self.0.get(&request.place.queue);
        let mine = callers.and_then(|callers| callers.get(&request.caller)).copied().unwrap_or(0);
        let others = callers.map_or(0, HashMap::len) - usize::from(mine > 0);
        mine.saturating_mul(others + 1) >= most
    }
}
