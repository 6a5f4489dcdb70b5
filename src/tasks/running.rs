//! Tasks that an instance works at: runners, and the leases that they hold.

use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::select;

use super::runner::TaskRun;
use super::store::{ClaimedTask, RunnerToken};
use super::supervisor::{RunningTask, TaskSupervisor, queue};
use crate::platform::random_bytes;
use crate::store::id::TimeId;

/// Time between two looks at the tasks that an instance works at.
const TICK: Duration = Duration::from_secs(1);
/// Looks of which one renews the leases.
const RENEWAL: u32 = 3;

impl TaskSupervisor {
    /// Works at a task beside the present request, until nothing is left to do, it is put back, or it is lost.
    pub(super) fn start(self: &Rc<Self>, claimed: ClaimedTask) {
        let (lost, is_lost) = oneshot::channel();
        let (id, token) = (claimed.id.clone(), claimed.token.clone());
        // Where this instance has lost it and taken it again, the runner from before ends here.
        self.running.borrow_mut().insert(id.clone(), RunningTask { token: token.clone(), _lost: lost });
        let (this, owner, made) = (Rc::clone(self), claimed.owner.clone(), claimed.record.clone());
        let was_unfinished = !made.status.is_end();
        self.host.spawn(Box::pin(async move {
            let work = std::pin::pin!(TaskRun::new(Rc::clone(&this), claimed).work());
            select(work, is_lost).await;
            this.remove(&id, &token);
            this.store.spawn_delete_inputs(&id, &made);
            if was_unfinished {
                this.trim(&owner);
                // A store that fails now is looked through later.
                let model = this.catalog.models().iter().find(|model| model.id == made.model).map(queue);
                let _ = this.claim_next(model.unwrap_or(&made.model)).await;
            }
            this.look_soon();
        }));
        if !self.is_ticking.replace(true) {
            let this = Rc::clone(self);
            self.host.spawn(Box::pin(async move { this.tick().await }));
        }
    }

    fn remove(&self, id: &TimeId, token: &RunnerToken) {
        let mut running = self.running.borrow_mut();
        if running.get(id).is_some_and(|running| running.token == *token) {
            running.remove(id);
        }
    }

    /// Keeps owners near the numbers that are kept: one end in sixteen is enough for that.
    fn trim(&self, owner: &str) {
        let [lot] = random_bytes::<1>(&self.host);
        if lot < 16 {
            self.store.spawn_trim(owner);
            self.history.spawn_trim_of_tasks(owner);
        }
    }

    /// Renews the leases of all tasks that are worked at, and drops those that are lost, until there are none.
    async fn tick(self: Rc<Self>) {
        for count in 1_u32.. {
            self.host.sleep(TICK).await;
            let held: Vec<(TimeId, RunnerToken)> =
                self.running.borrow().iter().map(|(id, running)| (id.clone(), running.token.clone())).collect();
            if held.is_empty() {
                break;
            }
            // A store that fails now is asked again: until then all go on as if their leases held.
            if let Ok(still) = self.store.check(&held, count % RENEWAL == 0).await {
                for (id, token) in held.iter().filter(|(_, token)| !still.contains(token)) {
                    self.remove(id, token);
                }
            }
            self.look_if_due();
        }
        self.is_ticking.set(false);
    }
}
