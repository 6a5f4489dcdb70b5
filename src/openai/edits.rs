//! `POST /v1/images/edits`: what is asked for, from a form or from JSON.
//!
//! The SDKs send a form (RFC 7578) with `image` once or `image[]` several times, in any order among the other fields, all of which are
//! texts. The form is read as it comes, each part within its bounds, so that nothing larger is ever held. JSON names images by data URL, or by a link
//! of this server's own; nothing else is fetched, as a client's URL must not decide where the component connects to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Map, Value};

use super::params::{Fields, ImageRequest};
use crate::error::Error;
use crate::generation::{Format, Purpose, SourceImage};
use crate::http::read::BodyLimit;
use crate::platform::{Body, Host};

/// The most images of one request, as at OpenAI.
const MAX_IMAGES: usize = 16;
/// The longest field that isn't an image, in bytes.
const MAX_FIELD: u64 = 256 << 10;

/// A request for edits, with its images as they were sent.
pub struct EditRequest {
    fields: Map<String, Value>,
    images: Vec<Source>,
    mask: Option<Source>,
}

/// An image as it was sent.
#[derive(Debug)]
pub enum Source {
    /// Itself.
    Bytes(Bytes),
    /// A URL, to be looked up among this server's own links.
    Url(String),
}

impl EditRequest {
    /// A request of fields and images that somebody else has read.
    pub fn new(fields: Map<String, Value>, images: Vec<Source>) -> Self {
        Self { fields, images, mask: None }
    }

    /// What is asked for beside images.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Reads a form with that boundary, of images of `max_image` bytes at most.
    ///
    /// # Errors
    /// 400 where it isn't a form, 413 where a part is too large.
    pub async fn read_form(body: Body, boundary: String, max_image: usize) -> Result<Self, Error> {
        let whole = u64::try_from(BodyLimit::IMAGES.bytes).unwrap_or(u64::MAX);
        let image = u64::try_from(max_image).unwrap_or(u64::MAX);
        let limits = SizeLimit::new()
            .whole_stream(whole)
            .per_field(MAX_FIELD)
            .for_field("image", image)
            .for_field("image[]", image)
            .for_field("images", image)
            .for_field("images[]", image)
            .for_field("mask", image)
            .for_field("markup", image);
        // The parser asks for a stream that may move between threads. There is one thread, and the wrapper keeps to it.
        let body = send_wrapper::SendWrapper::new(body);
        let mut form = Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
        let mut request = Self { fields: Map::new(), images: Vec::new(), mask: None };
        while let Some(field) = form.next_field().await.map_err(|error| refused(&error))? {
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "image" | "image[]" | "images" | "images[]" => {
                    request.images.push(Source::Bytes(field.bytes().await.map_err(|error| refused(&error))?));
                    if request.images.len() > MAX_IMAGES {
                        return Err(Error::invalid_value(
                            "image",
                            format!("At most {MAX_IMAGES} images can be edited at once."),
                        ));
                    }
                }
                "mask" => request.mask = Some(Source::Bytes(field.bytes().await.map_err(|error| refused(&error))?)),
                // A file that nothing here takes, such as OpenAI's `markup`, changes nothing: it is passed over, and named as ignored.
                _ if field.file_name().is_some() => {
                    request.fields.insert(name, Value::from(field.file_name()));
                }
                _ => {
                    // Not the parser's own conversion, whose tables of old encodings are a fifth of the component.
                    let text = field.bytes().await.map_err(|error| refused(&error))?;
                    let text = String::from_utf8(text.into())
                        .map_err(|_| Error::bad_body("The form's fields must be UTF-8."))?;
                    request.fields.insert(name, Value::String(text));
                }
            }
        }
        Ok(request)
    }

    /// Reads JSON: `images` (or `image`) and `mask` as URLs, or as objects with an `image_url`.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn read_json(body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::parse(body)?.into_map();
        let mut images = Vec::new();
        for name in ["images", "image"] {
            let listed = match fields.remove(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) => items,
                Some(one) => vec![one],
            };
            for item in &listed {
                images.push(source("images", item)?);
            }
        }
        let mask = match fields.remove("mask") {
            None | Some(Value::Null) => None,
            Some(mask) => Some(source("mask", &mask)?),
        };
        if images.len() > MAX_IMAGES {
            return Err(Error::invalid_value("images", format!("At most {MAX_IMAGES} images can be edited at once.")));
        }
        Ok(Self { fields, images, mask })
    }

    /// The images as they were sent, the mask last, for whoever looks up URLs.
    pub fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.images.iter_mut().chain(self.mask.as_mut())
    }

    /// The part of the first image that is to change.
    pub fn set_mask(&mut self, mask: Source) {
        self.mask = Some(mask);
    }

    /// Puts an earlier prompt before this one, for models that know images by their words alone.
    pub fn continue_prompt(&mut self, before: &str) {
        if let Some(Value::String(prompt)) = self.fields.get_mut("prompt") {
            *prompt = format!("{before}\n{prompt}");
        }
    }

    /// One more image.
    pub fn add(&mut self, image: Source) {
        self.images.push(image);
    }

    /// What is asked for by one who wants variations, and need not say more than of which image.
    ///
    /// # Errors
    /// As [`EditRequest::finish`].
    pub fn finish_variation(mut self, host: &Host) -> Result<ImageRequest, Error> {
        self.fields.entry("prompt").or_insert_with(|| Value::from("a variation of this image"));
        Ok(ImageRequest { is_variation: true, ..self.finish(host)? })
    }

    /// What is asked for. All sources must have become bytes.
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

