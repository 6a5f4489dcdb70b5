//! `chat.completion.chunk`: the events of a chat.

use serde::Serialize;
use serde_json::{Value, json};
use serde_with::skip_serializing_none;

use super::context::ChatContext;
use super::image::{markdown, push_image};
use crate::http::json::{JsonBody, ObjectWriter};
use crate::http::sse;
use crate::openai::usage::Usage;
use crate::pipeline::Item;

/// `chat.completion.chunk`.
#[skip_serializing_none]
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChunkChoice<'a>>,
    usage: Option<Value>,
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
            usage: None,
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
        });
    })
}

/// A chunk with an image in `images`.
pub(super) fn image_chunk(context: &ChatContext, position: usize, item: Item) -> JsonBody {
    // In a chunk of its own: some clients read nothing else of one that has images.
    chunk_around(context, |delta| {
        delta.field_with("images", |body| body.push_array(Some(item), |body, item| push_image(body, position, item)));
    })
}

/// A chunk with an image in Markdown.
pub(super) fn markdown_chunk(context: &ChatContext, gap: &str, item: Item) -> JsonBody {
    chunk_around(context, |delta| delta.field("content", &format!("{gap}{}", markdown(context, item))))
}

/// The last chunks of a stream: the reason of its end, the usage, and OpenAI's mark.
pub(super) fn last_chunks(context: &ChatContext, usage: Usage) -> Vec<JsonBody> {
    let mut chunks = vec![chunk(context, &json!({}), Some("stop"))];
    if context.include_usage {
        chunks.push(sse::event(
            None,
            &Chunk { choices: Vec::new(), usage: Some(json!(usage.of_chat())), ..Chunk::of(context) },
        ));
    }
    let mut done = JsonBody::default();
    done.push_text("data: [DONE]\n\n");
    chunks.push(done);
    chunks
}
