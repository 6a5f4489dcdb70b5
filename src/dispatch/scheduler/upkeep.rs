//! Upkeep of an instance's slots, while it holds some or has jobs at Spaces: releases idle slots, reads the waiting
//! jobs of other instances, and claims slots for jobs that started while the database failed.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::{Scheduler, slots_of};
use crate::dispatch::space_state::SpaceState;
use crate::gradio::space::Origin;

/// Time for which an idle slot is kept for the next job.
const LINGER: Duration = Duration::from_millis(150);
/// The same for a Space of which half of the slots or fewer are free: others may need them.
const LINGER_SCARCE: Duration = Duration::from_millis(20);
/// Interval of reads of the database.
const LOOK: Duration = Duration::from_secs(1);

/// Time for which idle slots of `space` are kept.
fn linger(space: &SpaceState) -> Duration {
    if space.free() <= space.limit() / 2 { LINGER_SCARCE } else { LINGER }
}

impl Scheduler {
    /// Starts the upkeep, unless it is running or there is nothing to keep up.
    pub(super) fn start_upkeep(self: &Rc<Self>) {
        let has_some = self.state.borrow().spaces().any(|(_, space)| space.running() > 0 || space.idle() > 0);
        if !has_some || !self.store.is_on() || self.has_upkeep.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.run_upkeep().await }));
    }

    async fn run_upkeep(self: Rc<Self>) {
        loop {
            if !self.state.borrow().spaces().any(|(_, space)| space.running() > 0 || space.idle() > 0) {
                self.has_upkeep.set(false);
                return;
            }
            self.host.sleep(LOOK).await;
            let viewed = self.viewed.get().unwrap_or_default();
            // Started jobs may have overtaken others, and a failed database may be back.
            let has_news = self.has_begun.get() || !self.state.borrow().is_shared;
            if has_news && self.host.now().saturating_sub(viewed) >= LOOK {
                self.refresh(&HashSet::new()).await;
                self.claim_missing().await;
                self.schedule();
            }
        }
    }

    /// Starts the release of idle slots, unless it is running or there are none.
    pub(super) fn start_release(self: &Rc<Self>) {
        if !self.store.is_on() || self.next_release().is_none() || self.is_releasing.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            while let Some(left) = this.next_release() {
                // The host rounds times down.
                this.host.sleep(left.saturating_add(Duration::from_millis(1))).await;
                this.release_idle();
            }
            this.is_releasing.set(false);
        }));
    }

    /// Time until the next idle slot is to be released.
    fn next_release(&self) -> Option<Duration> {
        let now = self.host.unix_time();
        let state = self.state.borrow();
        let dues = state.spaces().filter_map(|(_, space)| Some(space.idle_since()?.saturating_add(linger(space))));
        dues.min().map(|due| due.saturating_sub(now))
    }

    /// Releases slots that have been idle for [`LINGER`] or [`LINGER_SCARCE`].
    fn release_idle(&self) {
        let now = self.host.unix_time();
        let mut unused: Vec<(Origin, Vec<i64>)> = Vec::new();
        for (origin, space) in self.state.borrow_mut().spaces_mut() {
            let slots = space.take_idle(usize::MAX, now.saturating_sub(linger(space)));
            if !slots.is_empty() {
                unused.push((origin.clone(), slots));
            }
        }
        for (origin, slots) in unused {
            self.leases.release(&slots_of(&origin), &slots);
        }
    }

    /// Claims slots for jobs without one.
    async fn claim_missing(self: &Rc<Self>) {
        let without: Vec<(Origin, usize, usize)> = {
            let state = self.state.borrow();
            if !state.is_shared {
                return;
            }
            let without = state.spaces().filter(|(_, space)| space.without_slot() > 0);
            without.map(|(origin, space)| (origin.clone(), space.without_slot(), space.limit())).collect()
        };
        for (origin, count, limit) in without {
            // Without free slots, these jobs exceed the Space's slots until they end.
            let _ = self.claim_slots(&origin, count, limit).await;
        }
    }
}
