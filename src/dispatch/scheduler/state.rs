//! State of the scheduler: Spaces and waiting jobs of an instance, and the scheduling pass over them.
//!
//! Each change (a free slot, the end of a stagger, a breaker that opens or admits a probe, a read of the database)
//! triggers a scheduling pass: in the order of service, each waiting job starts at a Space or goes on waiting. A job
//! starts where this instance holds a slot and no job of another instance is ahead of it. Where the database probably
//! has a free slot, that is claimed; idle slots that others wait for are released.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::decision::{Claim, Decision, FullQueue, Reserved};
use super::request::Candidate;
use super::slot::Slot;
use super::view::View;
use super::wait_queue::{RowState, WaitQueue, Waiter};
use crate::dispatch::crowd::Crowds;
use crate::dispatch::policy::SelectionRule;
use crate::dispatch::refusal::Refusal;
use crate::dispatch::space_state::SpaceState;
use crate::gradio::space::Origin;

/// Result of a wait.
pub(super) type WaitResult = Result<Slot, Refusal>;

/// Spaces and waiting jobs of an instance.
pub(in crate::dispatch) struct SchedulerState {
    spaces: HashMap<Origin, SpaceState>,
    pub(super) queue: WaitQueue,
    /// Waiting jobs of other instances.
    pub(super) view: View,
    pub(super) crowds: Crowds,
    pub(super) rule: SelectionRule,
    /// Jitter of breakers in this instance, from 0 to 1.
    pub(super) jitter: f64,
    /// Set while the database grants the slots.
    pub(super) is_shared: bool,
    next_id: u64,
}

/// Effects of a scheduling pass, for the caller to apply after the borrow has ended.
#[derive(Default)]
pub(super) struct Effects {
    /// Jobs whose wait has ended.
    pub(super) done: Vec<(Waiter, WaitResult)>,
    /// Ids of rows to be deleted.
    pub(super) leave: Vec<String>,
    /// Slots to be claimed, with their numbers.
    pub(super) claims: Vec<(Claim, usize)>,
    /// Slots to be released, by Space.
    pub(super) release: Vec<(Origin, Vec<i64>)>,
    /// Set where a job lacks nothing but a slot.
    pub(super) wants_slots: bool,
}

impl SchedulerState {
    pub(super) fn new(crowds: Crowds, rule: SelectionRule, jitter: f64, is_shared: bool) -> Self {
        Self {
            spaces: HashMap::new(),
            queue: WaitQueue::default(),
            view: View::default(),
            crowds,
            rule,
            jitter,
            is_shared,
            next_id: 0,
        }
    }

    /// The Space at `origin`.
    pub(super) fn space(&mut self, origin: &Origin) -> &mut SpaceState {
        self.spaces.entry(origin.clone()).or_default()
    }

    /// The Space at `origin`, if it has any state.
    pub(in crate::dispatch) fn known(&self, origin: &Origin) -> Option<&SpaceState> {
        self.spaces.get(origin)
    }

    /// All Spaces with state.
    pub(super) fn spaces(&self) -> impl Iterator<Item = (&Origin, &SpaceState)> {
        self.spaces.iter()
    }

    pub(super) fn spaces_mut(&mut self) -> impl Iterator<Item = (&Origin, &mut SpaceState)> {
        self.spaces.iter_mut()
    }

    /// Number that is unique within this instance.
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Number of waiting jobs of all instances that could run at the Space at `origin`.
    pub(in crate::dispatch) fn waiting_for(&self, origin: &Origin) -> usize {
        let could = |waiter: &&Waiter| waiter.request.candidates.iter().any(|one| one.member.space.origin() == origin);
        self.queue.iter().filter(could).count() + self.view.waiting_for(origin, &self.crowds)
    }

    /// Numbers of jobs of all instances ahead of each waiting job, in the order of the queue; none for a job that may
    /// still get a slot at once, and so isn't waiting yet.
    pub(super) fn positions(&self) -> Vec<Option<usize>> {
        let mut foreign = self.view.iter().peekable();
        let mut ahead: HashMap<&str, usize> = HashMap::new();
        let mut positions = Vec::with_capacity(self.queue.len());
        for waiter in self.queue.iter() {
            while let Some(earlier) = foreign.next_if(|foreign| foreign.rank < waiter.rank) {
                *ahead.entry(&earlier.queue).or_default() += 1;
            }
            let waits = !self.is_shared || !waiter.wants_slot || matches!(waiter.entry, RowState::Written(_));
            let before = ahead.entry(&waiter.request.place.queue).or_default();
            positions.push(waits.then_some(*before));
            *before += 1;
        }
        positions
    }

    /// Refuses the waiting jobs of a request; with `only_idle`, those without images of their own.
    pub(super) fn dismiss(&mut self, request: u64, only_idle: bool, why: &Refusal) -> Effects {
        let is_meant = |waiter: &Waiter| waiter.request.request == request && (waiter.request.is_idle || !only_idle);
        let (dismissed, kept): (Vec<_>, Vec<_>) = self.queue.take().into_iter().partition(is_meant);
        self.queue.restore(kept);
        let mut effects = Effects::default();
        for waiter in dismissed {
            effects.leave.extend(written(&waiter));
            effects.done.push((waiter, Err(why.clone())));
        }
        effects
    }

