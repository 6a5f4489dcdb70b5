//! `POST /v1/images/generations`, `/v1/images/edits` and `/v1/images/variations`: the two forms of their answers.
//!
//! Streamed events are OpenAI's (`image_generation.partial_image`, `image_generation.completed`, and `image_edit.…` for edits). With several images, an event
//! says which it is about in `image_index`. Where the request says `"progress": true`, there are two more kinds: `….progress` tells the place in the queue and
//! the steps, `….failed` that one of several images won't be made.

use std::collections::HashMap;
use std::rc::Rc;

use futures::StreamExt as _;
use futures::stream::unfold;
use serde::Serialize;
use serde_json::json;

use super::answer::ImageAnswer;
use super::making::{Item, Payload, Update, Updates, Workshop, begun};
use super::params::{Echo, ImageRequest, Streaming};
use super::usage::Usage;
use crate::error::{Body as ErrorBody, Error};
use crate::generation::{Format, Purpose};
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::http::json::JsonBody;
use crate::http::sse::{self, Events};

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    created: u64,
    count: u32,
    usage: Usage,
    purpose: Purpose,
    echo: Echo,
    streaming: Streaming,
    is_streamed: bool,
}

impl ResponseContext {
    /// Reads it, at `created`, in seconds since the Unix epoch.
    pub fn of(request: &ImageRequest, created: u64) -> Self {
        let generation = &request.generation;
        let sent = generation.images.len() + generation.mask.iter().len();
        Self {
            created,
            count: generation.count,
            usage: Usage::new(&generation.prompt, sent, 0, ""),
            purpose: request.purpose,
            echo: request.echo,
            streaming: request.streaming,
            is_streamed: request.stream,
        }
    }
}

/// The answer in one of its two forms.
pub enum Reply {
    /// All at once.
    Whole(ImageAnswer),
    /// As it happens.
    Streamed(Events),
}

/// Answers with what becomes of the images, in the form that is asked for.
///
/// # Errors
/// Where no image is made: the reason for the first. A streaming answer that has begun tells it in the stream.
pub async fn answer(workshop: Workshop, asked: ResponseContext, updates: Updates) -> Result<Reply, Error> {
    if asked.is_streamed {
        let updates = begun(workshop.host(), updates).await?;
        return Ok(Reply::Streamed(streamed(workshop, asked, updates)));
    }
    waited(&workshop, asked, updates).await.map(Reply::Whole)
}

/// Waits until all images are made or failed, and writes the answer.
///
/// Where some are made and others fail, those made are answered, with the failures in `errors` beside `data`.
///
/// # Errors
/// Where none is made: the reason for the first.
async fn waited(workshop: &Workshop, asked: ResponseContext, mut updates: Updates) -> Result<ImageAnswer, Error> {
    let (mut made, mut errors, mut ignored, mut course) = (Vec::new(), Vec::new(), Vec::new(), None);
    while let Some(update) = updates.next().await {
        match update {
            Update::Begun(fields) => ignored = fields,
            Update::Waiting(..) | Update::Placed(..) | Update::Progress(..) | Update::Partial(..) => {}
            Update::Made(item) => {
                course = Some(item.course());
                made.push(item);
            }
            Update::Failed(index, error) => errors.push((index, error)),
        }
    }
    made.sort_unstable_by_key(|item| item.index);
    errors.sort_unstable_by_key(|(index, _)| *index);
    if made.is_empty() {
        return Err(errors.into_iter().next().map_or_else(|| Failure::NoImage.into(), |(_, error)| error));
    }
    errors.iter().for_each(|(_, error)| (workshop.log)(error));
    Ok(ImageAnswer { body: whole(asked, made, &errors), ignored, course })
}

fn whole(asked: ResponseContext, items: Vec<Item>, errors: &[(u32, Error)]) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!("{{\"created\":{},\"data\":[", asked.created));
    let first = items.first();
    let (format, size) = (first.and_then(|item| item.format), first.and_then(|item| item.size));
    let usage = asked.usage.with_images_made(items.len());
    for (position, item) in items.into_iter().enumerate() {
        body.push_text(if position > 0 { ",{" } else { "{" });
        push_payload(&mut body, item.payload);
        body.push_text(&format!(",\"seed\":{}{}}}", item.seed, space(item.space.as_deref())));
    }
    body.push_text("]");
    if let Some(size) = size {
        body.push_text(&format!(",\"size\":{}", json!(size.to_string())));
    }
    if let Some(format) = format {
        body.push_text(&format!(",\"output_format\":{}", json!(format.name())));
    }
    body.push_text(&format!(",\"usage\":{}", json!(usage)));
    if !errors.is_empty() {
        body.push_text(&format!(",\"errors\":{}", json!(listed(errors))));
    }
    body.push_text("}");
    body
}

