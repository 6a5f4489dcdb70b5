//! Notifications of the places of waiting jobs.
//!
//! With each job that starts, all behind it move up. So only jobs whose clients follow their places are told: the first
//! place at once, and changes some ten times a second, the seldomer the more there are. Events in between cost nothing.

use std::rc::Rc;
use std::time::Duration;

use super::Scheduler;

/// Interval of notifications.
const INTERVAL: Duration = Duration::from_millis(100);
/// Addition to it for each job that is told.
const FOR_EACH: Duration = Duration::from_micros(100);

impl Scheduler {
    /// Notifies waiting jobs of changed places: soon, or now where the last time is long ago.
    pub(super) fn notify_positions(self: &Rc<Self>) {
        let count = self.state.borrow().queue.listener_count();
        if count == 0 {
            return;
        }
        let now = self.host.now();
        let is_due = now >= self.notify_from.get();
        self.state.borrow_mut().notify_positions(is_due);
        if is_due {
            let more = FOR_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
            self.notify_from.set(now.saturating_add(INTERVAL).saturating_add(more));
        } else if !self.is_notifying.replace(true) {
            let this = Rc::clone(self);
            let left = self.notify_from.get().saturating_sub(now).saturating_add(Duration::from_millis(1));
            self.host.spawn(Box::pin(async move {
                this.host.sleep(left).await;
                this.is_notifying.set(false);
                this.notify_positions();
            }));
        }
    }
}
