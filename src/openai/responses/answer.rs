//! The two forms of a response.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::unfold;
use http::StatusCode;
use serde_json::{Value, json};

use super::memory::Suffix;
use super::request::Repeated;
use crate::error::Error;
use crate::generation::{Format, Size};
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::http::json::JsonBody;
use crate::http::sse::{self, Events};
use crate::openai::answer::ImageAnswer;
use crate::openai::conversation::wording::{self, Language};
use crate::openai::making::{Item, Payload, Update, Updates, Workshop};
use crate::openai::params::Echo;
use crate::openai::usage::Usage;

/// Remembers which images a response has, by their indexes and files.
pub type Remember = Box<dyn FnOnce(Vec<(u32, crate::gradio::file::RemoteFile)>) -> LocalBoxFuture<'static, ()>>;

/// What an answer repeats of its request, and how it is to be written.
pub struct Asked {
    /// What its ids are made of.
    pub suffix: Suffix,
    /// When it was made, in seconds since the Unix epoch.
    pub created: u64,
    /// The model's id.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// How many images were sent.
    pub images_sent: usize,
    /// How many images are wanted.
    pub count: u32,
    /// Whether images are to come as items of their own, or in a message.
    pub has_tool: bool,
    /// Whether it is an edit.
    pub is_edit: bool,
    /// Whether it is remembered.
    pub store: bool,
    /// The response that this one goes on from.
    pub previous: Option<String>,
    /// What language the user writes.
    pub language: Language,
    /// What the request says of quality and background.
    pub echo: Echo,
    /// What else is repeated.
    pub repeated: Repeated,
    /// When work began, in the platform's monotonic time.
    pub begun: Duration,
}

/// Something that a response has brought forth.
enum Output {
    /// An image by the tool.
    Drawn { index: u32, bytes: Bytes, format: Option<Format>, size: Option<Size>, seed: u32 },
    /// An image that the tool failed to make.
    Undrawn { index: u32, error: Error },
    /// A text.
    Message(String),
}

/// How far a response is.
#[derive(Clone, Copy)]
enum Status<'a> {
    InProgress,
    Completed,
    Failed(&'a Error),
}

/// A text, all at once.
pub fn text(asked: &Asked, text: &str) -> JsonBody {
    let usage = Usage::new(&asked.prompt, asked.images_sent, 0, text);
    let mut body = JsonBody::default();
    push_response(&mut body, asked, Status::Completed, &[Output::Message(text.to_owned())], Some(usage));
    body
}

/// A text, as a stream.
pub fn streamed_text(asked: Asked, text: &str) -> Events {
    let usage = Usage::new(&asked.prompt, asked.images_sent, 0, text);
    let mut writer = Writer { asked, sequence: 0, waiting: VecDeque::new() };
    writer.begin();
    writer.begin_message();
    writer.say(text);
    writer.end_message(text);
    writer.end(Status::Completed, &[Output::Message(text.to_owned())], Some(usage));
    futures::stream::iter(writer.waiting).boxed_local()
}

/// Waits until all images are made or failed, and writes the response.
///
/// # Errors
/// Where none is made: the reason for the first.
pub async fn waited(
    workshop: &Workshop,
    asked: &Asked,
    mut updates: Updates,
    remember: Remember,
) -> Result<ImageAnswer, Error> {
    let (mut made, mut errors, mut ignored, mut course) = (Vec::new(), Vec::new(), Vec::new(), None);
    while let Some(update) = updates.next().await {
        match update {
            Update::Begun(fields) => ignored = fields,
            Update::Waiting(..) | Update::Placed(..) | Update::Progress(..) | Update::Partial(..) => {}
            Update::Made(item) => {
                course = Some(item.course());
                made.push((item, seconds(workshop, asked)));
            }
            Update::Failed(index, error) => errors.push((index, error)),
        }
    }
    made.sort_unstable_by_key(|(item, _)| item.index);
    errors.sort_unstable_by_key(|(index, _)| *index);
    if made.is_empty() {
        return Err(errors.into_iter().next().map_or_else(|| Failure::NoImage.into(), |(_, error)| error));
    }
    errors.iter().for_each(|(_, error)| (workshop.log)(error));
    remember(made.iter().filter_map(|(item, _)| Some((item.index, item.file.clone()?))).collect()).await;
    let usage = Usage::new(&asked.prompt, asked.images_sent, made.len(), "");
    let outputs = if asked.has_tool {
        let mut outputs: BTreeMap<u32, Output> = made.into_iter().map(|(item, _)| (item.index, drawn(item))).collect();
        outputs.extend(errors.into_iter().map(|(index, error)| (index, Output::Undrawn { index, error })));
        outputs.into_values().collect()
    } else {
        let shown = made.into_iter().map(|(item, seconds)| shown(asked, item, seconds));
        let failed = errors.iter().map(|(index, error)| asked.language.failure(*index, asked.count, &error.message));
        vec![Output::Message(shown.chain(failed).collect::<Vec<_>>().join("\n\n"))]
    };
    let mut body = JsonBody::default();
    push_response(&mut body, asked, Status::Completed, &outputs, Some(usage));
    Ok(ImageAnswer { body, ignored, course })
}

