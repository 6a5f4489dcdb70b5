//! Reading of bodies.

use bytes::Bytes;
use futures::StreamExt as _;
use thiserror::Error;

use super::buffer::HeldBuffer;
use super::exchange::{Body, TransportError};
use super::memory::OutOfMemory;
use super::port::Host;

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

/// Reads `body` to its end into a buffer that may have something in it, within the budget of the instance's memory.
///
/// # Errors
/// As [`read_to_end`], and [`ReadError::OutOfMemory`].
pub async fn read_held(host: &Host, mut body: Body, limit: usize, mut buffer: HeldBuffer) -> Result<Bytes, ReadError> {
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if piece.len() > limit.saturating_sub(buffer.len()) {
            return Err(ReadError::TooLarge);
        }
        buffer.push(host, &piece).await?;
    }
    Ok(buffer.finish())
}

/// Failure of [`read_to_end`] and [`read_held`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// More bytes than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The body broke off.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no memory for it.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}
