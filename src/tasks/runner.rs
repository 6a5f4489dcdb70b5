//! Makes a task's images, as long as the task's lease is held.
//!
//! What happens is kept before anybody is told: at once where an image or the task ends, else at most once in a second. Whoever takes a
//! task over makes only the images that aren't made, from the same seeds; a job that the one before left at a Space is cancelled
//! first, as Gradio gives the result of a job only to whoever joined it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, join_all, select};
use futures::stream::{LocalBoxStream, iter, select_all};
use http::StatusCode;

use super::history::{Entry, Shot};
use super::keeper::Keeper;
use super::lease::Token;
use super::name::Name;
use super::record::{Finished, Kept, Place, Record, Status};
use super::store::{Held, MASK, Written, input, output};
use crate::error::{Error, Retry};
use crate::format::{Format, Wanted};
use crate::generation::SourceImage;
use crate::gradio::discovery::choose::Purpose;
use crate::gradio::failure::Failure;
use crate::gradio::job::Receipt;
use crate::openai::making::{Item, Payload, Update, Updates, conversion};
use crate::openai::params::{Fields, ImageRequest, ResponseFormat};
use crate::platform::{StoreError, random_bytes};

/// How often progress is written, at most, and otherwise how often it is looked whether the task is still wanted.
const TICK: Duration = Duration::from_secs(1);
/// How long an image waits for a Space that has room, or that is being woken.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(3600);
/// How long it is left alone at least.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
/// How long a pause is at once: in between, the task's lease is renewed.
const NAP: Duration = Duration::from_secs(5);
/// How long the end of a task is kept in memory for a store that fails.
const PATIENCE: Duration = Duration::from_secs(600);

/// A task that this instance works at.
pub(super) struct Run {
    pub(super) keeper: Rc<Keeper>,
    pub(super) name: Name,
    pub(super) held: Held,
    pub(super) token: Token,
    /// The format that its images are to have.
    wanted: Option<Wanted>,
    /// How long those of its images wait that can't be made now.
    postponed: Option<Duration>,
}

/// The task is somebody else's by now, or nobody's.
pub(super) struct Lost;

impl Run {
    /// A task, held by `token`.
    pub(super) fn new(keeper: Rc<Keeper>, name: Name, held: Held, token: Token) -> Self {
        Self { keeper, name, held, token, wanted: None, postponed: None }
    }

    /// Works at it until nothing is left to do, or it is lost.
    pub(super) async fn work(mut self) {
        // Who has lost it leaves all the rest to others.
        let _ = self.finish().await;
    }

    async fn finish(&mut self) -> Result<(), Lost> {
        if !self.held.record.status.is_end() {
            self.cancel_left_behind().await;
            self.make().await?;
            self.remember().await;
            self.held.record.revision += 1;
            self.keep_patiently().await?;
        }
        self.notify().await?;
        // A mark that stays is taken away by whoever sees it next.
        let _ = self.keeper.shelf.close(&self.name, &self.held.record).await;
        Ok(())
    }

    /// Makes the images, and waits meanwhile as long as the Spaces have no room, or are asleep: a task has the time.
    async fn make(&mut self) -> Result<(), Lost> {
        loop {
            match self.updates().await {
                Ok(updates) => self.follow(updates).await?,
                Err(error) if self.later(&error).is_some() => self.postponed = self.later(&error),
                Err(error) => {
                    for (index, _) in (0..).zip(&self.held.record.images.clone()) {
                        self.held.record.failed(index, &error);
                    }
                }
            }
            match self.postponed.take() {
                Some(wait) => self.pause(wait.max(SHORTEST_WAIT)).await?,
                None => break,
            }
        }
        self.held.record.end(Status::Failed, self.keeper.outside.unix_time());
        Ok(())
    }

    async fn cancel_left_behind(&mut self) {
        let receipts = self.held.record.restart();
        self.keeper.cancel(receipts).await;
    }

    /// Makes what isn't made.
    async fn updates(&mut self) -> Result<Updates, Error> {
        let record = &self.held.record;
        let (model, request) = self.keeper.request(&self.name, record).await?;
        self.wanted = request.wanted;
        let mut making: Vec<LocalBoxStream<'static, Update>> = Vec::new();
        for range in record.missing() {
            let mut part = request.clone();
            part.generation.seed = request.generation.seed.plus(range.start);
            part.generation.count = range.end - range.start;
            let updates = self.keeper.workshop().make(&model, part).await?;
            making.push(updates.map(move |update| shifted(update, range.start)).boxed_local());
        }
        Ok(if making.is_empty() { iter([]).boxed_local() } else { select_all(making).boxed_local() })
    }

