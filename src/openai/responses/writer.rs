//! Writer of a response's events.

use serde_json::{Value, json};

use super::context::ResponseContext;
use super::output::{OutputItem, ResponseStatus, part, push_output, push_response};
use crate::generation::Format;
use crate::http::json::{JsonBody, ObjectWriter};
use crate::http::sse;
use crate::openai::encoder::EventQueue;
use crate::openai::image_request::Echo;
use crate::openai::usage::Usage;
use crate::pipeline::{Item, Payload};

/// Writer of events, which have consecutive numbers.
pub(super) struct EventWriter {
    pub(super) context: ResponseContext,
    sequence: u64,
    /// Events that are ready to be sent.
    pub(super) events: EventQueue,
}

impl EventWriter {
    pub(super) fn new(context: ResponseContext) -> Self {
        Self { context, sequence: 0, events: EventQueue::new() }
    }

    /// An event of that type, with what `write` adds behind the fields that all events have.
    fn event(&mut self, name: &str, write: impl FnOnce(&mut ObjectWriter<'_>, &ResponseContext)) {
        let event = sse::event_with(Some(name), |body| {
            body.push_object(|event| {
                event.field("type", name);
                event.field("sequence_number", &self.sequence);
                write(event, &self.context);
            });
        });
        self.sequence += 1;
        self.events.push_back(event);
    }

    pub(super) fn begin(&mut self) {
        for name in ["response.created", "response.in_progress"] {
            self.event(name, |event, context| {
                event.field_with("response", |body| {
                    push_response(body, context, ResponseStatus::InProgress, &[], None);
                });
            });
        }
    }

    pub(super) fn end(&mut self, status: ResponseStatus<'_>, outputs: &[OutputItem], usage: Option<Usage>) {
        let name = if matches!(status, ResponseStatus::Failed(_)) { "response.failed" } else { "response.completed" };
        self.event(name, |event, context| {
            event.field_with("response", |body| push_response(body, context, status, outputs, usage));
        });
    }

    /// `response.output_item.added` and `.done`.
    fn item_event(&mut self, what: &str, index: u32, write: impl FnOnce(&mut JsonBody, &ResponseContext)) {
        self.event(&format!("response.output_item.{what}"), |event, context| {
            event.field("output_index", &index);
            event.field_with("item", |body| write(body, context));
        });
    }

    /// An item of the output is done.
    pub(super) fn item_done(&mut self, index: u32, output: &OutputItem) {
        self.item_event("done", index, |body, context| push_output(body, context, output));
    }

    pub(super) fn begin_image(&mut self, index: u32) {
        self.item_event("added", index, |body, context| {
            body.push_json(&json!({
                "id": context.suffix.image(index), "type": "image_generation_call", "status": "in_progress",
                "result": null,
            }));
        });
        self.call_event("in_progress", index);
    }

    /// `response.image_generation_call.in_progress`, `.generating` and `.completed`.
    pub(super) fn call_event(&mut self, what: &str, index: u32) {
        self.event(&format!("response.image_generation_call.{what}"), |event, context| {
            event.field("output_index", &index);
            event.field("item_id", &context.suffix.image(index));
        });
    }

    pub(super) fn partial(&mut self, index: u32, number: u32, item: Item) {
        let (Payload::Bytes(bytes), true) = (item.payload, self.context.has_tool) else { return };
        self.event("response.image_generation_call.partial_image", |event, context| {
            let Echo { quality, background } = context.echo;
            event.field("output_index", &index);
            event.field("item_id", &context.suffix.image(index));
            event.field("partial_image_index", &number);
            event.field("size", &item.size.map_or_else(|| "auto".to_owned(), |size| size.to_string()));
            event.field("quality", quality);
            event.field("background", background);
            event.field("output_format", item.format.map_or("png", Format::name));
            event.field_with("partial_image_b64", |body| body.push_base64_string(|body| body.push_base64(bytes)));
        });
    }

    pub(super) fn begin_message(&mut self) {
        self.item_event("added", 0, |body, context| {
            body.push_json(&json!({
                "id": context.suffix.message(), "type": "message", "status": "in_progress", "role": "assistant",
                "content": [],
            }));
        });
        self.content_event("response.content_part.added", &json!({"part": part("")}));
    }

    pub(super) fn delta(&mut self, text: &str) {
        self.content_event("response.output_text.delta", &json!({"delta": text, "logprobs": []}));
    }

    pub(super) fn end_message(&mut self, text: &str) {
        self.content_event("response.output_text.done", &json!({"text": text, "logprobs": []}));
        self.content_event("response.content_part.done", &json!({"part": part(text)}));
        self.item_done(0, &OutputItem::Message(text.to_owned()));
    }

    /// An event of the message's content.
    fn content_event(&mut self, name: &str, fields: &Value) {
        self.event(name, |event, context| {
            event.field("item_id", &context.suffix.message());
            event.field("output_index", &0);
            event.field("content_index", &0);
            event.fields(fields);
        });
    }
}
