//! Another format than the Space made.
//!
//! It takes time, up to some tenths of a second, during which the instance does nothing else; so it happens only where
//! a client asks for a format, and the Space has made another. WebP is written without loss, as no maintained Rust
//! codec writes it otherwise. PNG and WebP, which is what Gradio makes, are read; anything else stays as it is, since
//! an image in another format is worth more than none, and the answer names the format that it has.

use std::io::Cursor;

use bytes::Bytes;
use image_webp::{ColorType as WebpColour, WebPDecoder, WebPEncoder};
use jpeg_encoder::{Encoder as JpegEncoder, ImageBuffer, JpegColorType, rgb_to_ycbcr};
use png::{BitDepth, ColorType as PngColour, Decoder as PngDecoder, Encoder as PngEncoder, Limits, Transformations};

use crate::generation::{Format, TargetFormat};
use crate::gradio::failure::Failure;

/// The longest side of an image that is converted, in pixels.
const MAX_SIDE: usize = 4096;
/// The most memory that reading one may take, in bytes.
const MAX_MEMORY: usize = 96 << 20;

/// `bytes` in the wanted format; as they are where they have it, or have one that isn't read.
///
/// # Errors
/// [`Failure::Unreadable`] where they can't be read, or are too large.
pub fn transcode(bytes: Bytes, format: Format, wanted: TargetFormat) -> Result<(Format, Bytes), Failure> {
    if format == wanted.format || !matches!(format, Format::Png | Format::Webp) {
        return Ok((format, bytes));
    }
    let pixels = match format {
        Format::Webp => read_webp(&bytes),
        _ => read_png(&bytes),
    };
    drop(bytes);
    let unreadable = || Failure::Unreadable("its image can't be read, and so not be converted".into());
    let pixels = pixels.ok_or_else(unreadable)?;
    let written = match wanted.format {
        Format::Jpeg => pixels.write_jpeg(wanted.quality.max(1)),
        Format::Webp => pixels.write_webp(),
        _ => pixels.write_png(),
    };
    let unwritable = || Failure::Unreadable("its image can't be written in the wanted format".into());
    Ok((wanted.format, Bytes::from(written.ok_or_else(unwritable)?)))
}

/// An image, eight bits for each of its colours.
struct Pixels {
    width: u32,
    height: u32,
    /// Marks pixels of red, green, blue and alpha, not red, green and blue alone.
    alpha: bool,
    data: Vec<u8>,
}

impl Pixels {
    /// An image of that size, unless it is none or too large.
    fn new(width: u32, height: u32, alpha: bool, data: Vec<u8>) -> Option<Self> {
        let side = |side: u32| usize::try_from(side).ok().filter(|side| (1..=MAX_SIDE).contains(side));
        let length = side(width)? * side(height)? * if alpha { 4 } else { 3 };
        (data.len() == length).then_some(Self { width, height, alpha, data })
    }

    fn write_png(self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut encoder = PngEncoder::new(&mut out, self.width, self.height);
        encoder.set_color(if self.alpha { PngColour::Rgba } else { PngColour::Rgb });
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&self.data).ok()?;
        writer.finish().ok()?;
        Some(out)
    }

    fn write_webp(self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let colour = if self.alpha { WebpColour::Rgba8 } else { WebpColour::Rgb8 };
        WebPEncoder::new(&mut out).encode(&self.data, self.width, self.height, colour).ok()?;
        Some(out)
    }

    fn write_jpeg(self, quality: u8) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (width, height) = (u16::try_from(self.width).ok()?, u16::try_from(self.height).ok()?);
        JpegEncoder::new(&mut out, quality).encode_image(OnWhite { pixels: &self, width, height }).ok()?;
        Some(out)
    }
}

/// An image on white: a JPEG has no transparency. The encoder's own kinds of images would bring a copy of it each.
struct OnWhite<'a> {
    pixels: &'a Pixels,
    width: u16,
    height: u16,
}

impl ImageBuffer for OnWhite<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let colours = if self.pixels.alpha { 4 } else { 3 };
        let row = usize::from(self.width) * colours;
        let start = usize::from(y) * row;
        let pixels = self.pixels.data.get(start..start + row).unwrap_or_default().chunks_exact(colours);
        let [luma, blue_difference, red_difference, _] = buffers;
        for pixel in pixels {
            let (red, green, blue) = match pixel {
                [red, green, blue] => (*red, *green, *blue),
                [red, green, blue, alpha] => {
                    (on_white(*red, *alpha), on_white(*green, *alpha), on_white(*blue, *alpha))
                }
                _ => (0, 0, 0),
            };
            let (y, cb, cr) = rgb_to_ycbcr(red, green, blue);
            luma.push(y);
            blue_difference.push(cb);
            red_difference.push(cr);
        }
    }
}

