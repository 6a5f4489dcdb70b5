//! An image that stays at its Space until it is written into an answer.
//!
//! Ten images of 20 MB don't fit into an instance. Those that a request has no memory for are looked at, so that it is
//! sure that they are there, and read from the Space while the answer is written: in constant memory, at the pace of
//! the client. A connection that breaks meanwhile is gone on from where it broke.

use std::fmt;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::unfold;
use http::HeaderValue;

use super::image::{AGAIN, open_at, stalled};
use crate::generation::Format;
use crate::gradio::client::Client;
use crate::gradio::file::RemoteFile;
use crate::platform::{Body, TransportError, timeout};

/// An image at its Space, of known length.
#[derive(Clone)]
pub struct RemoteImage {
    /// Client that brings the Space's token.
    pub(super) client: Client,
    /// The file.
    pub(super) file: RemoteFile,
    /// Format, by its first bytes.
    pub format: Format,
    /// Length, in bytes.
    pub length: usize,
}

impl fmt::Debug for RemoteImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteImage({:?}, {:?}, {} bytes)", self.file, self.format, self.length)
    }
}

/// An image that is being read.
struct Reading {
    image: RemoteImage,
    /// Bytes that have come.
    at: usize,
    body: Option<Body>,
    /// Number of connections that broke.
    broken: usize,
}

impl RemoteImage {
    /// Its bytes, as many as its length says, or an error.
    pub fn into_body(self) -> Body {
        unfold(Some(Reading { image: self, at: 0, body: None, broken: 0 }), |reading| async move {
            let mut reading = reading?;
            if reading.at >= reading.image.length {
                return None;
            }
            match reading.next().await {
                Ok(piece) => Some((Ok(piece), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed_local()
    }
}

impl Reading {
    /// The next piece, of this connection or of another one.
    async fn next(&mut self) -> Result<Bytes, TransportError> {
        loop {
            match self.piece().await {
                Ok(piece) if !piece.is_empty() => {
                    let piece = piece.slice(..piece.len().min(self.image.length - self.at));
                    self.at += piece.len();
                    return Ok(piece);
                }
                Ok(_) => {}
                Err(error) => {
                    self.body = None;
                    let Some(pause) = AGAIN.get(self.broken) else { return Err(error) };
                    self.broken += 1;
                    self.image.client.host().sleep(*pause).await;
                }
            }
        }
    }

    async fn piece(&mut self) -> Result<Bytes, TransportError> {
        let RemoteImage { client, file, .. } = &self.image;
        let body = match &mut self.body {
            Some(body) => body,
            none => {
                let range = HeaderValue::from_str(&format!("bytes={}-", self.at)).ok().filter(|_| self.at > 0);
                let opened = open_at(client, file, range.as_ref().map(|range| (range, self.at))).await;
                none.insert(opened.map_err(|failure| TransportError::Broken(failure.to_string()))?)
            }
        };
        match timeout(client.host(), client.limits().idle, body.next()).await {
            Ok(Some(piece)) => piece,
            Ok(None) => Err(TransportError::Broken("the image ended early".to_owned())),
            Err(_) => Err(stalled()),
        }
    }
}
