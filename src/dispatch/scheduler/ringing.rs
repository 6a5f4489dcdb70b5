//! Task of the alarm, which begins a scheduling pass when it rings.

use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::select;

use super::Scheduler;

impl Scheduler {
    /// Starts the alarm's task, unless it is running or not needed.
    pub(super) fn start_alarm(self: &Rc<Self>) {
        let Some(at) = self.alarm.at.get().filter(|_| self.alarm.sleeps_until.get().is_none()) else { return };
        self.alarm.sleeps_until.set(Some(at));
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.run_alarm().await }));
    }

    async fn run_alarm(self: Rc<Self>) {
        while let Some(at) = self.alarm.at.get() {
            let (wake, woken) = oneshot::channel();
            *self.alarm.wake.borrow_mut() = Some(wake);
            self.alarm.sleeps_until.set(Some(at));
            // The host rounds times down: waking a moment too early would spin.
            let left = at.saturating_sub(self.host.unix_time()).saturating_add(Duration::from_millis(1));
            select(woken, self.host.sleep(left)).await;
            // A pass for another reason may have moved it.
            if self.alarm.at.get().is_some_and(|at| at <= self.host.unix_time()) {
                self.schedule();
            }
        }
        self.alarm.sleeps_until.set(None);
    }
}
