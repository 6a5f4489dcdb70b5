//! Fields of a request: a JSON object, or a form.
//!
//! OpenAI's parameters are kept to where they have a meaning here; the rest (`style`, `user`, `moderation`, …) is taken
//! and left alone, since clients send it whatever the model. What a Space can do beyond OpenAI's parameters (`seed`,
//! `steps`) is read beside them: both SDKs put `extra_body` there, and raw clients may send a literal `extra_body`
//! object.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::bounded_json::JsonBounds;
use crate::error::Error;
use crate::generation::{Aspect, Format, Priority, Seed, Size, TargetFormat};

/// The longest prompt, in characters, as for OpenAI's own image models.
const MAX_PROMPT: usize = 32_000;
/// Default quality of a JPEG, from 0 to 100.
const DEFAULT_QUALITY: u8 = 90;

/// Fields that have a meaning here, or that every client of OpenAI's may send: they are no Space's own.
const OWN: [&str; 42] = [
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "response_format",
    "output_format",
    "output_compression",
    "background",
    "moderation",
    "stream",
    "partial_images",
    "style",
    "user",
    "safety_identifier",
    "seed",
    "steps",
    "num_inference_steps",
    "negative_prompt",
    "guidance_scale",
    "guidance",
    "cfg_scale",
    "cfg",
    "sampler",
    "scheduler",
    "width",
    "height",
    "input_fidelity",
    "extra_body",
    "metadata",
    "strength",
    "image_strength",
    "image",
    "images",
    "mask",
    "aspect_ratio",
    "aspectRatio",
    "progress",
    "priority",
    "async",
    "webhook_url",
    "",
];

/// A JSON object's fields; those of a literal `extra_body` count where they aren't beside it.
pub struct Fields {
    fields: Map<String, Value>,
}

