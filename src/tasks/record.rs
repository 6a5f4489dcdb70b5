//! The state of a task.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::image::{Fault, ImageState, TaskStatus};
use crate::generation::{Priority, RequestKind};
use crate::gradio::job::Receipt;
use crate::history::entry::bit;
use crate::openai::params::ImageRequest;

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Kind of the request.
    pub kind: RequestKind,
    /// Time of submission, in seconds since the Unix epoch.
    pub created: u64,
    /// When a Space first took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// The model's id.
    pub model: String,
    /// The request's fields, with a seed in any case.
    pub fields: Map<String, Value>,
    /// How many images it sends along, the mask not counted.
    pub inputs: u32,
    /// Whether it sends a mask along.
    pub has_mask: bool,
    /// Address at which its client reaches this server, for links.
    pub base: String,
    /// Its status.
    pub status: TaskStatus,
    /// How its images are.
    pub images: Vec<ImageState>,
    /// Receiver of the news of its end, until that is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Reason of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// Receiver of the news of a task's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where.
    pub url: String,
    /// Delivery attempts so far.
    pub attempts: u32,
    /// Whether nothing more is tried: it has been told, or can't be.
    pub is_done: bool,
}

/// Contents of a new task.
pub struct NewTask {
    /// The model's id.
    pub model: String,
    /// The request's fields.
    pub fields: Map<String, Value>,
    /// Address at which its client reaches this server.
    pub base: String,
}

impl TaskRecord {
    /// A new task.
    pub fn new(task: NewTask, request: &ImageRequest, now: Duration) -> Self {
        let NewTask { model, mut fields, base } = task;
        let generation = &request.generation;
        // Whoever makes it later makes the same.
        fields.insert("seed".to_owned(), generation.seed.get().into());
        fields.insert("prompt".to_owned(), Value::from(generation.prompt.as_str()));
        let webhook = request.webhook_url.clone();
        Self {
            kind: request.kind(),
            created: now.as_secs(),
            started: None,
            completed: None,
            model,
            fields,
            inputs: u32::try_from(generation.images.len()).unwrap_or(u32::MAX),
            has_mask: generation.mask.is_some(),
            base,
            status: TaskStatus::Queued,
            images: (0..generation.count).map(|_| ImageState::new()).collect(),
            webhook: webhook.map(|url| Webhook { url, attempts: 0, is_done: false }),
            error: None,
        }
    }

    /// The prompt.
    pub fn prompt(&self) -> &str {
        self.fields.get("prompt").and_then(Value::as_str).unwrap_or_default()
    }

    /// The priority.
    pub fn priority(&self) -> Priority {
        self.fields.get("priority").and_then(Value::as_str).and_then(Priority::parse).unwrap_or_default()
    }

    /// Work that is left.
    pub fn work(&self) -> RemainingWork {
        match &self.webhook {
            _ if !self.status.is_end() => RemainingWork::Images,
            Some(webhook) if !webhook.is_done => RemainingWork::Webhook,
            _ => RemainingWork::Nothing,
        }
    }

    /// Images that the history lists, bit i for the image of index i.
    pub fn shown(&self) -> i64 {
        let images = (0..).zip(&self.images).filter(|(index, image)| image.remembered(*index).is_some());
        images.filter_map(|(index, _)| bit(index)).fold(0, |shown, bit| shown | bit)
    }

    /// Puts the images that were on their way back to the start, for whoever makes them now, and returns what cancels
    /// the jobs that were left behind.
    pub fn restart(&mut self) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for image in self.images.iter_mut().filter(|image| !image.status.is_end()) {
            receipts.extend(image.receipt.take());
            *image = ImageState::new();
        }
        receipts
    }

    /// The images that are still to be made, as ranges of their indexes.
    pub fn missing(&self) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for (index, image) in (0..).zip(&self.images) {
            if image.status.is_end() {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => ranges.push(index..index + 1),
            }
        }
        ranges
    }
}

/// Work that is left for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemainingWork {
    /// None.
    Nothing,
    /// Its end is to be told.
    Webhook,
    /// Images are to be made.
    Images,
}

impl RemainingWork {
    /// As the database has it.
    pub fn number(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Webhook => 1,
            Self::Images => 2,
        }
    }
}