fn refused(error: &multer::Error) -> Error {
    match error {
        multer::Error::FieldSizeExceeded { limit, .. } | multer::Error::StreamSizeExceeded { limit } => {
            Error::body_too_large(usize::try_from(*limit).unwrap_or(usize::MAX))
        }
        _ => Error::bad_body(
            "The form in the body of your request can't be read. Send multipart/form-data with `image` and `prompt`.",
        ),
    }
}

pub(super) fn source(param: &'static str, value: &Value) -> Result<Source, Error> {
    let url = match value {
        Value::String(url) => Some(url.as_str()),
        Value::Object(fields) => match fields.get("image_url").or_else(|| fields.get("url")) {
            Some(Value::String(url)) => Some(url.as_str()),
            Some(Value::Object(inner)) => inner.get("url").and_then(Value::as_str),
            _ => None,
        },
        _ => None,
    };
    let invalid = |message: &str| Error::invalid_value(param, message);
    let url = url.ok_or_else(|| invalid("Each image must be a URL, or an object with an `image_url`."))?;
    match url.strip_prefix("data:") {
        None => Ok(Source::Url(url.to_owned())),
        Some(data) => {
            let decoded = data.split_once(";base64,").and_then(|(_, data)| STANDARD.decode(data.trim()).ok());
            let bytes = decoded.ok_or_else(|| invalid("The data URL of an image can't be read. It must be base64."))?;
            Ok(Source::Bytes(Bytes::from(bytes)))
        }
    }
}

fn image(param: &'static str, source: Source) -> Result<SourceImage, Error> {
    let Source::Bytes(bytes) = source else {
        return Err(Error::invalid_value(
            param,
            "This server fetches no images from elsewhere. Send the image itself, as a file or a data URL, or a link of this server.",
        ));
    };
    match Format::of_magic(&bytes) {
        Some(format) => Ok(SourceImage { bytes, format }),
        None => Err(Error::invalid_value(param, "The image is no PNG, JPEG, WebP, GIF or AVIF.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;
    use futures::executor::block_on;
    use futures::stream;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR--x\r\n--";

    fn form() -> Vec<u8> {
        let mut form = b"--x\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n2\r\n".to_vec();
        for (name, end) in [("image[]", 30), ("mask", 20), ("image[]", 25)] {
            form.extend(
                format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\n\r\n").bytes(),
            );
            form.extend_from_slice(PNG.get(..end).unwrap_or(PNG));
            form.extend(b"\r\n");
        }
        form.extend("--x\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\n红色的狐狸\r\n".bytes());
        form.extend(b"--x\r\ncontent-disposition: form-data; name=\"stream\"\r\n\r\nfalse\r\n--x--\r\n");
        form
    }

    fn read(pieces: Vec<Vec<u8>>, max_image: usize) -> Result<ImageRequest, Error> {
        let body: Body = Box::pin(stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))));
        let request = block_on(EditRequest::read_form(body, "x".into(), max_image))?;
        request.finish(&World::new(1).host())
    }

    #[test]
    fn a_form_is_read_however_it_is_cut() {
        let form = form();
        for size in [1, 2, 3, 7, 64, form.len()] {
            let request = read(form.chunks(size).map(<[u8]>::to_vec).collect(), 1000).unwrap();
            assert_eq!((request.purpose, request.generation.count), (Purpose::Edit, 2), "in pieces of {size}");
            assert_eq!(request.generation.prompt, "红色的狐狸");
            let lengths: Vec<_> = request.generation.images.iter().map(|image| image.bytes.len()).collect();
            assert_eq!((lengths, request.generation.mask.unwrap().bytes.len()), (vec![23, 23], 20));
        }
    }

    #[test]
    fn a_file_that_nothing_takes_is_passed_over() {
        let mut form =
            b"--x\r\ncontent-disposition: form-data; name=\"markup\"; filename=\"m.png\"\r\n\r\n\xff\xd8\r\n".to_vec();
        form.extend(self::form());
        let request = read(vec![form], 1000).unwrap();
        assert_eq!(request.generation.images.len(), 2);
        assert_eq!(request.generation.extras.get("markup"), Some(&Value::from("m.png")), "to be named as ignored");
    }

    #[test]
    fn what_is_too_large_or_no_form_is_refused() {
        let status = |pieces, max_image| read(pieces, max_image).unwrap_err().status.as_u16();
        assert_eq!(status(vec![form()], 15), 413);
        assert_eq!(status(vec![b"nonsense".to_vec()], 1000), 400);
        let form = form();
        // The line end behind the last boundary may be missing.
        for end in 0..form.len() - 2 {
            let cut = form.get(..end).unwrap().to_vec();
            assert!(read(vec![cut], 1000).is_err(), "cut at byte {end}");
        }
    }

    #[test]
    fn json_names_images_in_every_form() {
        let read = |json: &str| {
            let mut request = EditRequest::read_json(json.as_bytes())?;
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
