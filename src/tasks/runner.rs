//! Runner of a task: makes its images while it holds the task.
//!
//! Progress is stored before clients see it: at once where a job has joined or an image has ended, otherwise once in a
//! second at most. A successor makes only the missing images, from the same seeds. It first cancels the jobs that its
//! predecessor left at Spaces, as Gradio returns the result of a job only to the session that joined it. A task that
//! can't go on, as all Spaces are resting or full, goes back into the database until later.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::{LocalBoxStream, iter, select_all};
use http::StatusCode;

use super::image::{Finished, ImageLocation, TaskStatus, output};
use super::record::{RemainingWork, TaskRecord};
use super::store::{ClaimedTask, NextHolder, RowEnd, RunnerToken};
use super::supervisor::TaskSupervisor;
use crate::error::{Error, Retry};
use crate::generation::TargetFormat;
use crate::gradio::failure::Failure;
use crate::history::entry::KeptFile;
use crate::observe::images;
use crate::pipeline::{Item, Payload, RunRequest, Update, Updates, conversion};
use crate::platform::{StoreError, retry};
use crate::store::id::TimeId;

/// Interval of writes of progress.
const TICK: Duration = Duration::from_secs(1);
/// Time for which an image waits for a Space with room or one that is waking.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(3600);
/// Minimum time for which a task is put back.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
/// Time for which the write of a task's end is retried.
const PERSIST_TIMEOUT: Duration = Duration::from_secs(600);
/// Maximum pause between the retries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Run of a task in this instance.
pub(super) struct TaskRun {
    pub(super) supervisor: Rc<TaskSupervisor>,
    pub(super) id: TimeId,
    /// Owner of the task.
    owner: String,
    pub(super) record: TaskRecord,
    /// Revision of the last write.
    revision: i64,
    token: RunnerToken,
    /// Record of the last successful write.
    saved: Option<TaskRecord>,
    /// Output format of its images.
    wanted: Option<TargetFormat>,
    /// Time for which images are postponed that can't be made now.
    postponed: Option<Duration>,
}

/// Loss of the task to another runner, or by its end.
pub(super) struct Lost;

impl TaskRun {
    /// A run of a claimed task.
    pub(super) fn new(supervisor: Rc<TaskSupervisor>, claimed: ClaimedTask) -> Self {
        let ClaimedTask { id, owner, record, revision, token } = claimed;
        let saved = Some(record.clone());
        Self { supervisor, id, owner, saved, record, revision, token, wanted: None, postponed: None }
    }

    /// Runs the task until it is done, put back or lost.
    pub(super) async fn work(mut self) {
        // A lost task is left to its new holder.
        let _ = self.run().await;
    }

    async fn run(&mut self) -> Result<(), Lost> {
        if self.record.work() == RemainingWork::Images {
            let receipts = self.record.restart();
            self.supervisor.cancel(receipts).await;
            self.make().await?;
            if let Some(wait) = self.postponed.take() {
                let next = self.supervisor.later(wait.max(SHORTEST_WAIT));
                return self.persist_with_retry(next, None).await;
            }
            self.record.end(TaskStatus::Failed, self.supervisor.host.unix_time());
            let end = self.supervisor.row_end(&self.id, &self.record);
            let next =
                if self.record.work() == RemainingWork::Nothing { NextHolder::Wait(0) } else { NextHolder::Keep };
            self.persist_with_retry(next, Some(end)).await?;
            self.supervisor.note_end(self.record.status);
        }
        self.deliver().await
    }

    /// Makes the missing images, as far as possible now.
    async fn make(&mut self) -> Result<(), Lost> {
        match self.updates().await {
            Ok(updates) => self.follow(updates).await?,
            Err(error) if self.later(&error).is_some() => self.postponed = self.later(&error),
            Err(error) => {
                for (index, _) in (0..).zip(&self.record.images.clone()) {
                    self.record.failed(index, &error);
                }
            }
        }
        Ok(())
    }

    async fn updates(&mut self) -> Result<Updates, Error> {
        let (model, request) = self.supervisor.request(&self.id, &self.record).await?;
        self.wanted = request.wanted;
        let mut making: Vec<LocalBoxStream<'static, Update>> = Vec::new();
        for range in self.record.missing() {
            let mut part = request.clone();
            part.generation.seed = request.generation.seed.plus(range.start);
            part.generation.count = range.end - range.start;
            let part = RunRequest { is_followed: true, ..part.into() };
            let watch = images::of_task(&self.supervisor.metrics, &model, part.generation.count);
            let updates = self.supervisor.pipeline(&self.owner, watch).run(&model, part);
            making.push(updates.map(move |update| shifted(update, range.start)).boxed_local());
        }
        Ok(if making.is_empty() { iter([]).boxed_local() } else { select_all(making).boxed_local() })
    }

