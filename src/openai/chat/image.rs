//! An image in a chat: in `images`, or in Markdown.

use super::context::ChatContext;
use crate::generation::Format;
use crate::http::json::JsonBody;
use crate::openai::conversation::wording;
use crate::pipeline::{Item, Payload};

/// Writes `{"type":"image_url","image_url":{"url":…},"index":…}`
pub(super) fn push_image(body: &mut JsonBody, position: usize, item: Item) {
    let url = |body: &mut JsonBody| match item.payload {
        Payload::Bytes(bytes) => {
            body.push_data_url(item.format.map_or("png", Format::name), |body| body.push_base64(bytes));
        }
        Payload::Remote(remote) => body.push_data_url(remote.format.name(), |body| {
            body.push_base64_stream(remote.length, remote.into_body());
        }),
        Payload::DataUrl(format, bytes) => body.push_data_url(format.name(), |body| body.push_base64(bytes)),
        Payload::Url(url) => body.push_json(&url),
    };
    body.push_object(|object| {
        object.field("type", "image_url");
        object.field_with("image_url", |body| body.push_object(|image| image.field_with("url", url)));
        object.field("index", &position);
    });
}

/// Markdown of an image, by a link, or where there can be none, as a data URL.
pub(super) fn markdown(context: &ChatContext, payload: Payload, format: Option<Format>) -> String {
    wording::image(&context.prompt, &payload.into_url(format))
}

/// Markdown before and behind the URL of an image.
pub(super) fn around(context: &ChatContext) -> (String, &'static str) {
    wording::around_image(&context.prompt)
}
