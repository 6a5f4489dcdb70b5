//! `POST /v1/images/edits` and `/v1/images/variations`: fields and images of the request.
//!
//! JSON names images by data URL, or by a link of this server's own; nothing else is fetched, as a client's URL must
//! not decide where the component connects to. A form is read by [`super::form`].

use serde_json::{Map, Value};

use crate::error::Error;
use crate::generation::Purpose;
use crate::http::attachments::{Attachments, JsonText};
use crate::openai::fields::Fields;
use crate::openai::image_request::ImageRequest;
use crate::openai::source::{Source, image, source};
use crate::platform::Host;

/// The most images of one request, as at OpenAI.
pub(super) const MAX_IMAGES: usize = 16;

/// A request for edits, with its images as they were sent.
pub struct EditRequest {
    pub(super) fields: Map<String, Value>,
    pub(super) images: Vec<Source>,
    pub(super) mask: Option<Source>,
}

impl EditRequest {
    /// A request of fields and images that have been read elsewhere.
    pub fn new(fields: Map<String, Value>, images: Vec<Source>) -> Self {
        Self { fields, images, mask: None }
    }

    /// Fields beside the images.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Parses JSON: `images` (or `image`) and `mask` as URLs, or as objects with an `image_url`.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn read_json(body: &JsonText) -> Result<Self, Error> {
        Self::from_map(Fields::parse(&body.text)?.into_map(), &body.attachments)
    }

    /// The request of such fields, of a body with those attachments.
    ///
    /// # Errors
    /// As [`EditRequest::read_json`].
    pub fn from_map(mut fields: Map<String, Value>, attachments: &Attachments) -> Result<Self, Error> {
        let mut images = Vec::new();
        for name in ["images", "image"] {
            let listed = match fields.remove(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) => items,
                Some(one) => vec![one],
            };
            for item in listed.iter().filter(|item| !is_nothing(item)) {
                images.push(source(name, item, attachments)?);
            }
        }
        let mask = match fields.remove("mask") {
            Some(mask) if !is_nothing(&mask) => Some(source("mask", &mask, attachments)?),
            _ => None,
        };
        if images.len() > MAX_IMAGES {
            return Err(Error::invalid_value("images", format!("At most {MAX_IMAGES} images can be edited at once.")));
        }
        Ok(Self { fields, images, mask })
    }

    /// True where images were sent, or a mask of one.
    pub fn has_images(&self) -> bool {
        !self.images.is_empty() || self.mask.is_some()
    }

    /// Images as they were sent, the mask last; URLs are to be resolved.
    pub fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.images.iter_mut().chain(self.mask.as_mut())
    }

    /// Sets the part of the first image that is to change.
    pub fn set_mask(&mut self, mask: Source) {
        self.mask = Some(mask);
    }

    /// Puts an earlier prompt before this one, for models that know images by their words alone.
    pub fn continue_prompt(&mut self, before: &str) {
        if let Some(Value::String(prompt)) = self.fields.get_mut("prompt") {
            *prompt = format!("{before}\n{prompt}");
        }
    }

    /// Adds an image.
    pub fn add(&mut self, image: Source) {
        self.images.push(image);
    }

    /// The request for variations, which need say no more than of which image.
    ///
    /// # Errors
    /// As [`EditRequest::finish`].
    pub fn finish_variation(mut self, host: &Host) -> Result<ImageRequest, Error> {
        self.fields.entry("prompt").or_insert_with(|| Value::from("a variation of this image"));
        Ok(ImageRequest { is_variation: true, ..self.finish(host)? })
    }

    /// The request for edits. All sources must have become bytes.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn finish(self, host: &Host) -> Result<ImageRequest, Error> {
        if self.images.is_empty() {
            return Err(Error::missing("image"));
        }
        let images = self.images.into_iter().map(|source| image("image", source)).collect::<Result<_, _>>()?;
        let mask = self.mask.map(|source| image("mask", source)).transpose()?;
        let mut request = ImageRequest::read(&Fields::new(self.fields), host)?;
        request.purpose = Purpose::Edit;
        request.generation.images = images;
        request.generation.mask = mask;
        Ok(request)
    }
}

/// True for what clients send where there is no image.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_images_in_every_form() {
        let read = |json: &str| {
            let mut request = EditRequest::read_json(&json.as_bytes().to_vec().into())?;
            let urls = request.sources().map(|source| match source {
                Source::Url(url) => url.clone(),
                Source::Bytes(bytes) => format!("{} bytes", bytes.len()),
            });
            Ok::<_, Error>(urls.collect::<Vec<_>>())
        };
        let data = "data:image/png;base64,AAAA";
        for images in [
            format!(r#""images":["{data}"]"#),
            format!(r#""image":"{data}""#),
            format!(r#""image":["{data}",null,""],"images":null,"mask":"""#),
            format!(r#""images":[{{"image_url":"{data}"}}]"#),
            format!(r#""images":[{{"type":"image_url","image_url":{{"url":"{data}"}}}}]"#),
        ] {
            assert_eq!(read(&format!("{{{images}}}")).unwrap(), ["3 bytes"], "{images}");
        }
        assert_eq!(
            read(r#"{"images":["https://x/"],"mask":{"image_url":"https://y/"}}"#).unwrap(),
            ["https://x/", "https://y/"]
        );
        for wrong in [
            r#"{"images":[7]}"#,
            r#"{"images":[{}]}"#,
            r#"{"image":"data:image/png;base64,???"}"#,
            r#"{"image":"data:x"}"#,
        ] {
            assert_eq!(read(wrong).unwrap_err().status.as_u16(), 400, "{wrong}");
        }
    }
}
