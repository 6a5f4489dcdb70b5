//! Body of `POST /v1/responses`.

use serde_json::Value;

use crate::error::Error;
use crate::http::attachments::{Attachments, JsonText};
use crate::openai::conversation::intent::{Intent, intent};
use crate::openai::conversation::message::{ConversationMessage, message};
use crate::openai::fields::Fields;
use crate::openai::source::{Source, source};

/// The fields of the image_generation tool that are taken over; the rest of it says nothing here.
const TOOL: [&str; 8] = [
    "size",
    "quality",
    "output_format",
    "output_compression",
    "background",
    "moderation",
    "partial_images",
    "input_fidelity",
];

/// Fields that are a response's own. The others may be parameters of images.
const OWN: [&str; 33] = [
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "progress",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "verbosity",
];

/// A request for a response, as far as it matters here.
pub struct ResponseRequest {
    /// Id of the model; `None` for the default.
    pub model: Option<String>,
    /// `stream`: the answer is a stream of events.
    pub stream: bool,
    /// `store`: the response is kept, so that others can go on from it.
    pub store: bool,
    /// Id of the response that this one goes on from.
    pub previous: Option<String>,
    /// Images of earlier responses that the input names by id, the last one last.
    pub named: Vec<String>,
    /// The image_generation tool is there.
    pub has_tool: bool,
    /// The tool's action on earlier images.
    pub action: Action,
    /// Mask of the tool.
    pub mask: Option<Source>,
    /// Fields that the answer repeats.
    pub repeated: Repeated,
    /// Intent of the conversation.
    pub intent: Intent,
}

/// Action on earlier images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Edit them if the model can.
    Auto,
    /// None.
    Generate,
    /// Edit them.
    Edit,
}

/// Fields of a request that its answer repeats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repeated {
    /// The tools, without the images in them.
    pub tools: Vec<Value>,
    /// Choice of the tool.
    pub tool_choice: Option<Value>,
    /// The client's own data.
    pub metadata: Option<Value>,
    /// The system's message.
    pub instructions: Option<String>,
}

