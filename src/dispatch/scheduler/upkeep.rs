//! Upkeep of an instance's slots, while it holds some or has jobs at Spaces: releases idle slots, reads the waiting
//! jobs of other instances, and claims slots for jobs that started while the database failed.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::{Scheduler, slots_of};
use crate::dispatch::space_state::SpaceState;
use crate::gradio::space::Origin;

/// Time for which an idle slot is kept for the next job.
const LINGER: Duration = Duration::from_millis(150);
/// The same for a Space of which half of the slots or fewer are free: others may need them.
const LINGER_SCARCE: Duration = Duration::from_millis(20);
/// Interval of reads of the database, and of looks for idle slots while half of a Space's or more are free.
const LOOK: Duration = Duration::from_secs(1);

/// Time for which idle slots of `space` are kept.
fn linger(space: &SpaceState) -> Duration {
    if space.free() <= space.limit() / 2 { LINGER_SCARCE } else { LINGER }
}

impl Scheduler {
    /// Starts the upkeep where there is something to keep up, or tells it of idle slots where fewer than half are free.
    pub(super) fn start_upkeep(self: &Rc<Self>) {
        let (is_needed, is_urgent) = {
            let state = self.state.borrow();
            let is_needed = state.spaces().any(|(_, space)| space.is_used());
            (is_needed, state.spaces().any(|(_, space)| space.idle() > 0 && space.free() < space.limit() / 2))
        };
        if is_urgent && let Some(wake) = self.upkeep_wake.take() {
            let _ = wake.send(());
        }
        if !is_needed || !self.store.is_on() || self.has_upkeep.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.run_upkeep().await }));
    }

    async fn run_upkeep(self: Rc<Self>) {
        while self.state.borrow().spaces().any(|(_, space)| space.is_used()) {
            match self.next_release() {
                // The host rounds times down.
                Some(left) => self.host.sleep(left.min(LINGER_SCARCE).saturating_add(Duration::from_millis(1))).await,
                None => {
                    let (wake, woken) = oneshot::channel();
                    *self.upkeep_wake.borrow_mut() = Some(wake);
                    let is_idle = matches!(select(woken, self.host.sleep(LOOK)).await, Either::Left(_));
                    if is_idle {
                        continue;
                    }
                }
            }
            self.release_idle();
            let viewed = self.viewed.get().unwrap_or_default();
            // Started jobs may have overtaken others, and a failed database may be back.
            let has_news = self.has_begun.get() || !self.state.borrow().is_shared;
            if has_news && self.host.now().saturating_sub(viewed) >= LOOK {
                self.refresh(&HashSet::new()).await;
                self.claim_missing().await;
                self.schedule();
            }
        }
        self.upkeep_wake.take();
        self.has_upkeep.set(false);
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
