//! The state of a task, and how it changes.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lease::{Lease, Token};
use crate::error::Error;
use crate::format::{Format, Wanted};
use crate::generation::Size;
use crate::gradio::discovery::choose::Purpose;
use crate::gradio::file::RemoteFile;
use crate::gradio::job::{Progress, Receipt};
use crate::gradio::space::Space;
use crate::openai::params::ImageRequest;

/// The form of a record. Another form needs another number.
pub const VERSION: u32 = 1;

/// How a task, or an image of one, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
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

impl Status {
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

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Images from text.
    Generation,
    /// Images from images.
    Edit,
    /// Images from an image, without words.
    Variation,
}

impl Kind {
    /// What `request` asks for.
    pub fn of(request: &ImageRequest) -> Self {
        match request.purpose {
            Purpose::Generate => Self::Generation,
            Purpose::Edit if request.is_variation => Self::Variation,
            Purpose::Edit => Self::Edit,
        }
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Counts what clients can see change.
    pub revision: u64,
    /// Makes each write different from all others.
    mark: String,
    /// What is asked for.
    pub kind: Kind,
    /// When it was, in seconds since the Unix epoch.
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
    /// Where its client reaches this server, for links.
    pub base: String,
    /// How it is.
    pub status: Status,
    /// How its images are.
    pub images: Vec<ImageState>,
    /// Who works at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Who is told of its end, until that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// Who is told of a task's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where.
    pub url: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether nothing more is tried: it has been told, or can't be.
    pub is_done: bool,
}

/// An image of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageState {
    /// How it is.
    pub status: Status,
    /// How far.
    #[serde(flatten)]
    pub progress: ProgressState,
    /// The name of the Space that makes it, if clients may know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// `WIDTHxHEIGHT`, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its format, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Why it won't be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// What cancels its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// An image that is made.
pub struct Finished {
    /// What it was made from.
    pub seed: u32,
    /// How large it is, as far as that is known.
    pub size: Option<Size>,
    /// Its format, as far as that is known.
    pub format: Option<Format>,
    /// The name of the Space that made it, if clients may know it.
    pub space: Option<String>,
    /// Where it lies.
    pub place: Place,
}

/// How far an image is, as a Space tells it.
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

/// Where an image lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// At a Space.
    File(Kept),
    /// In the key-value store, so many bytes: the Space sent it along.
    Stored(u64),
}

/// A file at a Space, and the format that it is to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The Space's origin.
    pub origin: String,
    /// The path there.
    pub path: String,
    /// The format's name and quality; none for its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<(String, u8)>,
}

impl Kept {
    /// Of a file.
    pub fn new(file: &RemoteFile, wanted: Option<Wanted>) -> Self {
        Self {
            origin: file.origin.to_string(),
            path: file.path.clone(),
            wanted: wanted.map(|wanted| (wanted.format.name().to_owned(), wanted.quality)),
        }
    }

    /// The file.
    pub fn file(&self) -> Option<RemoteFile> {
        let space = Space::parse(&self.origin).ok()?;
        Some(RemoteFile { origin: space.origin().clone(), path: self.path.clone() })
    }

    /// The format that it is to come in.
    pub fn wanted(&self) -> Option<Wanted> {
        let (name, quality) = self.wanted.as_ref()?;
        Some(Wanted { format: Format::of_output_format(name)?, quality: *quality })
    }
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
    fn new() -> Self {
        Self {
            status: Status::Waiting,
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

    fn end(&mut self, status: Status) {
        self.status = status;
        (self.progress, self.receipt) = (ProgressState::default(), None);
    }
}

/// What a new task is about.
pub struct Order {
    /// The model's id.
    pub model: String,
    /// The request's fields.
    pub fields: Map<String, Value>,
    /// Where its client reaches this server.
    pub base: String,
}

impl Record {
    /// A new task, which `lease` holds.
    pub fn new(order: Order, request: &ImageRequest, now: Duration, lease: Lease) -> Self {
        let Order { model, mut fields, base } = order;
        let generation = &request.generation;
        // Whoever makes it later makes the same.
        fields.insert("seed".to_owned(), generation.seed.get().into());
        fields.insert("prompt".to_owned(), Value::from(generation.prompt.as_str()));
        let webhook = request.webhook_url.clone();
        Self {
            version: VERSION,
            revision: 0,
            mark: String::new(),
            kind: Kind::of(request),
            created: now.as_secs(),
            started: None,
            completed: None,
            model,
            fields,
            inputs: u32::try_from(generation.images.len()).unwrap_or(u32::MAX),
            has_mask: generation.mask.is_some(),
            base,
            status: Status::Queued,
            images: (0..generation.count).map(|_| ImageState::new()).collect(),
            lease: Some(lease),
            webhook: webhook.map(|url| Webhook { url, attempts: 0, is_done: false }),
            error: None,
        }
    }

    /// Reads a record; one of another form is as good as none.
    pub fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|record: &Self| record.version == VERSION)
    }

