//! Fetching of whole images, within the budget of the instance's memory.

use std::cell::Cell;

use bytes::Bytes;
use http::StatusCode;

use super::image::{AGAIN, OpenImage, open_unbounded, too_large};
use super::remote::RemoteImage;
use crate::generation::Format;
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::platform::{HeldBuffer, ReadError, TransportError, read_held, retry, timeout};

/// Fetches the whole image in `file`, of `limit` bytes at most, within the time of a job. A call that comes to nothing
/// is made again, three times; one that stalls, once.
///
/// # Errors
/// As [`open`], and where it breaks off or stalls; [`Failure::OutOfMemory`] where there is no memory for it.
pub async fn fetch(client: &Client, file: &RemoteFile, limit: usize) -> Result<(Format, Bytes), Failure> {
    persistently(client, async || {
        let image = open_unbounded(client, file, limit).await?;
        let buffer = HeldBuffer::new(client.host(), 1);
        read(client, image, limit, buffer).await
    })
    .await
}

/// An image that was to be fetched.
pub enum Fetched {
    /// Its bytes.
    Here(Format, Bytes),
    /// It is there, and stays where it is for want of memory.
    Left(RemoteImage),
}

/// Fetches as [`fetch`] does, but for an image that is known to be longer than `may_hold` allows, or than there is
/// memory for: that is left at its Space.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_or_leave(
    client: &Client,
    file: &RemoteFile,
    limit: usize,
    may_hold: impl Fn(usize) -> bool,
) -> Result<Fetched, Failure> {
    persistently(client, async || {
        let image = open_unbounded(client, file, limit).await?;
        let mut buffer = HeldBuffer::new(client.host(), 1);
        if let Some(length) = image.length.and_then(|length| usize::try_from(length).ok())
            && !(may_hold(length) && buffer.try_make_room(length))
        {
            let (client, file) = (client.clone(), file.clone());
            return Ok(Fetched::Left(RemoteImage { client, file, format: image.format, length }));
        }
        let (format, bytes) = read(client, image, limit, buffer).await?;
        Ok(Fetched::Here(format, bytes))
    })
    .await
}

/// Does `work` until it succeeds or fails for good.
async fn persistently<T>(client: &Client, work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let has_stalled = Cell::new(false);
    let may_pass = |failure: &Failure| match failure {
        Failure::Stalled { .. } => !has_stalled.replace(true),
        failure => may_pass(failure),
    };
    let most = client.limits().job;
    let done = retry(client.host(), &AGAIN, may_pass, work);
    timeout(client.host(), most, done).await.unwrap_or(Err(Failure::Overdue { after: most }))
}

/// True for a failure after which the same call may go well a moment later.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
        Failure::Transport(TransportError::Denied) => false,
        Failure::Transport(_) | Failure::Cut => true,
        _ => false,
    }
}

async fn read(client: &Client, image: OpenImage, limit: usize, buffer: HeldBuffer) -> Result<(Format, Bytes), Failure> {
    match read_held(client.host(), image.body, limit, buffer).await {
        Ok(bytes) => Ok((image.format, bytes)),
        Err(ReadError::TooLarge) => Err(too_large(limit)),
        Err(ReadError::OutOfMemory(refused)) => Err(refused.into()),
        Err(ReadError::Transport(TransportError::TimedOut(_))) => Err(Failure::Stalled { after: client.limits().idle }),
        Err(ReadError::Transport(_)) => Err(Failure::Cut),
    }
}