    /// Takes down what happens, until all images have ended.
    async fn follow(&mut self, mut updates: Updates) -> Result<(), Lost> {
        let outside = Rc::clone(&self.keeper.outside);
        let (mut tick, mut is_dirty) = (outside.sleep(TICK), false);
        loop {
            let (urgent, ticked) = match select(updates.next(), &mut tick).await {
                Either::Left((None, _)) => break,
                Either::Left((Some(update), _)) => {
                    let urgent = self.take_down(update).await;
                    is_dirty = true;
                    (urgent, false)
                }
                Either::Right(((), _)) => (false, true),
            };
            if ticked {
                tick = outside.sleep(TICK);
                self.keeper.look_in_passing();
            }
            let is_due = self.held.record.lease.as_ref().is_none_or(|lease| lease.is_due(outside.unix_time()));
            if urgent || (ticked && (is_dirty || is_due)) {
                self.held.record.revision += u64::from(is_dirty);
                // What can't be kept now is kept with the next write.
                is_dirty = !self.keep().await?;
            } else if ticked {
                let shelf = &self.keeper.shelf;
                if let Ok(false) = shelf.is_still(&self.name, &mut self.held, &self.token).await {
                    return Err(Lost);
                }
            }
        }
        Ok(())
    }

    /// For how long an image had better be left alone that can't be made now; none where it can't be made at all.
    fn later(&self, error: &Error) -> Option<Duration> {
        let Retry::After(wait) = error.retry else { return None };
        let waited = self.keeper.outside.unix_time().saturating_sub(self.name.created());
        (error.status == StatusCode::SERVICE_UNAVAILABLE && waited < WAIT_FOR_ROOM).then_some(wait)
    }

    /// Takes an update into the record. Returns whether it must be kept at once.
    async fn take_down(&mut self, update: Update) -> bool {
        let now = self.keeper.outside.unix_time();
        match update {
            Update::Begun(_) | Update::Partial(..) => false,
            Update::Waiting(index, before) => self.held.record.waiting(index, before),
            Update::Placed(index, space) => {
                self.held.record.placed(index, space.map(|space| space.to_string()));
                false
            }
            Update::Progress(index, progress) => self.held.record.progress(index, &progress, now),
            Update::Failed(index, error) if self.later(&error).is_some() => {
                self.postponed = self.postponed.max(self.later(&error));
                self.held.record.waiting(index, 0)
            }
            Update::Failed(index, error) => {
                self.keeper.log_error(&self.name, &error);
                self.held.record.failed(index, &error);
                true
            }
            Update::Made(item) => {
                let (index, seed, size, format) = (item.index, item.seed, item.size, item.format);
                let space = item.space.as_deref().map(str::to_owned);
                match self.place(item).await {
                    Ok(place) => self.held.record.made(index, Finished { seed, size, format, space, place }),
                    Err(error) => self.held.record.failed(index, &error),
                }
                true
            }
        }
    }

