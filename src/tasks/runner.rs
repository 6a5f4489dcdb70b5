//! Makes a task's images, as long as the task is held.
//!
//! What happens is kept before anybody is told: at once where a job has joined or an image has ended, else at most once
//! in a second. Whoever takes a task over makes only the images that aren't made, from the same seeds; a job that the
//! one before left at a Space is cancelled first, as Gradio gives the result of a job only to whoever joined it. A task
//! that can't go on now, as all Spaces rest or are full, is put back into the database until later.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::{LocalBoxStream, iter, select_all};
use http::StatusCode;

use super::files::output;
use super::image::{Finished, ImageLocation, TaskStatus};
use super::record::{RemainingWork, TaskRecord};
use super::store::{ClaimedTask, NextHolder, RowEnd, RunnerToken};
use super::supervisor::TaskSupervisor;
use crate::error::{Error, Retry};
use crate::format::Wanted;
use crate::gradio::failure::Failure;
use crate::history::entry::KeptFile;
use crate::openai::making::{Item, Payload, Update, Updates, conversion};
use crate::platform::StoreError;
use crate::store::id::TimeId;

/// Time between two writes of progress.
const TICK: Duration = Duration::from_secs(1);
/// Time that an image waits for a Space that has room, or that is being woken.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(3600);
/// Shortest time that a task is put back for.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
/// Time that the end of a task is kept in memory for a store that fails.
const PERSIST_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest time between two trials of that.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A task that this instance works at.
pub(super) struct TaskRun {
    pub(super) supervisor: Rc<TaskSupervisor>,
    pub(super) id: TimeId,
    /// Whose it is.
    owner: String,
    pub(super) record: TaskRecord,
    /// Number of the last write.
    revision: i64,
    token: RunnerToken,
    /// Record as it was written last.
    saved: Option<TaskRecord>,
    /// Format that its images are to have.
    wanted: Option<Wanted>,
    /// Time for which those of its images wait that can't be made now.
    postponed: Option<Duration>,
}

/// The task is somebody else's by now, or nobody's.
pub(super) struct Lost;

impl TaskRun {
    /// A task that was taken.
    pub(super) fn new(supervisor: Rc<TaskSupervisor>, claimed: ClaimedTask) -> Self {
        let ClaimedTask { id, owner, record, revision, token } = claimed;
        let saved = Some(record.clone());
        Self { supervisor, id, owner, saved, record, revision, token, wanted: None, postponed: None }
    }

    /// Works at it until nothing is left to do, it is put back, or it is lost.
    pub(super) async fn work(mut self) {
        // Who has lost it leaves all the rest to others.
        let _ = self.go_on().await;
    }

    async fn go_on(&mut self) -> Result<(), Lost> {
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
        }
        self.deliver().await
    }

    /// Makes the images that aren't made, as far as that can be done now.
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
            let updates = self.supervisor.workshop(&self.owner).make(&model, part).await?;
            making.push(updates.map(move |update| shifted(update, range.start)).boxed_local());
        }
        Ok(if making.is_empty() { iter([]).boxed_local() } else { select_all(making).boxed_local() })
    }

    /// Takes down what happens, until all images have ended.
    async fn follow(&mut self, mut updates: Updates) -> Result<(), Lost> {
        let host = Rc::clone(&self.supervisor.host);
        let mut tick = host.sleep(TICK);
        loop {
            let is_urgent = match select(updates.next(), &mut tick).await {
                Either::Left((None, _)) => return Ok(()),
                // The end of the last image is written with the task's.
                Either::Left((Some(update), _)) => self.take_down(update).await && !self.record.missing().is_empty(),
                Either::Right(((), _)) => {
                    tick = host.sleep(TICK);
                    self.saved.as_ref() != Some(&self.record)
                }
            };
            if is_urgent {
                // What can't be kept now is kept with the next write.
                self.save(NextHolder::Keep, None).await?;
            }
        }
    }

    /// Time for which an image had better be left alone that can't be made now; none where it can't be made at all.
    fn later(&self, error: &Error) -> Option<Duration> {
        let Retry::After(wait) = error.retry else { return None };
        let waited = self.supervisor.host.unix_time().saturating_sub(self.id.created());
        (error.status == StatusCode::SERVICE_UNAVAILABLE && waited < WAIT_FOR_ROOM).then_some(wait)
    }

    /// Takes an update into the record. Returns whether it must be kept at once.
    async fn take_down(&mut self, update: Update) -> bool {
        let now = self.supervisor.host.unix_time();
        match update {
            Update::Begun(_) | Update::Partial(..) => false,
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

    /// Place of an image; one that came without a file is put into the database.
    async fn place(&self, item: Item) -> Result<ImageLocation, Error> {
        if let Some(file) = &item.file {
            return Ok(ImageLocation::File(KeptFile::new(file, conversion(file, self.wanted))));
        }
        let (Payload::Bytes(bytes) | Payload::DataUrl(_, bytes)) = item.payload else {
            return Err(Failure::NoImage.into());
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let kept = self.keep_output(&output(item.index), &bytes).await;
        kept.map(|()| ImageLocation::Stored(length)).map_err(|error| Error::store_failed(&error))
    }

    /// Puts an image into the database; a few times where that fails.
    async fn keep_output(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let until = self.supervisor.until(&self.id);
        let add = || self.supervisor.store.add_file(&self.id, name, bytes, until);
        for pause in [200, 500, 1000, 5000] {
            if add().await.is_ok() {
                return Ok(());
            }
            self.supervisor.host.sleep(Duration::from_millis(pause)).await;
        }
        add().await
    }

    /// Writes the record. Returns whether the store did its work.
    async fn save(&mut self, next: NextHolder, end: Option<RowEnd>) -> Result<bool, Lost> {
        // A write whose answer is lost may have been done, or be done later: each has a number of its own.
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

    /// Writes the record, however often the store must be asked.
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

/// An update of a part of the images, with their numbers in the whole.
fn shifted(update: Update, start: u32) -> Update {
    match update {
        Update::Waiting(index, before) => Update::Waiting(index + start, before),
        Update::Placed(index, space) => Update::Placed(index + start, space),
        Update::Progress(index, progress) => Update::Progress(index + start, progress),
        Update::Partial(index, number, item) => Update::Partial(index + start, number, item),
        Update::Made(item) => Update::Made(Item { index: item.index + start, ..item }),
        Update::Failed(index, error) => Update::Failed(index + start, error),
        begun @ Update::Begun(_) => begun,
    }
}
