//! The waiting form of the answer.

use serde_json::json;

use super::context::ImagesContext;
use super::payload::{listed, push_payload, push_space};
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
fn whole(context: ImagesContext, items: Vec<Item>, errors: &[(u32, Error)]) -> JsonBody {
    let first = items.first();
    let (format, size) = (first.and_then(|item| item.format), first.and_then(|item| item.size));
    let usage = context.usage.with_images_made(items.len());
    let mut body = JsonBody::default();
    body.push_object(|object| {
        object.field("created", &context.created);
        object.field_with("data", |body| {
            body.push_array(items, |body, item| {
                body.push_object(|image| {
                    push_payload(image, item.payload);
                    image.field("seed", &item.seed);
                    push_space(image, item.space.as_deref());
                });
            });
        });
        if let Some(size) = size {
            object.field("size", &size.to_string());
        }
        if let Some(format) = format {
            object.field("output_format", format.name());
        }
        object.field("usage", &json!(usage));
        if !errors.is_empty() {
            object.field("errors", &json!(listed(errors)));
        }
    });
    body
}
