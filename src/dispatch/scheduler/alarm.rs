//! Alarm for the next scheduling pass without any event: one for all waiting jobs.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures::channel::oneshot;

/// Alarm of a scheduler. Times are since the Unix epoch.
#[derive(Default)]
pub(super) struct Alarm {
    /// Time at which it rings.
    pub(super) at: Cell<Option<Duration>>,
    /// Time until which its task sleeps; none without a task.
    pub(super) sleeps_until: Cell<Option<Duration>>,
    /// Wakes its task.
    pub(super) wake: RefCell<Option<oneshot::Sender<()>>>,
}

impl Alarm {
    /// Sets the time at which it rings. Without one its task ends, which would keep the instance.
    pub(super) fn set(&self, at: Option<Duration>) {
        self.at.set(at);
        if self.sleeps_until.get().is_some_and(|until| at.is_none_or(|at| at < until))
            && let Some(wake) = self.wake.take()
        {
            let _ = wake.send(());
        }
    }
}