impl Fields {
    /// Fields that have been read elsewhere.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields }
    }

    /// The fields, as they are.
    pub fn into_map(self) -> Map<String, Value> {
        self.fields
    }

    /// Parses a JSON object.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if !JsonBounds::REQUEST.hold(body) {
            return Err(Error::bad_body(format!(
                "The JSON body of your request has more than {} values, or nests them deeper than {}. Send fewer \
                 messages, and images as text in base64.",
                JsonBounds::REQUEST.values,
                JsonBounds::REQUEST.depth
            )));
        }
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            Error::bad_body(format!(
                "We could not parse the JSON body of your request (line {}, column {}). Send a JSON \
                 object such as {{\"prompt\": \"a red fox\"}}.",
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

    /// True where all fields together take no more than `limit` bytes as JSON.
    pub(super) fn fit(&self, limit: usize) -> bool {
        serde_json::to_writer(FieldsRoom(limit), &self.fields).is_ok()
    }

    /// A field's value; `null` is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A text; `null` is as good as none.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Error::invalid_value(
                name,
                format!("Invalid type for '{name}': expected a string, got {}.", kind(other)),
            )),
        }
    }

    /// A field's value; an empty text, as forms have it, is as good as none.
    fn filled(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| value.as_str().is_none_or(|text| !text.trim().is_empty()))
    }

    /// A boolean, false by default; a form's `"true"` or `"1"` counts.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.filled(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            // As forms have it.
            Some(Value::String(text)) if is_word(text, ["true", "1"]) => Ok(true),
            Some(Value::String(text)) if is_word(text, ["false", "0"]) => Ok(false),
            Some(other) => Err(Error::invalid_value(
                name,
                format!("Invalid type for '{name}': expected true or false, got {}.", kind(other)),
            )),
        }
    }

    /// A whole number from `least` to `greatest`; 2.0 and "2" are taken for 2.
    pub(super) fn integer(&self, name: &'static str, least: u32, greatest: u32) -> Result<Option<u32>, Error> {
        let Some(value) = self.filled(name) else { return Ok(None) };
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

    /// `prompt`, of 32,000 characters at most.
    pub(super) fn prompt(&self) -> Result<String, Error> {
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

    /// `size` as `WIDTHxHEIGHT` or `auto`, or `width` and `height`, which replace its sides. `None` is the model's own.
    pub(super) fn size(&self) -> Result<Option<Size>, Error> {
        let size = match self.text("size")? {
            None | Some("" | "auto") => None,
            Some(text) => Some(Size::parse(text).ok_or_else(|| {
                let message = format!(
                    "Invalid value for 'size': {}. Expected 'auto' or WIDTHxHEIGHT with sides from {} to {}, such \
                     as '1024x1024'.",
                    shown(&Value::from(text)),
                    Size::MIN,
                    Size::MAX
                );
                Error::invalid_value("size", message)
            })?),
        };
        let side = |name| self.integer(name, Size::MIN, Size::MAX);
        match (side("width")?, side("height")?, size) {
            (None, None, size) => Ok(size),
            // One side alone means a square, unless a size has the other.
            (Some(side), None, None) | (None, Some(side), None) => Ok(Size::new(side, side)),
            (width, height, size) => {
                let width = width.or(size.map(Size::width));
                let height = height.or(size.map(Size::height));
                Ok(width.zip(height).and_then(|(width, height)| Size::new(width, height)))
            }
        }
    }

    /// `aspect_ratio`, as `16:9`.
    pub(super) fn aspect(&self) -> Result<Option<Aspect>, Error> {
        let Some(text) = self.first_text(["aspect_ratio", "aspectRatio"])?.filter(|text| !matches!(*text, "" | "auto"))
        else {
            return Ok(None);
        };
        Aspect::parse(text).map(Some).ok_or_else(|| {
            let message = format!(
                "Invalid value for 'aspect_ratio': {}. Expected WIDTH:HEIGHT from 1:8 to 8:1, such as '16:9'.",
                shown(&Value::from(text))
            );
            Error::invalid_value("aspect_ratio", message)
        })
    }

    /// The first of several names for one whole number.
    pub(super) fn first_integer<const N: usize>(
        &self,
        names: [&'static str; N],
        least: u32,
        greatest: u32,
    ) -> Result<Option<u32>, Error> {
        names.into_iter().map(|name| self.integer(name, least, greatest)).find_map(Result::transpose).transpose()
    }

    /// The first of several names for one number.
    pub(super) fn first_number<const N: usize>(
        &self,
        names: [&'static str; N],
        least: f64,
        greatest: f64,
    ) -> Result<Option<f64>, Error> {
        let number = |name: &'static str| {
            let value = self.filled(name)?;
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            Some(number.filter(|number| (least..=greatest).contains(number)).ok_or_else(|| {
                Error::invalid_value(
                    name,
                    format!(
                        "Invalid value for '{name}': {}. Expected a number from {least} to {greatest}.",
                        shown(value)
                    ),
                )
            }))
        };
        names.into_iter().find_map(number).transpose()
    }

    /// The first of several names for one text.
    pub(super) fn first_text<const N: usize>(&self, names: [&'static str; N]) -> Result<Option<&str>, Error> {
        names.into_iter().map(|name| self.text(name)).find_map(Result::transpose).transpose()
    }

    /// The fields that have no meaning here: they may be a Space's own.
    pub(super) fn extras(&self) -> Map<String, Value> {
        let own = |name: &str| OWN.contains(&name);
        self.fields
            .iter()
            .filter(|(name, value)| !own(name) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// `priority`. The names of OpenAI's service tiers are none of it.
    pub(super) fn priority(&self) -> Result<Priority, Error> {
        match self.text("priority")? {
            None | Some("") => Ok(Priority::Normal),
            Some(name) => Priority::parse(name).ok_or_else(|| {
                let shown = shown(&Value::from(name));
                let message = format!("Invalid value for 'priority': {shown}. Expected 'low', 'normal' or 'high'.");
                Error::invalid_value("priority", message)
            }),
        }
    }

    /// `output_format` and `output_compression`.
    pub(super) fn wanted(&self) -> Result<Option<TargetFormat>, Error> {
        let quality = self.integer("output_compression", 0, 100)?.and_then(|quality| u8::try_from(quality).ok());
        let Some(name) = self.text("output_format")?.filter(|name| !matches!(*name, "" | "auto")) else {
            return Ok(None);
        };
        match Format::of_output_format(name) {
            Some(format) => Ok(Some(TargetFormat { format, quality: quality.unwrap_or(DEFAULT_QUALITY) })),
            None => Err(Error::invalid_value(
                "output_format",
                format!(
                    "Invalid value for 'output_format': {}. Expected 'png', 'jpeg' or 'webp'.",
                    shown(&Value::from(name))
                ),
            )),
        }
    }

    /// `seed`; −1 stands for a random one.
    pub(super) fn seed(&self) -> Result<Option<Seed>, Error> {
        let Some(value) = self.filled("seed") else { return Ok(None) };
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
        Value::String(text) => text.trim().parse().ok().or_else(|| whole_float(text.trim().parse().ok()?)),
        _ => None,
    }
}

fn is_word(text: &str, words: [&str; 2]) -> bool {
    words.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
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

/// Room for so many bytes, which are counted only.
struct FieldsRoom(usize);

impl Write for FieldsRoom {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
