//! Fetching of an image, or a link to it, as the request asks.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;

use super::item::{Item, Payload};
use crate::dispatch::{Image, Timing};
use crate::generation::{Format, ResponseFormat, Size, TargetFormat};
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::gradio::result::Picture;
use crate::media::fetch::{Fetched, fetch, fetch_or_leave};
use crate::media::file::ImageFile;
use crate::media::image;
use crate::media::link::Links;
use crate::media::remote::RemoteImage;
use crate::media::stored::KeptImages;
use crate::media::transcode::Converter;
use crate::trace_context::TraceContext;

/// Form in which an image is delivered.
#[derive(Clone)]
pub(super) struct Delivery {
    /// Client for fetches.
    pub(super) client: Client,
    /// Converter to the wanted format.
    pub(super) converter: Converter,
    /// Links to images.
    pub(super) links: Links,
    /// Keeper of images that come inline.
    pub(super) kept: Option<KeptImages>,
    /// Size of the largest image that is fetched, in bytes.
    pub(super) max_image_bytes: usize,
    /// Bytes or links.
    pub(super) format: ResponseFormat,
    /// Bytes of the request's images that are held.
    pub(super) held: Rc<Cell<usize>>,
    /// Trace that the calls to Spaces belong to.
    pub(super) trace: Option<TraceContext>,
}

/// Bytes of images that one request holds at most; what is above stays at the Space until it is written.
const MAX_HELD: usize = 24 << 20;

impl Delivery {
    /// Fetches an image, or makes a link to it, in the wanted format.
    pub(super) async fn item(&self, wanted: Option<TargetFormat>, index: u32, image: Image) -> Result<Item, Failure> {
        self.deliver(wanted, index, image, self.kept.as_ref()).await
    }

    /// The same for a partial image, which isn't kept.
    pub(super) async fn partial(&self, index: u32, image: Image) -> Result<Item, Failure> {
        self.deliver(None, index, image, None).await
    }

    async fn deliver(
        &self,
        wanted: Option<TargetFormat>,
        index: u32,
        image: Image,
        kept: Option<&KeptImages>,
    ) -> Result<Item, Failure> {
        let seed = image.seed.get();
        let limit = self.max_image_bytes;
        let as_wanted = async |(format, bytes)| match wanted {
            Some(wanted) => self.converter.convert(bytes, format, wanted).await,
            None => Ok((format, bytes)),
        };
        let Delivered { format, payload, size, file } = match (self.format, image.picture) {
            (ResponseFormat::Url, Picture::File(file)) => {
                let wanted = conversion(&file, wanted);
                let own = Format::of_name(&file.path);
                let file = ImageFile::Space(file);
                let payload = Payload::Url(self.links.to(&file, wanted));
                Delivered { format: wanted.map(|wanted| wanted.format).or(own), payload, size: None, file: Some(file) }
            }
            (ResponseFormat::Url, Picture::Hosted(file)) => {
                let fetched = fetch(&self.client, &file, limit).await.map_err(|failure| hosted(&file, failure))?;
                self.linked(as_wanted(fetched).await?, kept).await
            }
            (ResponseFormat::Url, Picture::Inline(bytes)) => {
                self.linked(as_wanted(image::inline(bytes, limit)?).await?, kept).await
            }
            (ResponseFormat::Base64, Picture::Inline(bytes)) => {
                let (format, bytes) = as_wanted(image::inline(bytes, limit)?).await?;
                Delivered::here(format, bytes).kept(kept)
            }
            (ResponseFormat::Base64, Picture::Hosted(file)) => {
                // Without anything of the Space's.
                let fetched = self.fetched(&self.client, &file, wanted.is_some()).await;
                match fetched.map_err(|failure| hosted(&file, failure))? {
                    Fetched::Here(format, bytes) => {
                        let (format, bytes) = as_wanted((format, bytes)).await?;
                        Delivered::here(format, bytes).kept(kept)
                    }
                    Fetched::Left(remote) => Delivered::left(remote),
                }
            }
            (ResponseFormat::Base64, Picture::File(file)) => {
                let client = self.client.for_space(&image.space).with_cookies(&image.cookies);
                let client = client.with_trace(self.trace.as_ref(), &image.space);
                let delivered = match self.fetched(&client, &file, wanted.is_some()).await? {
                    Fetched::Here(format, bytes) => {
                        let (format, bytes) = as_wanted((format, bytes)).await?;
                        Delivered::here(format, bytes)
                    }
                    Fetched::Left(remote) => Delivered::left(remote),
                };
                Delivered { file: Some(ImageFile::Space(file)), ..delivered }
            }
        };
        let size = size.or(image.size);
        Ok(Item { index, seed, size, format, payload, file, space: None, timing: Timing::default() })
    }

    /// Fetches an image. One that is to be converted is fetched to its end, another may be left where it is.
    async fn fetched(&self, client: &Client, file: &RemoteFile, is_converted: bool) -> Result<Fetched, Failure> {
        let limit = self.max_image_bytes;
        if is_converted {
            let (format, bytes) = fetch(client, file, limit).await?;
            return Ok(Fetched::Here(format, bytes));
        }
        fetch_or_leave(client, file, limit, |length| self.may_hold(length)).await
    }

    /// Keeps an image that is no file at its Space, and makes a link to it.
    async fn linked(&self, (format, bytes): (Format, Bytes), kept: Option<&KeptImages>) -> Delivered {
        let size = image::size(&bytes);
        let stored = match kept {
            Some(kept) => kept.keep(format, &bytes).await.ok().map(ImageFile::Stored),
            None => None,
        };
        let payload = match &stored {
            Some(stored) => Payload::Url(self.links.to(stored, None)),
            None => Payload::DataUrl(format, bytes),
        };
        Delivered { format: Some(format), payload, size, file: stored }
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

/// An image as it is delivered.
struct Delivered {
    format: Option<Format>,
    payload: Payload,
    /// Size, where its bytes say it.
    size: Option<Size>,
    file: Option<ImageFile>,
}

impl Delivered {
    fn here(format: Format, bytes: Bytes) -> Self {
        let size = image::size(&bytes);
        Self { format: Some(format), payload: Payload::Bytes(bytes), size, file: None }
    }

    fn left(remote: RemoteImage) -> Self {
        Self { format: Some(remote.format), payload: Payload::Remote(remote), size: None, file: None }
    }

    /// The same, kept in the background for links, as it is no file at its Space.
    fn kept(self, kept: Option<&KeptImages>) -> Self {
        let stored = match (kept, self.format, &self.payload) {
            (Some(kept), Some(format), Payload::Bytes(bytes)) => kept.spawn_keep(format, bytes),
            _ => None,
        };
        Self { file: stored.map(ImageFile::Stored), ..self }
    }
}

/// Failure to fetch a file at another host than the Space's. That there is no memory is nobody's.
fn hosted(file: &RemoteFile, failure: Failure) -> Failure {
    match failure {
        Failure::OutOfMemory(_) => failure,
        cause => Failure::NotHandedOver { host: file.origin.host(), cause: Box::new(cause) },
    }
}

/// Format that a link to `file` converts it to on the way, where one is wanted.
pub fn conversion(file: &RemoteFile, wanted: Option<TargetFormat>) -> Option<TargetFormat> {
    let own = Format::of_name(&file.path);
    // What has the format by its name, or one that isn't read, needs no conversion on the way.
    let is_read = matches!(own, None | Some(Format::Png | Format::Webp));
    wanted.filter(|wanted| is_read && own != Some(wanted.format))
}
