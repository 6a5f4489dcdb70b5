//! The streaming form of a chat's answer.
//!
//! The role comes at once, as clients give up on silence, then progress, then each image: a link in one piece, or where
//! there is no database to keep it in, the image in pieces that no client's reader finds too long. An error
//! is a text, and the stream ends as it should, since clients throw away what they have when it doesn't.

use std::collections::HashMap;

use futures::StreamExt as _;
use serde_json::json;

use super::chunk::{chunk, content_chunks, image_chunks, last_chunks, markdown_chunks};
use super::context::ChatContext;
use super::progress::ChatProgress;
use crate::error::Error;
use crate::http::json::JsonBody;
use crate::http::sse::{Events, Heartbeat};
use crate::openai::encoder::{EventEncoder, EventQueue};
use crate::openai::usage::Usage;
use crate::pipeline::{ErrorLog, Item, Update};
use crate::platform::Host;

/// Events of a text.
pub(super) fn of_text(context: &ChatContext, text: &str) -> Events {
    let usage = Usage::new(&context.prompt, context.images_sent, 0, text);
    let mut chunks = vec![role(context)];
    chunks.extend(content_chunks(context, text));
    chunks.extend(last_chunks(context, usage));
    futures::stream::iter(chunks).boxed_local()
}

/// The first chunk of a stream.
fn role(context: &ChatContext) -> JsonBody {
    chunk(context, &json!({"role": "assistant", "content": ""}), None)
}

/// Filling of a stream's silence: a chunk that adds nothing.
pub(super) fn heartbeat(context: &ChatContext) -> Heartbeat {
    Heartbeat::event(chunk(context, &json!({}), None))
}

/// Encoder of a chat's events.
pub(super) struct ChatEvents {
    host: Host,
    log: ErrorLog,
    context: ChatContext,
    /// Number of images made so far.
    made: usize,
    errors: Vec<(u32, Error)>,
    /// Last line of progress of each image.
    lines: HashMap<u32, String>,
}

impl EventEncoder for ChatEvents {
    fn begin(&mut self, events: &mut EventQueue) {
        events.push_back(role(&self.context));
    }

    fn encode(&mut self, update: Update, events: &mut EventQueue) {
        match update {
            Update::Ignored(_) | Update::Placed(..) | Update::Partial(..) => {}
            Update::Waiting(index, before) => {
                let line = self.context.language.waiting(index, self.context.count, before);
                events.extend(self.line(index, line));
            }
            Update::Progress(index, progress) => {
                let line = self.context.language.progress(index, self.context.count, &progress);
                events.extend(line.and_then(|line| self.line(index, line)));
            }
            Update::Made(item) => self.image(item, events),
            Update::Failed(index, error) => {
                (self.log)(&error);
                self.errors.push((index, error));
            }
        }
    }

    async fn end(&mut self, events: &mut EventQueue) {
        let errors = std::mem::take(&mut self.errors);
        // Where all failed, they mostly failed alike, and one reason says it.
        let shown = if self.made == 0 { 1 } else { errors.len() };
        let count = if self.made == 0 { 1 } else { self.context.count };
        let gap = if self.made == 0 && self.context.progress == ChatProgress::Text { "\n" } else { "" };
        for (index, error) in errors.iter().take(shown) {
            let text = self.context.language.failure(*index, count, &error.message);
            events.extend(content_chunks(&self.context, &format!("{gap}{text}\n\n")));
        }
        let usage = Usage::new(&self.context.prompt, self.context.images_sent, self.made, "");
        events.extend(last_chunks(&self.context, usage));
    }
}

impl ChatEvents {
    /// Encoder for a request of that context.
    pub(super) fn new(host: Host, log: ErrorLog, context: ChatContext) -> Self {
        Self { host, log, context, made: 0, errors: Vec::new(), lines: HashMap::new() }
    }

    /// A line of progress, unless it is the same as before.
    fn line(&mut self, index: u32, line: String) -> Option<JsonBody> {
        if self.lines.get(&index) == Some(&line) {
            return None;
        }
        let delta = match self.context.progress {
            ChatProgress::Reasoning => json!({"reasoning_content": format!("{line}\n")}),
            ChatProgress::Text => json!({"content": format!("> {line}  \n")}),
            ChatProgress::None => return None,
        };
        self.lines.insert(index, line);
        Some(chunk(&self.context, &delta, None))
    }

    fn image(&mut self, item: Item, events: &mut EventQueue) {
        let seconds = self.context.seconds_until(self.host.now());
        let caption = self.context.language.caption(item.seed, item.size, seconds);
        // A quotation of progress ends with a blank line.
        let gap = if self.context.progress == ChatProgress::Text { "\n" } else { "" };
        if self.context.wants_images {
            events.extend(image_chunks(&self.context, self.made, gap, item));
        } else {
            events.extend(markdown_chunks(&self.context, gap, item));
        }
        self.made += 1;
        events.extend(content_chunks(&self.context, &format!("\n\n{caption}\n\n")));
    }
}
