//! Running tasks of an instance, and their leases.

use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::select;

use super::runner::TaskRun;
use super::store::{ClaimedTask, RunnerToken};
use super::supervisor::{RunningTask, TaskSupervisor, queue};
use crate::platform::random_bytes;
use crate::store::id::TimeId;

/// Interval of the checks of running tasks.
const TICK: Duration = Duration::from_secs(1);
/// Number of checks per renewal of the leases.
const RENEWAL: u32 = 3;

impl TaskSupervisor {
    /// Runs a task in the background until it is done, put back or lost.
    pub(super) fn start(self: &Rc<Self>, claimed: ClaimedTask) {
        let (lost, is_lost) = oneshot::channel();
        let (id, token) = (claimed.id.clone(), claimed.token.clone());
        // A former runner of the same task in this instance ends here.
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
                // Where the store fails, a later look finds the next task.
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

    /// Trims the tasks and the history of an owner, after one task in sixteen.
    fn trim(&self, owner: &str) {
        let [lot] = random_bytes::<1>(&self.host);
        if lot < 16 {
            self.store.spawn_trim(owner);
            self.history.spawn_trim_of_tasks(owner);
        }
    }

    /// Checks and renews the leases of running tasks, and drops lost ones, until none is left.
    async fn tick(self: Rc<Self>) {
        for count in 1_u32.. {
            self.host.sleep(TICK).await;
            let held: Vec<(TimeId, RunnerToken)> =
                self.running.borrow().iter().map(|(id, running)| (id.clone(), running.token.clone())).collect();
            if held.is_empty() {
                break;
            }
            // Where the store fails, runners go on until the next check.
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
