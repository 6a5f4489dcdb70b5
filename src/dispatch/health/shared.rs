//! Health that many instances change.
//!
//! An instance has the value that it last read, of some version, and the outcomes that aren't in there yet. What it
//! goes by is the one with the others applied. Its outcomes are written as the next version, if the database still has
//! the version that they were applied to; else they are applied to what is there by then.

use super::{Outcome, SpaceHealth};

/// Number of outcomes that wait at most for a database that fails; the oldest go first.
const MOST: usize = 1_000;

/// A Space's health as an instance has it.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct SharedHealth {
    /// As the database had it.
    base: SpaceHealth,
    /// Version of the base; 0 where the database has none.
    version: i64,
    /// Outcomes of this instance that aren't in the base.
    pending: Vec<Outcome>,
    /// Base and pending outcomes together.
    view: SpaceHealth,
    /// Whether it was ever read.
    pub(in crate::dispatch) is_read: bool,
    /// Whether somebody writes it.
    pub(in crate::dispatch) is_writing: bool,
    /// Whether somebody will, in a moment.
    pub(in crate::dispatch) is_scheduled: bool,
    /// Whether what isn't written yet is to be at once.
    pub(in crate::dispatch) is_urgent: bool,
}

/// Health that is to be written.
#[derive(Debug)]
pub(in crate::dispatch) struct Draft {
    /// Version that it is based on.
    pub(in crate::dispatch) version: i64,
    pub(in crate::dispatch) health: SpaceHealth,
    /// Number of pending outcomes that are in it.
    count: usize,
}

impl SharedHealth {
    /// Health that this instance goes by.
    pub(in crate::dispatch) fn view(&self) -> &SpaceHealth {
        &self.view
    }

    /// Takes in what happened here. Returns whether that changes which jobs may go there.
    pub(in crate::dispatch) fn record(&mut self, outcome: Outcome) -> bool {
        let changes = self.view.apply(&outcome);
        if self.pending.len() >= MOST {
            self.pending.remove(0);
        }
        self.pending.push(outcome);
        changes
    }

    /// Takes over what the database has, if that is newer.
    pub(in crate::dispatch) fn read(&mut self, version: i64, health: SpaceHealth) {
        self.is_read = true;
        if version > self.version {
            (self.base, self.version) = (health, version);
            self.renew();
        }
    }

    /// Whether there is something to write.
    pub(in crate::dispatch) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Health that is to be written.
    pub(in crate::dispatch) fn draft(&self) -> Draft {
        Draft { version: self.version, health: self.view.clone(), count: self.pending.len() }
    }

    /// A draft was written, as that version.
    pub(in crate::dispatch) fn written(&mut self, draft: Draft, version: i64) {
        (self.base, self.version) = (draft.health, version);
        self.pending.drain(..draft.count.min(self.pending.len()));
        self.renew();
    }

    fn renew(&mut self) {
        self.view.clone_from(&self.base);
        for outcome in &self.pending {
            self.view.apply(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::OutcomeKind;
    use super::super::breaker::Admission;
    use super::*;
    use crate::gradio::failure::Failure;

    fn failure(seconds: u64) -> Outcome {
        let at = Duration::from_secs(1_000_000 + seconds);
        Outcome { at, began: at, kind: OutcomeKind::Failed(Failure::Cut) }
    }

    #[test]
    fn failures_of_many_instances_open_the_breaker_together() {
        let mut stored = (0, SpaceHealth::default());
        let mut instances: Vec<SharedHealth> = (0..3).map(|_| SharedHealth::default()).collect();
        for (number, instance) in (0..).zip(&mut instances) {
            instance.record(failure(number));
            let mut draft = instance.draft();
            if draft.version != stored.0 {
                instance.read(stored.0, stored.1.clone());
                draft = instance.draft();
            }
            assert_eq!(draft.version, stored.0);
            stored = (stored.0 + 1, draft.health.clone());
            instance.written(draft, stored.0);
        }
        assert_eq!(stored.1.failures, 3);
        let now = Duration::from_secs(1_000_002);
        assert!(matches!(stored.1.breaker.admits(now, 0.0), Admission::Tripped(_)));
        instances[0].read(stored.0, stored.1.clone());
        assert_eq!(instances[0].view(), &stored.1, "and all of them know");
    }

    #[test]
    fn what_happens_while_it_is_written_is_written_next() {
        let mut health = SharedHealth::default();
        health.record(failure(0));
        let draft = health.draft();
        health.record(failure(1));
        health.written(draft, 1);
        assert!(health.is_dirty());
        assert_eq!((health.view().failures, health.draft().version), (2, 1));
    }
}