fn on_white(colour: u8, alpha: u8) -> u8 {
    let mixed = (u16::from(colour) * u16::from(alpha) + 255 * (255 - u16::from(alpha)) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

fn read_png(bytes: &[u8]) -> Option<Pixels> {
    let mut decoder = PngDecoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_MEMORY });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    let length = reader.output_buffer_size().filter(|length| *length <= MAX_MEMORY)?;
    let mut data = vec![0; length];
    let info = reader.next_frame(&mut data).ok()?;
    data.truncate(info.buffer_size());
    let (alpha, data) = match info.color_type {
        PngColour::Rgb => (false, data),
        PngColour::Rgba => (true, data),
        PngColour::Grayscale => (false, data.into_iter().flat_map(|grey| [grey; 3]).collect()),
        PngColour::GrayscaleAlpha => (true, data.chunks_exact(2).flat_map(with_alpha).collect()),
        PngColour::Indexed => return None,
    };
    Pixels::new(info.width, info.height, alpha, data)
}

/// Grey and alpha as colours and alpha.
fn with_alpha(pixel: &[u8]) -> [u8; 4] {
    match pixel {
        [grey, alpha] => [*grey, *grey, *grey, *alpha],
        _ => [0; 4],
    }
}

fn read_webp(bytes: &[u8]) -> Option<Pixels> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).ok()?;
    decoder.set_memory_limit(MAX_MEMORY);
    let (width, height) = decoder.dimensions();
    let length = decoder.output_buffer_size().filter(|length| *length <= MAX_MEMORY)?;
    let mut data = vec![0; length];
    decoder.read_image(&mut data).ok()?;
    Pixels::new(width, height, decoder.has_alpha(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red on the left, transparent on the right.
    fn png() -> Bytes {
        let row: Vec<u8> = (0..100).flat_map(|x| if x < 50 { [200, 10, 20, 255] } else { [0, 0, 0, 0] }).collect();
        Bytes::from(Pixels::new(100, 80, true, row.repeat(80)).unwrap().write_png().unwrap())
    }

    fn read(bytes: &[u8], format: Format) -> Pixels {
        if format == Format::Webp { read_webp(bytes) } else { read_png(bytes) }.unwrap()
    }

    #[test]
    fn an_image_becomes_what_is_wanted() {
        let (made, webp) = transcode(png(), Format::Png, TargetFormat { format: Format::Webp, quality: 1 }).unwrap();
        assert_eq!((made, Format::of_magic(&webp)), (Format::Webp, Some(Format::Webp)));
        assert_eq!(read(&webp, Format::Webp).data, read(&png(), Format::Png).data, "without loss");
        let (_, again) = transcode(webp, Format::Webp, TargetFormat { format: Format::Png, quality: 100 }).unwrap();
        assert_eq!(read(&again, Format::Png).data, read(&png(), Format::Png).data);
        for quality in [0, 90, 100] {
            let (made, jpeg) = transcode(png(), Format::Png, TargetFormat { format: Format::Jpeg, quality }).unwrap();
            assert_eq!((made, Format::of_magic(&jpeg)), (Format::Jpeg, Some(Format::Jpeg)));
            let size = crate::media::image::size(&jpeg).unwrap();
            assert_eq!((size.width(), size.height()), (100, 80));
        }
        assert_eq!((on_white(0, 0), on_white(9, 255), on_white(0, 128)), (255, 9, 127));
    }

    #[test]
    fn what_has_the_format_or_is_not_read_is_left_as_it_is() {
        let (_, same) = transcode(png(), Format::Png, TargetFormat { format: Format::Png, quality: 1 }).unwrap();
        assert_eq!(same, png());
        let gif = Bytes::from_static(b"GIF89a");
        let wanted = TargetFormat { format: Format::Jpeg, quality: 90 };
        assert_eq!(transcode(gif.clone(), Format::Gif, wanted), Ok((Format::Gif, gif)));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let wanted = TargetFormat { format: Format::Jpeg, quality: 90 };
        let whole = png();
        for end in [8, 20, 40] {
            assert!(transcode(whole.slice(..end), Format::Png, wanted).is_err(), "cut at {end}");
        }
        let (_, webp) = transcode(png(), Format::Png, TargetFormat { format: Format::Webp, quality: 1 }).unwrap();
        for end in 0..webp.len() / 2 {
            assert!(transcode(webp.slice(..end), Format::Webp, wanted).is_err(), "cut at {end}");
        }
    }
}
