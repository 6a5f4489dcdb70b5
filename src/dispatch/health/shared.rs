//! Health that many instances change, by optimistic concurrency.
//!
//! An instance has the last value that it read, with its version, and pending outcomes of its own. Its view is that
//! value with the outcomes applied. The view is written as the next version if the database still has the version that
//! it is based on; otherwise the outcomes are applied to the newer value first.

use super::{SpaceHealth, SpaceOutcome};

/// Maximum number of pending outcomes; the oldest are dropped first.
const MOST: usize = 1_000;

/// Health of a Space as an instance sees it.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct SharedHealth {
    /// Value that was last read or written.
    base: SpaceHealth,
    /// Version of the base; 0 for none in the database.
    version: i64,
    /// Outcomes of this instance that the base doesn't contain.
    pending: Vec<SpaceOutcome>,
    /// Base with the pending outcomes applied.
    view: SpaceHealth,
    /// Set by the first read.
    pub(in crate::dispatch) is_read: bool,
    /// Set while a task writes it.
    pub(in crate::dispatch) is_writing: bool,
    /// Set while a delayed write is due.
    pub(in crate::dispatch) is_scheduled: bool,
    /// Marks pending outcomes that mustn't wait for the delayed write.
    pub(in crate::dispatch) is_urgent: bool,
}

/// Value to be written.
#[derive(Debug)]
pub(in crate::dispatch) struct Draft {
    /// Version of its base.
    pub(in crate::dispatch) version: i64,
    pub(in crate::dispatch) health: SpaceHealth,
    /// Number of pending outcomes in it.
    count: usize,
}

impl SharedHealth {
    /// Health that decisions of this instance use.
    pub(in crate::dispatch) fn view(&self) -> &SpaceHealth {
        &self.view
    }

    /// Adds an outcome of this instance. Returns true where that changes the admission of jobs.
    pub(in crate::dispatch) fn record(&mut self, outcome: SpaceOutcome) -> bool {
        let changes = self.view.apply(&outcome);
        if self.pending.len() >= MOST {
            self.pending.remove(0);
        }
        self.pending.push(outcome);
        changes
    }

    /// Replaces the base by a newer one from the database.
    pub(in crate::dispatch) fn read(&mut self, version: i64, health: SpaceHealth) {
        self.is_read = true;
        if version > self.version {
            (self.base, self.version) = (health, version);
            self.renew();
        }
    }

    /// True while outcomes are pending.
    pub(in crate::dispatch) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Value to be written now.
    pub(in crate::dispatch) fn draft(&self) -> Draft {
        Draft { version: self.version, health: self.view.clone(), count: self.pending.len() }
    }

    /// Makes a written draft the base, as that version.
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

    use super::super::SpaceOutcomeKind;
    use super::super::breaker::Admission;
    use super::*;
    use crate::gradio::failure::Failure;

    fn failure(seconds: u64) -> SpaceOutcome {
        let at = Duration::from_secs(1_000_000 + seconds);
        SpaceOutcome { at, began: at, kind: SpaceOutcomeKind::Failed(Failure::Cut) }
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