    /// Scheduling pass over all waiting jobs, in order. `pause` draws the stagger before the next job of the same
    /// request.
    pub(super) fn schedule(&mut self, now: Duration, mut pause: impl FnMut() -> Duration) -> Effects {
        let mut effects = Effects { leave: self.queue.promote(now), ..Effects::default() };
        let mut before = Reserved::default();
        let mut claims: Vec<(Claim, usize)> = Vec::new();
        let mut full: HashMap<Rc<str>, FullQueue> = HashMap::new();
        let waiters = self.queue.take();
        let mut kept = Vec::with_capacity(waiters.len());
        for mut waiter in waiters {
            if let Some(FullQueue { origins, at, again }) = full.get(&waiter.request.place.queue)
                && waiter.is_plain(now)
                && waiter.request.candidates.iter().all(|one| origins.contains(one.member.space.origin()))
            {
                if let Some((origin, seconds)) = at
                    && let Some(reserved) = before.seconds.get_mut(origin)
                {
                    *reserved += seconds;
                }
                waiter.again = again.iter().copied().chain(waiter.promotion()).min();
                waiter.wants_slot = true;
                kept.push(waiter);
                continue;
            }
            match self.decide(&waiter, &before, now) {
                Decision::Start { index, probe } => {
                    let Some(candidate) = waiter.request.candidates.get(index).cloned() else { continue };
                    let slot = self.begin(&waiter, candidate, probe, now, pause());
                    effects.leave.extend(written(&waiter));
                    effects.done.push((waiter, Ok(slot)));
                }
                Decision::Wait { at, claim, again, wants_slot, is_full } => {
                    if let Some((origin, seconds)) = at.clone() {
                        *before.seconds.entry(origin).or_default() += seconds;
                    }
                    if is_full && wants_slot && waiter.is_plain(now) {
                        let candidates = waiter.request.candidates.iter();
                        let origins = candidates.map(|one| one.member.space.origin().clone()).collect();
                        full.insert(Rc::clone(&waiter.request.place.queue), FullQueue { origins, at, again });
                    }
                    if let Some(claim) = claim {
                        *before.claims.entry(claim.origin.clone()).or_default() += 1;
                        match claims.iter_mut().find(|(known, _)| known.origin == claim.origin) {
                            Some((_, count)) => *count += usize::from(!claim.probe),
                            None => claims.push((claim, 1)),
                        }
                    }
                    if !wants_slot && let Some(id) = written(&waiter) {
                        // Jobs behind it needn't wait for it.
                        effects.leave.push(id);
                        waiter.entry = RowState::None;
                    }
                    waiter.again = again.into_iter().chain(waiter.promotion()).min();
                    waiter.wants_slot = wants_slot;
                    effects.wants_slots |= wants_slot;
                    kept.push(waiter);
                }
                Decision::Hopeless(refusal) => {
                    effects.leave.extend(written(&waiter));
                    effects.done.push((waiter, Err(refusal)));
                }
            }
        }
        effects.wants_slots |= !full.is_empty();
        self.queue.restore(kept);
        effects.claims = claims;
        if self.is_shared {
            self.give_up(now, &mut effects);
        }
        effects
    }

    /// Number of slots of the Space at `origin` that are asked for beside `count`, for the jobs to come: as many as
    /// this instance holds, an eighth of those that are free at most, and none where others wait.
    pub(super) fn spare(&mut self, origin: &Origin, count: usize, limit: usize) -> usize {
        if self.view.waiting_for(origin, &self.crowds) > 0 {
            return 0;
        }
        let space = self.space(origin);
        space.held().min(space.free().min(limit).saturating_sub(count) / 8)
    }

    fn begin(&mut self, waiter: &Waiter, candidate: Candidate, probe: bool, now: Duration, pause: Duration) -> Slot {
        let usual = self.usual(&waiter.request.candidates);
        let Candidate { member, work, .. } = candidate;
        let stagger = Rc::clone(&waiter.request.stagger);
        stagger.begin(member.space.origin(), now.saturating_add(pause));
        let id = waiter.id;
        let space = self.space(member.space.origin());
        let generation = space.generation(work, usual, now);
        let token = space.enter(id, &member, generation, now);
        space.is_probing |= probe;
        Slot { id, member, stagger, token, probe, generation, since: now }
    }

    /// Releases idle slots that other instances wait for.
    fn give_up(&mut self, now: Duration, effects: &mut Effects) {
        let (view, crowds) = (&mut self.view, &self.crowds);
        for (origin, space) in self.spaces.iter_mut().filter(|(_, space)| space.idle() > 0) {
            let slots = space.take_idle(view.waiting_for(origin, crowds), now);
            if !slots.is_empty() {
                view.serve(slots.len(), origin, crowds);
                effects.release.push((origin.clone(), slots));
            }
        }
    }
}

/// Id of a waiting job's row in the database, once written.
pub(super) fn written(waiter: &Waiter) -> Option<String> {
    match &waiter.entry {
        RowState::Written(id) => Some(id.clone()),
        RowState::None | RowState::Pending => None,
    }
}
