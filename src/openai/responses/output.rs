//! The response object and the items of its output.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::context::ResponseContext;
use super::request::Repeated;
use crate::error::Error;
use crate::generation::{Format, Size};
use crate::http::json::JsonBody;
use crate::media::remote::RemoteImage;
use crate::openai::conversation::wording;
use crate::openai::image_request::Echo;
use crate::openai::usage::Usage;
use crate::pipeline::{Item, Payload, no_image};

/// Item of a response's output.
pub(super) enum OutputItem {
    /// An image of the tool.
    Image { index: u32, payload: ToolPayload, format: Option<Format>, size: Option<Size>, seed: u32 },
    /// An image that the tool failed to make.
    FailedImage { index: u32, error: Error },
    /// A text.
    Message(String),
}

/// An image of the tool: here, or still at its Space.
#[derive(Clone)]
pub(super) enum ToolPayload {
    Bytes(Bytes),
    Remote(RemoteImage),
}

impl ToolPayload {
    fn push(self, body: &mut JsonBody) {
        match self {
            Self::Bytes(bytes) => body.push_base64(bytes),
            Self::Remote(remote) => body.push_base64_stream(remote.length, remote.into_body()),
        }
    }
}

/// Status of a response.
#[derive(Clone, Copy)]
pub(super) enum ResponseStatus<'a> {
    InProgress,
    Completed,
    Failed(&'a Error),
}

/// Content of a message.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Writes OpenAI's response object.
pub(super) fn push_response(
    body: &mut JsonBody,
    context: &ResponseContext,
    status: ResponseStatus<'_>,
    outputs: &[OutputItem],
    usage: Option<Usage>,
) {
    let (status, error) = match status {
        ResponseStatus::InProgress => ("in_progress", Value::Null),
        ResponseStatus::Completed => ("completed", Value::Null),
        ResponseStatus::Failed(error) => ("failed", json!({"code": code(error), "message": error.message})),
    };
    let Repeated { tools, tool_choice, metadata, instructions } = &context.repeated;
    let head = json!({
        "id": context.suffix.response(),
        "object": "response",
        "created_at": context.created,
        "status": status,
        "background": false,
        "error": error,
        "incomplete_details": null,
        "instructions": instructions,
        "max_output_tokens": null,
        "metadata": metadata.clone().unwrap_or_else(|| json!({})),
        "model": context.model,
        "parallel_tool_calls": true,
        "previous_response_id": context.previous,
        "store": context.store,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": tool_choice.clone().unwrap_or_else(|| json!("auto")),
        "tools": tools,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage.map(Usage::of_response),
        "user": null,
    });
    body.push_object(|response| {
        response.fields(&head);
        response.field_with("output", |body| {
            body.push_array(outputs, |body, output| push_output(body, context, output));
        });
    });
}

/// Writes an item of the output.
pub(super) fn push_output(body: &mut JsonBody, context: &ResponseContext, output: &OutputItem) {
    let action = if context.is_edit { "edit" } else { "generate" };
    match output {
        OutputItem::Message(text) => body.push_json(&json!({
            "id": context.suffix.message(),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part(text)],
        })),
        OutputItem::FailedImage { index, error } => body.push_json(&json!({
            "id": context.suffix.image(*index),
            "type": "image_generation_call",
            "status": "failed",
            "result": null,
            "action": action,
            "error": {"type": error.kind, "code": error.code, "message": error.message, "param": error.param},
        })),
        OutputItem::Image { index, payload, format, size, seed } => {
            let Echo { quality, background } = context.echo;
            let mut item = json!({
                "id": context.suffix.image(*index),
                "type": "image_generation_call",
                "status": "completed",
                "action": action,
                "quality": quality,
                "background": background,
                "revised_prompt": context.prompt,
                "seed": seed,
                "output_format": format.map_or("png", Format::name),
            });
            if let (Some(fields), Some(size)) = (item.as_object_mut(), size) {
                fields.insert("size".to_owned(), json!(size.to_string()));
            }
            body.push_object(|image| {
                image.fields(&item);
                image.field_with("result", |body| body.push_base64_string(|body| payload.clone().push(body)));
            });
        }
    }
}

/// Output of an image that was made.
pub(super) fn made(item: Item) -> OutputItem {
    let Item { index, seed, size, format, payload, .. } = item;
    match payload {
        Payload::Bytes(bytes) | Payload::DataUrl(_, bytes) => {
            OutputItem::Image { index, payload: ToolPayload::Bytes(bytes), format, size, seed }
        }
        Payload::Remote(remote) => {
            OutputItem::Image { index, payload: ToolPayload::Remote(remote), format, size, seed }
        }
        // Images of the tool are context for as bytes.
        Payload::Url(_) => OutputItem::FailedImage { index, error: no_image() },
    }
}

/// Markdown of an image that was there `at` that time.
pub(super) fn shown(context: &ResponseContext, item: Item, at: Duration) -> String {
    let caption = context.language.caption(item.seed, item.size, context.seconds_until(at));
    format!("{}\n\n{caption}", wording::image(&context.prompt, &item.payload.into_url(item.format)))
}

/// One of the codes that OpenAI's type of a response's error knows.
fn code(error: &Error) -> &'static str {
    match error.status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
        status if status.is_client_error() && !error.may_pass() => "invalid_prompt",
        _ => "server_error",
    }
}
