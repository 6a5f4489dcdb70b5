//! Request of a task.
//!
//! The request is stored as it was sent, plus the seed, and parsed again by the instance that runs the task.

use std::time::Duration;

use bytes::Bytes;

use super::files::{MASK, input};
use super::record::TaskRecord;
use super::supervisor::TaskSupervisor;
use super::view::task_id;
use crate::catalog::Model;
use crate::error::Error;
use crate::generation::{Format, Purpose, ResponseFormat, SourceImage};
use crate::history::entry::HistoryEntry;
use crate::openai::fields::Fields;
use crate::openai::image_request::ImageRequest;
use crate::platform::retry;
use crate::store::id::TimeId;

impl TaskSupervisor {
    /// Model and request of a task.
    pub(super) async fn request(&self, id: &TimeId, record: &TaskRecord) -> Result<(Model, ImageRequest), Error> {
        let known = self.catalog.models().iter().map(|model| model.id.as_str());
        let model = self.catalog.find(Some(&record.model)).filter(|model| model.id == record.model);
        let model = model.ok_or_else(|| Error::model_not_found(&record.model, known))?;
        let mut request = ImageRequest::read(&Fields::new(record.fields.clone()), &self.host)?;
        (request.format, request.stream) = (Some(ResponseFormat::Url), false);
        if record.inputs > 0 {
            request.purpose = Purpose::Edit;
            for index in 0..record.inputs {
                request.generation.images.push(self.source(id, &input(index)).await?);
            }
            if record.has_mask {
                request.generation.mask = Some(self.source(id, MASK).await?);
            }
        }
        Ok((model.into_owned(), request))
    }

    /// Entry of a task in the history, from the task's record as JSON.
    pub fn entry_of(&self, id: &TimeId, record: &str) -> Option<HistoryEntry> {
        self.entry(id, &serde_json::from_str(record).ok()?)
    }

    /// Entry of a task in the history.
    fn entry(&self, id: &TimeId, record: &TaskRecord) -> Option<HistoryEntry> {
        let model = self.catalog.find(Some(&record.model)).filter(|model| model.id == record.model);
        let request = ImageRequest::read(&Fields::new(record.fields.clone()), &self.host).ok()?;
        let mut entry = HistoryEntry::new(
            &record.model,
            model.as_ref().map(|model| &model.defaults),
            record.kind,
            &request.generation,
        );
        entry.task = Some(task_id(id));
        entry.images = (0..).zip(&record.images).filter_map(|(index, image)| image.remembered(id, index)).collect();
        Some(entry)
    }

    async fn source(&self, id: &TimeId, image: &str) -> Result<SourceImage, Error> {
        let pauses = [500, 2000, 5000].map(Duration::from_millis);
        let bytes = retry(&self.host, &pauses, |_| true, async || self.store.file(id, image).await).await;
        let bytes: Option<Bytes> = bytes.map_err(|error| Error::store_failed(&error))?;
        let read = bytes.and_then(|bytes| Some(SourceImage { format: Format::of_magic(&bytes)?, bytes }));
        read.ok_or_else(|| {
            Error::internal("An image that was sent with the task is gone.", format!("{image} is not in the database"))
        })
    }
}
