//! JSON answers that hold images.
//!
//! Ten images of some megabytes, as base64 inside one JSON text, would be held in memory three times over. The answer is kept
//! as a list of parts, text and raw images, whose length as written is known beforehand, and is written in pieces.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;

use crate::platform::{Body, Content};

/// How many bytes of an image become one piece: a multiple of 3, so that base64 pads at the end only.
const PIECE: usize = 24 << 10;

/// A JSON text in the making.
#[derive(Debug, Default)]
pub struct JsonBody {
    parts: VecDeque<Part>,
    length: usize,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Base64(Bytes),
}

impl JsonBody {
    /// Adds `text` as it is: JSON's own signs, or values that a serializer has written.
    pub fn push_text(&mut self, text: &str) {
        self.length += text.len();
        match self.parts.back_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push_back(Part::Text(text.to_owned())),
        }
    }

    /// Adds `bytes` as base64, without quotation marks (RFC 4648 section 4).
    pub fn push_base64(&mut self, bytes: Bytes) {
        self.length += bytes.len().div_ceil(3) * 4;
        self.parts.push_back(Part::Base64(bytes));
    }

    /// How long it is as written, in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// As an answer's body.
    pub fn into_content(self) -> Content {
        Content::Stream(self.into_stream())
    }

    /// As a stream of its pieces.
    pub fn into_stream(self) -> Body {
        stream::iter(self.parts)
            .flat_map(|part| {
                let pieces: Body = match part {
                    Part::Text(text) => Box::pin(stream::once(async { Ok(Bytes::from(text)) })),
                    Part::Base64(bytes) => Box::pin(stream::iter(pieces(bytes)).map(Ok)),
                };
                pieces
            })
            .boxed_local()
    }
}

/// `bytes` in base64, in pieces.
fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        Some(Bytes::from(STANDARD.encode(piece)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::read_to_end;
    use futures::executor::block_on;

    #[test]
    fn pieces_join_to_the_base64_of_the_whole() {
        for length in [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 2] {
            let image: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut body = JsonBody::default();
            body.push_text("{\"b64_json\":\"");
            body.push_base64(Bytes::from(image.clone()));
            body.push_text("\"");
            body.push_text("}");
            let announced = body.len();
            let written = block_on(read_to_end(body.into_stream(), usize::MAX)).unwrap();
            assert_eq!(written.len(), announced, "{length}");
            let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(STANDARD.decode(json["b64_json"].as_str().unwrap()).unwrap(), image);
        }
    }
}
