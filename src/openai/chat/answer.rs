//! The waiting form of a chat's answer.

use serde_json::json;

use super::context::ChatContext;
use super::image::{markdown, push_image};
use crate::http::json::{JsonBody, ObjectWriter};
use crate::openai::answer::ImageAnswer;
use crate::openai::usage::Usage;
use crate::pipeline::{Collected, Item};

/// A text, all at once.
pub(super) fn text(context: &ChatContext, text: &str) -> JsonBody {
    let usage = Usage::new(&context.prompt, context.images_sent, 0, text);
    whole(context, text, Vec::new(), usage)
}

/// The answer with all images that were made.
pub(super) fn collected(context: &ChatContext, collected: Collected) -> ImageAnswer {
    let Collected { made, errors, ignored, course } = collected;
    let usage = Usage::new(&context.prompt, context.images_sent, made.len(), "");
    let (mut content, mut images) = (String::new(), Vec::new());
    for (item, at) in made {
        let caption = context.language.caption(item.seed, item.size, context.seconds_until(at));
        if context.wants_images {
            images.push(item);
        } else {
            content += &format!("{}\n\n", markdown(context, item.payload, item.format));
        }
        content += &format!("{caption}\n\n");
    }
    for (index, error) in &errors {
        content += &format!("{}\n\n", context.language.failure(*index, context.count, &error.message));
    }
    ImageAnswer { body: whole(context, content.trim_end(), images, usage), ignored, course }
}

fn whole(context: &ChatContext, content: &str, images: Vec<Item>, usage: Usage) -> JsonBody {
    let message = |object: &mut ObjectWriter<'_>| {
        object.field("role", "assistant");
        object.field("content", content);
        object.field("refusal", &());
        if !images.is_empty() {
            object.field_with("images", |body| {
                body.push_array((0..).zip(images), |body, (position, item)| push_image(body, position, item));
            });
        }
    };
    let mut body = JsonBody::default();
    body.push_object(|object| {
        object.field("id", &context.id);
        object.field("object", "chat.completion");
        object.field("created", &context.created);
        object.field("model", &context.model);
        object.field_with("choices", |body| {
            body.push_array([message], |body, message| {
                body.push_object(|choice| {
                    choice.field("index", &0);
                    choice.field_with("message", |body| body.push_object(message));
                    choice.field("logprobs", &());
                    choice.field("finish_reason", "stop");
                });
            });
        });
        object.field("usage", &json!(usage.of_chat()));
    });
    body
}
