//! The distance that a request's jobs at a Space keep.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use crate::gradio::space::Origin;

/// Moments at which a request's next job may begin at each Space, since the Unix epoch.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Stagger {
    /// When the next one may have a slot there.
    slots: RefCell<HashMap<Origin, Duration>>,
    /// When the next one may be sent there: from the slot to there takes a while.
    sent: RefCell<HashMap<Origin, Duration>>,
}

impl Stagger {
    /// Time until the next one may have a slot.
    pub(super) fn left(&self, origin: &Origin, now: Duration) -> Duration {
        self.slots.borrow().get(origin).map_or(Duration::ZERO, |at| at.saturating_sub(now))
    }

    /// One begins; the next one may at `next`.
    pub(super) fn begin(&self, origin: &Origin, next: Duration) {
        let mut slots = self.slots.borrow_mut();
        let known = slots.entry(origin.clone()).or_default();
        *known = next.max(*known);
    }

    /// Sends one now, if it may be, and the next one at `next`; else tells how long until it may.
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
