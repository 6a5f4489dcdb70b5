//! Parts of JSON that answers and events share.

use serde::Serialize;

use crate::error::Error;
use crate::http::json::ObjectWriter;
use crate::pipeline::Payload;

/// Adds `"space":"…"`, where clients may know it.
pub(super) fn push_space(image: &mut ObjectWriter<'_>, name: Option<&str>) {
    if let Some(name) = name {
        image.field("space", name);
    }
}

/// Adds `"b64_json":"…"` or `"url":"…"`.
pub(super) fn push_payload(image: &mut ObjectWriter<'_>, payload: Payload) {
    match payload {
        Payload::Bytes(bytes) => {
            image.field_with("b64_json", |body| body.push_base64_string(|body| body.push_base64(bytes)));
        }
        Payload::Remote(remote) => image.field_with("b64_json", |body| {
            body.push_base64_string(|body| body.push_base64_stream(remote.length, remote.into_body()));
        }),
        Payload::DataUrl(format, bytes) => {
            image.field_with("url", |body| body.push_data_url(format.name(), |body| body.push_base64(bytes)));
        }
        Payload::Url(url) => image.field("url", &url),
    }
}

/// Error of an image that is missing among several.
#[derive(Serialize)]
pub(super) struct ImageError<'a> {
    /// Index in the request, from 0.
    index: u32,
    message: &'a str,
    r#type: &'static str,
    code: Option<&'static str>,
}

/// The errors as JSON objects.
pub(super) fn listed(errors: &[(u32, Error)]) -> Vec<ImageError<'_>> {
    let listed = errors.iter().map(|(index, error)| ImageError {
        index: *index,
        message: &error.message,
        r#type: error.kind,
        code: error.code,
    });
    listed.collect()
}
