//! What a conversation asks for, in the forms of a chat and of a response alike.
//!
//! The last message of the user is the prompt: a string, or parts of text and images. A message that is a JSON object sets
//! parameters, as the predecessor's users know; [`flags`] do too. An image in the message is to be edited; so is one of an earlier
//! message, if the user says so. What clients ask for themselves ([`background`]) is no picture.

mod background;
mod flags;
pub mod wording;

use serde_json::{Map, Value};

use self::flags::Flagged;
use self::wording::Language;
use super::edits::{EditRequest, Source, source};
use crate::error::Error;
use crate::media::route;

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

/// What a conversation wants.
pub enum Wanted {
    /// A text that the client wants for itself, such as the chat's title; here it is.
    Text(String),
    /// Images.
    Images(Box<Picture>),
}

/// Images that a conversation wants.
pub struct Picture {
    /// The request for them: with images, if the message has some.
    pub request: EditRequest,
    /// An earlier image of the chat.
    pub earlier: Option<Source>,
    /// Whether the earlier image is surely meant, or only if the model can edit.
    pub is_sure: bool,
    /// What language the user writes.
    pub language: Language,
}

/// A message of a conversation.
#[derive(Debug, Default)]
pub struct Message {
    /// `user`, `assistant`, `system` or another.
    pub role: String,
    /// Its text, parts joined by line ends.
    pub text: String,
    /// Its images.
    pub images: Vec<Source>,
}

/// Reads what a conversation wants; `fields` are the parameters beside it. Errors name `param`.
///
/// # Errors
/// 400 where nobody asks for anything, or refers to an image that there isn't.
pub fn wanted(param: &'static str, fields: Map<String, Value>, messages: Vec<Message>) -> Result<Wanted, Error> {
    let texts: Vec<_> = messages.iter().map(|message| (message.role.as_str(), message.text.as_str())).collect();
    match background::answer(&texts) {
        Some(text) => Ok(Wanted::Text(text)),
        None => picture(param, fields, messages).map(|picture| Wanted::Images(Box::new(picture))),
    }
}

fn picture(param: &'static str, mut fields: Map<String, Value>, mut messages: Vec<Message>) -> Result<Picture, Error> {
    let last = messages.iter().rposition(|message| message.role == "user").ok_or_else(|| {
        Error::invalid_value(param, "There is no message of the user. Say in one what the image should show.")
    })?;
    let Message { text, mut images, .. } = messages.swap_remove(last);
    messages.truncate(last);

    let (said, edit) = match object(&text) {
        Some(mut said) => {
            for name in ["images", "image"] {
                match said.remove(name) {
                    None | Some(Value::Null) => {}
                    Some(Value::Array(items)) => {
                        for item in &items {
                            images.push(source(param, item)?);
                        }
                    }
                    Some(item) => images.push(source(param, &item)?),
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
    Ok(Picture { request, earlier, is_sure: edit.is_some(), language })
}

/// A message that is a JSON object with a prompt.
fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    fields.contains_key("prompt").then_some(fields)
}

/// Reads a message: an object with `role` and `content`, and perhaps with `images`.
///
/// # Errors
/// 400 that names `param`.
pub fn message(param: &'static str, value: &Value) -> Result<Message, Error> {
    let invalid = |message: &str| Error::invalid_value(param, message);
    let Value::Object(fields) = value else {
        return Err(invalid("Each message must be an object with `role` and `content`."));
    };
    let role = fields.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut text, mut images) = (String::new(), Vec::new());
    match fields.get("content") {
        None | Some(Value::Null) => {}
        Some(Value::String(content)) => text.clone_from(content),
        Some(Value::Array(parts)) => {
            for part in parts {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                match (kind, part.get("text").and_then(Value::as_str)) {
                    ("text" | "input_text" | "output_text", Some(part)) => {
                        if !text.is_empty() {
                            text.push('\n');
                        }
                        text.push_str(part);
                    }
                    ("image_url" | "input_image" | "image", _) => images.push(source(param, part)?),
                    _ => {}
                }
            }
        }
        Some(_) => return Err(invalid("A message's `content` must be a string or a list of parts.")),
    }
    if role != "user" {
        images.extend(shown(param, &text));
    }
    if let Some(Value::Array(listed)) = fields.get("images") {
        images.extend(listed.iter().filter_map(|image| source(param, image).ok()));
    }
    Ok(Message { role, text, images })
}

/// The images that a text shows in Markdown, as far as they can be had: links of this server, and data URLs.
fn shown(param: &'static str, text: &str) -> Vec<Source> {
    let urls = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(url, _)| url.trim());
    urls.filter(|url| url.contains(route::PATH) || url.starts_with("data:image/"))
        .filter_map(|url| source(param, &Value::from(url)).ok())
        .collect()
}
