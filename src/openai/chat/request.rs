//! `POST /v1/chat/completions`: what is asked for.
//!
//! The last message of the user is the prompt: a string, or parts of text and images. A message that is a JSON object sets parameters, as its
//! predecessor's users know; flags do too (see [`flags`]). An image in the message is to be edited; so is one of an earlier
//! message, if the user says so.

use serde_json::{Map, Value};

use super::background;
use super::flags::{self, Flagged};
use super::wording::Language;
use crate::error::Error;
use crate::media::route;
use crate::openai::edits::{EditRequest, Source, source};
use crate::openai::params::Fields;
use crate::settings::ChatProgress;

/// The fields that are a chat's own. What else there is may be a parameter of images.
const OWN: [&str; 52] = [
    "audio",
    "background_tasks",
    "chat_id",
    "enable_thinking",
    "features",
    "files",
    "frequency_penalty",
    "function_call",
    "functions",
    "id",
    "image_config",
    "include",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "min_p",
    "modalities",
    "model",
    "model_item",
    "models",
    "options",
    "parallel_tool_calls",
    "params",
    "plugins",
    "prediction",
    "presence_penalty",
    "progress",
    "prompt",
    "prompt_cache_key",
    "provider",
    "reasoning",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "safety_identifier",
    "service_tier",
    "session_id",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "tool_servers",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
];

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

/// A chat, as far as it matters here.
pub struct ChatRequest {
    /// The model's id; `None` for the default.
    pub model: Option<String>,
    /// Whether the answer is to come as it is written.
    pub stream: bool,
    /// Whether a stream ends with the usage.
    pub include_usage: bool,
    /// Whether images are to come beside the text, in `images`.
    pub wants_images: bool,
    /// How progress is told; `None` for the operator's choice.
    pub progress: Option<ChatProgress>,
    /// What language the user writes.
    pub language: Language,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What a chat wants.
pub enum Wanted {
    /// A text that the client wants for itself, such as the chat's title; here it is.
    Text(String),
    /// Images.
    Images(Box<Picture>),
}

/// Images that a chat wants.
pub struct Picture {
    /// The request for them: with images, if the message has some.
    pub request: EditRequest,
    /// An earlier image of the chat.
    pub earlier: Option<Source>,
    /// Whether the earlier image is surely meant, or only if the model can edit.
    pub is_sure: bool,
}

/// A message of a chat.
struct Message {
    role: String,
    text: String,
    images: Vec<Source>,
}

impl ChatRequest {
    /// Reads the body.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let fields = Fields::parse(body)?;
        let model = fields.text("model")?.map(str::to_owned).filter(|model| !model.is_empty());
        let stream = fields.flag("stream")?;
        let mut map = fields.into_map();
        let include_usage = map.get("stream_options").and_then(|options| options.get("include_usage"));
        let include_usage = include_usage.and_then(Value::as_bool).unwrap_or_default();
        let modalities = map.get("modalities").and_then(Value::as_array);
        let wants_images = modalities.is_some_and(|names| names.iter().any(|name| name == "image"));
        let progress = match map.get("progress") {
            Some(Value::Bool(false)) => Some(ChatProgress::None),
            Some(Value::String(name)) => ChatProgress::parse(name),
            _ => None,
        };
        let messages = messages(map.get("messages"))?;
        if let Some(aspect) = map.get("image_config").and_then(|config| config.get("aspect_ratio")).cloned() {
            map.entry("aspect_ratio").or_insert(aspect);
        }
        map.retain(|name, _| !OWN.contains(&name.as_str()));
        let (language, wanted) = match background::answer(&conversation(&messages)) {
            Some(text) => (Language::of(&text), Wanted::Text(text)),
            None => picture(map, messages)?,
        };
        Ok(Self { model, stream, include_usage, wants_images, progress, language, wanted })
    }
}

/// Roles and texts, for whoever asks what a chat is about.
fn conversation(messages: &[Message]) -> Vec<(&str, &str)> {
    messages.iter().map(|message| (message.role.as_str(), message.text.as_str())).collect()
}

fn picture(mut fields: Map<String, Value>, mut messages: Vec<Message>) -> Result<(Language, Wanted), Error> {
    let last = messages.iter().rposition(|message| message.role == "user").ok_or_else(|| {
        Error::invalid_value("messages", "There is no message of the user. Say in one what the image should show.")
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
                            images.push(source("messages", item)?);
                        }
                    }
                    Some(item) => images.push(source("messages", &item)?),
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
                "messages",
                "There is no such earlier image in this chat. Attach the one that is to be edited.",
            ));
        }
    }
    let request = EditRequest::new(fields, images);
    Ok((language, Wanted::Images(Box::new(Picture { request, earlier, is_sure: edit.is_some() }))))
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

fn messages(value: Option<&Value>) -> Result<Vec<Message>, Error> {
    let invalid = |message: &str| Error::invalid_value("messages", message);
    match value {
        None | Some(Value::Null) => Err(Error::missing("messages")),
        Some(Value::Array(items)) if !items.is_empty() => items.iter().map(message).collect(),
        Some(_) => Err(invalid("Invalid 'messages': expected a list of at least one message.")),
    }
}