/// Writes `,"space":"…"`, where clients may know it.
fn space(name: Option<&str>) -> String {
    name.map(|name| format!(",\"space\":{}", json!(name))).unwrap_or_default()
}

/// Writes `"b64_json":"…"` or `"url":"…"`.
fn push_payload(body: &mut JsonBody, payload: Payload) {
    match payload {
        Payload::Bytes(bytes) => {
            body.push_text("\"b64_json\":\"");
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::DataUrl(format, bytes) => {
            body.push_text(&format!("\"url\":\"data:image/{};base64,", format.name()));
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::Url(url) => body.push_text(&format!("\"url\":{}", json!(url))),
    }
}

/// Why an image of several is missing.
#[derive(Serialize)]
struct ImageError<'a> {
    /// Which, counted from 0.
    index: u32,
    message: &'a str,
    r#type: &'static str,
    code: Option<&'static str>,
}

fn listed(errors: &[(u32, Error)]) -> Vec<ImageError<'_>> {
    let listed = errors.iter().map(|(index, error)| ImageError {
        index: *index,
        message: &error.message,
        r#type: error.kind,
        code: error.code,
    });
    listed.collect()
}

/// What has been told so far.
struct Telling {
    workshop: Workshop,
    asked: ResponseContext,
    updates: Updates,
    made: usize,
    errors: Vec<(u32, Error)>,
    /// Which Space makes which image.
    places: HashMap<u32, Rc<str>>,
    ended: bool,
}

/// Tells what happens as it happens.
///
/// An error that no image was made for is told in the one form that both official SDKs raise. The failure of one of several images is told by `….failed` where
/// progress is asked for, and in `errors` of the images that come after it.
fn streamed(workshop: Workshop, asked: ResponseContext, updates: Updates) -> Events {
    let telling =
        Telling { workshop, asked, updates, made: 0, errors: Vec::new(), places: HashMap::new(), ended: false };
    unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((event, telling))
    })
    .boxed_local()
}

