//! The waiting form of a chat's answer.

use serde_json::json;

use super::context::ChatContext;
use super::image::{markdown, push_image};
use crate::http::json::JsonBody;
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
            content += &format!("{}\n\n", markdown(context, item));
        }
        content += &format!("{caption}\n\n");
    }
    for (index, error) in &errors {
        content += &format!("{}\n\n", context.language.failure(*index, context.count, &error.message));
    }
    ImageAnswer { body: whole(context, content.trim_end(), images, usage), ignored, course }
}

fn whole(context: &ChatContext, content: &str, images: Vec<Item>, usage: Usage) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!(
        "{{\"id\":{},\"object\":\"chat.completion\",\"created\":{},\"model\":{},\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{},\"refusal\":null",
        json!(context.id),
        context.created,
        json!(context.model),
        json!(content)
    ));
    if !images.is_empty() {
        body.push_text(",\"images\":[");
        for (position, item) in images.into_iter().enumerate() {
            body.push_text(if position > 0 { "," } else { "" });
            push_image(&mut body, position, item);
        }
        body.push_text("]");
    }
    body.push_text(&format!(
        "}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{}}}",
        json!(usage.of_chat())
    ));
    body
}