fn message(value: &Value) -> Result<Message, Error> {
    let invalid = |message: &str| Error::invalid_value("messages", message);
    let Value::Object(fields) = value else {
        return Err(invalid("Invalid 'messages': each message must be an object with `role` and `content`."));
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
                    ("image_url" | "input_image" | "image", _) => images.push(source("messages", part)?),
                    _ => {}
                }
            }
        }
        Some(_) => return Err(invalid("Invalid 'messages': `content` must be a string or a list of parts.")),
    }
    if role != "user" {
        images.extend(shown(&text));
    }
    if let Some(Value::Array(listed)) = fields.get("images") {
        images.extend(listed.iter().filter_map(|image| source("messages", image).ok()));
    }
    Ok(Message { role, text, images })
}

/// The images that a text shows in Markdown, as far as they can be had: links of this server, and data URLs.
fn shown(text: &str) -> Vec<Source> {
    let urls = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(url, _)| url.trim());
    urls.filter(|url| url.contains(route::PATH) || url.starts_with("data:image/"))
        .filter_map(|url| source("messages", &Value::from(url)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DATA: &str = "data:image/png;base64,iVBORw0KGgo=";

    /// The fields of a chat's request for images, how many images are in it, and whether an earlier one is surely meant.
    type Read = (Map<String, Value>, usize, Option<bool>);

    fn parse(body: &Value) -> Result<Read, Error> {
        match ChatRequest::parse(body.to_string().as_bytes())?.wanted {
            Wanted::Text(text) => panic!("a text: {text}"),
            Wanted::Images(mut picture) => {
                let count = picture.request.sources().count();
                Ok((picture.request.fields().clone(), count, picture.earlier.map(|_| picture.is_sure)))
            }
        }
    }

    fn said(messages: Value) -> (Value, usize, Option<bool>) {
        let (fields, images, earlier) = parse(&json!({"messages": messages})).unwrap();
        (Value::Object(fields), images, earlier)
    }

    #[test]
    fn the_last_message_of_the_user_is_the_prompt() {
        let user =
            |content: Value| json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": content}]);
        assert_eq!(said(user(json!("a fox"))), (json!({"prompt": "a fox"}), 0, None));
        assert_eq!(
            said(user(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "fox --n 2"}]))).0,
            json!({"prompt": "a\nfox", "n": "2"})
        );
        let with_image = json!([{"type": "image_url", "image_url": {"url": DATA}}, {"type": "text", "text": "blue"}]);
        assert_eq!(said(user(with_image)), (json!({"prompt": "blue"}), 1, None));
        let object = r#"{"prompt": "a fox", "width": 512, "n": 2, "seed": -1, "unknown": 1}"#;
        assert_eq!(said(user(json!(object))).0, serde_json::from_str::<Value>(object).unwrap());
        assert_eq!(said(user(json!("{a fox}"))).0, json!({"prompt": "{a fox}"}));
    }

    #[test]
    fn an_earlier_image_is_edited_where_the_user_says_so() {
        let chat = |last: &str| {
            json!([
                {"role": "user", "content": "a fox"},
                {"role": "assistant", "content": format!("![a fox](http://h/v1/images/files/T.png)\n\nSeed 1 [x](http://other/)")},
                {"role": "assistant", "content": null, "images": [{"type": "image_url", "image_url": {"url": DATA}}]},
                {"role": "user", "content": last},
            ])
        };
        assert_eq!(said(chat("a cat")).2, None);
        assert_eq!(said(chat("a cat --edit")).2, Some(true));
        assert_eq!(said(chat("make the last image blue")).2, Some(false));
        assert_eq!(said(chat("把上图变成蓝色")).2, Some(false));
        assert_eq!(said(chat(r#"{"prompt": "blue", "edit": 2}"#)).2, Some(true));
        assert_eq!(parse(&json!({"messages": chat("blue --edit 3")})).unwrap_err().param, Some("messages"));
        assert_eq!(said(json!([{"role": "user", "content": "like the last image"}])).2, None);
    }

    #[test]
    fn what_is_no_chat_is_refused() {
        for body in [
            json!({}),
            json!({"messages": []}),
            json!({"messages": "a fox"}),
            json!({"messages": ["a fox"]}),
            json!({"messages": [{"role": "assistant", "content": "a fox"}]}),
            json!({"messages": [{"role": "user", "content": 7}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ] {
            assert_eq!(parse(&body).map(|_| ()).unwrap_err().param, Some("messages"), "{body}");
        }
    }

    #[test]
    fn a_chats_own_fields_are_no_parameters_of_images() {
        let body = json!({
            "messages": [{"role": "user", "content": "x --size 512x512"}], "temperature": 1, "max_tokens": 9, "size": "1x1", "steps": 4,
            "image_config": {"aspect_ratio": "16:9"}, "shift": 3,
        });
        let (fields, ..) = parse(&body).unwrap();
        let expected = json!({"prompt": "x", "size": "512x512", "steps": 4, "aspect_ratio": "16:9", "shift": 3});
        assert_eq!(Value::Object(fields), expected);
    }
}
