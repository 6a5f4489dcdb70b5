//! Images that a request sends along, or names.

use bytes::Bytes;
use serde_json::Value;

use crate::error::Error;
use crate::generation::{Format, SourceImage};
use crate::http::attachments::Attachments;

/// An image as it was sent.
#[derive(Debug)]
pub enum Source {
    /// Its bytes.
    Bytes(Bytes),
    /// A URL, to be resolved among this server's own links.
    Url(String),
}

/// Parses a URL, a data URL, or an object with an `image_url`, of a body with those attachments.
///
/// # Errors
/// 400 that names `param`.
pub fn source(param: &'static str, value: &Value, attachments: &Attachments) -> Result<Source, Error> {
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
        // Some clients send the base64 alone.
        None => Ok(match attachments.decode(url).filter(|bytes| Format::of_magic(bytes).is_some()) {
            Some(bytes) => Source::Bytes(bytes),
            None => Source::Url(url.to_owned()),
        }),
        Some(data) => {
            let decoded = data.split_once(";base64,").and_then(|(_, data)| attachments.decode(data));
            let bytes = decoded.ok_or_else(|| invalid("The data URL of an image can't be read. It must be base64."))?;
            Ok(Source::Bytes(bytes))
        }
    }
}

/// The image itself; `source` must have become bytes.
///
/// # Errors
/// 400 that names `param`.
pub fn image(param: &'static str, source: Source) -> Result<SourceImage, Error> {
    let Source::Bytes(bytes) = source else {
        return Err(Error::invalid_value(
            param,
            "This server fetches no images from elsewhere. Send the image itself, as a file or a data URL, or a \
             link of this server.",
        ));
    };
    match Format::of_magic(&bytes) {
        Some(format) => Ok(SourceImage { bytes, format }),
        None => Err(Error::invalid_value(param, "The image is no PNG, JPEG, WebP, GIF or AVIF.")),
    }
}
