//! Guard of a slot at a Space, held by a job.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::slot::Slot;
use crate::catalog::PoolMember;
use crate::dispatch::health::{ANONYMOUS, SpaceOutcome, SpaceOutcomeKind};
use crate::dispatch::space_queue::begins_in;
use crate::dispatch::space_state::SpaceState;
use crate::dispatch::verdict::{Blame, Verdict};
use crate::generation::QueuePosition;
use crate::gradio::failure::Failure;
use crate::gradio::space::{Origin, Token};

/// Owner of slots, as far as a guard needs it. Implemented by the scheduler, whose signals carry guards.
pub(super) trait SlotOwner {
    /// Time since the Unix epoch.
    fn unix_time(&self) -> Duration;

    /// Sleeps for `time`.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()>;

    /// Draws the pause between two jobs of a request at a Space.
    fn draw_stagger(&self) -> Duration;

    /// Changes the state of the Space at `origin`.
    fn update_space(&self, origin: &Origin, change: &mut dyn FnMut(&mut SpaceState));

    /// Notes that a job of a request was sent, which holds its other jobs back.
    fn has_sent(&self, request: u64, now: Duration);

    /// Records an outcome at a Space, for all instances.
    fn record_outcome(self: Rc<Self>, origin: &Origin, outcome: SpaceOutcome);

    /// Schedules the next job after a slot has become free; also releases the right to probe where `releases_probe`.
    fn slot_is_free(self: Rc<Self>, origin: &Origin, releases_probe: bool);
}

/// Guard of a slot, which frees it when dropped.
pub(in crate::dispatch) struct SlotGuard {
    owner: Rc<dyn SlotOwner>,
    slot: Slot,
}

impl SlotGuard {
    pub(super) fn new(owner: Rc<dyn SlotOwner>, slot: Slot) -> Self {
        Self { owner, slot }
    }

    /// The Space as a member of its pool.
    pub(in crate::dispatch) fn member(&self) -> &PoolMember {
        &self.slot.member
    }

    /// Token for the calls of the job.
    pub(in crate::dispatch) fn token(&self) -> Option<&Token> {
        self.slot.token.as_ref()
    }

    fn origin(&self) -> &Origin {
        self.slot.member.space.origin()
    }

    /// Waits until the stagger between a request's jobs at a Space has passed.
    pub(in crate::dispatch) async fn wait_for_stagger(&self) {
        let pause = self.owner.draw_stagger();
        loop {
            let now = self.owner.unix_time();
            match self.slot.stagger.send(self.origin(), now, now.saturating_add(pause)) {
                Ok(()) => return self.owner.has_sent(self.slot.request, now),
                Err(left) => self.owner.sleep(left.saturating_add(Duration::from_millis(1))).await,
            }
        }
    }

    /// Time until a job at `position` starts, in seconds.
    pub(in crate::dispatch) fn begins_in(&self, position: QueuePosition) -> f64 {
        begins_in(position, self.slot.generation)
    }

    /// Reports the queue position of the job.
    pub(in crate::dispatch) fn queued(&self, position: QueuePosition) {
        let Slot { id, generation, .. } = self.slot;
        self.update(|space, now| space.queued(id, position, generation, now));
    }

    /// Reports the start of the job.
    pub(in crate::dispatch) fn started(&self) {
        let Slot { id, generation, .. } = self.slot;
        self.update(|space, now| space.started(id, generation, now));
    }

    /// Reports the progress of the job, from 0 to 1.
    pub(in crate::dispatch) fn stepped(&self, done: f64) {
        self.update(|space, now| space.stepped(self.slot.id, done, now));
    }

    /// True for the trial of a Space whose breaker was open.
    pub(in crate::dispatch) fn is_probe(&self) -> bool {
        self.slot.probe
    }

    /// Reports that the job has done `work` units in `generate`.
    pub(in crate::dispatch) fn succeeded(&self, work: f64, generate: Duration) {
        self.record(SpaceOutcomeKind::Made { work, seconds: generate.as_secs_f64() });
    }

    /// Reports a failure of the job, and classifies it.
    pub(in crate::dispatch) fn failed(&self, failure: &Failure) -> Verdict {
        let verdict = Verdict::of(failure);
        let failure = failure.clone();
        match verdict.blame {
            // The Space has answered correctly.
            Blame::Asker if verdict.has_worked => self.record(SpaceOutcomeKind::Answered),
            Blame::Nothing | Blame::Asker => {}
            Blame::Fault => self.record(SpaceOutcomeKind::Failed(failure)),
            Blame::Full => {
                self.update(|space, now| space.full(self.slot.generation, now));
                self.record(SpaceOutcomeKind::Refused(failure));
            }
            Blame::Rest(wait) => self.record(SpaceOutcomeKind::Rests(failure, wait)),
            Blame::Exhausted(wait) => {
                let caller = self.slot.token.as_ref().map_or_else(|| ANONYMOUS.to_owned(), Token::fingerprint);
                self.record(SpaceOutcomeKind::Exhausted(failure, caller, wait));
            }
        }
        verdict
    }

    fn record(&self, kind: SpaceOutcomeKind) {
        let outcome = SpaceOutcome { at: self.owner.unix_time(), began: self.slot.since, kind };
        Rc::clone(&self.owner).record_outcome(self.origin(), outcome);
    }

    fn update(&self, mut change: impl FnMut(&mut SpaceState, Duration)) {
        let now = self.owner.unix_time();
        self.owner.update_space(self.origin(), &mut |space| change(space, now));
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut had_probe = false;
        self.update(|space, now| {
            space.leave(self.slot.id, now);
            if self.slot.probe {
                space.is_probing = false;
                had_probe = std::mem::take(&mut space.has_probe);
            }
        });
        Rc::clone(&self.owner).slot_is_free(self.origin(), had_probe);
    }
}