    /// Where an image lies; one that came without a file is put into the store.
    async fn place(&self, item: Item) -> Result<Place, Error> {
        if let Some(file) = &item.file {
            return Ok(Place::File(Kept::new(file, conversion(file, self.wanted))));
        }
        let (Payload::Bytes(bytes) | Payload::DataUrl(_, bytes)) = item.payload else {
            return Err(Failure::NoImage.into());
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let name = output(item.index);
        let kept = self.patiently(|| self.keeper.shelf.put_image(&self.name, &name, &bytes)).await;
        kept.map(|()| Place::Stored(length)).map_err(|error| Error::store_failed(&error))
    }

    /// Puts the images into the history. Whoever does it again writes the same.
    pub(super) async fn remember(&self) {
        let Some(ledger) = &self.keeper.ledger else { return };
        let Some(entry) = self.keeper.entry(&self.name, &self.held.record) else { return };
        if let Err(error) = ledger.write(&self.name, entry).await {
            self.keeper.log_trouble("A task's images could not be remembered.", &error);
        }
    }

    /// Waits, half of it for certain and half of it by chance, and stays the task's holder meanwhile.
    pub(super) async fn pause(&mut self, pause: Duration) -> Result<(), Lost> {
        let [lot] = random_bytes::<1>(&self.keeper.outside);
        let until = self.keeper.outside.now() + pause / 2 + pause / 2 * u32::from(lot) / 255;
        loop {
            let left = until.saturating_sub(self.keeper.outside.now());
            if left.is_zero() {
                return Ok(());
            }
            self.keeper.outside.sleep(left.min(NAP)).await;
            if left > NAP {
                self.keep_patiently().await?;
            }
        }
    }

    /// Keeps the record, with a new lease. Returns whether the store did its work.
    async fn keep(&mut self) -> Result<bool, Lost> {
        self.renew();
        match self.keeper.shelf.write(&self.name, &mut self.held, &self.token).await {
            Ok(Written::Kept) => Ok(true),
            Ok(Written::Lost) => Err(Lost),
            Err(_) => Ok(false),
        }
    }

    fn renew(&mut self) {
        if self.held.record.wants_work() {
            self.held.record.lease = Some(self.token.lease(&self.keeper.outside));
        }
    }

    /// Keeps the record, however often the store must be asked.
    pub(super) async fn keep_patiently(&mut self) -> Result<(), Lost> {
        let begun = self.keeper.outside.now();
        let mut pause = Duration::from_millis(200);
        loop {
            if self.keep().await? {
                return Ok(());
            }
            if self.keeper.outside.now().saturating_sub(begun) > PATIENCE {
                self.keeper.log_trouble("A task's end could not be kept.", &StoreError::Failed("it fails".to_owned()));
                return Err(Lost);
            }
            self.keeper.outside.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Does `work`, a few times where the store fails.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        for pause in [200, 500, 1000] {
            if let Ok(done) = work().await {
                return Ok(done);
            }
            self.keeper.outside.sleep(Duration::from_millis(pause)).await;
        }
        work().await
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

impl Keeper {
    /// Cancels jobs that nobody follows any more, at Spaces that are still configured.
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

    /// What a task asks for.
    async fn request(&self, name: &Name, record: &Record) -> Result<(crate::catalog::Model, ImageRequest), Error> {
        let known = self.catalog.models().iter().map(|model| model.id.as_str());
        let model = self.catalog.models().iter().find(|model| model.id == record.model);
        let model = model.ok_or_else(|| Error::model_not_found(&record.model, known))?;
        let mut request = ImageRequest::read(&Fields::new(record.fields.clone()), &self.outside)?;
        (request.format, request.stream) = (ResponseFormat::Url, false);
        if record.inputs > 0 {
            request.purpose = Purpose::Edit;
            for index in 0..record.inputs {
                request.generation.images.push(self.source(name, &input(index)).await?);
            }
            if record.has_mask {
                request.generation.mask = Some(self.source(name, MASK).await?);
            }
        }
        Ok((model.clone(), request))
    }

    /// What is remembered of a task's images.
    pub(super) fn entry(&self, name: &Name, record: &Record) -> Option<Entry> {
        let model = self.catalog.models().iter().find(|model| model.id == record.model)?;
        let request = ImageRequest::read(&Fields::new(record.fields.clone()), &self.outside).ok()?;
        let mut entry = Entry::new(model, record.kind, &request.generation);
        entry.task = Some(name.task_id());
        entry.images = (0..).zip(&record.images).filter_map(|(index, image)| Shot::of_task(index, image)).collect();
        Some(entry)
    }

    async fn source(&self, name: &Name, image: &str) -> Result<SourceImage, Error> {
        let mut bytes = self.shelf.image(name, image).await;
        for pause in [500, 2000, 5000] {
            if bytes.is_ok() {
                break;
            }
            self.outside.sleep(Duration::from_millis(pause)).await;
            bytes = self.shelf.image(name, image).await;
        }
        let bytes: Option<Bytes> = bytes.map_err(|error| Error::store_failed(&error))?;
        let read = bytes.and_then(|bytes| Some(SourceImage { format: Format::of_magic(&bytes)?, bytes }));
        read.ok_or_else(|| {
            Error::internal("An image that was sent with the task is gone.", format!("{image} is not in the store"))
        })
    }
}
