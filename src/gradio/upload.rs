//! Sending images to a Space.
//!
//! Source: Gradio's `routes.py` (`/upload`): multipart, field `files`; the answer is a list of paths, in order. A wrong
//! field name is answered with an empty list.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderValue;
use serde_json::{Value, json};

use super::client::Client;
use super::config::Base;
use super::failure::Failure;
use crate::bounded_json::JsonBounds;
use crate::generation::SourceImage;
use crate::platform::random_hex;

/// A request's images, as a Space's own files: each a `FileData`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uploaded {
    /// The images.
    pub images: Vec<Value>,
    /// The mask.
    pub mask: Option<Value>,
}

impl Uploaded {
    /// Uploads them in one call.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::Unreadable`] where the Space doesn't say where it has put them.
    pub async fn send(
        client: &Client,
        base: &Base,
        images: &[SourceImage],
        mask: Option<&SourceImage>,
    ) -> Result<Self, Failure> {
        let all: Vec<&SourceImage> = images.iter().chain(mask).collect();
        if all.is_empty() {
            return Ok(Self::default());
        }
        let boundary = random_hex::<16>(client.host());
        let content_type = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"))
            .map_err(|_| Failure::Unreadable("the upload has no type".into()))?;
        let answer = client.post_as(base.url("/upload"), content_type, multipart(&boundary, &all)).await?;
        let body = client.body("upload", answer).await?;
        let paths: Vec<String> = JsonBounds::EVENT.parse(&body).unwrap_or_default();
        if paths.len() != all.len() {
            return Err(Failure::Unreadable("it does not say where it has put an uploaded image".into()));
        }
        let mut files = paths.iter().zip(&all).map(|(path, image)| file_data(path, image));
        let images = files.by_ref().take(images.len()).collect();
        Ok(Self { images, mask: files.next() })
    }
}

fn file_name(image: &SourceImage) -> String {
    format!("image.{}", image.format.name())
}

fn file_data(path: &str, image: &SourceImage) -> Value {
    json!({
        "path": path,
        "orig_name": file_name(image),
        "size": image.bytes.len(),
        "mime_type": format!("image/{}", image.format.name()),
        "meta": {"_type": "gradio.FileData"},
    })
}

/// The files as a form (RFC 7578).
fn multipart(boundary: &str, images: &[&SourceImage]) -> Bytes {
    let length: usize = images.iter().map(|image| image.bytes.len() + 200).sum();
    let mut body = BytesMut::with_capacity(length + 100);
    for image in images {
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{}\"\r\n\
             content-type: image/{}\r\n\r\n",
            file_name(image),
            image.format.name()
        );
        body.put_slice(head.as_bytes());
        body.put_slice(&image.bytes);
        body.put_slice(b"\r\n");
    }
    body.put_slice(format!("--{boundary}--\r\n").as_bytes());
    body.freeze()
}
