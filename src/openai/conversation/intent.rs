//! Intent of a conversation, in the forms of a chat and of a response alike.
//!
//! The last message of the user is the prompt: a string, or parts of text and images. A message that is a JSON object
//! sets parameters, as the predecessor's users know; [`flags`] do too. An image in the message is to be edited; so is
//! one of an earlier message, if the user says so. What clients ask for themselves ([`background`]) is no picture.

use serde_json::{Map, Value};

use super::background;
use super::flags::{self, Flagged};
use super::message::ConversationMessage;
use super::wording::Language;
use crate::bounded_json::JsonBounds;
use crate::error::Error;
use crate::http::attachments::Attachments;
use crate::openai::images::edit_request::EditRequest;
use crate::openai::source::{Source, source};

/// Phrases by which an earlier image is meant.
const EARLIER: [&str; 14] = [
    "previous image",
    "last image",
    "image above",
    "above image",
    "previous picture",
    "last picture",
    "picture above",
    "上图",
    "上一张",
    "上一幅",
    "上面的图",
    "上面那张",
    "刚才的图",
    "刚才那张",
];

/// Intent of a conversation.
pub enum Intent {
    /// Answer to a request that the client makes for itself, such as for the chat's title.
    Text(String),
    /// Images.
    Images(Box<ImageIntent>),
}

/// Intent to have images.
pub struct ImageIntent {
    /// The request for them: with images, if the message has some.
    pub request: EditRequest,
    /// An earlier image of the chat.
    pub earlier: Option<Source>,
    /// The earlier image is surely meant, not only if the model can edit.
    pub is_sure: bool,
    /// Language that the user writes.
    pub language: Language,
}

/// Reads the intent of a conversation; `fields` are the parameters beside it, `attachments` those of the body. Errors
/// name `param`.
///
/// # Errors
/// 400 without a message of the user, or with a reference to an image that doesn't exist.
pub fn intent(
    param: &'static str,
    fields: Map<String, Value>,
    messages: Vec<ConversationMessage>,
    attachments: &Attachments,
) -> Result<Intent, Error> {
    let texts: Vec<_> = messages.iter().map(|message| (message.role.as_str(), message.text.as_str())).collect();
    match background::answer(&texts) {
        Some(text) => Ok(Intent::Text(text)),
        None => images(param, fields, messages, attachments).map(|images| Intent::Images(Box::new(images))),
    }
}

fn images(
    param: &'static str,
    mut fields: Map<String, Value>,
    mut messages: Vec<ConversationMessage>,
    attachments: &Attachments,
) -> Result<ImageIntent, Error> {
    let last = messages.iter().rposition(|message| message.role == "user").ok_or_else(|| {
        Error::invalid_value(param, "There is no message of the user. Say in one what the image should show.")
    })?;
    let ConversationMessage { text, mut images, .. } = messages.swap_remove(last);
    messages.truncate(last);

    let (said, edit) = match object(&text) {
        Some(mut said) => {
            for name in ["images", "image"] {
                match said.remove(name) {
                    None | Some(Value::Null) => {}
                    Some(Value::Array(items)) => {
                        for item in &items {
                            images.push(source(param, item, attachments)?);
                        }
                    }
                    Some(item) => images.push(source(param, &item, attachments)?),
                }
            }
            let edit = match said.remove("edit") {
                Some(Value::Bool(true)) => Some(1),
                Some(Value::Number(number)) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
                _ => None,
            };
            (said, edit)
        }
        None => {
            let Flagged { prompt, fields: mut said, edit } = flags::read(&text);
            said.insert("prompt".to_owned(), Value::from(prompt));
            (said, edit)
        }
    };
    let prompt = said.get("prompt").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let language = Language::of(&prompt);
    let is_meant = edit.is_some() || EARLIER.iter().any(|phrase| prompt.contains(phrase));
    fields.extend(said);
    let mut earlier = None;
    if images.is_empty() && is_meant {
        let mut all: Vec<Source> = messages.into_iter().flat_map(|message| message.images).collect();
        earlier = all
            .len()
            .checked_sub(edit.unwrap_or(1))
            .filter(|place| *place < all.len())
            .map(|place| all.swap_remove(place));
        if earlier.is_none() && edit.is_some() {
            return Err(Error::invalid_value(
                param,
                "There is no such earlier image in this chat. Attach the one that is to be edited.",
            ));
        }
    }
    let request = EditRequest::new(fields, images);
    Ok(ImageIntent { request, earlier, is_sure: edit.is_some(), language })
}

/// A message that is a JSON object with a prompt.
fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    let fields: Map<String, Value> = JsonBounds::REQUEST.parse(text.as_bytes()).ok()?;
    fields.contains_key("prompt").then_some(fields)
}
