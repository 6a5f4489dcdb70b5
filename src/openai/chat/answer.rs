//! The two forms of a chat's answer.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;
use serde::Serialize;
use serde_json::{Value, json};

use super::progress::ChatProgress;
use crate::error::Error;
use crate::generation::Format;
use crate::gradio::failure::Failure;
use crate::http::json::JsonBody;
use crate::http::sse::{self, Events};
use crate::openai::answer::ImageAnswer;
use crate::openai::conversation::wording::{self, Language};
use crate::openai::making::{Item, Payload, Update, Updates, Workshop};
use crate::openai::usage::Usage;

/// What an answer repeats of its request, and how it is to be written.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The answer's id.
    pub id: String,
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
    /// What language the user writes.
    pub language: Language,
    /// Whether images are to come beside the text.
    pub wants_images: bool,
    /// How progress is told.
    pub progress: ChatProgress,
    /// Whether a stream ends with the usage.
    pub include_usage: bool,
    /// When work began, in the platform's monotonic time.
    pub begun: Duration,
}

/// A text, all at once.
pub fn text(asked: &Asked, text: &str) -> JsonBody {
    let usage = Usage::new(&asked.prompt, asked.images_sent, 0, text);
    whole(asked, text, Vec::new(), usage)
}

/// A text, as a stream.
pub fn streamed_text(asked: &Asked, text: &str) -> Events {
    let usage = Usage::new(&asked.prompt, asked.images_sent, 0, text);
    let mut chunks = vec![chunk(asked, &json!({"role": "assistant", "content": ""}), None)];
    chunks.push(chunk(asked, &json!({"content": text}), None));
    chunks.extend(last_chunks(asked, usage));
    futures::stream::iter(chunks).boxed_local()
}

/// Waits until all images are made or failed, and writes the answer.
///
/// # Errors
/// Where none is made: the reason for the first.
pub async fn waited(workshop: &Workshop, asked: &Asked, mut updates: Updates) -> Result<ImageAnswer, Error> {
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
    let usage = Usage::new(&asked.prompt, asked.images_sent, made.len(), "");
    let (mut content, mut images) = (String::new(), Vec::new());
    for (item, seconds) in made {
        let caption = asked.language.caption(item.seed, item.size, seconds);
        if asked.wants_images {
            images.push(item);
        } else {
            content += &format!("{}\n\n", markdown(asked, item));
        }
        content += &format!("{caption}\n\n");
    }
    for (index, error) in &errors {
        (workshop.log)(error);
        content += &format!("{}\n\n", asked.language.failure(*index, asked.count, &error.message));
    }
    Ok(ImageAnswer { body: whole(asked, content.trim_end(), images, usage), ignored, course })
}

fn whole(asked: &Asked, content: &str, images: Vec<Item>, usage: Usage) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!(
        "{{\"id\":{},\"object\":\"chat.completion\",\"created\":{},\"model\":{},\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{},\"refusal\":null",
        json!(asked.id),
        asked.created,
        json!(asked.model),
        json!(content)
    ));
    if !images.is_empty() {
        body.push_text(",\"images\":[");
        for (position, item) in images.into_iter().enumerate() {
            body.push_text(if position > 0 { "," } else { "" });
            push_image(&mut body, position, item);
        }
        body.push_text("]");
    }
    body.push_text(&format!(
        "}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{}}}",
        json!(usage.of_chat())
    ));
    body
}

