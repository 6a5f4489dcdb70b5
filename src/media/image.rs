//! Fetching an image from the Space that made it.
//!
//! A Space may send anything: a page of HTML, a redirect, a gigabyte. Only bytes that begin as an image does get
//! through, up to a size, and their type is the one that they show, never the one that the Space says. Redirects are
//! not followed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::{once, unfold};
use http::header::{ACCEPT, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::generation::format::MAGIC;
use crate::generation::{Format, Size};
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::platform::{Body, TransportError, content_length, timeout};

/// An image on its way.
pub struct OpenImage {
    /// Format of the image.
    pub format: Format,
    /// The length of `body`, where the Space says.
    pub length: Option<u64>,
    /// Part of the image that `body` is; `None` for all of it.
    pub part: Option<HeaderValue>,
    /// The bytes, `limit` of them at most: one more is an error.
    pub body: Body,
}

/// Opens the image in `file`, of `limit` bytes at most.
///
/// # Errors
/// Every [`Failure`] of a call; [`Failure::Unreadable`] where it isn't an image, or too large.
pub async fn open(client: &Client, file: &RemoteFile, limit: usize) -> Result<OpenImage, Failure> {
    let image = open_unbounded(client, file, limit).await?;
    Ok(OpenImage { body: capped(image.body, limit), ..image })
}

/// Opens as [`open`] does, but for a body that its reader bounds.
pub(super) async fn open_unbounded(client: &Client, file: &RemoteFile, limit: usize) -> Result<OpenImage, Failure> {
    let answer = get(client, file, None).await?;
    if answer.status != StatusCode::OK {
        return Err(client.refusal("file", answer).await);
    }
    let length = content_length(&answer.headers);
    within(length, limit)?;
    let (start, rest) = first_bytes(client, answer.body).await?;
    let format = Format::of_magic(&start).ok_or_else(not_an_image)?;
    let body = once(async { Ok(start) }).chain(rest).boxed_local();
    Ok(OpenImage { format, length, part: None, body })
}

/// Opens a part of the image in `file`: `range`, as a client's `Range` header says it.
///
/// # Errors
/// As [`open`]; a [`Failure::Status`] of 416 where the image has no such bytes.
pub async fn open_part(
    client: &Client,
    file: &RemoteFile,
    limit: usize,
    range: &HeaderValue,
) -> Result<OpenImage, Failure> {
    let answer = get(client, file, Some(range)).await?;
    if answer.status == StatusCode::OK {
        // A Space may answer with the whole.
        drop(answer);
        return open(client, file, limit).await;
    }
    let Some(part) = answer.headers.get(CONTENT_RANGE).filter(|part| is_content_range(part)).cloned() else {
        return Err(client.refusal("file", answer).await);
    };
    if answer.status != StatusCode::PARTIAL_CONTENT {
        return Err(client.refusal("file", answer).await);
    }
    let length = content_length(&answer.headers);
    within(length, limit)?;
    // A part from the middle shows no magic bytes, so the beginning is looked at first.
    let format = open(client, file, limit).await?.format;
    Ok(OpenImage { format, length, part: Some(part), body: capped(answer.body, limit) })
}

/// Pauses before a file is asked for again: it is made, and to make it anew costs more than to wait.
pub(super) const AGAIN: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];

/// Opens the file, or the rest of it from `start` on, by that `Range` header.
///
/// # Errors
/// As [`open`], and where the Space gives another part.
pub(super) async fn open_at(
    client: &Client,
    file: &RemoteFile,
    start: Option<(&HeaderValue, usize)>,
) -> Result<Body, Failure> {
    let answer = get(client, file, start.map(|(range, _)| range)).await?;
    let expected = if start.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    if answer.status != expected {
        return Err(client.refusal("file", answer).await);
    }
    let part = answer.headers.get(CONTENT_RANGE).and_then(|part| part.to_str().ok()).unwrap_or_default();
    match start {
        Some((_, start)) if !part.starts_with(&format!("bytes {start}-")) => Err(Failure::Cut),
        _ => Ok(answer.body),
    }
}