impl Telling {
    async fn next(&mut self) -> Option<JsonBody> {
        while !self.ended {
            let event = match self.updates.next().await {
                None => {
                    self.ended = true;
                    self.nothing_made()
                }
                Some(Update::Begun(_)) => None,
                Some(Update::Placed(index, name)) => {
                    self.places.extend(name.map(|name| (index, name)));
                    None
                }
                Some(Update::Waiting(index, before)) => self.waiting(index, before),
                Some(Update::Progress(index, progress)) => self.progress(index, &progress),
                Some(Update::Partial(index, number, item)) => Some(self.partial(index, number, item)),
                Some(Update::Made(item)) => Some(self.completed(item)),
                Some(Update::Failed(index, error)) => self.failed(index, error),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn name(&self, what: &str) -> String {
        let family = match self.asked.purpose {
            Purpose::Generate => "image_generation",
            Purpose::Edit => "image_edit",
        };
        format!("{family}.{what}")
    }

    /// The beginning that partial and whole images share.
    fn image(&self, name: &str, item: Item) -> JsonBody {
        let mut event = JsonBody::default();
        sse::begin(&mut event, Some(name));
        event.push_text(&format!("{{\"type\":\"{name}\","));
        let size = item.size.map_or_else(|| "auto".to_owned(), |size| size.to_string());
        let format = item.format.map_or("png", Format::name);
        push_payload(&mut event, item.payload);
        let Echo { quality, background } = self.asked.echo;
        let created = self.workshop.host().unix_time().as_secs();
        event.push_text(&format!(
            ",\"created_at\":{created},\"size\":\"{size}\",\"quality\":\"{quality}\",\"background\":\"{background}\",\"output_format\":\"{format}\",\"seed\":{}{}",
            item.seed,
            space(item.space.as_deref().or(self.places.get(&item.index).map(Rc::as_ref)))
        ));
        if self.asked.count > 1 {
            event.push_text(&format!(",\"image_index\":{}", item.index));
        }
        event
    }

    fn partial(&self, index: u32, number: u32, item: Item) -> JsonBody {
        let mut event = self.image(&self.name("partial_image"), Item { index, ..item });
        event.push_text(&format!(",\"partial_image_index\":{number}}}"));
        sse::end(&mut event);
        event
    }

    fn completed(&mut self, item: Item) -> JsonBody {
        let mut event = self.image(&self.name("completed"), item);
        // What was sent counts once, with the first image.
        let usage = if self.made == 0 { self.asked.usage } else { Usage::default() };
        self.made += 1;
        event.push_text(&format!(",\"usage\":{}", json!(usage.with_images_made(1).of_event())));
        if !self.errors.is_empty() {
            event.push_text(&format!(",\"errors\":{}", json!(listed(&self.errors))));
        }
        event.push_text("}");
        sse::end(&mut event);
        event
    }

    fn waiting(&self, index: u32, before: usize) -> Option<JsonBody> {
        self.progress_event(index, |event| {
            event.state = "waiting";
            event.queue_position = u64::try_from(before).ok();
            event.space = None;
            Some(())
        })
    }

    fn progress(&self, index: u32, progress: &Progress) -> Option<JsonBody> {
        self.progress_event(index, |event| event.take(progress))
    }

    /// An event that `fill` fills in, if it has something to say, and if somebody wants to know.
    fn progress_event(&self, index: u32, fill: impl FnOnce(&mut ProgressEvent<'_>) -> Option<()>) -> Option<JsonBody> {
        if !self.asked.streaming.progress {
            return None;
        }
        let name = self.name("progress");
        let mut event = ProgressEvent {
            r#type: &name,
            created_at: self.workshop.host().unix_time().as_secs(),
            image_index: index,
            space: self.places.get(&index).map(Rc::as_ref),
            ..ProgressEvent::default()
        };
        fill(&mut event)?;
        Some(sse::event(Some(&name), &event))
    }

    fn failed(&mut self, index: u32, error: Error) -> Option<JsonBody> {
        (self.workshop.log)(&error);
        let name = self.name("failed");
        // The last one of all is told as the stream's own error.
        let is_told = self.asked.streaming.progress && self.asked.count > 1;
        let event = is_told.then(|| {
            let created_at = self.workshop.host().unix_time().as_secs();
            let event = FailedEvent { r#type: &name, created_at, image_index: index, error: error.body() };
            sse::event(Some(&name), &event)
        });
        self.errors.push((index, error));
        event
    }

    fn nothing_made(&self) -> Option<JsonBody> {
        let (_, error) = self.errors.first().filter(|_| self.made == 0)?;
        Some(error_event(error))
    }
}

/// An error in mid-stream.
fn error_event(error: &Error) -> JsonBody {
    #[derive(Serialize)]
    struct Event<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        error: ErrorBody<'a>,
    }
    sse::event(Some("error"), &Event { r#type: "error", error: error.body() })
}

/// `….progress`: what a Space tells of an image on its way.
#[derive(Default, Serialize)]
struct ProgressEvent<'a> {
    r#type: &'a str,
    created_at: u64,
    image_index: u32,
    /// `waiting` for a Space with room, `queued` there, or `running`.
    state: &'static str,
    /// How many jobs are before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<u64>,
    /// How many jobs wait in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_size: Option<u64>,
    /// The Space's guess of the seconds until it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<f64>,
    /// Steps done.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    /// Steps in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    /// The part of the work that is done, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    /// The Space that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<&'a str>,
}

impl ProgressEvent<'_> {
    fn take(&mut self, progress: &Progress) -> Option<()> {
        match progress {
            Progress::Queued(position) => {
                self.state = "queued";
                self.queue_position = Some(position.rank);
                self.queue_size = Some(position.size);
                self.eta_seconds = position.eta;
            }
            Progress::Started(eta) => {
                self.state = "running";
                self.eta_seconds = *eta;
            }
            Progress::Step(step) => {
                self.state = "running";
                (self.step, self.steps, self.fraction) = (step.index, step.length, step.done());
            }
            Progress::Joined(_) | Progress::Generating(_) | Progress::Finished(_) => return None,
        }
        Some(())
    }
}

/// `….failed`: one of several images won't be made.
#[derive(Serialize)]
struct FailedEvent<'a> {
    r#type: &'a str,
    created_at: u64,
    image_index: u32,
    #[serde(flatten)]
    error: ErrorBody<'a>,
}
