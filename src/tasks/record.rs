//! State of a task, as stored in its row.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::image::{Fault, ImageState, TaskStatus};
use crate::generation::{Priority, RequestKind};
use crate::gradio::job::Receipt;
use crate::history::entry::bit;
use crate::openai::image_request::ImageRequest;

/// State of a task.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Kind of the request.
    pub kind: RequestKind,
    /// Time of submission, in seconds since the Unix epoch.
    pub created: u64,
    /// Time of the first start at a Space, in seconds since the Unix epoch.
    #[serde(default)]
    pub started: Option<u64>,
    /// Time of the end, in seconds since the Unix epoch.
    #[serde(default)]
    pub completed: Option<u64>,
    /// Id of the model.
    pub model: String,
    /// Fields of the request, always with a seed.
    pub fields: Map<String, Value>,
    /// Number of input images, without the mask.
    pub inputs: u32,
    /// Marks a request with a mask.
    pub has_mask: bool,
    /// Base URL of links, as the client reaches this server.
    pub base: String,
    /// Status of the task.
    pub status: TaskStatus,
    /// State of its images.
    pub images: Vec<ImageState>,
    /// Webhook to be sent at its end.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// Error of a failed task.
    #[serde(default)]
    pub error: Option<Fault>,
}

/// Webhook of a task's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// URL of the receiver.
    pub url: String,
    /// Delivery attempts so far.
    pub attempts: u32,
    /// Set once the webhook was delivered or given up.
    pub is_done: bool,
}

/// Contents of a new task.
pub struct NewTask {
    /// Id of the model.
    pub model: String,
    /// Fields of the request.
    pub fields: Map<String, Value>,
    /// Base URL of links.
    pub base: String,
}

impl TaskRecord {
    /// A new task.
    pub fn new(task: NewTask, request: &ImageRequest, now: Duration) -> Self {
        let NewTask { model, mut fields, base } = task;
        let generation = &request.generation;
        // Every runner makes the same images.
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

    /// Prompt of the request.
    pub fn prompt(&self) -> &str {
        self.fields.get("prompt").and_then(Value::as_str).unwrap_or_default()
    }

    /// Priority of the request.
    pub fn priority(&self) -> Priority {
        self.fields.get("priority").and_then(Value::as_str).and_then(Priority::parse).unwrap_or_default()
    }

    /// Remaining work.
    pub fn work(&self) -> RemainingWork {
        match &self.webhook {
            _ if !self.status.is_end() => RemainingWork::Images,
            Some(webhook) if !webhook.is_done => RemainingWork::Webhook,
            _ => RemainingWork::Nothing,
        }
    }

    /// Images that the history lists: bit i stands for the image of index i.
    pub fn shown(&self) -> i64 {
        let images = (0..).zip(&self.images).filter(|(_, image)| image.is_remembered());
        images.filter_map(|(index, _)| bit(index)).fold(0, |shown, bit| shown | bit)
    }

    /// Resets unfinished images for a new runner. Returns the receipts of abandoned jobs.
    pub fn restart(&mut self) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for image in self.images.iter_mut().filter(|image| !image.status.is_end()) {
            receipts.extend(image.receipt.take());
            *image = ImageState::new();
        }
        receipts
    }

    /// Ranges of indexes of unfinished images.
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

/// Remaining work of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemainingWork {
    /// None.
    Nothing,
    /// Delivery of the webhook.
    Webhook,
    /// Images, and the webhook after them.
    Images,
}

impl RemainingWork {
    /// Value of the column `work`.
    pub fn number(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Webhook => 1,
            Self::Images => 2,
        }
    }
}
