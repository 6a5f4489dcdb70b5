//! Writer of JSON that holds images.
//!
//! Ten images of some megabytes, as base64 inside one JSON text, would be held in memory three times over. The text is
//! kept as a list of parts, text and raw images, whose length as written is known beforehand, and is written in pieces:
//! large ones, as a small one that follows another may wait until that is acknowledged (Nagle's algorithm, RFC 896).

use std::collections::VecDeque;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use serde::Serialize;

use crate::platform::{Body, Content, TransportError};

/// Least number of bytes of a piece; what is shorter is one piece. Two full segments even on loopback, which are
/// acknowledged at once.
const PIECE: usize = 128 << 10;
/// Number of bytes of an image that are encoded at a time: a multiple of 3, so that base64 pads at the end only.
const STEP: usize = 24 << 10;

/// JSON text that is being written.
#[derive(Debug, Default)]
pub struct JsonBody {
    parts: VecDeque<Part>,
    length: usize,
    /// Text behind them.
    text: String,
}

enum Part {
    Text(String),
    Base64(Bytes),
    /// Bytes that come while they are written, and those of them that are too few for a sign of base64.
    Base64Stream(Body, Vec<u8>),
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({text})"),
            Self::Base64(bytes) => write!(f, "Base64({} bytes)", bytes.len()),
            Self::Base64Stream(..) => f.write_str("Base64Stream(…)"),
        }
    }
}

impl JsonBody {
    /// Adds `text` as it is: JSON's own signs, or values that a serializer has written.
    pub fn push_text(&mut self, text: &str) {
        self.length += text.len();
        self.text.push_str(text);
    }

