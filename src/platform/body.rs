//! Reading of bodies.

use bytes::Bytes;
use futures::StreamExt as _;
use thiserror::Error;

use super::exchange::{Body, TransportError};

/// Reads `body` to its end.
///
/// # Errors
/// [`ReadError::TooLarge`] as soon as more than `limit` bytes have come; the rest is not read.
pub async fn read_to_end(mut body: Body, limit: usize) -> Result<Bytes, ReadError> {
    let Some(first) = body.next().await else { return Ok(Bytes::new()) };
    let first = first?;
    if first.len() > limit {
        return Err(ReadError::TooLarge);
    }
    let Some(second) = body.next().await else { return Ok(first) };
    let mut all = Vec::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        let piece = piece?;
        if piece.len() > limit - all.len() {
            return Err(ReadError::TooLarge);
        }
        all.extend_from_slice(&piece);
        next = body.next().await;
    }
    Ok(Bytes::from(all))
}

/// Failure of [`read_to_end`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// More bytes than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The body broke off.
    #[error(transparent)]
    Transport(#[from] TransportError),
}
