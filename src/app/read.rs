//! Reading of requests that may name images of this server.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::App;
use crate::error::Error;
use crate::http::read::{self, BodyLimit};
use crate::media::image::fetch;
use crate::media::route;
use crate::openai::edits::{EditRequest, Source};
use crate::platform::{Body, timeout};

impl App {
    /// A JSON body without images.
    pub(super) async fn read_json(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
        read::json(&self.host, headers, body, BodyLimit::FIELDS, "application/json").await
    }

    /// A JSON body that may hold images as data URLs.
    pub(super) async fn read_json_with_images(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
        read::json(&self.host, headers, body, BodyLimit::IMAGES, "application/json").await
    }

    /// A form with images, or the same as JSON, with the images behind this server's own links.
    pub(super) async fn read_edit(&self, headers: &HeaderMap, body: Body) -> Result<EditRequest, Error> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let limit = BodyLimit::IMAGES;
        let mut request = match multer::parse_boundary(content_type) {
            Ok(boundary) => {
                read::refuse_large(headers, limit)?;
                let form = EditRequest::read_form(body, boundary, self.settings.max_image_bytes);
                timeout(&self.host, limit.time, form).await.map_err(|_| Error::body_stalled())??
            }
            Err(_) => {
                let expected = "multipart/form-data or application/json";
                EditRequest::read_json(&read::json(&self.host, headers, body, limit, expected).await?)?
            }
        };
        for source in request.sources() {
            self.resolve(source).await?;
        }
        Ok(request)
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
}
