//! `GET /v1/images/files/{token}`: an image by its signed link.
//!
//! The link is the permission: no key is asked for, since pages and chat clients fetch images without one. The entity
//! tag is made from the file's address, which holds a digest of its content, so a client that has the image gets a 304
//! without a call to the Space.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use z_image_conditional::none_match_names;
use z_image_conditional::range::{self, Range};

use super::conversions::{Conversion, Conversions};
use super::converted::Converted;
use super::fetch::fetch;
use super::file::{ImageFile, StoredImage};
use super::image::{OpenImage, open, open_part};
use super::keyring::Keyring;
use super::link::Link;
use super::stored;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::generation::Format;
use crate::gradio::client::Client;
use crate::gradio::file::RemoteFile;
use crate::gradio::space::{Origin, Space};
use crate::hex::hex;
use crate::platform::Content;
use crate::store::Store;

/// Everything that is forbidden to a page, should a browser ever take an image for one.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Responder to requests for images by their links.
pub struct LinkedImages<'a> {
    /// Client for all Spaces.
    pub client: &'a Client,
    /// Signer of the links.
    pub keyring: &'a Keyring,
    /// The Spaces that links may lead to.
    pub catalog: &'a Catalog,
    /// Database, where images of Spaces lie that have no files.
    pub store: &'a Store,
    /// Conversions to the formats that links name.
    pub conversions: &'a Rc<Conversions>,
    /// Size of the largest image that is passed on, in bytes.
    pub limit: usize,
}

impl LinkedImages<'_> {
    /// Answers a request for the image behind `name`: a token, and a file extension that only serves to please clients.
    ///
    /// # Errors
    /// 403, 404, 410, 416 or a gateway error, as the link and the Space give cause to; 429 or 503 where it would have
    /// to be converted, and can't be now.
    pub async fn serve(&self, name: &str, method: &Method, headers: &HeaderMap) -> Result<Response<Content>, Error> {
        let link = resolve(self.keyring, self.catalog, name).await?;
        let now = self.client.host().unix_time().as_secs();
        let digest = digest(&link);
        let tag = format!("\"{digest}\"");
        let mut response = Response::new(Content::Empty);
        fixed_headers(response.headers_mut(), &tag, link.expires.saturating_sub(now));
        if none_match_names(headers, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        let range =
            headers.get(RANGE).filter(|_| headers.get(IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes()));
        let file = match link.file {
            ImageFile::Stored(image) => return self.stored(response, image, method, range).await,
            ImageFile::Space(file) => file,
        };
        let client = client_for(self.client, self.catalog, &file);
        if let Some(wanted) = link.wanted {
            if method != Method::GET {
                // The length isn't worth a conversion: it is there, or it isn't.
                open(&client, &file, self.limit).await.map_err(Error::of_linked_image)?;
                return Ok(response);
            }
            let (client, file, expires) = (client.clone(), file.clone(), link.expires);
            let conversion = Conversion { key: digest, client, file, expires, wanted, limit: self.limit };
            if let Converted::Image(format, bytes) = self.conversions.get(conversion).await? {
                return part_of(response, format, bytes, range);
            }
        }
        self.as_made(response, &client, &file, method, range).await
    }

    /// Answers with an image in the database.
    async fn stored(
        &self,
        mut response: Response<Content>,
        image: StoredImage,
        method: &Method,
        range: Option<&HeaderValue>,
    ) -> Result<Response<Content>, Error> {
        let whole = image.length;
        let range = range.filter(|_| method == Method::GET);
        let (first, end) = match range_of(&mut response, whole, range)? {
            Some((first, last)) => (first, last.saturating_add(1)),
            None => (0, whole),
        };
        // Before the answer begins: an image that is gone is none.
        let is_there = stored::is_there(self.store, &image).await.map_err(|error| Error::store_failed(&error))?;
        if !is_there {
            return Err(Error::stored_image_gone());
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, image.format.media_type());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(end - first));
        if method == Method::GET {
            *response.body_mut() = Content::Stream(stored::body(self.store, image, first, end));
        }
        Ok(response)
    }

    /// Answers with the image as its Space made it.
    async fn as_made(
        &self,
        mut response: Response<Content>,
        client: &Client,
        file: &RemoteFile,
        method: &Method,
        range: Option<&HeaderValue>,
    ) -> Result<Response<Content>, Error> {
        let image = match range {
            Some(range) if method == Method::GET => open_part(client, file, self.limit, range).await,
            _ => open(client, file, self.limit).await,
        }
        .map_err(Error::of_linked_image)?;
        let OpenImage { format, length, part, body } = image;
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, format.media_type());
        if let Some(length) = length {
            answer.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(part) = part {
            answer.insert(CONTENT_RANGE, part);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if method == Method::GET {
            *response.body_mut() = Content::Stream(body);
        }
        Ok(response)
    }
}