    /// As it is kept, with a mark that no other write has.
    pub fn write(&mut self, mark: String) -> Vec<u8> {
        self.mark = mark;
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The prompt.
    pub fn prompt(&self) -> &str {
        self.fields.get("prompt").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether there is something to be done for it.
    pub fn wants_work(&self) -> bool {
        !self.status.is_end() || self.webhook.as_ref().is_some_and(|webhook| !webhook.is_done)
    }

    /// Whether nobody works at it.
    pub fn is_free(&self, now: Duration) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.has_expired(now))
    }

    /// Whether `token` works at it.
    pub fn is_held_by(&self, token: &Token) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_of(token))
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

    fn image(&mut self, index: u32) -> Option<&mut ImageState> {
        let image = self.images.get_mut(usize::try_from(index).ok()?)?;
        // What has ended stays as it is.
        (!image.status.is_end()).then_some(image)
    }

    /// An image waits here for a Space with room. Returns whether that must be kept at once.
    pub fn waiting(&mut self, index: u32, before: usize) -> bool {
        let Some(image) = self.image(index) else { return false };
        let is_back = image.status != Status::Waiting;
        *image = ImageState::new();
        image.progress.queue_position = u64::try_from(before).ok();
        is_back
    }

    /// An image has been given to a Space.
    pub fn placed(&mut self, index: u32, space: Option<String>) {
        if let Some(image) = self.image(index) {
            *image = ImageState { space, ..ImageState::new() };
            image.status = Status::Queued;
        }
    }

    /// Takes down how far an image is. Returns whether that must be kept at once.
    pub fn progress(&mut self, index: u32, progress: &Progress, now: Duration) -> bool {
        let Some(image) = self.image(index) else { return false };
        let before = image.status;
        match progress {
            Progress::Joined(receipt) => {
                image.receipt = Some(receipt.clone());
                image.status = Status::Queued;
                image.progress = ProgressState::default();
            }
            Progress::Queued(position) => {
                image.status = Status::Queued;
                image.progress = ProgressState {
                    queue_position: Some(position.rank),
                    queue_size: Some(position.size),
                    eta_seconds: position.eta,
                    ..ProgressState::default()
                };
            }
            Progress::Started(eta) => {
                image.status = Status::Running;
                image.progress = ProgressState { eta_seconds: *eta, ..ProgressState::default() };
            }
            Progress::Step(step) => {
                image.status = Status::Running;
                image.progress = ProgressState {
                    step: step.index,
                    steps: step.length,
                    fraction: step.done(),
                    ..ProgressState::default()
                };
            }
            Progress::Generating(_) => image.status = Status::Running,
            Progress::Finished(_) => return false,
        }
        let changed = image.status != before;
        if image.status == Status::Running && self.status == Status::Queued {
            self.status = Status::Running;
            self.started = self.started.or(Some(now.as_secs()));
        }
        changed || matches!(progress, Progress::Joined(_))
    }

    /// An image is made.
    pub fn made(&mut self, index: u32, made: Finished) {
        let Finished { seed, size, format, space, place } = made;
        if let Some(image) = self.image(index) {
            image.end(Status::Succeeded);
            image.seed = Some(seed);
            image.size = size.map(|size| size.to_string());
            image.format = format.map(|format| format.name().to_owned());
            image.space = space.or(image.space.take());
            image.place = Some(place);
        }
    }

    /// An image won't be made.
    pub fn failed(&mut self, index: u32, error: &Error) {
        if let Some(image) = self.image(index) {
            image.end(Status::Failed);
            image.error = Some(error.into());
        }
    }

    /// Nothing more is made of it: what isn't made by now has that status. Where no image is made, the task has failed, or was cancelled.
    pub fn end(&mut self, rest: Status, now: Duration) {
        for image in self.images.iter_mut().filter(|image| !image.status.is_end()) {
            image.end(rest);
        }
        let made = self.images.iter().any(|image| image.status == Status::Succeeded);
        self.status = match rest {
            Status::Cancelled => Status::Cancelled,
            _ if made => Status::Succeeded,
            _ => Status::Failed,
        };
        if self.status == Status::Failed {
            self.error = self.images.iter().find_map(|image| image.error.clone());
        }
        self.completed = Some(now.as_secs());
        if !self.wants_work() {
            self.lease = None;
        }
    }

    /// The part of the work that is done, from 0 to 1.
    pub fn done(&self) -> f64 {
        let done = |image: &ImageState| match image.status {
            status if status.is_end() => 1.0,
            _ => image.progress.fraction.unwrap_or(0.0).clamp(0.0, 1.0),
        };
        let count = f64::from(u32::try_from(self.images.len().max(1)).unwrap_or(u32::MAX));
        self.images.iter().map(done).sum::<f64>() / count
    }
}