/// Tells what happens as it happens, in OpenAI's sequence of events.
pub fn streamed(workshop: Workshop, asked: Asked, updates: Updates, remember: Remember) -> Events {
    let mut writer = Writer { asked, sequence: 0, waiting: VecDeque::new() };
    writer.begin();
    if writer.asked.has_tool {
        (0..writer.asked.count).for_each(|index| writer.begin_image(index));
    } else {
        writer.begin_message();
    }
    let telling = Telling {
        workshop,
        writer,
        updates: Some((updates, remember)),
        outputs: BTreeMap::new(),
        files: Vec::new(),
        generating: HashSet::new(),
        said: String::new(),
        made: 0,
        errors: Vec::new(),
    };
    unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((event, telling))
    })
    .boxed_local()
}

/// What has been told so far.
struct Telling {
    workshop: Workshop,
    writer: Writer,
    /// Taken once all has been told.
    updates: Option<(Updates, Remember)>,
    outputs: BTreeMap<u32, Output>,
    files: Vec<(u32, crate::gradio::file::RemoteFile)>,
    /// The images that are said to be being made.
    generating: HashSet<u32>,
    said: String,
    made: usize,
    errors: Vec<(u32, Error)>,
}

impl Telling {
    async fn next(&mut self) -> Option<JsonBody> {
        loop {
            if let Some(event) = self.writer.waiting.pop_front() {
                return Some(event);
            }
            match self.updates.as_mut()?.0.next().await {
                Some(Update::Begun(_) | Update::Waiting(..) | Update::Placed(..)) => {}
                Some(Update::Progress(index, progress)) => self.progress(index, &progress),
                Some(Update::Partial(index, number, item)) => {
                    self.generates(index);
                    self.writer.partial(index, number, item);
                }
                Some(Update::Made(item)) => self.made(item),
                Some(Update::Failed(index, error)) => self.failed(index, error),
                None => {
                    let (_, remember) = self.updates.take()?;
                    self.end(remember).await;
                }
            }
        }
    }

    fn progress(&mut self, index: u32, progress: &Progress) {
        if matches!(progress, Progress::Started(_) | Progress::Step(_) | Progress::Generating(_)) {
            self.generates(index);
        }
    }

    fn generates(&mut self, index: u32) {
        if self.writer.asked.has_tool && self.generating.insert(index) {
            self.writer.call_event("generating", index);
        }
    }

    fn made(&mut self, item: Item) {
        self.made += 1;
        let index = item.index;
        self.files.extend(item.file.clone().map(|file| (index, file)));
        if self.writer.asked.has_tool {
            self.generates(index);
            let output = drawn(item);
            self.writer.call_event("completed", index);
            self.writer.item_event("done", index, |event, asked| push_output(event, asked, &output));
            self.outputs.insert(index, output);
        } else {
            let text = shown(&self.writer.asked, item, seconds(&self.workshop, &self.writer.asked));
            self.say(&text);
        }
    }

    fn failed(&mut self, index: u32, error: Error) {
        (self.workshop.log)(&error);
        if self.writer.asked.has_tool {
            let output = Output::Undrawn { index, error: error.clone() };
            self.writer.item_event("done", index, |event, asked| push_output(event, asked, &output));
            self.outputs.insert(index, output);
        }
        self.errors.push((index, error));
    }

    fn say(&mut self, text: &str) {
        let text = if self.said.is_empty() { text.to_owned() } else { format!("\n\n{text}") };
        self.writer.say(&text);
        self.said += &text;
    }

