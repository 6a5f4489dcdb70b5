//! State of the scheduler: Spaces and waiting jobs of an instance.
//!
//! Each change (a free slot, the end of a stagger, a breaker that opens or admits a probe, a read of the database)
//! triggers a [scheduling pass](super::pass): each waiting job starts at a Space or goes on waiting. A job starts where
//! this instance holds a slot and no job of another instance is ahead of it, or there are free slots for all those.
//! A slot that the database probably has free is claimed; idle slots that others wait for are released.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::decision::Claim;
use super::request::Candidate;
use super::slot::Slot;
use super::view::{RemoteWaiter, View};
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
    /// Time of the next pass without any event, since the Unix epoch.
    pub(super) again: Option<Duration>,
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

    /// Takes the waiting jobs of other instances from a read of the database, after its numbers of free slots.
    pub(super) fn renew_view(&mut self, foreign: Vec<RemoteWaiter>, now: Duration) {
        self.view.renew(foreign, now);
        // In the same order each time: a job that several Spaces could have is counted at one of them.
        let mut spaces: Vec<_> = self.spaces.iter().collect();
        spaces.sort_by_cached_key(|(origin, _)| origin.to_string());
        for (origin, space) in spaces {
            if let Some(since) = space.free_since() {
                self.view.free(origin, space.free(), since, &self.crowds, now);
            }
        }
    }

    /// Number of waiting jobs of all instances that could run at the Space at `origin`.
    pub(in crate::dispatch) fn waiting_for(&self, origin: &Origin) -> usize {
        let could = |waiter: &&Waiter| waiter.request.candidates.iter().any(|one| one.member.space.origin() == origin);
        self.queue.iter().filter(could).count() + self.view.waiting_for(origin, &self.crowds)
    }

    /// Number of jobs of all instances ahead of a waiting job; none for a job that may still get a slot at once, and so
    /// isn't waiting yet.
    fn position(&self, waiter: &Waiter) -> Option<usize> {
        let waits = !self.is_shared || matches!(waiter.entry, RowState::Written(_)) || !self.queue.wants_slot(waiter);
        let foreign = || self.view.all_before(&waiter.rank, &waiter.request.place.queue);
        waits.then(|| self.queue.ahead(waiter) + foreign())
    }

    /// Notifies jobs whose clients follow their places: all, or those that were told none yet.
    pub(super) fn notify_positions(&mut self, all: bool) {
        for id in self.queue.listeners(all) {
            if let Some(before) = self.queue.find(id).and_then(|waiter| self.position(waiter)) {
                self.queue.notify(id, before);
            }
        }
    }

    /// Refuses the waiting jobs of a request; with `only_idle`, those without images of their own.
    pub(super) fn dismiss(&mut self, request: u64, only_idle: bool, why: &Refusal) -> Effects {
        let mut effects = Effects::default();
        for id in self.queue.of_request(request) {
            let is_meant = self.queue.find(id).is_some_and(|waiter| waiter.request.is_idle || !only_idle);
            if is_meant && let Some(waiter) = self.queue.remove(id) {
                effects.leave.extend(written(&waiter));
                effects.done.push((waiter, Err(why.clone())));
            }
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

    /// Begins a job that was waiting.
    pub(super) fn begin(
        &mut self,
        waiter: &Waiter,
        candidate: Candidate,
        probe: bool,
        now: Duration,
        pause: Duration,
    ) -> Slot {
        let usual = self.usual(&waiter.request.candidates);
        let Candidate { member, work, .. } = candidate;
        let stagger = Rc::clone(&waiter.request.stagger);
        stagger.begin(member.space.origin(), now.saturating_add(pause));
        let id = waiter.id;
        let space = self.space(member.space.origin());
        let generation = space.generation(work, usual, now);
        let token = space.enter(id, &member, generation, now);
        space.is_probing |= probe;
        Slot { id, request: waiter.request.request, member, stagger, token, probe, generation, since: now }
    }

    /// Releases idle slots that other instances wait for and have no free ones for.
    pub(super) fn give_up(&mut self, now: Duration, effects: &mut Effects) {
        let (view, crowds) = (&mut self.view, &self.crowds);
        let mut spaces: Vec<_> = self.spaces.iter_mut().filter(|(_, space)| space.idle() > 0).collect();
        spaces.sort_by_cached_key(|(origin, _)| origin.to_string());
        for (origin, space) in spaces {
            let wanted = view.waiting_for(origin, crowds).saturating_sub(space.free());
            let slots = space.take_idle(wanted, now);
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
