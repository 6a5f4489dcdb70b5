//! The streaming form of the answer.
//!
//! The events are OpenAI's (`image_generation.partial_image`, `image_generation.completed`, and `image_edit.…` for
//! edits). With several images, an event says in `image_index` which it is about. Where the request says
//! `"progress": true`, there are two more kinds: `….progress` has the place in the queue and the steps, `….failed` says
//! that one of several images won't be made; without progress, the images that come after it have it in `errors`.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use serde_json::json;
use serde_with::skip_serializing_none;

use super::context::ImagesContext;
use super::payload::{listed, push_payload, push_space};
use crate::error::Error;
use crate::error::wire::ErrorBody;
use crate::generation::{Format, Purpose};
use crate::http::json::{JsonBody, ObjectWriter};
use crate::http::sse;
use crate::openai::encoder::{EventEncoder, EventQueue};
use crate::openai::image_request::Echo;
use crate::openai::usage::Usage;
use crate::pipeline::{ErrorLog, ImageProgress, Item, Update};
use crate::platform::Host;

/// Encoder of the events of an images request.
pub(super) struct ImageEvents {
    host: Host,
    log: ErrorLog,
    context: ImagesContext,
    /// Number of images made so far.
    made: usize,
    errors: Vec<(u32, Error)>,
    /// Names of the Spaces, by the index of the image that each makes.
    places: HashMap<u32, Rc<str>>,
}

impl EventEncoder for ImageEvents {
    fn begin(&mut self, _: &mut EventQueue) {}

    fn encode(&mut self, update: Update, events: &mut EventQueue) {
        events.extend(match update {
            Update::Ignored(_) => None,
            Update::Placed(index, name) => {
                self.places.extend(name.map(|name| (index, name)));
                None
            }
            Update::Waiting(index, before) => self.waiting(index, before),
            Update::Progress(index, progress) => self.progress(index, &progress),
            Update::Partial(index, number, item) => Some(self.partial(index, number, item)),
            Update::Made(item) => Some(self.completed(item)),
            Update::Failed(index, error) => self.failed(index, error),
        });
    }

    async fn end(&mut self, events: &mut EventQueue) {
        // The error that no image was made for comes in the one form that both official SDKs raise.
        let error = self.errors.first().filter(|_| self.made == 0);
        events.extend(error.map(|(_, error)| error_event(error)));
    }
}

impl ImageEvents {
    /// Encoder for a request of that context.
    pub(super) fn new(host: Host, log: ErrorLog, context: ImagesContext) -> Self {
        Self { host, log, context, made: 0, errors: Vec::new(), places: HashMap::new() }
    }

    fn name(&self, what: &str) -> String {
        let family = match self.context.purpose {
            Purpose::Generate => "image_generation",
            Purpose::Edit => "image_edit",
        };
        format!("{family}.{what}")
    }