    async fn end(&mut self, remember: Remember) {
        let errors = std::mem::take(&mut self.errors);
        let mut outputs: Vec<Output> = std::mem::take(&mut self.outputs).into_values().collect();
        if self.made == 0 {
            let none = Error::from(Failure::NoImage);
            let error = errors.first().map_or(&none, |(_, error)| error);
            if !self.writer.asked.has_tool {
                outputs.clear();
            }
            return self.writer.end(Status::Failed(error), &outputs, None);
        }
        if !self.writer.asked.has_tool {
            for (index, error) in &errors {
                let text = self.writer.asked.language.failure(*index, self.writer.asked.count, &error.message);
                self.say(&text);
            }
            self.writer.end_message(&self.said);
            outputs = vec![Output::Message(std::mem::take(&mut self.said))];
        }
        let usage = Usage::new(&self.writer.asked.prompt, self.writer.asked.images_sent, self.made, "");
        // Before it is told that there is something to go on from.
        remember(std::mem::take(&mut self.files)).await;
        self.writer.end(Status::Completed, &outputs, Some(usage));
    }
}

/// Writes events, which have numbers that rise.
struct Writer {
    asked: Asked,
    sequence: u64,
    waiting: VecDeque<JsonBody>,
}

impl Writer {
    /// An event of that type, with what `write` adds behind the fields that all events have.
    fn event(&mut self, name: &str, write: impl FnOnce(&mut JsonBody, &Asked)) {
        let mut event = JsonBody::default();
        sse::begin(&mut event, Some(name));
        event.push_text(&format!("{{\"type\":\"{name}\",\"sequence_number\":{},", self.sequence));
        write(&mut event, &self.asked);
        event.push_text("}");
        sse::end(&mut event);
        self.sequence += 1;
        self.waiting.push_back(event);
    }

    fn begin(&mut self) {
        for name in ["response.created", "response.in_progress"] {
            self.event(name, |event, asked| {
                event.push_text("\"response\":");
                push_response(event, asked, Status::InProgress, &[], None);
            });
        }
    }

    fn end(&mut self, status: Status<'_>, outputs: &[Output], usage: Option<Usage>) {
        let name = if matches!(status, Status::Failed(_)) { "response.failed" } else { "response.completed" };
        self.event(name, |event, asked| {
            event.push_text("\"response\":");
            push_response(event, asked, status, outputs, usage);
        });
    }

    fn item_event(&mut self, what: &str, index: u32, write: impl FnOnce(&mut JsonBody, &Asked)) {
        self.event(&format!("response.output_item.{what}"), |event, asked| {
            event.push_text(&format!("\"output_index\":{index},\"item\":"));
            write(event, asked);
        });
    }

    fn begin_image(&mut self, index: u32) {
        self.item_event("added", index, |event, asked| {
            let item = json!({"id": asked.suffix.image(index), "type": "image_generation_call", "status": "in_progress", "result": null});
            event.push_text(&item.to_string());
        });
        self.call_event("in_progress", index);
    }

    /// `response.image_generation_call.in_progress`, `.generating` and `.completed`.
    fn call_event(&mut self, what: &str, index: u32) {
        self.event(&format!("response.image_generation_call.{what}"), |event, asked| {
            event.push_text(&format!("\"output_index\":{index},\"item_id\":\"{}\"", asked.suffix.image(index)));
        });
    }

    fn partial(&mut self, index: u32, number: u32, item: Item) {
        let (Payload::Bytes(bytes), true) = (item.payload, self.asked.has_tool) else { return };
        self.event("response.image_generation_call.partial_image", |event, asked| {
            event.push_text(&format!("\"output_index\":{index},\"item_id\":\"{}\",", asked.suffix.image(index)));
            let format = item.format.map_or("png", Format::name);
            let size = item.size.map_or_else(|| "auto".to_owned(), |size| size.to_string());
            let Echo { quality, background } = asked.echo;
            event.push_text(&format!(
                "\"partial_image_index\":{number},\"size\":\"{size}\",\"quality\":\"{quality}\",\"background\":\"{background}\",\"output_format\":\"{format}\",\"partial_image_b64\":\""
            ));
            event.push_base64(bytes);
            event.push_text("\"");
        });
    }

    fn begin_message(&mut self) {
        self.item_event("added", 0, |event, asked| {
            let item = json!({"id": asked.suffix.message(), "type": "message", "status": "in_progress", "role": "assistant", "content": []});
            event.push_text(&item.to_string());
        });
        self.content_event("response.content_part.added", &json!({"part": part("")}));
    }

    fn say(&mut self, text: &str) {
        self.content_event("response.output_text.delta", &json!({"delta": text, "logprobs": []}));
    }

    fn end_message(&mut self, text: &str) {
        self.content_event("response.output_text.done", &json!({"text": text, "logprobs": []}));
        self.content_event("response.content_part.done", &json!({"part": part(text)}));
        let output = Output::Message(text.to_owned());
        self.item_event("done", 0, |event, asked| push_output(event, asked, &output));
    }

