//! Reading what comes with a request, within bounds of size and time.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::App;
use super::path::Route;
use crate::error::Error;
use crate::media::image::fetch;
use crate::media::route;
use crate::openai::edits::{self, EditRequest, Source};
use crate::platform::{Body, ReadError, read_to_end, timeout};

/// The longest body of a request without images that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body with images may take to arrive.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

impl App {
    /// A JSON body without images.
    pub(super) async fn read_json(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
        expect_json(headers, "application/json")?;
        self.read(headers, body, MAX_BODY, BODY_TIMEOUT).await
    }

    /// A JSON body that may hold images as data URLs.
    pub(super) async fn read_json_with_images(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
        expect_json(headers, "application/json")?;
        self.read(headers, body, edits::MAX_BODY, UPLOAD_TIMEOUT).await
    }

    /// A form with images, or the same as JSON, with the images behind this server's own links.
    pub(super) async fn read_edit(&self, headers: &HeaderMap, body: Body) -> Result<EditRequest, Error> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut request = match multer::parse_boundary(content_type) {
            Ok(boundary) => {
                refuse_large(headers, edits::MAX_BODY)?;
                let form = EditRequest::read_form(body, boundary, self.settings.max_image_bytes);
                timeout(&self.host, UPLOAD_TIMEOUT, form).await.map_err(|_| Error::body_stalled())??
            }
            Err(_) => {
                expect_json(headers, "multipart/form-data or application/json")?;
                let body = self.read(headers, body, edits::MAX_BODY, UPLOAD_TIMEOUT).await?;
                EditRequest::read_json(&body)?
            }
        };
        for source in request.sources() {
            self.resolve(source).await?;
        }
        Ok(request)
    }

    /// A body as it came, of the size and in the time that the route allows; `look` is shown each piece.
    pub(super) async fn read_pieces(
        &self,
        route: Route<'_>,
        headers: &HeaderMap,
        mut body: Body,
        mut look: impl FnMut(&[u8]),
    ) -> Result<Vec<Bytes>, Error> {
        let (limit, time) = match route {
            Route::Generations => (MAX_BODY, BODY_TIMEOUT),
            _ => (edits::MAX_BODY, UPLOAD_TIMEOUT),
        };
        refuse_large(headers, limit)?;
        let read = async {
            let (mut pieces, mut length) = (Vec::new(), 0);
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|_| Error::body_stalled())?;
                length += piece.len();
                if length > limit {
                    return Err(Error::body_too_large(limit));
                }
                look(&piece);
                pieces.push(piece);
            }
            Ok(pieces)
        };
        timeout(&self.host, time, read).await.map_err(|_| Error::body_stalled())?
    }

    /// Makes the image itself of one that is named by a link of this server's own. Other URLs stay what they are.
    pub(super) async fn resolve(&self, source: &mut Source) -> Result<(), Error> {
        if let Source::Url(url) = source
            && let Some((_, name)) = url.split_once(route::PATH)
        {
            let link = route::resolve(&self.keyring, &self.settings.catalog, name).await?;
            let client = route::client_for(&self.client, &self.settings.catalog, &link);
            let (_, bytes) = fetch(&client, &link.file, self.settings.max_image_bytes).await?;
            *source = Source::Bytes(bytes);
        }
        Ok(())
    }

    async fn read(&self, headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes, Error> {
        refuse_large(headers, limit)?;
        match timeout(&self.host, time, read_to_end(body, limit)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(ReadError::TooLarge)) => Err(Error::body_too_large(limit)),
            Ok(Err(ReadError::Transport(_))) | Err(_) => Err(Error::body_stalled()),
        }
    }
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
fn refuse_large(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    // On wasm32, a length that a `usize` can't hold is one that is too large.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_large = |length| usize::try_from(length).map_or(true, |length| length > limit);
    if announced.is_some_and(is_large) { Err(Error::body_too_large(limit)) } else { Ok(()) }
}