    /// An event with an image; `write` adds what partial and whole images don't share.
    fn image(&self, what: &str, item: Item, write: impl FnOnce(&mut ObjectWriter<'_>)) -> JsonBody {
        let name = self.name(what);
        let Echo { quality, background } = self.context.echo;
        sse::event_with(Some(&name), |body| {
            body.push_object(|event| {
                event.field("type", &name);
                push_payload(event, item.payload);
                event.field("created_at", &self.host.unix_time().as_secs());
                event.field("size", &item.size.map_or_else(|| "auto".to_owned(), |size| size.to_string()));
                event.field("quality", quality);
                event.field("background", background);
                event.field("output_format", item.format.map_or("png", Format::name));
                event.field("seed", &item.seed);
                push_space(event, item.space.as_deref().or(self.places.get(&item.index).map(Rc::as_ref)));
                if self.context.count > 1 {
                    event.field("image_index", &item.index);
                }
                write(event);
            });
        })
    }

    fn partial(&self, index: u32, number: u32, item: Item) -> JsonBody {
        let write = |event: &mut ObjectWriter<'_>| event.field("partial_image_index", &number);
        self.image("partial_image", Item { index, ..item }, write)
    }

    fn completed(&mut self, item: Item) -> JsonBody {
        // What was sent counts once, with the first image.
        let usage = if self.made == 0 { self.context.usage } else { Usage::default() };
        self.made += 1;
        self.image("completed", item, |event| {
            event.field("usage", &json!(usage.with_images_made(1).of_event()));
            if !self.errors.is_empty() {
                event.field("errors", &json!(listed(&self.errors)));
            }
        })
    }

    fn waiting(&self, index: u32, before: usize) -> Option<JsonBody> {
        self.progress_event(index, |event| {
            event.state = "waiting";
            event.queue_position = u64::try_from(before).ok();
            event.space = None;
            Some(())
        })
    }

    fn progress(&self, index: u32, progress: &ImageProgress) -> Option<JsonBody> {
        self.progress_event(index, |event| event.take(progress))
    }

    /// A progress event that `fill` fills in, if it has something to say, and the request asks for progress.
    fn progress_event(&self, index: u32, fill: impl FnOnce(&mut ProgressEvent<'_>) -> Option<()>) -> Option<JsonBody> {
        if !self.context.streaming.progress {
            return None;
        }
        let name = self.name("progress");
        let mut event = ProgressEvent {
            r#type: &name,
            created_at: self.host.unix_time().as_secs(),
            image_index: index,
            space: self.places.get(&index).map(Rc::as_ref),
            ..ProgressEvent::default()
        };
        fill(&mut event)?;
        Some(sse::event(Some(&name), &event))
    }

    fn failed(&mut self, index: u32, error: Error) -> Option<JsonBody> {
        (self.log)(&error);
        let name = self.name("failed");
        // The last one of all is sent as the stream's own error.
        let is_sent = self.context.streaming.progress && self.context.count > 1;
        let event = is_sent.then(|| {
            let created_at = self.host.unix_time().as_secs();
            let event = FailedEvent { r#type: &name, created_at, image_index: index, error: error.body() };
            sse::event(Some(&name), &event)
        });
        self.errors.push((index, error));
        event
    }
}

/// An error in mid-stream.
fn error_event(error: &Error) -> JsonBody {
    #[derive(Serialize)]
    struct ErrorEvent<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        error: ErrorBody<'a>,
    }
    sse::event(Some("error"), &ErrorEvent { r#type: "error", error: error.body() })
}

/// `….progress`: progress of an image, as its Space reports it.
#[skip_serializing_none]
#[derive(Default, Serialize)]
struct ProgressEvent<'a> {
    r#type: &'a str,
    created_at: u64,
    image_index: u32,
    /// `waiting` for a Space with room, `queued` there, or `running`.
    state: &'static str,
    /// Number of jobs before it.
    queue_position: Option<u64>,
    /// Number of jobs that wait in all.
    queue_size: Option<u64>,
    /// The Space's estimate of the seconds until it is done.
    eta_seconds: Option<f64>,
    /// Steps done.
    step: Option<u64>,
    /// Steps in all.
    steps: Option<u64>,
    /// Fraction of the work that is done, from 0 to 1.
    fraction: Option<f64>,
    /// Space that makes it.
    space: Option<&'a str>,
}

impl ProgressEvent<'_> {
    fn take(&mut self, progress: &ImageProgress) -> Option<()> {
        match progress {
            ImageProgress::Queued(position) => {
                self.state = "queued";
                self.queue_position = Some(position.rank);
                self.queue_size = Some(position.size);
                self.eta_seconds = position.eta;
            }
            ImageProgress::Started(eta) => {
                self.state = "running";
                self.eta_seconds = *eta;
            }
            ImageProgress::Step(step) => {
                self.state = "running";
                (self.step, self.steps, self.fraction) = (step.index, step.length, step.done());
            }
            ImageProgress::Joined(_) => return None,
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
