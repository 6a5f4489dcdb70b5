//! Rows of an image, from top to bottom, as they are decoded.
//!
//! A PNG is decoded row by row. An interlaced one is put together first, and a WebP decoded as a whole, as its codec
//! gives no rows; both need memory for all of their pixels.

use std::io::Cursor;

use bytes::Bytes;
use image_webp::WebPDecoder;
use png::{BitDepth, ColorType, Decoder, InterlaceInfo, Limits, Reader, Transformations};

use super::error::CodecError;
use super::pace::Pace;
use crate::generation::Format;

/// The most pixels of a PNG that is converted.
pub(super) const MAX_PIXELS: usize = 4096 * 4096;
/// The most pixels of an image that is decoded as a whole.
pub(super) const MAX_WHOLE_PIXELS: usize = 2048 * 2048;
/// The longest side of an image that is converted, in pixels: WebP's.
const MAX_SIDE: u32 = 16_384;
/// The most memory that a PNG's decoder may take for what isn't pixels, in bytes.
const MAX_MEMORY: usize = 4 << 20;
/// The most memory that a WebP's decoder may take, in bytes.
const MAX_WEBP_MEMORY: usize = 32 << 20;

/// An image that is being decoded, eight bits for each of its colours.
pub(super) struct Rows {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Marks pixels of red, green, blue and alpha, not red, green and blue alone.
    pub(super) has_alpha: bool,
    source: PixelSource,
    /// The present row, where the source has another form.
    row: Vec<u8>,
}

enum PixelSource {
    /// A decoder, with what it decodes.
    Png(Box<Reader<Cursor<Bytes>>>, Bytes),
    /// All pixels, and the number of bytes that were read.
    Whole(Vec<u8>, usize),
}

impl Rows {
    /// Opens a PNG or a WebP; `None` for one of too many pixels.
    pub(super) async fn open(bytes: Bytes, format: Format, pace: &Pace) -> Result<Option<Self>, CodecError> {
        match format {
            Format::Webp => Self::of_webp(&bytes),
            _ => Self::of_png(bytes, pace).await,
        }
    }

    /// Number of bytes of a row.
    fn stride(&self) -> usize {
        let colours = if self.has_alpha { 4 } else { 3 };
        usize::try_from(self.width).map_or(usize::MAX, |width| width.saturating_mul(colours))
    }

    /// The next row, of three or four bytes for each pixel; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, CodecError> {
        let stride = self.stride();
        match &mut self.source {
            PixelSource::Whole(data, read) => {
                let row = data.get(*read..*read + stride);
                *read += stride;
                Ok(row)
            }
            PixelSource::Png(reader, _) => {
                let (colour, _) = reader.output_color_type();
                let Some(row) = reader.next_row()? else { return Ok(None) };
                expand(row.data(), colour, &mut self.row);
                if self.row.len() == stride { Ok(Some(&self.row)) } else { Err(CodecError::Unreadable) }
            }
        }
    }

    /// Begins again with the first row.
    pub(super) fn rewind(&mut self) -> Result<(), CodecError> {
        match &mut self.source {
            PixelSource::Whole(_, read) => *read = 0,
            PixelSource::Png(reader, bytes) => **reader = png_reader(bytes.clone())?,
        }
        Ok(())
    }

    async fn of_png(bytes: Bytes, pace: &Pace) -> Result<Option<Self>, CodecError> {
        let reader = png_reader(bytes.clone())?;
        let info = reader.info();
        let ((width, height), is_interlaced) = (info.size(), info.interlaced);
        if !fits(width, height, if is_interlaced { MAX_WHOLE_PIXELS } else { MAX_PIXELS }) {
            return Ok(None);
        }
        let (colour, depth) = reader.output_color_type();
        if depth != BitDepth::Eight {
            return Err(CodecError::Unreadable);
        }
        let has_alpha = matches!(colour, ColorType::Rgba | ColorType::GrayscaleAlpha);
        let source = if is_interlaced {
            PixelSource::Whole(put_together(reader, colour, width, height, pace).await?, 0)
        } else {
            PixelSource::Png(Box::new(reader), bytes)
        };
        Ok(Some(Self { width, height, has_alpha, source, row: Vec::new() }))
    }

    fn of_webp(bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
        let (width, height) = decoder.dimensions();
        if !fits(width, height, MAX_WHOLE_PIXELS) {
            return Ok(None);
        }
        decoder.set_memory_limit(MAX_WEBP_MEMORY);
        let length = decoder.output_buffer_size().ok_or(CodecError::Unreadable)?;
        let mut data = vec![0; length];
        decoder.read_image(&mut data)?;
        let has_alpha = decoder.has_alpha();
        Ok(Some(Self { width, height, has_alpha, source: PixelSource::Whole(data, 0), row: Vec::new() }))
    }
}

fn png_reader(bytes: Bytes) -> Result<Reader<Cursor<Bytes>>, CodecError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_MEMORY });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    Ok(decoder.read_info()?)
}

/// True for an image that isn't empty and has no more than `most` pixels.
fn fits(width: u32, height: u32, most: usize) -> bool {
    let is_side = |side: u32| (1..=MAX_SIDE).contains(&side);
    let pixels = u64::from(width) * u64::from(height);
    is_side(width) && is_side(height) && usize::try_from(pixels).is_ok_and(|pixels| pixels <= most)
}

/// Writes `row` into `into` as colours, and alpha where it has one.
fn expand(row: &[u8], colour: ColorType, into: &mut Vec<u8>) {
    into.clear();
    match colour {
        ColorType::Grayscale => into.extend(row.iter().flat_map(|grey| [*grey; 3])),
        ColorType::GrayscaleAlpha => into.extend(row.chunks_exact(2).flat_map(|pixel| match pixel {
            [grey, alpha] => [*grey, *grey, *grey, *alpha],
            _ => [0; 4],
        })),
        _ => into.extend_from_slice(row),
    }
}

/// All pixels of an interlaced image, as colours, and alpha where it has one.
async fn put_together(
    mut reader: Reader<Cursor<Bytes>>,
    colour: ColorType,
    width: u32,
    height: u32,
    pace: &Pace,
) -> Result<Vec<u8>, CodecError> {
    let (colours, bits) = if matches!(colour, ColorType::Rgba | ColorType::GrayscaleAlpha) { (4, 32) } else { (3, 24) };
    let side = |side: u32| usize::try_from(side).map_err(|_| CodecError::Unreadable);
    let stride = side(width)? * colours;
    let mut all = vec![0; stride * side(height)?];
    let mut expanded = Vec::new();
    while let Some(row) = reader.next_interlaced_row()? {
        let InterlaceInfo::Adam7(place) = row.interlace() else { return Err(CodecError::Unreadable) };
        expand(row.data(), colour, &mut expanded);
        png::expand_interlaced_row(&mut all, stride, &expanded, place, bits);
        pace.keep().await;
    }
    Ok(all)
}
