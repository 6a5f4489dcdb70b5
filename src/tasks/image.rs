//! State of a task's images.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use strum::{EnumString, IntoStaticStr};

use crate::error::Error;
use crate::generation::{Format, Size};
use crate::gradio::job::Receipt;
use crate::history::entry::{ImageRecord, KeptFile};
use crate::media::file::{ImageFile, ImageOwner, StoredImage};
use crate::store::id::TimeId;

/// Status of a task, or of an image of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TaskStatus {
    /// Image without a Space. Its task counts as queued.
    Waiting,
    /// In the queue of a Space.
    Queued,
    /// In the making.
    Running,
    /// Made; for a task: at least one image is.
    Succeeded,
    /// Not made.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
}

impl TaskStatus {
    /// Parses the status of a task.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().filter(|status| *status != Self::Waiting)
    }

    /// Name for clients.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True for final statuses.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// State of an image.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageState {
    /// Status of the image.
    pub status: TaskStatus,
    /// Progress of the image.
    #[serde(flatten)]
    pub progress: ProgressState,
    /// Name of its Space, if names are public.
    #[serde(default)]
    pub space: Option<String>,
    /// Seed of the image.
    #[serde(default)]
    pub seed: Option<u32>,
    /// `WIDTHxHEIGHT`, if known.
    #[serde(default)]
    pub size: Option<String>,
    /// Format of the image, if known.
    #[serde(default)]
    pub format: Option<String>,
    /// Location of the image.
    #[serde(default)]
    pub place: Option<ImageLocation>,
    /// Error of a failed image.
    #[serde(default)]
    pub error: Option<Fault>,
    /// Receipt that cancels its job.
    #[serde(default)]
    pub receipt: Option<Receipt>,
}

/// A finished image.
pub struct Finished {
    /// Seed of the image.
    pub seed: u32,
    /// Size, if known.
    pub size: Option<Size>,
    /// Format of the image, if known.
    pub format: Option<Format>,
    /// Name of its Space, if names are public.
    pub space: Option<String>,
    /// Location of the image.
    pub place: ImageLocation,
}

/// Progress of an image, as reported by its Space.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressState {
    /// Number of jobs ahead in the queue.
    #[serde(default)]
    pub queue_position: Option<u64>,
    /// Length of the queue.
    #[serde(default)]
    pub queue_size: Option<u64>,
    /// Estimate of the Space, in seconds.
    #[serde(default)]
    pub eta_seconds: Option<f64>,
    /// Number of steps done.
    #[serde(default)]
    pub step: Option<u64>,
    /// Number of all steps.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Fraction of the work that is done, from 0 to 1.
    #[serde(default)]
    pub fraction: Option<f64>,
}

/// Location of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageLocation {
    /// File at a Space.
    File(KeptFile),
    /// File in the database, with its length in bytes: the Space has sent the image inline.
    Stored(u64),
}

/// Name of the file of an image that a Space has sent inline, among those of its task.
pub(super) fn output(index: u32) -> String {
    format!("out{index}")
}

/// An error in the stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Message for people.
    pub message: String,
    /// Error type of OpenAI.
    pub r#type: String,
    /// Parameter at fault.
    pub param: Option<String>,
    /// Code for machines.
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
    /// An image without a Space.
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

    /// File of the image, which is that of the index of `task`; none where it isn't made.
    pub(super) fn file(&self, task: &TimeId, index: u32) -> Option<KeptFile> {
        match self.place.as_ref()? {
            ImageLocation::File(file) => Some(file.clone()),
            ImageLocation::Stored(length) => {
                let owner = ImageOwner::Task(task.as_str().to_owned(), output(index));
                let format = Format::of_name(&format!(".{}", self.format.as_deref().unwrap_or("png")))?;
                let stored = StoredImage { owner, format, length: usize::try_from(*length).ok()? };
                Some(KeptFile::new(&ImageFile::Stored(stored), None))
            }
        }
    }

    /// True for an image that has an entry in the history.
    pub fn is_remembered(&self) -> bool {
        self.place.is_some() && self.seed.is_some()
    }

    /// Entry of the image in the history; none where it isn't made.
    pub fn remembered(&self, task: &TimeId, index: u32) -> Option<ImageRecord> {
        let file = self.file(task, index)?;
        let (size, format) = (self.size.clone(), self.format.clone());
        Some(ImageRecord { index, seed: self.seed?, size, format, file })
    }

    /// Ends the image with `status`.
    pub(super) fn end(&mut self, status: TaskStatus) {
        self.status = status;
        (self.progress, self.receipt) = (ProgressState::default(), None);
    }
}
