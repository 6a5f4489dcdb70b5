//! Reading of request bodies, within bounds of size and time.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::attachments::{JsonReader, JsonText};
use crate::error::Error;
use crate::platform::{Body, HeldBuffer, Host, UNCOUNTED, content_length, grow, timeout};

/// Step by which a body's memory is reserved, in bytes.
const STEP: usize = 1 << 20;
/// Length of the pieces that a body is kept in, in bytes: those that it comes in may be of a byte each.
const PIECE: usize = 512 << 10;

/// Bounds of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// Length, in bytes.
    pub bytes: usize,
    /// Length of a JSON text without the images in it, in bytes.
    pub text: usize,
    /// Time until its last byte.
    pub time: Duration,
}

impl BodyLimit {
    /// Bounds of a body without images: 1 MiB in 30 s.
    pub const FIELDS: Self = Self { bytes: 1 << 20, text: 1 << 20, time: Duration::from_secs(30) };
    /// Bounds of a body with images: 64 MiB in 120 s, 8 MiB of which may be text.
    pub const IMAGES: Self = Self { bytes: 64 << 20, text: 8 << 20, time: Duration::from_secs(120) };
}

/// Reads a JSON body, the images in it apart. `expected` names the media types that the route takes.
///
/// # Errors
/// 415 where it says that it is something else, 413 where it is too large, 408 where it stalls, 503 where there is no
/// memory for it.
pub async fn json(
    host: &Host,
    headers: &HeaderMap,
    mut body: Body,
    limit: BodyLimit,
    expected: &'static str,
) -> Result<JsonText, Error> {
    expect_json(headers, expected)?;
    refuse_large(headers, limit)?;
    let read = async {
        let (mut reader, mut reservation, mut length) = (JsonReader::default(), host.memory().none(), 0);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Error::body_stalled())?;
            length += piece.len();
            if length > limit.bytes {
                return Err(Error::body_too_large(limit.bytes));
            }
            reader.feed(&piece, &mut reservation);
            if reader.text_length() > limit.text {
                return Err(Error::text_too_large(limit.text));
            }
            let memory = reader.memory();
            if memory > UNCOUNTED && memory > reservation.bytes() {
                let grown = grow(host, &mut reservation, memory.saturating_add(STEP)).await;
                grown.map_err(|refused| Error::out_of_memory(&refused))?;
            }
        }
        Ok(reader.finish(&mut reservation))
    };
    timeout(host, limit.time, read).await.map_err(|_| Error::body_stalled())?
}

/// Reads a body in pieces; `look` is shown each.
///
/// # Errors
/// 413 where it is too large, 408 where it stalls, 503 where there is no memory for it.
pub async fn pieces(
    host: &Host,
    headers: &HeaderMap,
    mut body: Body,
    limit: BodyLimit,
    mut look: impl FnMut(&[u8]),
) -> Result<Vec<Bytes>, Error> {
    refuse_large(headers, limit)?;
    let read = async {
        let (mut pieces, mut length) = (Vec::new(), 0);
        let mut open = HeldBuffer::new(host, 1);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Error::body_stalled())?;
            length += piece.len();
            if length > limit.bytes {
                return Err(Error::body_too_large(limit.bytes));
            }
            look(&piece);
            open.push(host, &piece).await.map_err(|refused| Error::out_of_memory(&refused))?;
            if open.len() >= PIECE {
                pieces.push(open.finish());
                open = HeldBuffer::new(host, 1);
            }
        }
        pieces.push(open.finish());
        Ok(pieces)
    };
    timeout(host, limit.time, read).await.map_err(|_| Error::body_stalled())?
}

/// Refuses a body that says that it is something else. One that says nothing is taken for JSON.
fn expect_json(headers: &HeaderMap, expected: &'static str) -> Result<(), Error> {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media_type = media_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media_type {
        Some(name) if name != "application/json" && !name.ends_with("+json") => {
            Err(Error::wrong_content_type(expected))
        }
        _ => Ok(()),
    }
}

/// Refuses a body that is announced as larger than `limit`, before it has come.
///
/// # Errors
/// 413.
pub fn refuse_large(headers: &HeaderMap, limit: BodyLimit) -> Result<(), Error> {
    // On wasm32, a length that a `usize` can't hold is one that is too large.
    let announced = content_length(headers);
    let is_large = |length| usize::try_from(length).map_or(true, |length| length > limit.bytes);
    if announced.is_some_and(is_large) { Err(Error::body_too_large(limit.bytes)) } else { Ok(()) }
}
