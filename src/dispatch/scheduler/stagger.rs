//! Stagger of a request's jobs at a Space.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use crate::gradio::space::Origin;

/// Earliest times of a request's next job at each Space, since the Unix epoch.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Stagger {
    /// Earliest time of the next job's slot.
    slots: RefCell<HashMap<Origin, Duration>>,
    /// Earliest time of the next job's submission, some time after its slot.
    sent: RefCell<HashMap<Origin, Duration>>,
}

impl Stagger {
    /// Time until the next job may get a slot.
    pub(super) fn left(&self, origin: &Origin, now: Duration) -> Duration {
        self.slots.borrow().get(origin).map_or(Duration::ZERO, |at| at.saturating_sub(now))
    }

    /// True where the next job may get a slot at any Space.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.slots.borrow().values().all(|at| *at <= now)
    }

    /// Notes that a job starts, and that the next one may at `next`.
    pub(super) fn begin(&self, origin: &Origin, next: Duration) {
        let mut slots = self.slots.borrow_mut();
        let known = slots.entry(origin.clone()).or_default();
        *known = next.max(*known);
    }

    /// Permits a submission now, and the next one at `next`.
    ///
    /// # Errors
    /// Time until the submission is permitted.
    pub(super) fn send(&self, origin: &Origin, now: Duration, next: Duration) -> Result<(), Duration> {
        let mut sent = self.sent.borrow_mut();
        let known = sent.entry(origin.clone()).or_default();
        let left = known.saturating_sub(now);
        if !left.is_zero() {
            return Err(left);
        }
        *known = next;
        drop(sent);
        self.begin(origin, next);
        Ok(())
    }
}