impl ResponseRequest {
    /// Parses the body.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn parse(body: &JsonText) -> Result<Self, Error> {
        let (fields, attachments) = (Fields::parse(&body.text)?, &body.attachments);
        let model = fields.text("model")?.map(str::to_owned).filter(|model| !model.is_empty());
        let stream = fields.flag("stream")?;
        let previous = fields.text("previous_response_id")?.map(str::to_owned).filter(|id| !id.is_empty());
        let instructions = fields.text("instructions")?.map(str::to_owned);
        let mut map = fields.into_map();
        if map.get("background") == Some(&Value::Bool(true)) {
            return Err(Error::invalid_value(
                "background",
                "Background responses are not supported here. Leave `background` out, or set it to false.",
            ));
        }
        let store = map.get("store") != Some(&Value::Bool(false));
        let (mut messages, named) = input(map.get("input"), attachments)?;
        if let Some(instructions) = &instructions {
            messages.insert(
                0,
                ConversationMessage { role: "system".to_owned(), text: instructions.clone(), images: Vec::new() },
            );
        }
        let mut tools = match map.remove("tools") {
            Some(Value::Array(tools)) => tools,
            _ => Vec::new(),
        };
        let tool = tools.iter_mut().find(|tool| tool.get("type").is_some_and(|kind| kind == "image_generation"));
        let tool = tool.and_then(Value::as_object_mut);
        let (has_tool, mut action, mut mask) = (tool.is_some(), Action::Auto, None);
        let tool_choice = map.remove("tool_choice").filter(|choice| !choice.is_null());
        let metadata = map.remove("metadata").filter(Value::is_object);
        map.retain(|name, _| !OWN.contains(&name.as_str()));
        if let Some(tool) = tool {
            action = match tool.get("action").and_then(Value::as_str) {
                Some("generate") => Action::Generate,
                Some("edit") => Action::Edit,
                _ => Action::Auto,
            };
            mask = match tool.remove("input_image_mask") {
                None | Some(Value::Null) => None,
                Some(mask) => Some(source("tools", &mask, attachments)?),
            };
            for name in TOOL {
                if let Some(value) = tool.get(name).filter(|value| !value.is_null()) {
                    map.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        let intent = intent("input", map, messages, attachments)?;
        let repeated = Repeated { tools, tool_choice, metadata, instructions };
        Ok(Self { model, stream, store, previous, named, has_tool, action, mask, repeated, intent })
    }
}

/// Messages, and the ids of images that are named among them.
fn input(value: Option<&Value>, attachments: &Attachments) -> Result<(Vec<ConversationMessage>, Vec<String>), Error> {
    let invalid = |message: &str| Error::invalid_value("input", message);
    let user = |text: &str| ConversationMessage { role: "user".to_owned(), text: text.to_owned(), images: Vec::new() };
    let items = match value {
        None | Some(Value::Null) => return Err(Error::missing("input")),
        Some(Value::String(text)) => return Ok((vec![user(text)], Vec::new())),
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(_) => return Err(invalid("Invalid 'input': expected a string, or a list of at least one item.")),
    };
    let (mut messages, mut named) = (Vec::new(), Vec::new());
    for item in items {
        match item.get("type").and_then(Value::as_str) {
            None | Some("message") => messages.push(message("input", item, attachments)?),
            Some("image_generation_call") => {
                match (result(item, attachments), item.get("id").and_then(Value::as_str)) {
                    (Some(image), _) => messages.push(ConversationMessage {
                        role: "assistant".to_owned(),
                        text: String::new(),
                        images: vec![image],
                    }),
                    (None, Some(id)) => named.push(id.to_owned()),
                    (None, None) => {}
                }
            }
            Some("item_reference") => {
                named.extend(item.get("id").and_then(Value::as_str).filter(|id| is_image(id)).map(str::to_owned))
            }
            // What other tools said, and what the model thought.
            Some(_) => {}
        }
    }
    Ok((messages, named))
}

/// True for the id of an image of a response; others name what isn't needed here.
fn is_image(id: &str) -> bool {
    id.starts_with("ig_")
}

/// The image of an earlier call that comes with its item.
fn result(item: &Value, attachments: &Attachments) -> Option<Source> {
    let data = item.get("result")?.as_str().filter(|data| !data.is_empty())?;
    source("input", &Value::from(format!("data:image/png;base64,{data}")), attachments).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: &Value) -> Result<ResponseRequest, Error> {
        ResponseRequest::parse(&body.to_string().into_bytes().into())
    }

    fn fields(request: &ResponseRequest) -> Value {
        match &request.intent {
            Intent::Images(images) => Value::Object(images.request.fields().clone()),
            Intent::Text(text) => panic!("a text: {text}"),
        }
    }

    #[test]
    fn the_input_is_a_text_or_a_list() {
        let request = parse(&json!({"input": "a fox", "model": "z", "temperature": 1, "n": 2})).unwrap();
        assert_eq!((fields(&request), request.has_tool), (json!({"prompt": "a fox", "n": 2}), false));
        let request = parse(&json!({
            "input": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
                {"type": "reasoning", "summary": []},
                {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgo="},
                {"type": "image_generation_call", "id": "ig_2"},
                {"role": "user", "content": [{"type": "input_text", "text": "make the last image blue"}]},
            ],
            "tools": [{"type": "function", "name": "f"}, {
                "type": "image_generation", "size": "512x512", "quality": null, "action": "edit",
                "input_image_mask": {"image_url": "data:image/png;base64,iVBORw0KGgo="},
            }],
            "instructions": "be kind",
        }))
        .unwrap();
        assert_eq!(fields(&request), json!({"prompt": "make the last image blue", "size": "512x512"}));
        assert_eq!((request.action, request.named.as_slice()), (Action::Edit, ["ig_2".to_owned()].as_slice()));
        assert!(request.mask.is_some() && request.has_tool);
        assert!(request.repeated.tools[1].get("input_image_mask").is_none(), "no image is sent back");
        let Intent::Images(images) = request.intent else { panic!() };
        assert!(images.earlier.is_some());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (body, param) in [
            (json!({}), "input"),
            (json!({"input": 7}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": [{"role": "assistant", "content": "x"}]}), "input"),
            (json!({"input": "x", "background": true}), "background"),
            (json!({"input": "x", "tools": [{"type": "image_generation", "input_image_mask": 7}]}), "tools"),
            (json!({"input": "x", "previous_response_id": 7}), "previous_response_id"),
        ] {
            assert_eq!(parse(&body).map(|_| ()).unwrap_err().param, Some(param), "{body}");
        }
    }
}
