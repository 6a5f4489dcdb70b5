//! The images of a task, and how each is.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::format::Format;
use crate::generation::Size;
use crate::gradio::job::Receipt;
use crate::history::entry::{ImageRecord, KeptFile};

/// Status of a task, or of an image of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// An image that no Space has yet. Tasks are queued then.
    Waiting,
    /// It waits at a Space.
    Queued,
    /// It is being made.
    Running,
    /// It is made; of a task: at least one image is.
    Succeeded,
    /// It won't be made.
    Failed,
    /// Nobody wants it any more.
    Cancelled,
}

impl TaskStatus {
    /// Reads the status of a task.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "queued" => Some(Self::Queued),
            "running" => Some(Self::Running),
            "succeeded" => Some(Self::Succeeded),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// As clients read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// An image of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageState {
    /// Its status.
    pub status: TaskStatus,
    /// How far.
    #[serde(flatten)]
    pub progress: ProgressState,
    /// The name of the Space that makes it, if clients may know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Seed that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// `WIDTHxHEIGHT`, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its format, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Place where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<ImageLocation>,
    /// Reason for which it won't be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// What cancels its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// An image that is made.
pub struct Finished {
    /// Seed that it was made from.
    pub seed: u32,
    /// How large it is, as far as that is known.
    pub size: Option<Size>,
    /// Its format, as far as that is known.
    pub format: Option<Format>,
    /// The name of the Space that made it, if clients may know it.
    pub space: Option<String>,
    /// Place where it lies.
    pub place: ImageLocation,
}

/// Progress of an image, as a Space tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressState {
    /// How many jobs are before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// How many jobs wait in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_size: Option<u64>,
    /// The Space's guess of the seconds until it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// Steps done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Steps in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The part of the work that is done, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
}

/// Place where an image lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageLocation {
    /// At a Space.
    File(KeptFile),
    /// In the database, so many bytes: the Space sent it along.
    Stored(u64),
}

/// An error, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// For people.
    pub message: String,
    /// OpenAI's family of errors.
    pub r#type: String,
    /// The parameter at fault.
    pub param: Option<String>,
    /// For machines.
    pub code: Option<String>,
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        Self {
            message: error.message.clone(),
            r#type: error.kind.to_owned(),
            param: error.param.map(str::to_owned),
            code: error.code.map(str::to_owned),
        }
    }
}

impl ImageState {
    /// An image that no Space has yet.
    pub(super) fn new() -> Self {
        Self {
            status: TaskStatus::Waiting,
            progress: ProgressState::default(),
            space: None,
            seed: None,
            size: None,
            format: None,
            place: None,
            error: None,
            receipt: None,
        }
    }

    /// Its entry in the history; none where it isn't made, or lies at no Space.
    pub fn remembered(&self, index: u32) -> Option<ImageRecord> {
        let Some(ImageLocation::File(file)) = &self.place else { return None };
        let (size, format, file) = (self.size.clone(), self.format.clone(), file.clone());
        Some(ImageRecord { index, seed: self.seed?, size, format, file })
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, status: TaskStatus) {
        self.status = status;
        (self.progress, self.receipt) = (ProgressState::default(), None);
    }
}
