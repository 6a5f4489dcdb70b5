//! A message of a conversation.

use serde_json::Value;

use crate::error::Error;
use crate::http::attachments::Attachments;
use crate::media::link;
use crate::openai::source::{Source, source};

/// A message of a conversation.
#[derive(Debug, Default)]
pub struct ConversationMessage {
    /// `user`, `assistant`, `system` or another.
    pub role: String,
    /// Text, parts joined by line ends.
    pub text: String,
    /// Images.
    pub images: Vec<Source>,
}

/// Parses a message of a body with those attachments: an object with `role` and `content`, and perhaps with `images`.
///
/// # Errors
/// 400 that names `param`.
pub fn message(param: &'static str, value: &Value, attachments: &Attachments) -> Result<ConversationMessage, Error> {
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
                    ("image_url" | "input_image" | "image", _) => images.push(source(param, part, attachments)?),
                    _ => {}
                }
            }
        }
        Some(_) => return Err(invalid("A message's `content` must be a string or a list of parts.")),
    }
    if role != "user" {
        images.extend(shown(param, &text, attachments));
    }
    if let Some(Value::Array(listed)) = fields.get("images") {
        images.extend(listed.iter().filter_map(|image| source(param, image, attachments).ok()));
    }
    Ok(ConversationMessage { role, text, images })
}

/// Images that a text shows in Markdown, as far as they can be had: links of this server, and data URLs.
fn shown(param: &'static str, text: &str, attachments: &Attachments) -> Vec<Source> {
    let urls = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(url, _)| url.trim());
    urls.filter(|url| url.contains(link::PATH) || url.starts_with("data:image/"))
        .filter_map(|url| source(param, &Value::from(url), attachments).ok())
        .collect()
}