/// Error of a Space that stops sending.
pub(super) fn stalled() -> TransportError {
    TransportError::TimedOut("the Space stopped sending the image".to_owned())
}

/// An image that came with the answer, of `limit` bytes at most.
///
/// # Errors
/// [`Failure::Unreadable`] where it isn't an image, or too large.
pub fn inline(bytes: Bytes, limit: usize) -> Result<(Format, Bytes), Failure> {
    if bytes.len() > limit {
        return Err(too_large(limit));
    }
    let format = Format::of_magic(&bytes).ok_or_else(not_an_image)?;
    Ok((format, bytes))
}

/// The size of an image, from its header.
pub fn size(bytes: &[u8]) -> Option<Size> {
    let size = imagesize::blob_size(bytes).ok()?;
    Size::new(u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?)
}

async fn get(
    client: &Client,
    file: &RemoteFile,
    range: Option<&HeaderValue>,
) -> Result<crate::platform::Inbound, Failure> {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(ACCEPT, HeaderValue::from_static("image/*"));
    if let Some(range) = range {
        headers.insert(RANGE, range.clone());
    }
    client.get(file.origin.url(&file.path), headers).await
}

/// The first bytes of `body`, enough to recognize the format by if there are as many, and the rest.
async fn first_bytes(client: &Client, mut body: Body) -> Result<(Bytes, Body), Failure> {
    let idle = client.limits().idle;
    let mut start = BytesMut::new();
    while start.len() < MAGIC {
        match timeout(client.host(), idle, body.next()).await {
            Ok(Some(Ok(piece))) if start.is_empty() && piece.len() >= MAGIC => return Ok((piece, body)),
            Ok(Some(Ok(piece))) => start.extend_from_slice(&piece),
            Ok(Some(Err(TransportError::TimedOut(_)))) | Err(_) => return Err(Failure::Stalled { after: idle }),
            Ok(Some(Err(_))) => return Err(Failure::Cut),
            Ok(None) => break,
        }
    }
    Ok((start.freeze(), body))
}

/// `body`, with an error in place of the byte after `limit`.
fn capped(body: Body, limit: usize) -> Body {
    unfold(Some((body, limit)), async |state| {
        let (mut body, left) = state?;
        match body.next().await? {
            Ok(piece) => match left.checked_sub(piece.len()) {
                Some(left) => Some((Ok(piece), Some((body, left)))),
                None => Some((Err(TransportError::Broken("the image is too large".to_owned())), None)),
            },
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed_local()
}

fn within(length: Option<u64>, limit: usize) -> Result<(), Failure> {
    let fits = length.is_none_or(|length| usize::try_from(length).is_ok_and(|length| length <= limit));
    if fits { Ok(()) } else { Err(too_large(limit)) }
}

pub(super) fn too_large(limit: usize) -> Failure {
    Failure::Unreadable(format!("its image is larger than {limit} bytes (variable max_image_bytes)"))
}

fn not_an_image() -> Failure {
    Failure::Unreadable("what it made is no PNG, JPEG, WebP, GIF or AVIF image".to_owned())
}

/// True for `bytes FIRST-LAST/LENGTH` (RFC 9110 section 14.4).
fn is_content_range(value: &HeaderValue) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split_once('/'))
        .and_then(|(range, length)| Some((range.split_once('-')?, length)));
    parts.is_some_and(|((first, last), length)| digits(first) && digits(last) && (digits(length) || length == "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_content_range_is_passed_on() {
        let ok = |text: &'static str| is_content_range(&HeaderValue::from_static(text));
        assert!(ok("bytes 0-15/1312") && ok("bytes 0-15/*"));
        for text in ["", "bytes", "bytes */1312", "bytes 0-/5", "bytes a-b/c", "items 0-1/2", "bytes 0-1/2; x"] {
            assert!(!ok(text), "{text}");
        }
    }
}
