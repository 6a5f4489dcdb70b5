//! Remembers what waiting and streaming requests make, beside their answers.
//!
//! An entry is complete when nothing more comes, which is also when nobody listens any more. Entries are collected, and
//! written by one task of the instance with one statement: a second after the first of them, or once there are 32 or 64
//! KB of them. So an instance that is killed loses a second of history. While the database fails, a bounded number is
//! kept for a minute.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::stream::unfold;

use super::entry::{Entry, ImageRecord, KeptFile, fold};
use super::{BETWEEN_TRIMS, History, TTL};
use crate::catalog::Model;
use crate::generation::{RequestKind, TargetFormat};
use crate::pipeline::{Item, RunRequest, Update, Updates, conversion};
use crate::platform::{StoreError, Value, timeout};
use crate::store::id::TimeId;
use crate::store::milliseconds;
use crate::store::statement::Argument;
use crate::store::statements::history;

/// Time that the first entry of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// Entries of a batch.
const ENTRIES: usize = 32;
/// Size of a batch, in bytes; one entry may be larger.
const BYTES: usize = 64 << 10;
/// Entries that are kept while the database fails.
const MOST: usize = 512;
/// Size of the entries that are kept while the database fails, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// Time for which they are kept.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time between two trials.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Entries that wait to be written.
#[derive(Default)]
pub(super) struct Batch {
    rows: VecDeque<Pending>,
    bytes: usize,
    /// Told once a batch is full.
    full: Option<oneshot::Sender<()>>,
}

/// A row that waits to be written.
#[derive(Clone)]
struct Pending {
    owner: String,
    bytes: usize,
    values: Vec<Value>,
}

impl Batch {
    fn push(&mut self, row: Pending) {
        self.bytes += row.bytes;
        self.rows.push_back(row);
        if self.rows.len() >= ENTRIES || self.bytes >= BYTES {
            self.full.take();
        }
    }

    fn has_room(&self, row: &Pending) -> bool {
        self.rows.len() < MOST && self.bytes.saturating_add(row.bytes) <= MOST_BYTES
    }

    /// Takes what goes into one statement.
    fn take(&mut self) -> Vec<Pending> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.rows.front() {
            if taken.len() == ENTRIES || (!taken.is_empty() && bytes + row.bytes > BYTES) {
                break;
            }
            bytes += row.bytes;
            taken.extend(self.rows.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }

    fn put_back(&mut self, rows: Vec<Pending>) {
        for row in rows.into_iter().rev() {
            self.bytes += row.bytes;
            self.rows.push_front(row);
        }
    }
}

/// Remembers the images of one request.
pub struct Recorder {
    history: Rc<History>,
    owner: String,
    wanted: Option<TargetFormat>,
    entry: Entry,
}

impl History {
    /// What remembers the images of a request of `owner`'s; none where nothing is remembered.
    pub fn recorder(
        self: &Rc<Self>,
        owner: &str,
        model: &Model,
        kind: RequestKind,
        request: &RunRequest,
    ) -> Option<Recorder> {
        self.is_on.then(|| Recorder {
            history: Rc::clone(self),
            owner: owner.to_owned(),
            wanted: request.wanted,
            entry: Entry::new(&model.id, Some(&model.defaults), kind, &request.generation),
        })
    }

    /// Adds an entry to the batch, and sees to it that it is written.
    pub(crate) fn push(self: &Rc<Self>, owner: &str, entry: &Entry) {
        let Ok(json) = serde_json::to_string(entry) else { return };
        let (id, prompt) = (TimeId::new(self.store.host()), fold(&entry.prompt));
        let bytes = json.len() + prompt.len();
        let expires = milliseconds(id.created().saturating_add(TTL));
        let values =
            vec![id.as_str().into(), owner.into(), prompt.into(), entry.shown().into(), expires.into(), json.into()];
        let row = Pending { owner: owner.to_owned(), bytes, values };
        if !self.batch.borrow().has_room(&row) {
            // The database has failed for long, as the log says.
            return;
        }
        self.batch.borrow_mut().push(row);
        if !self.is_writing.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.write().await }));
        }
    }

    /// Writes batches until nothing is left to be written.
    async fn write(self: Rc<Self>) {
        let host = self.store.host();
        let mut pause = DELAY;
        let mut failing: Option<Duration> = None;
        loop {
            if failing.is_some() {
                host.sleep(pause).await;
            } else {
                self.fill(pause).await;
            }
            let batch = self.batch.borrow_mut().take();
            match self.append(&batch).await {
                Ok(()) => (pause, failing) = (DELAY, None),
                Err(_) => {
                    let since = *failing.get_or_insert(host.now());
                    self.batch.borrow_mut().put_back(batch);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if host.now().saturating_sub(since) > PATIENCE {
                        *self.batch.borrow_mut() = Batch::default();
                    }
                }
            }
            if self.batch.borrow().rows.is_empty() {
                self.is_writing.set(false);
                return;
            }
        }
    }

    /// Waits until a batch is full, for `limit` at most.
    async fn fill(&self, limit: Duration) {
        let filled = {
            let mut batch = self.batch.borrow_mut();
            if batch.rows.len() >= ENTRIES || batch.bytes >= BYTES {
                return;
            }
            let (tell, told) = oneshot::channel();
            batch.full = Some(tell);
            told
        };
        let _ = timeout(self.store.host(), limit, filled).await;
    }

    async fn append(&self, batch: &[Pending]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = batch.iter().map(|row| row.values.clone()).collect();
        self.store.query(&history::ADD, vec![("rows", Argument::Rows(rows))]).await?;
        match self.until_trim.get().checked_sub(batch.len()) {
            Some(left) => self.until_trim.set(left),
            None => {
                self.until_trim.set(BETWEEN_TRIMS);
                let owners: BTreeSet<&str> = batch.iter().map(|row| row.owner.as_str()).collect();
                // What is too much now is so later.
                let _ = self.trim(owners).await;
            }
        }
        Ok(())
    }
}

impl Recorder {
    /// The same updates; the images in them are remembered when they end.
    pub fn follow(self, updates: Updates) -> Updates {
        unfold((updates, self), async |(mut updates, mut recorder)| {
            let update = updates.next().await?;
            if let Update::Made(item) = &update {
                recorder.entry.images.extend(image(item, recorder.wanted));
            }
            Some((update, (updates, recorder)))
        })
        .boxed_local()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.entry.images.is_empty() {
            self.entry.images.sort_unstable_by_key(|image| image.index);
            self.history.push(&self.owner, &self.entry);
        }
    }
}

/// Record of an image; nothing of one that lies at no Space.
fn image(item: &Item, wanted: Option<TargetFormat>) -> Option<ImageRecord> {
    let file = item.file.as_ref()?;
    Some(ImageRecord {
        index: item.index,
        seed: item.seed,
        size: item.size.map(|size| size.to_string()),
        format: item.format.map(|format| format.name().to_owned()),
        file: KeptFile::new(file, conversion(file, wanted)),
    })
}
