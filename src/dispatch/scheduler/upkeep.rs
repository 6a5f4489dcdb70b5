//! Upkeep of an instance's slots, as long as it holds some or has jobs at Spaces: it gives idle ones back, learns of
//! those who wait elsewhere, and gets slots for jobs that began while the database failed.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::{Scheduler, slots_of};
use crate::gradio::space::Origin;

/// Time for which an idle slot is kept for this instance's next job.
const LINGER: Duration = Duration::from_millis(150);
/// The same where none is free and no job has begun here for so long: this instance may get no more of them.
const LINGER_QUIETLY: Duration = Duration::from_millis(40);
/// Time after which is looked whether jobs wait elsewhere.
const LOOK: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Has this instance's slots looked after, as long as it has some.
    pub(super) fn keep_up(self: &Rc<Self>) {
        let has_some = self.state.borrow().spaces().any(|(_, space)| space.running() > 0 || space.idle() > 0);
        if !has_some || !self.store.is_on() || self.is_kept_up.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.look_after().await }));
    }

    async fn look_after(self: Rc<Self>) {
        loop {
            let (running, idle) = {
                let state = self.state.borrow();
                let spaces = state.spaces().map(|(_, space)| (space.running(), space.idle()));
                spaces.fold((0, 0), |sum, (running, idle)| (sum.0 + running, sum.1 + idle))
            };
            if running == 0 && idle == 0 {
                self.is_kept_up.set(false);
                return;
            }
            self.host.sleep(if idle > 0 { LINGER_QUIETLY } else { LOOK }).await;
            self.give_idle_back();
            let viewed = self.viewed.get().unwrap_or_default();
            // Those who began may have come before others; and a database that failed may be back.
            let has_news = self.has_begun.get() || !self.state.borrow().is_shared;
            if has_news && self.host.now().saturating_sub(viewed) >= LOOK {
                self.refresh(&HashSet::new()).await;
                self.adopt().await;
                self.look();
            }
        }
    }

    /// Gives slots back that nobody here has used for a moment.
    fn give_idle_back(&self) {
        let now = self.host.unix_time();
        let is_quiet = self.host.now().saturating_sub(self.begun.get()) >= LINGER_QUIETLY;
        let mut unused: Vec<(Origin, Vec<i64>)> = Vec::new();
        for (origin, space) in self.state.borrow_mut().spaces_mut() {
            let linger = if is_quiet && space.free() == 0 { LINGER_QUIETLY } else { LINGER };
            let slots = space.take_idle(usize::MAX, now.saturating_sub(linger));
            if !slots.is_empty() {
                unused.push((origin.clone(), slots));
            }
        }
        for (origin, slots) in unused {
            self.leases.release(&slots_of(&origin), &slots);
        }
    }

    /// Gets slots for jobs that have none.
    async fn adopt(self: &Rc<Self>) {
        let without: Vec<(Origin, usize, usize)> = {
            let state = self.state.borrow();
            if !state.is_shared {
                return;
            }
            let without = state.spaces().filter(|(_, space)| space.without_slot() > 0);
            without.map(|(origin, space)| (origin.clone(), space.without_slot(), space.limit())).collect()
        };
        for (origin, count, limit) in without {
            // Where there are none, others have them: these jobs are too many until they end.
            let _ = self.claim_slots(&origin, count, limit).await;
        }
    }
}
