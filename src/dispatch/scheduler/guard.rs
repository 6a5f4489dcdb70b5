//! A slot at a Space, held by a job.

use std::rc::Rc;
use std::time::Duration;

use super::state::Slot;
use super::{Scheduler, probe_of};
use crate::catalog::PoolMember;
use crate::dispatch::health::{ANONYMOUS, Outcome, OutcomeKind};
use crate::dispatch::space_state::begins_in;
use crate::dispatch::verdict::{Blame, Verdict};
use crate::generation::QueuePosition;
use crate::gradio::failure::Failure;
use crate::gradio::space::{Origin, Token};

/// A slot at a Space. When it is dropped, it is the next one's.
pub(in crate::dispatch) struct SlotGuard {
    scheduler: Rc<Scheduler>,
    slot: Slot,
}

impl SlotGuard {
    pub(super) fn new(scheduler: &Rc<Scheduler>, slot: Slot) -> Self {
        Self { scheduler: Rc::clone(scheduler), slot }
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
        let host = &self.scheduler.host;
        let pause = self.scheduler.policy.stagger.draw(host);
        loop {
            let now = host.unix_time();
            match self.slot.stagger.send(self.origin(), now, now.saturating_add(pause)) {
                Ok(()) => return,
                Err(left) => host.sleep(left.saturating_add(Duration::from_millis(1))).await,
            }
        }
    }

    /// Time until the Space begins with a job that stands there, in seconds.
    pub(in crate::dispatch) fn begins_in(&self, position: QueuePosition) -> f64 {
        begins_in(position, self.slot.generation)
    }

    /// The Space says where the job stands.
    pub(in crate::dispatch) fn queued(&self, position: QueuePosition) {
        let (now, Slot { id, generation, .. }) = (self.scheduler.host.unix_time(), &self.slot);
        self.scheduler.state.borrow_mut().space(self.origin()).queued(*id, position, *generation, now);
    }

    /// The Space has begun with it.
    pub(in crate::dispatch) fn started(&self) {
        let (now, Slot { id, generation, .. }) = (self.scheduler.host.unix_time(), &self.slot);
        self.scheduler.state.borrow_mut().space(self.origin()).started(*id, *generation, now);
    }

    /// The job is so far, from 0 to 1.
    pub(in crate::dispatch) fn stepped(&self, done: f64) {
        let now = self.scheduler.host.unix_time();
        self.scheduler.state.borrow_mut().space(self.origin()).stepped(self.slot.id, done, now);
    }

    /// `images` were made in `generate`.
    pub(in crate::dispatch) fn succeeded(&self, generate: Duration, images: usize) {
        let images = u32::try_from(images).unwrap_or(u32::MAX);
        let work = self.slot.work * f64::from(images.max(1));
        self.record(OutcomeKind::Made { work, seconds: generate.as_secs_f64() });
    }

    /// The job failed. What that says of the Space is noted.
    pub(in crate::dispatch) fn failed(&self, failure: &Failure) -> Verdict {
        let verdict = Verdict::of(failure);
        let failure = failure.clone();
        match verdict.blame {
            // It has answered as it should.
            Blame::Asker if verdict.has_worked => self.record(OutcomeKind::Answered),
            Blame::Nothing | Blame::Asker => {}
            Blame::Fault => self.record(OutcomeKind::Failed(failure)),
            Blame::Full => {
                let now = self.scheduler.host.unix_time();
                self.scheduler.state.borrow_mut().space(self.origin()).full(self.slot.generation, now);
                self.record(OutcomeKind::Refused(failure));
            }
            Blame::Rest(wait) => self.record(OutcomeKind::Rests(failure, wait)),
            Blame::Exhausted(wait) => {
                let caller = self.slot.token.as_ref().map_or_else(|| ANONYMOUS.to_owned(), Token::fingerprint);
                self.record(OutcomeKind::Exhausted(failure, caller, wait));
            }
        }
        verdict
    }

    fn record(&self, kind: OutcomeKind) {
        let outcome = Outcome { at: self.scheduler.host.unix_time(), began: self.slot.since, kind };
        self.scheduler.record(self.origin(), outcome);
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let now = self.scheduler.host.unix_time();
        let had_probe = {
            let mut state = self.scheduler.state.borrow_mut();
            let space = state.space(self.slot.member.space.origin());
            space.leave(self.slot.id, now);
            if self.slot.probe {
                space.is_probing = false;
            }
            self.slot.probe && std::mem::take(&mut space.has_probe)
        };
        if had_probe {
            self.scheduler.leases.release(&probe_of(self.slot.member.space.origin()), &[0]);
        }
        self.scheduler.look();
    }
}
