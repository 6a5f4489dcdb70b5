//! Form of a task for clients.

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::image::{Fault, ImageState, ProgressState, TaskStatus};
use super::record::TaskRecord;
use super::supervisor::TaskSupervisor;
use crate::generation::{Priority, RequestKind};
use crate::media::link::Links;
use crate::openai::usage::Usage;
use crate::store::id::TimeId;

/// A task.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskObject {
    id: String,
    object: &'static str,
    status: &'static str,
    kind: RequestKind,
    created_at: u64,
    started_at: Option<u64>,
    completed_at: Option<u64>,
    expires_at: u64,
    model: String,
    prompt: String,
    n: usize,
    priority: Priority,
    poll_url: String,
    events_url: String,
    progress: f64,
    images: Vec<ImageObject>,
    result: Option<ResultObject>,
    error: Option<Fault>,
    /// Results for clients that poll other servers.
    data: Vec<Datum>,
}

impl TaskObject {
    /// Id of the task.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// URL of the task.
    pub fn poll_url(&self) -> &str {
        &self.poll_url
    }
}

/// An image of a task.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ImageObject {
    index: u32,
    status: &'static str,
    #[serde(flatten)]
    progress: ProgressState,
    space: Option<String>,
    seed: Option<u32>,
    size: Option<String>,
    output_format: Option<String>,
    url: Option<String>,
    error: Option<Fault>,
}

/// Result in the form of the images API.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ResultObject {
    created: u64,
    data: Vec<Datum>,
    size: Option<String>,
    output_format: Option<String>,
    usage: Usage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorObject>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Datum {
    /// A finished image.
    Image {
        url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        seed: Option<u32>,
    },
    /// Placeholder of an unfinished or failed task.
    Pending { status: &'static str, task_id: String },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ErrorObject {
    index: u32,
    message: String,
    r#type: String,
    code: Option<String>,
}

impl TaskSupervisor {
    /// Form of a task for its owner.
    pub fn view(&self, key: &TimeId, record: &TaskRecord, links: &Links) -> TaskObject {
        let id = task_id(key);
        let base = &links.base;
        let images: Vec<ImageObject> =
            (0..).zip(&record.images).map(|(index, image)| image_object(key, index, image, links)).collect();
        let result = (record.status.is_end() && record.images.iter().any(|image| image.place.is_some()))
            .then(|| result(record, &images));
        let data = match &result {
            Some(result) if record.status == TaskStatus::Succeeded => result.data.clone(),
            _ => vec![Datum::Pending { status: record.status.name(), task_id: id.clone() }],
        };
        TaskObject {
            object: "image.task",
            status: record.status.name(),
            kind: record.kind,
            created_at: record.created,
            started_at: record.started,
            completed_at: record.completed,
            expires_at: self.until(key).as_secs(),
            model: record.model.clone(),
            prompt: record.prompt().to_owned(),
            n: record.images.len(),
            priority: record.priority(),
            poll_url: format!("{base}/v1/tasks/{id}"),
            events_url: format!("{base}/v1/tasks/{id}/events"),
            progress: record.done(),
            images,
            result,
            error: record.error.clone(),
            data,
            id,
        }
    }
}

/// Public id of a task.
pub fn task_id(id: &TimeId) -> String {
    format!("task_{id}")
}

fn image_object(task: &TimeId, index: u32, image: &ImageState, links: &Links) -> ImageObject {
    ImageObject {
        index,
        status: image.status.name(),
        progress: image.progress.clone(),
        space: image.space.clone(),
        seed: image.seed,
        size: image.size.clone(),
        output_format: image.format.clone(),
        url: image.file(task, index).and_then(|file| file.url(links)),
        error: image.error.clone(),
    }
}

fn result(record: &TaskRecord, images: &[ImageObject]) -> ResultObject {
    let made = |image: &&ImageObject| image.status == TaskStatus::Succeeded.name();
    let first = images.iter().find(made);
    let usage = Usage::new(record.prompt(), usize::try_from(record.inputs).unwrap_or(0), 0, "");
    let errors = images.iter().filter_map(|image| {
        let Fault { message, r#type, param: _, code } = image.error.clone()?;
        Some(ErrorObject { index: image.index, message, r#type, code })
    });
    let link = |image: &ImageObject| Some(Datum::Image { url: image.url.clone()?, seed: image.seed });
    ResultObject {
        created: record.completed.unwrap_or(record.created),
        data: images.iter().filter_map(link).collect(),
        size: first.and_then(|image| image.size.clone()),
        output_format: first.and_then(|image| image.output_format.clone()),
        usage: usage.with_images_made(images.iter().filter(made).count()),
        errors: errors.collect(),
    }
}
