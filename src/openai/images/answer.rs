//! The waiting form of the answer.

use serde_json::json;

use super::context::ImagesContext;
use super::payload::{listed, push_payload, space};
use crate::error::Error;
use crate::http::json::JsonBody;
use crate::openai::answer::ImageAnswer;
use crate::pipeline::{Collected, Item};

/// The answer with all images that were made.
pub(super) fn collected(context: ImagesContext, collected: Collected) -> ImageAnswer {
    let Collected { made, errors, ignored, course } = collected;
    let items = made.into_iter().map(|(item, _)| item).collect();
    ImageAnswer { body: whole(context, items, &errors), ignored, course }
}

/// JSON of the images, with the failures in `errors` beside `data`.
pub(super) fn whole(context: ImagesContext, items: Vec<Item>, errors: &[(u32, Error)]) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!("{{\"created\":{},\"data\":[", context.created));
    let first = items.first();
    let (format, size) = (first.and_then(|item| item.format), first.and_then(|item| item.size));
    let usage = context.usage.with_images_made(items.len());
    for (position, item) in items.into_iter().enumerate() {
        body.push_text(if position > 0 { ",{" } else { "{" });
        push_payload(&mut body, item.payload);
        body.push_text(&format!(",\"seed\":{}{}}}", item.seed, space(item.space.as_deref())));
    }
    body.push_text("]");
    if let Some(size) = size {
        body.push_text(&format!(",\"size\":{}", json!(size.to_string())));
    }
    if let Some(format) = format {
        body.push_text(&format!(",\"output_format\":{}", json!(format.name())));
    }
    body.push_text(&format!(",\"usage\":{}", json!(usage)));
    if !errors.is_empty() {
        body.push_text(&format!(",\"errors\":{}", json!(listed(errors))));
    }
    body.push_text("}");
    body
}
