//! Images that Spaces have made.

use bytes::Bytes;
use z_image_2api::generation::{Format, TargetFormat};
use z_image_2api::media::image::{inline, size};
use z_image_2api::media::transcode::Converter;

use super::{host, world};

/// The longest side of an image that is converted here, in pixels: larger ones only take longer.
const LONGEST: u32 = 256;

/// A file: recognized by its first bytes alone, and converted to an image of the wanted format and the same size, or
/// not at all.
pub fn images(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let format = Format::of_magic(data);
    assert_eq!(inline(bytes.clone(), data.len()).map(|(format, _)| format).ok(), format);
    assert!(data.is_empty() || inline(bytes.clone(), data.len() - 1).is_err(), "larger than allowed");
    let seen = size(data);
    let Some(format) = format else { return };
    if sides(data).is_none_or(|sides| sides.into_iter().any(|side| side > LONGEST)) {
        return;
    }
    for target in [Format::Png, Format::Jpeg, Format::Webp] {
        let wanted = TargetFormat { format: target, quality: 80 };
        let converter = Converter::new(&host());
        let (bytes, whole) = (bytes.clone(), bytes.clone());
        let converted = world().run(async move { converter.convert(whole, format, wanted).await });
        let Ok((made, converted)) = converted else { continue };
        assert_eq!(Format::of_magic(&converted), Some(made));
        if made == format {
            assert_eq!(converted, bytes, "what has the format, or isn't read, is left as it is");
        } else {
            assert_eq!(made, target);
            assert_eq!(size(&converted), seen, "the size stays");
        }
    }
}

/// Width and height that the header of a PNG or WebP names; none for other formats, which aren't converted.
fn sides(data: &[u8]) -> Option<[u32; 2]> {
    let little = |at: usize, length: usize| {
        let bytes = data.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
    };
    let big = |at: usize| Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?));
    match data.get(12..16)? {
        b"IHDR" => Some([big(16)?, big(20)?]),
        b"VP8X" => Some([little(24, 3)? + 1, little(27, 3)? + 1]),
        b"VP8 " => Some([little(26, 2)? & 0x3fff, little(28, 2)? & 0x3fff]),
        b"VP8L" => Some([(little(21, 4)? & 0x3fff) + 1, (little(21, 4)? >> 14 & 0x3fff) + 1]),
        _ => None,
    }
}
