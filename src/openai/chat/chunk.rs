//! `chat.completion.chunk`: the events of a chat.

use serde::Serialize;
use serde_json::{Value, json};
use serde_with::skip_serializing_none;

use super::context::ChatContext;
use super::image::{around, markdown, push_image};
use crate::http::json::{JsonBody, ObjectWriter};
use crate::http::sse;
use crate::openai::usage::{ChatUsage, Usage};
use crate::pipeline::{Item, Payload};

/// Bytes of an image in one chunk: a multiple of 3, so that base64 pads at its end only. A line of 64 KiB is the
/// longest that some clients read.
const PIECE: usize = 36 << 10;
/// Bytes of a text in one chunk, each of which may take six as JSON.
const MAX_TEXT: usize = 10 << 10;

/// `chat.completion.chunk`.
#[skip_serializing_none]
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChunkChoice<'a>>,
    /// The usage, which is null before the last chunk, in streams that have it.
    usage: Option<Option<ChatUsage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: &'a Value,
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

impl<'a> Chunk<'a> {
    fn of(context: &'a ChatContext) -> Self {
        Self {
            id: &context.id,
            object: "chat.completion.chunk",
            created: context.created,
            model: &context.model,
            choices: Vec::new(),
            usage: context.include_usage.then_some(None),
        }
    }
}

/// A chunk with a delta.
pub(super) fn chunk(context: &ChatContext, delta: &Value, finish_reason: Option<&'static str>) -> JsonBody {
    let choice = ChunkChoice { index: 0, delta, logprobs: None, finish_reason };
    sse::event(None, &Chunk { choices: vec![choice], ..Chunk::of(context) })
}

/// A chunk around a delta that holds an image.
fn chunk_around(context: &ChatContext, write: impl FnOnce(&mut ObjectWriter<'_>)) -> JsonBody {
    sse::event_with(None, |body| {
        body.push_object(|object| {
            object.field("id", &context.id);
            object.field("object", "chat.completion.chunk");
            object.field("created", &context.created);
            object.field("model", &context.model);
            object.field_with("choices", |body| {
                body.push_array(Some(write), |body, write| {
                    body.push_object(|choice| {
                        choice.field("index", &0);
                        choice.field_with("delta", |body| body.push_object(write));
                        choice.field("logprobs", &());
                        choice.field("finish_reason", &());
                    });
                });
            });
            if context.include_usage {
                object.field("usage", &());
            }
        });
    })
}

/// Chunks with an image in `images`, by a link or as a data URL; as Markdown where that is too long for a line.
pub(super) fn image_chunks(context: &ChatContext, position: usize, gap: &str, item: Item) -> Vec<JsonBody> {
    if matches!(&item.payload, Payload::DataUrl(_, bytes) if bytes.len() > PIECE) {
        return markdown_chunks(context, gap, item);
    }
    // In a chunk of its own: some clients read nothing else of one that has images.
    vec![chunk_around(context, |delta| {
        delta.field_with("images", |body| body.push_array(Some(item), |body, item| push_image(body, position, item)));
    })]
}

/// Chunks with an image in Markdown: one with a link, or as many as the image itself takes.
pub(super) fn markdown_chunks(context: &ChatContext, gap: &str, item: Item) -> Vec<JsonBody> {
    let (format, bytes) = match item.payload {
        Payload::DataUrl(format, bytes) => (format, bytes),
        payload => {
            let image = markdown(context, payload, item.format);
            return content_chunks(context, &format!("{gap}{image}"));
        }
    };
    let (before, behind) = around(context);
    let mut chunks = content_chunks(context, &format!("{gap}{before}data:image/{};base64,", format.name()));
    let pieces = (0..bytes.len()).step_by(PIECE).map(|start| bytes.slice(start..bytes.len().min(start + PIECE)));
    chunks.extend(pieces.map(|piece| {
        chunk_around(context, |delta| {
            delta.field_with("content", |body| body.push_base64_string(|body| body.push_base64(piece)));
        })
    }));
    chunks.extend(content_chunks(context, behind));
    chunks
}

/// Chunks with a text, none of them longer than a line may be.
pub(super) fn content_chunks(context: &ChatContext, text: &str) -> Vec<JsonBody> {
    let mut pieces = vec![String::new()];
    for char in text.chars() {
        match pieces.last_mut() {
            Some(piece) if piece.len() < MAX_TEXT => piece.push(char),
            _ => pieces.push(char.to_string()),
        }
    }
    pieces.iter().map(|piece| chunk(context, &json!({"content": piece}), None)).collect()
}

/// The last chunks of a stream: the reason of its end, the usage, and OpenAI's mark.
pub(super) fn last_chunks(context: &ChatContext, usage: Usage) -> Vec<JsonBody> {
    let mut chunks = vec![chunk(context, &json!({}), Some("stop"))];
    if context.include_usage {
        chunks.push(sse::event(
            None,
            &Chunk { choices: Vec::new(), usage: Some(Some(usage.of_chat())), ..Chunk::of(context) },
        ));
    }
    let mut done = JsonBody::default();
    done.push_text("data: [DONE]\n\n");
    chunks.push(done);
    chunks
}
