//! The streaming form of a response: OpenAI's sequence of events.

use std::collections::{BTreeMap, HashSet};

use futures::StreamExt as _;

use super::context::ResponseContext;
use super::output::{OutputItem, ResponseStatus, made, shown};
use super::remember::Remember;
use super::writer::EventWriter;
use crate::error::Error;
use crate::http::sse::Events;
use crate::openai::encoder::{EventEncoder, EventQueue};
use crate::openai::usage::Usage;
use crate::pipeline::{ErrorLog, ImageProgress, Item, MadeFile, Update, no_image};
use crate::platform::Host;

/// Events of a text.
pub(super) fn of_text(context: ResponseContext, text: &str) -> Events {
    let usage = Usage::new(&context.prompt, context.images_sent, 0, text);
    let mut writer = EventWriter::new(context);
    writer.begin();
    writer.begin_message();
    writer.delta(text);
    writer.end_message(text);
    writer.end(ResponseStatus::Completed, &[OutputItem::Message(text.to_owned())], Some(usage));
    futures::stream::iter(writer.events).boxed_local()
}

/// Encoder of a response's events.
pub(super) struct ResponseEvents {
    host: Host,
    log: ErrorLog,
    writer: EventWriter,
    /// Taken once the images have ended.
    remember: Option<Remember>,
    outputs: BTreeMap<u32, OutputItem>,
    files: Vec<MadeFile>,
    /// Indexes of the images whose `generating` has been sent.
    generating: HashSet<u32>,
    /// Text of the message so far.
    message: String,
    /// Number of images made so far.
    made: usize,
    errors: Vec<(u32, Error)>,
}

impl EventEncoder for ResponseEvents {
    fn begin(&mut self, events: &mut EventQueue) {
        self.writer.begin();
        if self.writer.context.has_tool {
            (0..self.writer.context.count).for_each(|index| self.writer.begin_image(index));
        } else {
            self.writer.begin_message();
        }
        events.append(&mut self.writer.events);
    }

    fn encode(&mut self, update: Update, events: &mut EventQueue) {
        match update {
            Update::Ignored(_) | Update::Waiting(..) | Update::Placed(..) => {}
            Update::Progress(index, ImageProgress::Started(_) | ImageProgress::Step(_)) => self.generating(index),
            Update::Progress(_, ImageProgress::Joined(_) | ImageProgress::Queued(_)) => {}
            Update::Partial(index, number, item) => {
                self.generating(index);
                self.writer.partial(index, number, item);
            }
            Update::Made(item) => self.made(item),
            Update::Failed(index, error) => self.failed(index, error),
        }
        events.append(&mut self.writer.events);
    }

    async fn end(&mut self, events: &mut EventQueue) {
        self.finish().await;
        events.append(&mut self.writer.events);
    }
}

impl ResponseEvents {
    /// Encoder for a request of that context.
    pub(super) fn new(host: Host, log: ErrorLog, context: ResponseContext, remember: Remember) -> Self {
        Self {
            host,
            log,
            writer: EventWriter::new(context),
            remember: Some(remember),
            outputs: BTreeMap::new(),
            files: Vec::new(),
            generating: HashSet::new(),
            message: String::new(),
            made: 0,
            errors: Vec::new(),
        }
    }

    fn generating(&mut self, index: u32) {
        if self.writer.context.has_tool && self.generating.insert(index) {
            self.writer.call_event("generating", index);
        }
    }

    fn made(&mut self, item: Item) {
        self.made += 1;
        let index = item.index;
        self.files.extend(item.made_file());
        if self.writer.context.has_tool {
            self.generating(index);
            let output = made(item);
            self.writer.call_event("completed", index);
            self.writer.item_done(index, &output);
            self.outputs.insert(index, output);
        } else {
            let text = shown(&self.writer.context, item, self.host.now());
            self.append(&text);
        }
    }

    fn failed(&mut self, index: u32, error: Error) {
        (self.log)(&error);
        if self.writer.context.has_tool {
            let output = OutputItem::FailedImage { index, error: error.clone() };
            self.writer.item_done(index, &output);
            self.outputs.insert(index, output);
        }
        self.errors.push((index, error));
    }

    /// Appends a paragraph to the message.
    fn append(&mut self, text: &str) {
        let text = if self.message.is_empty() { text.to_owned() } else { format!("\n\n{text}") };
        self.writer.delta(&text);
        self.message += &text;
    }

    async fn finish(&mut self) {
        let errors = std::mem::take(&mut self.errors);
        let mut outputs: Vec<OutputItem> = std::mem::take(&mut self.outputs).into_values().collect();
        if self.made == 0 {
            let none = no_image();
            let error = errors.first().map_or(&none, |(_, error)| error);
            if !self.writer.context.has_tool {
                outputs.clear();
            }
            return self.writer.end(ResponseStatus::Failed(error), &outputs, None);
        }
        if !self.writer.context.has_tool {
            for (index, error) in &errors {
                let text = self.writer.context.language.failure(*index, self.writer.context.count, &error.message);
                self.append(&text);
            }
            self.writer.end_message(&self.message);
            outputs = vec![OutputItem::Message(std::mem::take(&mut self.message))];
        }
        let usage = Usage::new(&self.writer.context.prompt, self.writer.context.images_sent, self.made, "");
        // Before the client learns that there is something to go on from.
        if let Some(remember) = self.remember.take() {
            remember(std::mem::take(&mut self.files)).await;
        }
        self.writer.end(ResponseStatus::Completed, &outputs, Some(usage));
    }
}