/// Tells what happens as it happens: the role at once, as clients give up on silence, then progress, then each image whole in one
/// piece. An error is a text, and the stream ends as it should, since clients throw away what they have when it doesn't.
pub fn streamed(workshop: Workshop, asked: Asked, updates: Updates) -> Events {
    let role = chunk(&asked, &json!({"role": "assistant", "content": ""}), None);
    let telling = Telling {
        waiting: vec![role],
        workshop,
        asked,
        updates: Some(updates),
        made: 0,
        errors: Vec::new(),
        lines: HashMap::new(),
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
    asked: Asked,
    /// Taken once all has been told.
    updates: Option<Updates>,
    /// Chunks that are to be sent, the next one last.
    waiting: Vec<JsonBody>,
    made: usize,
    errors: Vec<(u32, Error)>,
    /// The last line of each image.
    lines: HashMap<u32, String>,
}

impl Telling {
    async fn next(&mut self) -> Option<JsonBody> {
        loop {
            if let Some(chunk) = self.waiting.pop() {
                return Some(chunk);
            }
            let mut chunks = match self.updates.as_mut()?.next().await {
                Some(Update::Begun(_) | Update::Placed(..) | Update::Partial(..)) => Vec::new(),
                Some(Update::Waiting(index, before)) => {
                    let line = self.asked.language.waiting(index, self.asked.count, before);
                    self.line(index, line).into_iter().collect()
                }
                Some(Update::Progress(index, progress)) => {
                    let line = self.asked.language.progress(index, self.asked.count, &progress);
                    line.and_then(|line| self.line(index, line)).into_iter().collect()
                }
                Some(Update::Made(item)) => self.image(item),
                Some(Update::Failed(index, error)) => {
                    (self.workshop.log)(&error);
                    self.errors.push((index, error));
                    Vec::new()
                }
                None => {
                    self.updates = None;
                    self.end()
                }
            };
            chunks.reverse();
            self.waiting = chunks;
        }
    }

    fn line(&mut self, index: u32, line: String) -> Option<JsonBody> {
        if self.lines.get(&index) == Some(&line) {
            return None;
        }
        let delta = match self.asked.progress {
            ChatProgress::Reasoning => json!({"reasoning_content": format!("{line}\n")}),
            ChatProgress::Text => json!({"content": format!("> {line}  \n")}),
            ChatProgress::None => return None,
        };
        self.lines.insert(index, line);
        Some(chunk(&self.asked, &delta, None))
    }

    fn image(&mut self, item: Item) -> Vec<JsonBody> {
        let caption = self.asked.language.caption(item.seed, item.size, seconds(&self.workshop, &self.asked));
        // A quotation of progress ends with a blank line.
        let gap = if self.asked.progress == ChatProgress::Text { "\n" } else { "" };
        let image = if self.asked.wants_images {
            image_chunk(&self.asked, self.made, item)
        } else {
            markdown_chunk(&self.asked, gap, item)
        };
        self.made += 1;
        vec![image, self.content(&format!("\n\n{caption}\n\n"))]
    }

    fn content(&self, text: &str) -> JsonBody {
        chunk(&self.asked, &json!({"content": text}), None)
    }

    fn end(&mut self) -> Vec<JsonBody> {
        let errors = std::mem::take(&mut self.errors);
        // Where all failed, they mostly failed alike, and one reason says it.
        let told = if self.made == 0 { 1 } else { errors.len() };
        let count = if self.made == 0 { 1 } else { self.asked.count };
        let gap = if self.made == 0 && self.asked.progress == ChatProgress::Text { "\n" } else { "" };
        let mut chunks: Vec<JsonBody> = errors
            .iter()
            .take(told)
            .map(|(index, error)| self.asked.language.failure(*index, count, &error.message))
            .map(|text| self.content(&format!("{gap}{text}\n\n")))
            .collect();
        let usage = Usage::new(&self.asked.prompt, self.asked.images_sent, self.made, "");
        chunks.extend(last_chunks(&self.asked, usage));
        chunks
    }
}

/// The end of a stream: why it ends, the usage, and OpenAI's mark.
fn last_chunks(asked: &Asked, usage: Usage) -> Vec<JsonBody> {
    let mut chunks = vec![chunk(asked, &json!({}), Some("stop"))];
    if asked.include_usage {
        chunks.push(sse::event(
            None,
            &Chunk { choices: Vec::new(), usage: Some(json!(usage.of_chat())), ..Chunk::of(asked) },
        ));
    }
    let mut done = JsonBody::default();
    done.push_text("data: [DONE]\n\n");
    chunks.push(done);
    chunks
}

/// `chat.completion.chunk`.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: &'a Value,
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

impl<'a> Chunk<'a> {
    fn of(asked: &'a Asked) -> Self {
        Self {
            id: &asked.id,
            object: "chat.completion.chunk",
            created: asked.created,
            model: &asked.model,
            choices: Vec::new(),
            usage: None,
        }
    }
}

fn chunk(asked: &Asked, delta: &Value, finish_reason: Option<&'static str>) -> JsonBody {
    let choice = Choice { index: 0, delta, logprobs: None, finish_reason };
    sse::event(None, &Chunk { choices: vec![choice], ..Chunk::of(asked) })
}

/// A chunk around a delta that is written in pieces.
fn chunk_around(asked: &Asked, write: impl FnOnce(&mut JsonBody)) -> JsonBody {
    let mut event = JsonBody::default();
    sse::begin(&mut event, None);
    event.push_text(&format!(
        "{{\"id\":{},\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"choices\":[{{\"index\":0,\"delta\":{{",
        json!(asked.id),
        asked.created,
        json!(asked.model)
    ));
    write(&mut event);
    event.push_text("},\"logprobs\":null,\"finish_reason\":null}]}");
    sse::end(&mut event);
    event
}

fn image_chunk(asked: &Asked, position: usize, item: Item) -> JsonBody {
    // In a chunk of its own: some clients read nothing else of one that has images.
    chunk_around(asked, |event| {
        event.push_text("\"images\":[");
        push_image(event, position, item);
        event.push_text("]");
    })
}

fn markdown_chunk(asked: &Asked, gap: &str, item: Item) -> JsonBody {
    chunk_around(asked, |event| {
        event.push_text("\"content\":");
        let text = json!(format!("{gap}{}", markdown(asked, item))).to_string();
        event.push_text(&text);
    })
}

/// `{"type":"image_url","image_url":{"url":…},"index":…}`
fn push_image(body: &mut JsonBody, position: usize, item: Item) {
    body.push_text("{\"type\":\"image_url\",\"image_url\":{\"url\":");
    match item.payload {
        Payload::Bytes(bytes) => {
            let format = item.format.map_or("png", Format::name);
            body.push_text(&format!("\"data:image/{format};base64,"));
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::DataUrl(format, bytes) => {
            body.push_text(&format!("\"data:image/{};base64,", format.name()));
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::Url(url) => body.push_text(&json!(url).to_string()),
    }
    body.push_text(&format!("}},\"index\":{position}}}"));
}

/// The image in Markdown, by a link, or where there can be none, as a data URL.
fn markdown(asked: &Asked, item: Item) -> String {
    wording::image(&asked.prompt, &item.payload.into_url(item.format))
}

fn seconds(workshop: &Workshop, asked: &Asked) -> f64 {
    workshop.host().now().saturating_sub(asked.begun).as_secs_f64()
}