    /// Adds what is no text.
    fn push(&mut self, part: Part) {
        self.end_text();
        self.parts.push_back(part);
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push_back(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// Adds `bytes` as base64, without quotation marks (RFC 4648 section 4).
    pub fn push_base64(&mut self, bytes: Bytes) {
        self.length += bytes.len().div_ceil(3) * 4;
        self.push(Part::Base64(bytes));
    }

    /// Adds the bytes of `body`, `length` of them, as base64 without quotation marks; they are read when they are
    /// written.
    pub fn push_base64_stream(&mut self, length: usize, body: Body) {
        self.length += length.div_ceil(3) * 4;
        self.push(Part::Base64Stream(body, Vec::new()));
    }

    /// Adds base64, which `write` adds, as a string.
    pub fn push_base64_string(&mut self, write: impl FnOnce(&mut Self)) {
        self.push_text("\"");
        write(self);
        self.push_text("\"");
    }

    /// Adds base64, which `write` adds, as a data URL (RFC 2397) of the image format of that name.
    pub fn push_data_url(&mut self, format: &str, write: impl FnOnce(&mut Self)) {
        self.push_text("\"data:image/");
        self.push_text(format);
        self.push_text(";base64,");
        write(self);
        self.push_text("\"");
    }

    /// Adds a value.
    pub fn push_json(&mut self, value: &(impl Serialize + ?Sized)) {
        let before = self.text.len();
        // Memory takes all that is written to it.
        let _ = serde_json::to_writer(TextWriter(&mut self.text), value);
        self.length += self.text.len() - before;
    }

    /// Adds an object, whose fields `write` adds.
    pub fn push_object(&mut self, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.push_text("{");
        write(&mut ObjectWriter { body: self, is_empty: true });
        self.push_text("}");
    }

    /// Adds an array, each of whose elements `write` adds.
    pub fn push_array<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.push_text("[");
        for (position, item) in items.into_iter().enumerate() {
            self.push_text(if position > 0 { "," } else { "" });
            write(self, item);
        }
        self.push_text("]");
    }

    /// Its text, without images.
    pub fn into_text(mut self) -> String {
        if self.parts.is_empty() {
            return self.text;
        }
        self.end_text();
        let text = |part| match part {
            Part::Text(text) => Some(text),
            Part::Base64(_) | Part::Base64Stream(..) => None,
        };
        self.parts.into_iter().filter_map(text).collect()
    }

    /// Length as written, in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True where nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Body of an answer.
    pub fn into_content(self) -> Content {
        if self.parts.is_empty() {
            Content::Full(Bytes::from(self.into_text()))
        } else {
            Content::Stream(self.into_stream())
        }
    }

    /// Stream of its pieces.
    pub fn into_stream(mut self) -> Body {
        self.end_text();
        stream::unfold(Some(PieceWriter { left: self.length, parts: self.parts }), |writer| async move {
            let mut writer = writer?;
            match writer.next().await {
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => Some((Ok(Bytes::from(piece)), Some(writer))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed_local()
    }
}

/// Writer of the parts that are left.
struct PieceWriter {
    parts: VecDeque<Part>,
    /// Its length, in bytes.
    left: usize,
}

impl PieceWriter {
    /// The next piece; an empty one at the end.
    async fn next(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut piece = Vec::new();
        while let Some(part) = self.parts.front_mut() {
            let before = piece.len();
            let is_over = match part {
                Part::Text(text) if piece.is_empty() => {
                    piece = std::mem::take(text).into_bytes();
                    true
                }
                Part::Text(text) => {
                    piece.extend_from_slice(text.as_bytes());
                    true
                }
                Part::Base64(bytes) => {
                    encode(&bytes.split_to(STEP.min(bytes.len())), &mut piece);
                    bytes.is_empty()
                }
                Part::Base64Stream(body, rest) => match body.next().await {
                    Some(bytes) => {
                        encode_whole(rest, bytes?, &mut piece);
                        false
                    }
                    None => {
                        encode(rest, &mut piece);
                        true
                    }
                },
            };
            if is_over {
                self.parts.pop_front();
            }
            self.left = self.left.saturating_sub(piece.len() - before);
            // The last piece is no smaller than the others.
            if piece.len() >= PIECE && self.left >= PIECE {
                break;
            }
            if before == 0 {
                piece.reserve_exact(self.left.min(2 * PIECE));
            }
        }
        Ok(piece)
    }
}

/// Appends what is left of earlier bytes and `bytes` as base64, but for the last that make no whole group of three:
/// they are left then.
fn encode_whole(rest: &mut Vec<u8>, mut bytes: Bytes, piece: &mut Vec<u8>) {
    if !rest.is_empty() {
        rest.extend_from_slice(&bytes.split_to((3 - rest.len() % 3).min(bytes.len())));
        if !rest.len().is_multiple_of(3) {
            return;
        }
        encode(rest, piece);
        rest.clear();
    }
    rest.extend_from_slice(&bytes.split_off(bytes.len() / 3 * 3));
    encode(&bytes, piece);
}

/// Appends `bytes` as base64.
fn encode(bytes: &[u8], piece: &mut Vec<u8>) {
    let begin = piece.len();
    piece.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    if let Some(room) = piece.get_mut(begin..) {
        // The room is just as large as is needed.
        let _ = STANDARD.encode_slice(bytes, room);
    }
}

/// Writer of JSON at the end of a text.
struct TextWriter<'a>(&'a mut String);

impl io::Write for TextWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A serializer writes whole characters.
        self.0.push_str(str::from_utf8(bytes).map_err(io::Error::other)?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writer of an object's fields, in the order in which they are added.
pub struct ObjectWriter<'a> {
    body: &'a mut JsonBody,
    is_empty: bool,
}

impl ObjectWriter<'_> {
    /// Adds a field.
    pub fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.field_with(name, |body| body.push_json(value));
    }

    /// Adds a field whose value `write` adds.
    pub fn field_with(&mut self, name: &str, write: impl FnOnce(&mut JsonBody)) {
        self.separate();
        self.body.push_json(name);
        self.body.push_text(":");
        write(self.body);
    }

    /// Adds the fields of a value that is an object.
    pub fn fields(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_default();
        let Some(fields) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else { return };
        if !fields.is_empty() {
            self.separate();
            self.body.push_text(fields);
        }
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.body.push_text(",");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::read_to_end;
    use futures::executor::block_on;

    #[test]
    fn pieces_join_to_the_base64_of_the_whole() {
        for length in [0, 1, 2, 3, STEP - 1, STEP, STEP + 1, 3 * STEP + 2, PIECE, 2 * PIECE, 3 * PIECE + 2] {
            let image: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut body = JsonBody::default();
            body.push_object(|object| {
                object.field_with("b64_json", |body| {
                    body.push_base64_string(|body| body.push_base64(image.clone().into()))
                });
            });
            let announced = body.len();
            let pieces: Vec<_> = block_on(body.into_stream().map(Result::unwrap).collect());
            assert!(pieces.len() == 1 || pieces.iter().all(|piece| piece.len() >= PIECE), "{length}");
            assert!(pieces.iter().all(|piece| piece.len() < 3 * PIECE), "{length}");
            let written = pieces.concat();
            assert_eq!(written.len(), announced, "{length}");
            let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(STANDARD.decode(json["b64_json"].as_str().unwrap()).unwrap(), image);
        }
    }

    #[test]
    fn a_stream_is_written_as_what_it_brings_however_it_is_cut() {
        let image: Vec<u8> = (0..1000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for size in [1, 2, 3, 4, 100, 1000] {
            let pieces: Vec<_> = image.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let mut body = JsonBody::default();
            body.push_base64_string(|body| body.push_base64_stream(image.len(), stream::iter(pieces).boxed_local()));
            let announced = body.len();
            let written = block_on(read_to_end(body.into_stream(), usize::MAX)).unwrap();
            assert_eq!(written, format!("\"{}\"", STANDARD.encode(&image)), "in pieces of {size}");
            assert_eq!(written.len(), announced);
        }
    }

    #[test]
    fn text_alone_is_there_at_once() {
        let mut body = JsonBody::default();
        body.push_json(&[1, 2]);
        assert!(matches!(body.into_content(), Content::Full(text) if text == "[1,2]"));
        let mut body = JsonBody::default();
        body.push_data_url("png", |body| body.push_base64("x".into()));
        let Content::Stream(stream) = body.into_content() else { panic!("an image isn't encoded before it is sent") };
        assert_eq!(block_on(read_to_end(stream, usize::MAX)).unwrap(), r#""data:image/png;base64,eA==""#);
    }

    #[test]
    fn objects_and_arrays_are_separated_by_commas() {
        let mut body = JsonBody::default();
        body.push_object(|object| {
            object.fields(&serde_json::json!({}));
            object.field("a", &1);
            object.fields(&serde_json::json!({"b": 2, "c": 3}));
            object.field_with("d", |body| body.push_array([4, 5], |body, number| body.push_json(&number)));
            object.field_with("e", |body| body.push_array([], |body, number: u8| body.push_json(&number)));
        });
        let written = block_on(read_to_end(body.into_stream(), usize::MAX)).unwrap();
        assert_eq!(written, r#"{"a":1,"b":2,"c":3,"d":[4,5],"e":[]}"#);
    }
}