/// Answers with an image, or with the part of it that `range` asks for.
fn part_of(
    mut response: Response<Content>,
    format: Format,
    bytes: Bytes,
    range: Option<&HeaderValue>,
) -> Result<Response<Content>, Error> {
    let bytes = match range_of(&mut response, bytes.len(), range)? {
        Some((first, last)) => bytes.slice(first..last.saturating_add(1)),
        None => bytes,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.media_type());
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *response.body_mut() = Content::Full(bytes);
    Ok(response)
}

/// First and last byte that `range` asks for of `whole` bytes, inside of them; `None` for all. Marks the answer as a
/// part.
fn range_of(
    response: &mut Response<Content>,
    whole: usize,
    range: Option<&HeaderValue>,
) -> Result<Option<(usize, usize)>, Error> {
    let range = range.and_then(|range| range.to_str().ok()).map_or(Range::Whole, |range| range::parse(range, whole));
    match range {
        Range::Whole => Ok(None),
        Range::Unsatisfiable => Err(Error::unsatisfiable_range()),
        Range::Part(first, last) => {
            if let Ok(part) = HeaderValue::try_from(format!("bytes {first}-{last}/{whole}")) {
                response.headers_mut().insert(CONTENT_RANGE, part);
            }
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            // Both lie inside, by the range's own account.
            Ok(Some((first.min(whole.saturating_sub(1)), last.min(whole.saturating_sub(1)))))
        }
    }
}

/// Link of that name.
///
/// # Errors
/// 403 or 410, where it leads nowhere.
async fn resolve(keyring: &Keyring, catalog: &Catalog, name: &str) -> Result<Link, Error> {
    let token = name.split_once('.').map_or(name, |(token, _)| token);
    let origins: Vec<&Origin> = catalog.spaces().map(Space::origin).collect();
    keyring.verify(token, &origins).await
}

/// The image behind the link of that name, of `limit` bytes at most.
///
/// # Errors
/// 403 or 410, where it leads nowhere; those of [`fetch`]; 404 where it was in the database and isn't any more.
pub async fn fetch_linked(
    client: &Client,
    keyring: &Keyring,
    catalog: &Catalog,
    store: &Store,
    limit: usize,
    name: &str,
) -> Result<Bytes, Error> {
    match resolve(keyring, catalog, name).await?.file {
        ImageFile::Space(file) => {
            let (_, bytes) = fetch(&client_for(client, catalog, &file), &file, limit).await?;
            Ok(bytes)
        }
        ImageFile::Stored(image) => stored::read(store, image).await,
    }
}

/// A client that brings the token of the link's Space, where it has one.
fn client_for(client: &Client, catalog: &Catalog, file: &RemoteFile) -> Client {
    catalog.space_at(&file.origin).map_or_else(|| client.clone(), |space| client.for_space(space))
}

fn fixed_headers(headers: &mut HeaderMap, tag: &str, lives: u64) {
    // Both are made of digits and letters of ours, so they always fit; a header that didn't would be left out.
    if let Ok(tag) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(tag.as_bytes())) {
        headers.insert(ETAG, tag);
    }
    if let Ok(control) = HeaderValue::from_maybe_shared(Bytes::from(format!("public, max-age={lives}, immutable"))) {
        headers.insert(CACHE_CONTROL, control);
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Digest of the file's address and the wanted format: a strong entity tag (RFC 9110 section 8.8.3).
fn digest(link: &Link) -> String {
    let wanted = link.wanted.map_or_else(String::new, |wanted| format!(" {}{}", wanted.format.name(), wanted.quality));
    let file = match &link.file {
        ImageFile::Space(file) => format!("{}{}", file.origin, file.path),
        ImageFile::Stored(image) => image.to_string(),
    };
    let digest = Sha256::new().chain_update(file).chain_update(wanted).finalize();
    hex(digest.iter().take(16))
}