    /// Records updates until all images have ended.
    async fn follow(&mut self, mut updates: Updates) -> Result<(), Lost> {
        let host = Rc::clone(&self.supervisor.host);
        let mut tick = host.sleep(TICK);
        loop {
            let is_urgent = match select(updates.next(), &mut tick).await {
                Either::Left((None, _)) => return Ok(()),
                // The end of the last image is written with the end of the task.
                Either::Left((Some(update), _)) => self.apply(update).await && !self.record.missing().is_empty(),
                Either::Right(((), _)) => {
                    tick = host.sleep(TICK);
                    self.saved.as_ref() != Some(&self.record)
                }
            };
            if is_urgent {
                // Where the store fails, the next write includes this one.
                self.save(NextHolder::Keep, None).await?;
            }
        }
    }

    /// Time for which a failed image is postponed; none where its failure is final.
    fn later(&self, error: &Error) -> Option<Duration> {
        let Retry::After(wait) = error.retry else { return None };
        let waited = self.supervisor.host.unix_time().saturating_sub(self.id.created());
        (error.status == StatusCode::SERVICE_UNAVAILABLE && waited < WAIT_FOR_ROOM).then_some(wait)
    }

    /// Applies an update to the record. Returns true where it must be written at once.
    async fn apply(&mut self, update: Update) -> bool {
        let now = self.supervisor.host.unix_time();
        match update {
            Update::Ignored(_) | Update::Partial(..) => false,
            Update::Waiting(index, before) => self.record.waiting(index, before),
            Update::Placed(index, space) => {
                self.record.placed(index, space.map(|space| space.to_string()));
                false
            }
            Update::Progress(index, progress) => self.record.progress(index, &progress, now),
            Update::Failed(index, error) if self.later(&error).is_some() => {
                self.postponed = self.postponed.max(self.later(&error));
                self.record.waiting(index, 0);
                false
            }
            Update::Failed(index, error) => {
                self.supervisor.log_error(&self.id, &error);
                self.record.failed(index, &error);
                true
            }
            Update::Made(item) => {
                let (index, seed, size, format) = (item.index, item.seed, item.size, item.format);
                let space = item.space.as_deref().map(str::to_owned);
                match self.place(item).await {
                    Ok(place) => self.record.made(index, Finished { seed, size, format, space, place }),
                    Err(error) => self.record.failed(index, &error),
                }
                true
            }
        }
    }

    /// Location of an image; an inline image is stored in the database.
    async fn place(&self, item: Item) -> Result<ImageLocation, Error> {
        if let Some(file) = &item.file {
            return Ok(ImageLocation::File(KeptFile::new(
                file,
                file.remote().and_then(|file| conversion(file, self.wanted)),
            )));
        }
        let (Payload::Bytes(bytes) | Payload::DataUrl(_, bytes)) = item.payload else {
            return Err(Failure::NoImage.into());
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let kept = self.keep_output(&output(item.index), &bytes).await;
        kept.map(|()| ImageLocation::Stored(length)).map_err(|error| Error::store_failed(&error))
    }

    /// Stores an image in the database, with retries.
    async fn keep_output(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let until = self.supervisor.until(&self.id);
        let add = || self.supervisor.store.add_file(&self.id, name, bytes, until);
        let pauses = [200, 500, 1000, 5000].map(Duration::from_millis);
        retry(&self.supervisor.host, &pauses, |_| true, async || add().await).await
    }

    /// Writes the record. Returns false where the store failed.
    async fn save(&mut self, next: NextHolder, end: Option<RowEnd>) -> Result<bool, Lost> {
        // A write without a response may still take effect, so each has its own revision.
        self.revision += 1;
        let record = (&self.record, self.revision);
        match self.supervisor.store.save(&self.id, &self.token, record, next, end).await {
            Ok(true) => {
                self.saved = Some(self.record.clone());
                Ok(true)
            }
            Ok(false) => Err(Lost),
            Err(_) => {
                self.saved = None;
                Ok(false)
            }
        }
    }

    /// Writes the record, with retries for [`PERSIST_TIMEOUT`].
    pub(super) async fn persist_with_retry(&mut self, next: NextHolder, end: Option<RowEnd>) -> Result<(), Lost> {
        let begun = self.supervisor.host.now();
        let mut pause = Duration::from_millis(200);
        while !self.save(next, end).await? {
            if self.supervisor.host.now().saturating_sub(begun) > PERSIST_TIMEOUT {
                self.supervisor.log_line(&self.id, "A task's end could not be kept.", "the database fails");
                return Err(Lost);
            }
            self.supervisor.host.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

/// Update of a part of the images, with its index shifted to that in the task.
fn shifted(update: Update, start: u32) -> Update {
    match update {
        Update::Waiting(index, before) => Update::Waiting(index + start, before),
        Update::Placed(index, space) => Update::Placed(index + start, space),
        Update::Progress(index, progress) => Update::Progress(index + start, progress),
        Update::Partial(index, number, item) => Update::Partial(index + start, number, item),
        Update::Made(item) => Update::Made(Item { index: item.index + start, ..item }),
        Update::Failed(index, error) => Update::Failed(index + start, error),
        ignored @ Update::Ignored(_) => ignored,
    }
}
