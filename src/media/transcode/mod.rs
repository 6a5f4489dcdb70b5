//! Another format than the Space made.
//!
//! It takes time, up to some seconds of computing, on the one thread that the requests of an instance share. So an
//! instance converts one image at a time, and lets others have their turn every 8 ms, between two rows: PNG and WebP
//! are written row by row, and JPEG in strips. Only what must be decoded as a whole (a WebP) isn't interrupted: 0.2 s
//! for the largest that is converted.
//!
//! The memory of a conversion is the image's file, the new one of 32 MiB at most (48 while it grows), and some rows;
//! for one that is decoded as a whole, its pixels too, 30 MB at most. An image that would be a larger file, or has more
//! than 4096 × 4096 pixels, or 2048 × 2048 for a WebP, stays as it is, and so does what is neither a PNG nor a WebP,
//! which is what Gradio makes: an image in another format is worth more than none, and the answer names the format that
//! it has.
//!
//! WebP is written without loss, as no maintained Rust codec writes it otherwise, by an encoder of our own that needs
//! no copy of the image.

mod error;
mod huffman;
mod jpeg;
mod pace;
mod png;
mod rows;
mod webp;

use bytes::Bytes;

use self::error::CodecError;
use self::pace::Pace;
use self::rows::Rows;
use super::image::size;
use super::turn::{Turn, Turns};
use crate::generation::{Format, TargetFormat};
use crate::gradio::failure::Failure;
use crate::platform::{Host, UNCOUNTED, grow};

/// The most memory that any conversion takes, in bytes.
const MAX_MEMORY: usize = 80 << 20;

/// Converter of images, one at a time. Clones share the turns.
#[derive(Clone)]
pub struct Converter {
    host: Host,
    turns: Turns,
}

impl Converter {
    /// A converter with nothing to do.
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), turns: Turns::default() }
    }

    /// Waits until no other image is being converted.
    pub async fn turn(&self) -> Turn {
        self.turns.take().await
    }

    /// `bytes` in the wanted format; as they are where they have it, or can't have another.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] where they can't be read, [`Failure::OutOfMemory`] where there is no memory for it.
    pub async fn convert(
        &self,
        bytes: Bytes,
        format: Format,
        wanted: TargetFormat,
    ) -> Result<(Format, Bytes), Failure> {
        if !is_converted(format, wanted) {
            return Ok((format, bytes));
        }
        let turn = self.turn().await;
        self.convert_in_turn(&turn, bytes, format, wanted).await
    }

    /// The same, for who has the turn.
    ///
    /// # Errors
    /// As [`Converter::convert`].
    pub async fn convert_in_turn(
        &self,
        _turn: &Turn,
        bytes: Bytes,
        format: Format,
        wanted: TargetFormat,
    ) -> Result<(Format, Bytes), Failure> {
        if !is_converted(format, wanted) {
            return Ok((format, bytes));
        }
        let mut memory = self.host.memory().none();
        let needed = memory_for(&bytes, format);
        if needed > UNCOUNTED {
            grow(&self.host, &mut memory, needed).await?;
        }
        match self.write(bytes.clone(), format, wanted).await {
            Ok(Some(mut written)) => {
                written.shrink_to_fit();
                memory.shrink_to(written.len());
                Ok((wanted.format, memory.hold(written)))
            }
            Ok(None) | Err(CodecError::TooLarge) => Ok((format, bytes)),
            Err(CodecError::Unreadable) => {
                Err(Failure::Unreadable("its image can't be read, and so not be converted".into()))
            }
        }
    }

    /// Writes the image in the wanted format; `None` where it has too many pixels.
    async fn write(&self, bytes: Bytes, format: Format, wanted: TargetFormat) -> Result<Option<Vec<u8>>, CodecError> {
        let pace = Pace::new(&self.host);
        let Some(rows) = Rows::open(bytes, format, &pace).await? else { return Ok(None) };
        // What was decoded as a whole has taken a stretch by itself.
        pace.keep().await;
        match wanted.format {
            Format::Jpeg => jpeg::write(rows, wanted.quality, &pace).await,
            Format::Webp => webp::write(rows, &pace).await,
            _ => png::write(rows, &pace).await,
        }
        .map(Some)
    }
}

/// The most memory that a conversion of an image takes, in bytes: that of its pixels for what is written, and again
/// where it is decoded as a whole.
fn memory_for(bytes: &[u8], format: Format) -> usize {
    let pixels = size(bytes).map_or(0, |size| size.width().saturating_mul(size.height()));
    let copies = if format == Format::Webp { 8 } else { 4 };
    usize::try_from(pixels).unwrap_or(usize::MAX).saturating_mul(copies).min(MAX_MEMORY)
}

/// True where an image of that format is converted, unless it is too large.
pub fn is_converted(format: Format, wanted: TargetFormat) -> bool {
    format != wanted.format && matches!(format, Format::Png | Format::Webp)
}

#[cfg(test)]
mod tests;
