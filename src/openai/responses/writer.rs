//! Writer of a response's events.

use serde_json::{Value, json};

use super::context::ResponseContext;
use super::output::{OutputItem, ResponseStatus, part, push_output, push_response};
use crate::generation::Format;
use crate::http::json::JsonBody;
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
    fn event(&mut self, name: &str, write: impl FnOnce(&mut JsonBody, &ResponseContext)) {
        let mut event = JsonBody::default();
        sse::begin(&mut event, Some(name));
        event.push_text(&format!("{{\"type\":\"{name}\",\"sequence_number\":{},", self.sequence));
        write(&mut event, &self.context);
        event.push_text("}");
        sse::end(&mut event);
        self.sequence += 1;
        self.events.push_back(event);
    }

    pub(super) fn begin(&mut self) {
        for name in ["response.created", "response.in_progress"] {
            self.event(name, |event, context| {
                event.push_text("\"response\":");
                push_response(event, context, ResponseStatus::InProgress, &[], None);
            });
        }
    }

    pub(super) fn end(&mut self, status: ResponseStatus<'_>, outputs: &[OutputItem], usage: Option<Usage>) {
        let name = if matches!(status, ResponseStatus::Failed(_)) { "response.failed" } else { "response.completed" };
        self.event(name, |event, context| {
            event.push_text("\"response\":");
            push_response(event, context, status, outputs, usage);
        });
    }

    pub(super) fn item_event(&mut self, what: &str, index: u32, write: impl FnOnce(&mut JsonBody, &ResponseContext)) {
        self.event(&format!("response.output_item.{what}"), |event, context| {
            event.push_text(&format!("\"output_index\":{index},\"item\":"));
            write(event, context);
        });
    }

    pub(super) fn begin_image(&mut self, index: u32) {
        self.item_event("added", index, |event, context| {
            let item = json!({"id": context.suffix.image(index), "type": "image_generation_call", "status": "in_progress", "result": null});
            event.push_text(&item.to_string());
        });
        self.call_event("in_progress", index);
    }

    /// `response.image_generation_call.in_progress`, `.generating` and `.completed`.
    pub(super) fn call_event(&mut self, what: &str, index: u32) {
        self.event(&format!("response.image_generation_call.{what}"), |event, context| {
            event.push_text(&format!("\"output_index\":{index},\"item_id\":\"{}\"", context.suffix.image(index)));
        });
    }

    pub(super) fn partial(&mut self, index: u32, number: u32, item: Item) {
        let (Payload::Bytes(bytes), true) = (item.payload, self.context.has_tool) else { return };
        self.event("response.image_generation_call.partial_image", |event, context| {
            event.push_text(&format!("\"output_index\":{index},\"item_id\":\"{}\",", context.suffix.image(index)));
            let format = item.format.map_or("png", Format::name);
            let size = item.size.map_or_else(|| "auto".to_owned(), |size| size.to_string());
            let Echo { quality, background } = context.echo;
            event.push_text(&format!(
                "\"partial_image_index\":{number},\"size\":\"{size}\",\"quality\":\"{quality}\",\"background\":\"{background}\",\"output_format\":\"{format}\",\"partial_image_b64\":\""
            ));
            event.push_base64(bytes);
            event.push_text("\"");
        });
    }

    pub(super) fn begin_message(&mut self) {
        self.item_event("added", 0, |event, context| {
            let item = json!({"id": context.suffix.message(), "type": "message", "status": "in_progress", "role": "assistant", "content": []});
            event.push_text(&item.to_string());
        });
        self.content_event("response.content_part.added", &json!({"part": part("")}));
    }

    pub(super) fn delta(&mut self, text: &str) {
        self.content_event("response.output_text.delta", &json!({"delta": text, "logprobs": []}));
    }

    pub(super) fn end_message(&mut self, text: &str) {
        self.content_event("response.output_text.done", &json!({"text": text, "logprobs": []}));
        self.content_event("response.content_part.done", &json!({"part": part(text)}));
        let output = OutputItem::Message(text.to_owned());
        self.item_event("done", 0, |event, context| push_output(event, context, &output));
    }

    fn content_event(&mut self, name: &str, fields: &Value) {
        self.event(name, |event, context| {
            event.push_text(&format!(
                "\"item_id\":\"{}\",\"output_index\":0,\"content_index\":0",
                context.suffix.message()
            ));
            for (name, value) in fields.as_object().into_iter().flatten() {
                event.push_text(&format!(",\"{name}\":{value}"));
            }
        });
    }
}
