//! Parts of JSON that answers and events share.

use serde::Serialize;
use serde_json::json;

use crate::error::Error;
use crate::http::json::JsonBody;
use crate::pipeline::Payload;

/// Writes `,"space":"…"`, where clients may know it.
pub(super) fn space(name: Option<&str>) -> String {
    name.map(|name| format!(",\"space\":{}", json!(name))).unwrap_or_default()
}

/// Writes `"b64_json":"…"` or `"url":"…"`.
pub(super) fn push_payload(body: &mut JsonBody, payload: Payload) {
    match payload {
        Payload::Bytes(bytes) => {
            body.push_text("\"b64_json\":\"");
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::DataUrl(format, bytes) => {
            body.push_text(&format!("\"url\":\"data:image/{};base64,", format.name()));
            body.push_base64(bytes);
            body.push_text("\"");
        }
        Payload::Url(url) => body.push_text(&format!("\"url\":{}", json!(url))),
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
