//! An instance's knowledge of Spaces and of those who wait for them, and the choice of who begins where.
//!
//! Whenever something changes (a slot gets free, a stagger has passed, a breaker opens or may be tried, the database
//! has told of others) the waiting jobs are looked at in their order, and each begins at a Space or goes on waiting. A
//! job begins where this instance holds a slot and nobody elsewhere comes before it; where the database is likely to
//! give one, that is asked for; what others wait for is given up.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::decision::{Claim, Decision, Reserved};
use super::request::Candidate;
use super::slot::Slot;
use super::view::View;
use super::wait_queue::{RowState, WaitQueue, Waiter};
use crate::dispatch::crowd::Crowds;
use crate::dispatch::policy::SelectionRule;
use crate::dispatch::refusal::Refusal;
use crate::dispatch::space_state::SpaceState;
use crate::gradio::space::Origin;

/// End of a wait.
pub(super) type WaitResult = Result<Slot, Refusal>;

/// Spaces as an instance knows them, and the jobs that wait for them in it.
pub(in crate::dispatch) struct SchedulerState {
    spaces: HashMap<Origin, SpaceState>,
    pub(super) queue: WaitQueue,
    /// Jobs that wait elsewhere.
    pub(super) view: View,
    pub(super) crowds: Crowds,
    pub(super) rule: SelectionRule,
    /// This instance's part of a breaker's time, from 0 to 1.
    pub(super) jitter: f64,
    /// Whether slots are the database's to give.
    pub(super) is_shared: bool,
    next_id: u64,
}

/// Consequences of a look, for the caller to draw once nothing is borrowed any more.
#[derive(Default)]
pub(super) struct Effects {
    /// Jobs that wait no longer.
    pub(super) done: Vec<(Waiter, WaitResult)>,
    /// Rows of the database that are to go.
    pub(super) leave: Vec<String>,
    /// Slots to be asked for: of which Space, and how many.
    pub(super) claims: Vec<(Claim, usize)>,
    /// Slots to be given back.
    pub(super) release: Vec<(Origin, Vec<i64>)>,
    /// Whether a job waits that lacks nothing but a slot.
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

    /// The Space at `origin`, if anything is known of it.
    pub(in crate::dispatch) fn known(&self, origin: &Origin) -> Option<&SpaceState> {
        self.spaces.get(origin)
    }

    /// All Spaces of which something is known.
    pub(super) fn spaces(&self) -> impl Iterator<Item = (&Origin, &SpaceState)> {
        self.spaces.iter()
    }

    pub(super) fn spaces_mut(&mut self) -> impl Iterator<Item = (&Origin, &mut SpaceState)> {
        self.spaces.iter_mut()
    }

    /// A number that nothing else of this instance has.
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Number of jobs that wait, here and elsewhere, and could go to the Space at `origin`.
    pub(in crate::dispatch) fn waiting_for(&self, origin: &Origin) -> usize {
        let could = |waiter: &&Waiter| waiter.request.candidates.iter().any(|one| one.member.space.origin() == origin);
        self.queue.iter().filter(could).count() + self.view.waiting_for(origin, &self.crowds)
    }

    /// Number of jobs before the one of that id, here and elsewhere.
    pub(super) fn before(&self, id: u64) -> usize {
        let Some(waiter) = self.queue.iter().find(|waiter| waiter.id == id) else { return 0 };
        let queue = &waiter.request.place.queue;
        let here = self.queue.iter().take_while(|other| other.id != id);
        let here = here.filter(|other| other.request.place.queue == *queue).count();
        here + self.view.all_before(&waiter.rank, queue)
    }

    /// No waiting job of that request is wanted any more; or none that has no images of its own.
    pub(super) fn dismiss(&mut self, request: u64, only_idle: bool, why: &Refusal) -> Effects {
        let is_meant = |waiter: &Waiter| waiter.request.request == request && (waiter.request.is_idle || !only_idle);
        let (dismissed, kept): (Vec<_>, Vec<_>) = self.queue.take().into_iter().partition(is_meant);
        self.queue.restore(kept);
        let mut looked = Effects::default();
        for waiter in dismissed {
            looked.leave.extend(written(&waiter));
            looked.done.push((waiter, Err(why.clone())));
        }
        looked
    }

    /// Looks at all that wait, in their order. `pause` gives the time until the next job of the same request may
    /// follow.
    pub(super) fn look(&mut self, now: Duration, mut pause: impl FnMut() -> Duration) -> Effects {
        let mut looked = Effects { leave: self.queue.promote(now), ..Effects::default() };
        let mut before = Reserved::default();
        let mut claims: Vec<(Claim, usize)> = Vec::new();
        let mut kept = Vec::new();
        for mut waiter in self.queue.take() {
            match self.decide(&waiter, &before, now) {
                Decision::Start { index, probe } => {
                    let Some(candidate) = waiter.request.candidates.get(index).cloned() else { continue };
                    let slot = self.begin(&waiter, candidate, probe, now, pause());
                    looked.leave.extend(written(&waiter));
                    looked.done.push((waiter, Ok(slot)));
                }
                Decision::Wait { at, claim, again, wants_slot } => {
                    if let Some((origin, seconds)) = at {
                        *before.seconds.entry(origin).or_default() += seconds;
                    }
                    if let Some(claim) = claim {
                        *before.claims.entry(claim.origin.clone()).or_default() += 1;
                        match claims.iter_mut().find(|(known, _)| known.origin == claim.origin) {
                            Some((_, count)) => *count += usize::from(!claim.probe),
                            None => claims.push((claim, 1)),
                        }
                    }
                    if !wants_slot && let Some(id) = written(&waiter) {
                        // Those behind it need not wait for it.
                        looked.leave.push(id);
                        waiter.entry = RowState::None;
                    }
                    waiter.again = again.into_iter().chain(waiter.promotion()).min();
                    waiter.wants_slot = wants_slot;
                    looked.wants_slots |= wants_slot;
                    kept.push(waiter);
                }
                Decision::Hopeless(refusal) => {
                    looked.leave.extend(written(&waiter));
                    looked.done.push((waiter, Err(refusal)));
                }
            }
        }
        self.queue.restore(kept);
        looked.claims = claims;
        if self.is_shared {
            self.give_up(now, &mut looked);
        }
        looked
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
        Slot { id, member, stagger, token, probe, work, generation, since: now }
    }

    /// Idle slots that others wait for are theirs.
    fn give_up(&mut self, now: Duration, looked: &mut Effects) {
        let (view, crowds) = (&self.view, &self.crowds);
        for (origin, space) in self.spaces.iter_mut().filter(|(_, space)| space.idle() > 0) {
            let slots = space.take_idle(view.waiting_for(origin, crowds), now);
            if !slots.is_empty() {
                looked.release.push((origin.clone(), slots));
            }
        }
    }
}

/// The id of a waiting job's row in the database.
pub(super) fn written(waiter: &Waiter) -> Option<String> {
    match &waiter.entry {
        RowState::Written(id) => Some(id.clone()),
        RowState::None | RowState::Pending => None,
    }
}
