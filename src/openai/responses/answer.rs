//! The waiting form of a response.

use std::collections::BTreeMap;

use super::context::ResponseContext;
use super::output::{OutputItem, ResponseStatus, made, push_response, shown};
use super::remember::Remember;
use crate::http::json::JsonBody;
use crate::openai::answer::ImageAnswer;
use crate::openai::usage::Usage;
use crate::pipeline::Collected;

/// A text, all at once.
pub(super) fn text(context: &ResponseContext, text: &str) -> JsonBody {
    let usage = Usage::new(&context.prompt, context.images_sent, 0, text);
    let outputs = [OutputItem::Message(text.to_owned())];
    let mut body = JsonBody::default();
    push_response(&mut body, context, ResponseStatus::Completed, &outputs, Some(usage));
    body
}

/// The response with all images that were made.
pub(super) async fn collected(context: &ResponseContext, collected: Collected, remember: Remember) -> ImageAnswer {
    let Collected { made: items, errors, ignored, course } = collected;
    remember(items.iter().filter_map(|(item, _)| item.made_file()).collect()).await;
    let usage = Usage::new(&context.prompt, context.images_sent, items.len(), "");
    let outputs = if context.has_tool {
        let mut outputs: BTreeMap<u32, OutputItem> =
            items.into_iter().map(|(item, _)| (item.index, made(item))).collect();
        outputs.extend(errors.into_iter().map(|(index, error)| (index, OutputItem::FailedImage { index, error })));
        outputs.into_values().collect()
    } else {
        let shown = items.into_iter().map(|(item, at)| shown(context, item, at));
        let failed =
            errors.iter().map(|(index, error)| context.language.failure(*index, context.count, &error.message));
        vec![OutputItem::Message(shown.chain(failed).collect::<Vec<_>>().join("\n\n"))]
    };
    let mut body = JsonBody::default();
    push_response(&mut body, context, ResponseStatus::Completed, &outputs, Some(usage));
    ImageAnswer { body, ignored, course }
}
