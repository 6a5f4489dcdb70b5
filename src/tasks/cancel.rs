//! Cancellation of tasks, on whichever instance they run, and deletion of finished ones.

use std::rc::Rc;

use futures::future::join_all;

use super::image::TaskStatus;
use super::record::TaskRecord;
use super::store::{ClaimedTask, Snapshot};
use super::supervisor::TaskSupervisor;
use crate::gradio::job::Receipt;
use crate::platform::StoreError;
use crate::store::id::TimeId;

/// Attempts of a cancellation against concurrent writes of the runner.
const TRIES: u32 = 20;

/// Outcome of a cancellation.
pub enum Cancelled {
    /// No such task.
    NotFound,
    /// The task had ended before and is deleted now.
    Forgotten,
    /// The task is cancelled.
    Ended(Box<TaskRecord>),
}

impl TaskSupervisor {
    /// Cancels a task of `owner`, or deletes one that has ended.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn cancel_or_forget(self: &Rc<Self>, id: &TimeId, owner: &str) -> Result<Cancelled, StoreError> {
        for _ in 0..TRIES {
            let Some((Snapshot { mut record, revision }, is_held)) = self.store.read(id, owner).await? else {
                return Ok(Cancelled::NotFound);
            };
            if record.status.is_end() {
                let was_there = self.store.forget(id, owner).await?;
                return Ok(if was_there { Cancelled::Forgotten } else { Cancelled::NotFound });
            }
            // A live runner cancels its jobs itself once it notices.
            let receipts = if is_held { Vec::new() } else { record.restart() };
            record.end(TaskStatus::Cancelled, self.host.unix_time());
            let end = self.row_end(id, &record);
            if let Some(claimed) = self.store.cancel(id, owner, Snapshot { record, revision }, end).await? {
                self.note_end(claimed.record.status);
                let record = Box::new(claimed.record.clone());
                self.finish_cancelled(claimed, receipts);
                return Ok(Cancelled::Ended(record));
            }
        }
        Err(StoreError::Failed("somebody else writes the task again and again".to_owned()))
    }

    /// Finishes a cancelled task in the background: cancels the jobs of a dead runner, and sends the webhook.
    fn finish_cancelled(self: &Rc<Self>, claimed: ClaimedTask, receipts: Vec<Receipt>) {
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            this.cancel(receipts).await;
            this.start(claimed);
        }));
    }

    /// Cancels abandoned jobs at Spaces that are still configured.
    pub(super) async fn cancel(&self, receipts: Vec<Receipt>) {
        let client = self.dispatcher.client();
        let cancelled = receipts.into_iter().filter_map(|receipt| {
            let origin = receipt.cancel_url.origin().ascii_serialization();
            let space = self.catalog.spaces().find(|space| space.origin().to_string() == origin)?;
            let client = client.for_space(space);
            Some(async move { receipt.cancel(&client).await })
        });
        join_all(cancelled).await;
    }
}
