//! Body of `POST /v1/chat/completions`; [`crate::openai::conversation`] reads the messages.

use serde_json::Value;

use super::progress::ChatProgress;
use crate::error::Error;
use crate::http::attachments::{Attachments, JsonText};
use crate::openai::conversation::intent::{Intent, intent};
use crate::openai::conversation::message::{ConversationMessage, message};
use crate::openai::fields::Fields;

/// Fields that are a chat's own. The others may be parameters of images.
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

/// Request of a chat, as far as it matters here.
pub struct ChatRequest {
    /// Id of the model; `None` for the default.
    pub model: Option<String>,
    /// `stream`: the answer is a stream of events.
    pub stream: bool,
    /// A stream ends with the usage.
    pub include_usage: bool,
    /// Images come beside the text, in `images`.
    pub wants_images: bool,
    /// Those are links.
    pub wants_links: bool,
    /// Form of progress; `None` for the operator's choice.
    pub progress: Option<ChatProgress>,
    /// Intent of the conversation.
    pub intent: Intent,
}

impl ChatRequest {
    /// Parses the body.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn parse(body: &JsonText) -> Result<Self, Error> {
        let (fields, attachments) = (Fields::parse(&body.text)?, &body.attachments);
        let model = fields.text("model")?.map(str::to_owned).filter(|model| !model.is_empty());
        let stream = fields.flag("stream")?;
        let mut map = fields.into_map();
        let include_usage = map.get("stream_options").and_then(|options| options.get("include_usage"));
        let include_usage = include_usage.and_then(Value::as_bool).unwrap_or_default();
        let modalities = map.get("modalities").and_then(Value::as_array);
        let wants_images = modalities.is_some_and(|names| names.iter().any(|name| name == "image"));
        let wants_links = map.get("response_format").and_then(Value::as_str) == Some("url");
        let progress = match map.get("progress") {
            Some(Value::Bool(false)) => Some(ChatProgress::None),
            Some(Value::String(name)) => ChatProgress::parse(name),
            _ => None,
        };
        let messages = messages(map.get("messages"), attachments)?;
        if let Some(aspect) = map.get("image_config").and_then(|config| config.get("aspect_ratio")).cloned() {
            map.entry("aspect_ratio").or_insert(aspect);
        }
        map.retain(|name, _| !OWN.contains(&name.as_str()));
        let intent = intent("messages", map, messages, attachments)?;
        Ok(Self { model, stream, include_usage, wants_images, wants_links, progress, intent })
    }
}

fn messages(value: Option<&Value>, attachments: &Attachments) -> Result<Vec<ConversationMessage>, Error> {
    let invalid = |message: &str| Error::invalid_value("messages", message);
    match value {
        None | Some(Value::Null) => Err(Error::missing("messages")),
        Some(Value::Array(items)) if !items.is_empty() => {
            items.iter().map(|item| message("messages", item, attachments)).collect()
        }
        Some(_) => Err(invalid("Invalid 'messages': expected a list of at least one message.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    const DATA: &str = "data:image/png;base64,iVBORw0KGgo=";

    /// The fields of a chat's request for images, how many images are in it, and whether an earlier one is surely
    /// meant.
    type Read = (Map<String, Value>, usize, Option<bool>);

    fn parse(body: &Value) -> Result<Read, Error> {
        match ChatRequest::parse(&body.to_string().into_bytes().into())?.intent {
            Intent::Text(text) => panic!("a text: {text}"),
            Intent::Images(mut images) => {
                let count = images.request.sources().count();
                Ok((images.request.fields().clone(), count, images.earlier.map(|_| images.is_sure)))
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
        let shown = "![a fox](http://h/v1/images/files/T.png)\n\nSeed 1 [x](http://other/)";
        let chat = |last: &str| {
            json!([
                {"role": "user", "content": "a fox"},
                {"role": "assistant", "content": shown},
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
            "messages": [{"role": "user", "content": "x --size 512x512"}], "temperature": 1, "max_tokens": 9,
            "size": "1x1", "steps": 4, "image_config": {"aspect_ratio": "16:9"}, "shift": 3,
        });
        let (fields, ..) = parse(&body).unwrap();
        let expected = json!({"prompt": "x", "size": "512x512", "steps": 4, "aspect_ratio": "16:9", "shift": 3});
        assert_eq!(Value::Object(fields), expected);
    }
}