    fn content_event(&mut self, name: &str, fields: &Value) {
        self.event(name, |event, asked| {
            event.push_text(&format!(
                "\"item_id\":\"{}\",\"output_index\":0,\"content_index\":0",
                asked.suffix.message()
            ));
            for (name, value) in fields.as_object().into_iter().flatten() {
                event.push_text(&format!(",\"{name}\":{value}"));
            }
        });
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// OpenAI's response object.
fn push_response(body: &mut JsonBody, asked: &Asked, status: Status<'_>, outputs: &[Output], usage: Option<Usage>) {
    let (status, error) = match status {
        Status::InProgress => ("in_progress", Value::Null),
        Status::Completed => ("completed", Value::Null),
        Status::Failed(error) => ("failed", json!({"code": code(error), "message": error.message})),
    };
    let Repeated { tools, tool_choice, metadata, instructions } = &asked.repeated;
    let head = json!({
        "id": asked.suffix.response(), "object": "response", "created_at": asked.created, "status": status, "background": false,
        "error": error, "incomplete_details": null, "instructions": instructions, "max_output_tokens": null,
        "metadata": metadata.clone().unwrap_or_else(|| json!({})), "model": asked.model, "parallel_tool_calls": true,
        "previous_response_id": asked.previous, "store": asked.store, "temperature": 1.0, "text": {"format": {"type": "text"}},
        "tool_choice": tool_choice.clone().unwrap_or_else(|| json!("auto")), "tools": tools, "top_p": 1.0, "truncation": "disabled",
        "usage": usage.map(Usage::of_response), "user": null,
    })
    .to_string();
    body.push_text(head.trim_end_matches('}'));
    body.push_text(",\"output\":[");
    for (position, output) in outputs.iter().enumerate() {
        body.push_text(if position > 0 { "," } else { "" });
        push_output(body, asked, output);
    }
    body.push_text("]}");
}

/// An item of a response's output.
fn push_output(body: &mut JsonBody, asked: &Asked, output: &Output) {
    let action = if asked.is_edit { "edit" } else { "generate" };
    match output {
        Output::Message(text) => {
            let item = json!({"id": asked.suffix.message(), "type": "message", "status": "completed", "role": "assistant", "content": [part(text)]});
            body.push_text(&item.to_string());
        }
        Output::Undrawn { index, error } => {
            let item = json!({
                "id": asked.suffix.image(*index), "type": "image_generation_call", "status": "failed", "result": null, "action": action,
                "error": {"type": error.kind, "code": error.code, "message": error.message, "param": error.param},
            });
            body.push_text(&item.to_string());
        }
        Output::Drawn { index, bytes, format, size, seed } => {
            let Echo { quality, background } = asked.echo;
            let mut item = json!({
                "id": asked.suffix.image(*index), "type": "image_generation_call", "status": "completed", "action": action,
                "quality": quality, "background": background, "revised_prompt": asked.prompt, "seed": seed,
                "output_format": format.map_or("png", Format::name),
            });
            if let (Some(fields), Some(size)) = (item.as_object_mut(), size) {
                fields.insert("size".to_owned(), json!(size.to_string()));
            }
            body.push_text(item.to_string().trim_end_matches('}'));
            body.push_text(",\"result\":\"");
            body.push_base64(bytes.clone());
            body.push_text("\"}");
        }
    }
}

fn drawn(item: Item) -> Output {
    let Item { index, seed, size, format, payload, .. } = item;
    match payload {
        Payload::Bytes(bytes) | Payload::DataUrl(_, bytes) => Output::Drawn { index, bytes, format, size, seed },
        // Images of the tool are asked for as bytes.
        Payload::Url(_) => Output::Undrawn { index, error: Failure::NoImage.into() },
    }
}

/// An image in a message.
fn shown(asked: &Asked, item: Item, seconds: f64) -> String {
    let caption = asked.language.caption(item.seed, item.size, seconds);
    format!("{}\n\n{caption}", wording::image(&asked.prompt, &item.payload.into_url(item.format)))
}

/// One of the codes that OpenAI's type of a response's error knows.
fn code(error: &Error) -> &'static str {
    match error.status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
        status if status.is_client_error() => "invalid_prompt",
        _ => "server_error",
    }
}

fn seconds(workshop: &Workshop, asked: &Asked) -> f64 {
    workshop.host().now().saturating_sub(asked.begun).as_secs_f64()
}
