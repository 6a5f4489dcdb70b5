//! Recorder of images that waiting and streaming requests make.
//!
//! An entry is complete once its updates end or are dropped. One task of the instance writes entries in batches, each
//! with one statement: a second after the first entry, or at 32 entries or 64 KB. So a killed instance loses a second
//! of history. While the database fails, a bounded number of entries is kept for a minute.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;

use super::batch::{Batch, Pending};
use super::entry::{HistoryEntry, ImageRecord, KeptFile, fold};
use super::{BETWEEN_TRIMS, History, TTL};
use crate::catalog::Model;
use crate::generation::{RequestKind, TargetFormat};
use crate::pipeline::{Item, RunRequest, Update, Updates, conversion};
use crate::platform::{StoreError, timeout};
use crate::store::id::TimeId;
use crate::store::milliseconds;
use crate::store::statement::Argument;
use crate::store::statements::history;

/// Time for which the first entry of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// Time for which entries are kept while the database fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum pause between retries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Recorder of the images of one request.
pub struct Recorder {
    history: Rc<History>,
    owner: String,
    wanted: Option<TargetFormat>,
    entry: HistoryEntry,
}

impl History {
    /// Recorder of a request of `owner`; none where the history is off.
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
            entry: HistoryEntry::new(&model.id, Some(&model.defaults), kind, &request.generation),
        })
    }

    /// Adds an entry to the batch, and starts its write.
    pub fn push(self: &Rc<Self>, owner: &str, entry: &HistoryEntry) {
        let Ok(json) = serde_json::to_string(entry) else { return };
        let (id, prompt) = (TimeId::new(self.store.host()), fold(&entry.prompt));
        let bytes = json.len() + prompt.len();
        let expires = milliseconds(id.created().saturating_add(TTL));
        let values =
            vec![id.as_str().into(), owner.into(), prompt.into(), entry.shown().into(), expires.into(), json.into()];
        let row = Pending { owner: owner.to_owned(), bytes, values };
        if !self.batch.borrow().has_room(&row) {
            // The database has failed for long, which is logged elsewhere.
            return;
        }
        self.batch.borrow_mut().push(row);
        if !self.is_writing.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.write().await }));
        }
    }

    /// Writes batches until none is left.
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
            if self.batch.borrow().is_empty() {
                self.is_writing.set(false);
                return;
            }
        }
    }

    /// Waits until a batch is full, for `limit` at most.
    async fn fill(&self, limit: Duration) {
        let filled = {
            let mut batch = self.batch.borrow_mut();
            if batch.is_full() {
                return;
            }
            batch.await_full()
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
                // Where the store fails, a later trim deletes the surplus.
                let _ = self.trim(owners).await;
            }
        }
        Ok(())
    }
}

impl Recorder {
    /// Passes `updates` through; records their images when they end.
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

/// Record of an image; none for one without a file.
fn image(item: &Item, wanted: Option<TargetFormat>) -> Option<ImageRecord> {
    let file = item.file.as_ref()?;
    Some(ImageRecord {
        index: item.index,
        seed: item.seed,
        size: item.size.map(|size| size.to_string()),
        format: item.format.map(|format| format.name().to_owned()),
        file: KeptFile::new(file, file.remote().and_then(|file| conversion(file, wanted))),
    })
}
