//! Fetching of an image, or a link to it, as the request asks.

use std::cell::Cell;
use std::rc::Rc;

use super::item::{Item, Payload};
use super::request::ResponseFormat;
use crate::dispatch::{Image, Timing};
use crate::generation::{Format, TargetFormat};
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::gradio::result::Picture;
use crate::media::fetch::{Fetched, fetch, fetch_or_leave};
use crate::media::image;
use crate::media::link::Links;
use crate::media::transcode::Converter;

/// Form in which an image is delivered.
#[derive(Clone)]
pub(super) struct Delivery {
    /// Client for fetches.
    pub(super) client: Client,
    /// Converter to the wanted format.
    pub(super) converter: Converter,
    /// Links to images.
    pub(super) links: Links,
    /// Size of the largest image that is fetched, in bytes.
    pub(super) max_image_bytes: usize,
    /// Bytes or links.
    pub(super) format: ResponseFormat,
    /// Bytes of the request's images that are held.
    pub(super) held: Rc<Cell<usize>>,
}

/// Bytes of images that one request holds at most; what is above stays at the Space until it is written.
const MAX_HELD: usize = 24 << 20;

impl Delivery {
    /// Fetches an image, or makes a link to it, in the wanted format.
    pub(super) async fn item(&self, wanted: Option<TargetFormat>, index: u32, image: Image) -> Result<Item, Failure> {
        let seed = image.seed.get();
        let limit = self.max_image_bytes;
        let file = match &image.picture {
            Picture::File(file) => Some(file.clone()),
            Picture::Inline(_) => None,
        };
        let as_wanted = async |(format, bytes)| match wanted {
            Some(wanted) => self.converter.convert(bytes, format, wanted).await,
            None => Ok((format, bytes)),
        };
        let (format, payload) = match (self.format, image.picture) {
            (ResponseFormat::Url, Picture::File(file)) => {
                let wanted = conversion(&file, wanted);
                let own = Format::of_name(&file.path);
                (wanted.map(|wanted| wanted.format).or(own), Payload::Url(self.links.to(&file, wanted)))
            }
            (ResponseFormat::Url, Picture::Inline(bytes)) => {
                let (format, bytes) = as_wanted(image::inline(bytes, limit)?).await?;
                (Some(format), Payload::DataUrl(format, bytes))
            }
            (ResponseFormat::Base64, Picture::Inline(bytes)) => {
                let (format, bytes) = as_wanted(image::inline(bytes, limit)?).await?;
                (Some(format), Payload::Bytes(bytes))
            }
            (ResponseFormat::Base64, Picture::File(file)) => {
                let client = self.client.for_space(&image.space).with_cookies(&image.cookies);
                if wanted.is_some() {
                    let (format, bytes) = as_wanted(fetch(&client, &file, limit).await?).await?;
                    (Some(format), Payload::Bytes(bytes))
                } else {
                    match fetch_or_leave(&client, &file, limit, |length| self.may_hold(length)).await? {
                        Fetched::Here(format, bytes) => (Some(format), Payload::Bytes(bytes)),
                        Fetched::Left(remote) => (Some(remote.format), Payload::Remote(remote)),
                    }
                }
            }
        };
        let size = match &payload {
            Payload::Bytes(bytes) | Payload::DataUrl(_, bytes) => image::size(bytes).or(image.size),
            Payload::Url(_) | Payload::Remote(_) => image.size,
        };
        Ok(Item { index, seed, size, format, payload, file, space: None, timing: Timing::default() })
    }

    /// True where the request may hold that many bytes more, which are counted then.
    fn may_hold(&self, length: usize) -> bool {
        let held = self.held.get().saturating_add(length);
        let may = held <= MAX_HELD;
        if may {
            self.held.set(held);
        }
        may
    }
}

/// Format that a link to `file` converts it to on the way, where one is wanted.
pub fn conversion(file: &RemoteFile, wanted: Option<TargetFormat>) -> Option<TargetFormat> {
    let own = Format::of_name(&file.path);
    // What has the format by its name, or one that isn't read, needs no conversion on the way.
    let is_read = matches!(own, None | Some(Format::Png | Format::Webp));
    wanted.filter(|wanted| is_read && own != Some(wanted.format))
}
