//! An image in a chat: in `images`, or in Markdown.

use serde_json::json;

use super::context::ChatContext;
use crate::generation::Format;
use crate::http::json::JsonBody;
use crate::openai::conversation::wording;
use crate::pipeline::{Item, Payload};

/// Writes `{"type":"image_url","image_url":{"url":…},"index":…}`
pub(super) fn push_image(body: &mut JsonBody, position: usize, item: Item) {
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
pub(super) fn markdown(context: &ChatContext, item: Item) -> String {
    wording::image(&context.prompt, &item.payload.into_url(item.format))
}
