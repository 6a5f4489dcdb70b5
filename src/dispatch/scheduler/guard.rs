//! A slot at a Space, held by a job.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::slot::Slot;
use crate::catalog::PoolMember;
use crate::dispatch::health::{ANONYMOUS, SpaceOutcome, SpaceOutcomeKind};
use crate::dispatch::space_state::{SpaceState, begins_in};
use crate::dispatch::verdict::{Blame, Verdict};
use crate::gradio::failure::Failure;
use crate::gradio::message::QueuePosition;
use crate::gradio::space::{Origin, Token};

/// Owner of slots, as far as a guard needs it. The scheduler implements it, whose queue holds guards on their way.
pub(super) trait SlotOwner {
    /// Time since the Unix epoch.
    fn unix_time(&self) -> Duration;

    /// Sleeps for `time`.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()>;

    /// Draws the pause between two jobs of a request at a Space.
    fn draw_stagger(&self) -> Duration;

    /// Changes the state of the Space at `origin`.
    fn update_space(&self, origin: &Origin, change: &mut dyn FnMut(&mut SpaceState));

    /// Records an outcome at a Space, for all instances.
    fn record_outcome(self: Rc<Self>, origin: &Origin, outcome: SpaceOutcome);

    /// Gives a slot to the next job, and back to the database the right to probe the Space.
    fn slot_is_free(self: Rc<Self>, origin: &Origin, gives_probe_back: bool);
}

/// A slot at a Space. When it is dropped, it is the next one's.
pub(in crate::dispatch) struct SlotGuard {
    owner: Rc<dyn SlotOwner>,
    slot: Slot,
}

impl SlotGuard {
    pub(super) fn new(owner: Rc<dyn SlotOwner>, slot: Slot) -> Self {
        Self { owner, slot }
    }

    /// The Space, as a member of its pool.
    pub(in crate::dispatch) fn member(&self) -> &PoolMember {
        &self.slot.member
    }

    /// The token that the job brings.
    pub(in crate::dispatch) fn token(&self) -> Option<&Token> {
        self.slot.token.as_ref()
    }

    fn origin(&self) -> &Origin {
        self.slot.member.space.origin()
    }

    /// Waits until a job may be sent: a request's jobs at a Space keep their distance.
    pub(in crate::dispatch) async fn comes_due(&self) {
        let pause = self.owner.draw_stagger();
        loop {
            let now = self.owner.unix_time();
            match self.slot.stagger.send(self.origin(), now, now.saturating_add(pause)) {
                Ok(()) => return,
                Err(left) => self.owner.sleep(left.saturating_add(Duration::from_millis(1))).await,
            }
        }
    }

    /// Time until the Space begins with a job that stands there, in seconds.
    pub(in crate::dispatch) fn begins_in(&self, position: QueuePosition) -> f64 {
        begins_in(position, self.slot.generation)
    }

    /// The Space says where the job stands.
    pub(in crate::dispatch) fn queued(&self, position: QueuePosition) {
        let Slot { id, generation, .. } = self.slot;
        self.update(|space, now| space.queued(id, position, generation, now));
    }

    /// The Space has begun with it.
    pub(in crate::dispatch) fn started(&self) {
        let Slot { id, generation, .. } = self.slot;
        self.update(|space, now| space.started(id, generation, now));
    }

    /// The job is so far, from 0 to 1.
    pub(in crate::dispatch) fn stepped(&self, done: f64) {
        self.update(|space, now| space.stepped(self.slot.id, done, now));
    }

    /// `images` were made in `generate`.
    pub(in crate::dispatch) fn succeeded(&self, generate: Duration, images: usize) {
        let images = u32::try_from(images).unwrap_or(u32::MAX);
        let work = self.slot.work * f64::from(images.max(1));
        self.record(SpaceOutcomeKind::Made { work, seconds: generate.as_secs_f64() });
    }

    /// The job failed. What that says of the Space is noted.
    pub(in crate::dispatch) fn failed(&self, failure: &Failure) -> Verdict {
        let verdict = Verdict::of(failure);
        let failure = failure.clone();
        match verdict.blame {
            // It has answered as it should.
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
