//! The form of a request for edits (RFC 7578).
//!
//! The SDKs send `image` once or `image[]` several times, in any order among the other fields, all of which are texts.
//! The form is read as it comes, each part within its bounds, so that nothing larger is ever held.

use std::task::Poll;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::poll_fn;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::{Map, Value};

use super::edit_request::{EditRequest, MAX_IMAGES};
use crate::error::Error;
use crate::generation::Format;
use crate::http::attachments::Attachments;
use crate::media::link;
use crate::openai::source::{Source, source};
use crate::platform::{Body, HeldBuffer, Host};

/// The longest field that isn't an image, in bytes.
const MAX_FIELD: u64 = 256 << 10;

/// Reads a form with that boundary, of `max_body` bytes at most, with images of `max_image` bytes at most.
///
/// # Errors
/// 400 where it isn't a form, 413 where a part is too large.
pub async fn read_form(
    host: &Host,
    body: Body,
    boundary: String,
    max_body: usize,
    max_image: usize,
) -> Result<EditRequest, Error> {
    let whole = u64::try_from(max_body).unwrap_or(u64::MAX);
    let image = u64::try_from(max_image).unwrap_or(u64::MAX);
    let limits =
        SizeLimit::new().whole_stream(whole).per_field(MAX_FIELD).for_field("mask", image).for_field("markup", image);
    let limits = image_names().fold(limits, |limits, name| limits.for_field(name, image));
    // The parser asks for a stream that may move between threads. There is one thread, and the wrapper keeps to it.
    let body = send_wrapper::SendWrapper::new(paced(body));
    let mut form = Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
    let mut request = EditRequest::new(Map::new(), Vec::new());
    while let Some(field) = form.next_field().await.map_err(|error| refused(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            name if image_names().any(|known| known == name) => {
                let bytes = contents(host, field).await?;
                // Some clients send the field without an image, or a link or data URL in place of one.
                if bytes.is_empty() {
                    continue;
                }
                request.images.push(sent(bytes)?);
                if request.images.len() > MAX_IMAGES {
                    return Err(Error::invalid_value(
                        "image",
                        format!("At most {MAX_IMAGES} images can be edited at once."),
                    ));
                }
            }
            "mask" => {
                let bytes = contents(host, field).await?;
                request.mask = if bytes.is_empty() { None } else { Some(sent(bytes)?) };
            }
            // A file that nothing here takes, such as OpenAI's `markup`, changes nothing: it is passed over, and named
            // as ignored.
            _ if field.file_name().is_some() => {
                request.fields.insert(name, Value::from(field.file_name()));
            }
            _ => {
                // Not the parser's own conversion, whose tables of old encodings are a fifth of the component.
                let text = field.bytes().await.map_err(|error| refused(&error))?;
                let text =
                    String::from_utf8(text.into()).map_err(|_| Error::bad_body("The form's fields must be UTF-8."))?;
                request.fields.insert(name, Value::String(text));
            }
        }
    }
    Ok(request)
}

/// Names of the parts that are images: `image`, `image[]`, `image[0]`, and the same of `images`.
fn image_names() -> impl Iterator<Item = String> {
    ["image", "images"].into_iter().flat_map(|name| {
        let numbered = (0..=MAX_IMAGES).map(move |index| format!("{name}[{index}]"));
        [name.to_owned(), format!("{name}[]")].into_iter().chain(numbered)
    })
}

/// An image as a part has it: its bytes, or a text that names it.
fn sent(bytes: Bytes) -> Result<Source, Error> {
    let is_text = Format::of_magic(&bytes).is_none();
    match std::str::from_utf8(&bytes) {
        Ok(text) if is_text && (text.starts_with("data:") || text.contains(link::PATH)) => {
            source("image", &Value::from(text.trim()), &Attachments::default())
        }
        _ => Ok(Source::Bytes(bytes)),
    }
}

