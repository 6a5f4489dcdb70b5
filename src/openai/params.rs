//! What a request asks for, read from JSON.
//!
//! OpenAI's parameters are kept to where they have a meaning here; the rest (`style`, `user`, `moderation`, …) is taken and
//! left alone, since clients send it whatever the model. What a Space can do beyond OpenAI's parameters (`seed`, `steps`)
//! is read beside them: both SDKs put `extra_body` there, and raw clients may send a literal `extra_body` object.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::generation::{Generation, Seed, Size};
use crate::platform::{Outside, random_bytes};

/// The longest prompt, in characters, as for OpenAI's own image models.
const MAX_PROMPT: usize = 32_000;
/// The most images of one request, as at OpenAI.
const MAX_IMAGES: u32 = 10;
/// The most denoising steps that may be asked for; Spaces have limits of their own.
const MAX_STEPS: u32 = 1000;

/// A request for images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRequest {
    /// The model's id; `None` for the default.
    pub model: Option<String>,
    /// What is to be made.
    pub generation: Generation,
    /// How the images are to come.
    pub format: ResponseFormat,
}

/// How images come to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    /// In the answer, as base64.
    Base64,
    /// As links.
    Url,
}

impl ImageRequest {
    /// Reads the body of `POST /v1/images/generations`. Without a seed, `outside` gives one.
    ///
    /// # Errors
    /// 400 that names the parameter, what it was and what it may be.
    pub fn parse(body: &[u8], outside: &Outside) -> Result<Self, Error> {
        let fields = Fields::parse(body)?;
        let prompt = fields.prompt()?;
        let count = fields.integer("n", 1, MAX_IMAGES)?.unwrap_or(1);
        let size = fields.size()?;
        let seed = match fields.seed()? {
            Some(seed) => seed,
            None => Seed::of_bits(random_bytes(outside)),
        };
        let steps = match fields.integer("steps", 1, MAX_STEPS)? {
            None => fields.integer("num_inference_steps", 1, MAX_STEPS)?,
            steps => steps,
        };
        if fields.flag("stream")? {
            return Err(Error::invalid_value(
                "stream",
                "Streaming is not supported here. Leave `stream` out, or set it to false.",
            ));
        }
        // Any other value than "url" is taken for the default: some clients send names of their own.
        let format = match fields.get("response_format").and_then(Value::as_str) {
            Some("url") => ResponseFormat::Url,
            _ => ResponseFormat::Base64,
        };
        let model = fields.text("model")?.map(str::to_owned).filter(|model| !model.is_empty());
        Ok(Self { model, generation: Generation { prompt, size, seed, count, steps }, format })
    }
}

/// A JSON object's fields; those of a literal `extra_body` count where they aren't beside it.
struct Fields {
    fields: Map<String, Value>,
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, Error> {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            Error::bad_body(format!(
                "We could not parse the JSON body of your request (line {}, column {}). Send a JSON object such as {{\"prompt\": \"a red fox\"}}.",
                error.line(),
                error.column()
            ))
        })?;
        let Value::Object(mut fields) = value else {
            return Err(Error::bad_body(
                "The body of your request must be a JSON object such as {\"prompt\": \"a red fox\"}.",
            ));
        };
        if let Some(Value::Object(extra)) = fields.remove("extra_body") {
            for (name, value) in extra {
                fields.entry(name).or_insert(value);
            }
        }
        Ok(Self { fields })
    }

    /// A field's value; `null` is as good as none.
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Error::invalid_value(
                name,
                format!("Invalid type for '{name}': expected a string, got {}.", kind(other)),
            )),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Error::invalid_value(
                name,
                format!("Invalid type for '{name}': expected true or false, got {}.", kind(other)),
            )),
        }
    }

    /// A whole number from `least` to `greatest`; 2.0 and "2" are taken for 2.
    fn integer(&self, name: &'static str, least: u32, greatest: u32) -> Result<Option<u32>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        whole(value)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (least..=greatest).contains(number))
            .map(Some)
            .ok_or_else(|| {
                Error::invalid_value(
                    name,
                    format!(
                        "Invalid value for '{name}': {}. Expected a whole number from {least} to {greatest}.",
                        shown(value)
                    ),
                )
            })
    }

    fn prompt(&self) -> Result<String, Error> {
        let prompt = self.text("prompt")?.ok_or_else(|| Error::missing("prompt"))?;
        if prompt.trim().is_empty() {
            return Err(Error::invalid_value(
                "prompt",
                "Invalid 'prompt': it is empty. Say what the image should show.",
            ));
        }
        let length = prompt.chars().count();
        if length > MAX_PROMPT {
            return Err(Error::invalid_value(
                "prompt",
                format!("Invalid 'prompt': it has {length} characters. At most {MAX_PROMPT} are allowed."),
            ));
        }
        Ok(prompt.to_owned())
    }

    /// `size` as `WIDTHxHEIGHT` or `auto`, of which `width` and `height` replace a side.
    fn size(&self) -> Result<Size, Error> {
        let size = match self.text("size")? {
            None | Some("" | "auto") => Size::DEFAULT,
            Some(text) => Size::parse(text).ok_or_else(|| {
                let message = format!(
                    "Invalid value for 'size': {}. Expected 'auto' or WIDTHxHEIGHT with sides from {} to {}, such as '1024x1024'.",
                    shown(&Value::from(text)), Size::MIN, Size::MAX
                );
                Error::invalid_value("size", message)
            })?,
        };
        let width = self.integer("width", Size::MIN, Size::MAX)?.unwrap_or(size.width());
        let height = self.integer("height", Size::MIN, Size::MAX)?.unwrap_or(size.height());
        Ok(Size::new(width, height).unwrap_or(size))
    }

    /// `seed`; −1 stands for a random one.
    fn seed(&self) -> Result<Option<Seed>, Error> {
        let Some(value) = self.get("seed") else { return Ok(None) };
        match whole(value) {
            Some(-1) => Ok(None),
            number => match number.and_then(|number| u32::try_from(number).ok()).and_then(Seed::new) {
                Some(seed) => Ok(Some(seed)),
                None => Err(Error::invalid_value(
                    "seed",
                    format!(
                        "Invalid value for 'seed': {}. Expected a whole number from 0 to {}, or -1 for a random one.",
                        shown(value),
                        Seed::MAX
                    ),
                )),
            },
        }
    }
}

/// The whole number that a value is, or that its text says.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole_float(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// 2 for 2.0. Printing is exact where a cast would have to be argued for.
fn whole_float(number: f64) -> Option<i64> {
    if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None }
}

/// A value as a message shows it: short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(40).chain(['…']).collect() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