/// Bytes of a part.
async fn contents(host: &Host, mut field: Field<'_>) -> Result<Bytes, Error> {
    let mut buffer = HeldBuffer::new(host, 1);
    while let Some(piece) = field.chunk().await.map_err(|error| refused(&error))? {
        buffer.push(host, &piece).await.map_err(|refused| Error::out_of_memory(&refused))?;
    }
    Ok(buffer.finish())
}

/// The same pieces, with a turn for others behind each: the parser takes as many as there are, and keeps them all.
fn paced(mut body: Body) -> Body {
    let mut has_turn = true;
    poll_fn(move |context| {
        has_turn = !has_turn;
        if has_turn {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = body.poll_next_unpin(context);
        has_turn = piece.is_pending();
        piece
    })
    .boxed_local()
}

fn refused(error: &multer::Error) -> Error {
    match error {
        multer::Error::FieldSizeExceeded { limit, .. } | multer::Error::StreamSizeExceeded { limit } => {
            Error::body_too_large(usize::try_from(*limit).unwrap_or(usize::MAX))
        }
        _ => Error::bad_body(
            "The form in the body of your request can't be read. Send multipart/form-data with `image` and `prompt`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Purpose;
    use crate::openai::image_request::ImageRequest;
    use crate::platform::sim::World;
    use futures::executor::block_on;
    use futures::stream;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR--x\r\n--";

    fn form() -> Vec<u8> {
        let mut form = b"--x\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n2\r\n".to_vec();
        for (name, end) in [("image[]", 30), ("mask", 20), ("image[]", 25)] {
            form.extend(
                format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\n\r\n").bytes(),
            );
            form.extend_from_slice(PNG.get(..end).unwrap_or(PNG));
            form.extend(b"\r\n");
        }
        form.extend("--x\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\n红色的狐狸\r\n".bytes());
        form.extend(b"--x\r\ncontent-disposition: form-data; name=\"stream\"\r\n\r\nfalse\r\n--x--\r\n");
        form
    }

    fn read(pieces: Vec<Vec<u8>>, max_image: usize) -> Result<ImageRequest, Error> {
        let body: Body = Box::pin(stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))));
        let host = World::new(1).host();
        let request = block_on(read_form(&host, body, "x".into(), 1 << 20, max_image))?;
        request.finish(&host)
    }

    #[test]
    fn a_form_is_read_however_it_is_cut() {
        let form = form();
        for size in [1, 2, 3, 7, 64, form.len()] {
            let request = read(form.chunks(size).map(<[u8]>::to_vec).collect(), 1000).unwrap();
            assert_eq!((request.purpose, request.generation.count), (Purpose::Edit, 2), "in pieces of {size}");
            assert_eq!(request.generation.prompt, "红色的狐狸");
            let lengths: Vec<_> = request.generation.images.iter().map(|image| image.bytes.len()).collect();
            assert_eq!((lengths, request.generation.mask.unwrap().bytes.len()), (vec![23, 23], 20));
        }
    }

    #[test]
    fn a_file_that_nothing_takes_is_passed_over() {
        let mut form =
            b"--x\r\ncontent-disposition: form-data; name=\"markup\"; filename=\"m.png\"\r\n\r\n\xff\xd8\r\n".to_vec();
        form.extend(self::form());
        let request = read(vec![form], 1000).unwrap();
        assert_eq!(request.generation.images.len(), 2);
        assert_eq!(request.generation.extras.get("markup"), Some(&Value::from("m.png")), "to be named as ignored");
    }

    #[test]
    fn what_is_too_large_or_no_form_is_refused() {
        let status = |pieces, max_image| read(pieces, max_image).unwrap_err().status.as_u16();
        assert_eq!(status(vec![form()], 15), 413);
        assert_eq!(status(vec![b"nonsense".to_vec()], 1000), 400);
        let form = form();
        // The line end behind the last boundary may be missing.
        for end in 0..form.len() - 2 {
            let cut = form.get(..end).unwrap().to_vec();
            assert!(read(vec![cut], 1000).is_err(), "cut at byte {end}");
        }
    }
}
