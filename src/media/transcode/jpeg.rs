//! JPEG, written in strips.
//!
//! The encoder writes an image as a whole. So each strip of rows is an image of its own to it, of which the compressed
//! data are kept; a restart marker between two strips (ISO/IEC 10918-1 section E.1.4) makes one image of them. All
//! strips have the same tables, since those are the standard's.

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, rgb_to_ycbcr};

use super::error::{CodecError, check_length};
use super::pace::Pace;
use super::rows::Rows;

/// Height of a strip: a multiple of what the encoder compresses together, 16 rows at most.
const STRIP: usize = 32;
/// Width of what the encoder compresses together, which depends on the quality.
const UNITS: [u16; 2] = [16, 8];
/// Quality from which the colours have as many samples as the brightness.
const FINE: u8 = 90;

/// Writes `rows` as a JPEG of that quality, on white where they are transparent.
pub(super) async fn write(mut rows: Rows, quality: u8, pace: &Pace) -> Result<Vec<u8>, CodecError> {
    let quality = quality.clamp(1, 100);
    let (width, height) = (u16::try_from(rows.width), u16::try_from(rows.height));
    let (Ok(width), Ok(height)) = (width, height) else { return Err(CodecError::Unreadable) };
    let [coarse, fine] = UNITS;
    let unit = if quality < FINE { coarse } else { fine };
    let units = usize::from(width.div_ceil(unit)) * STRIP / usize::from(unit);
    let interval = u16::try_from(units).map_err(|_| CodecError::Unreadable)?;
    let colours = if rows.has_alpha { 4 } else { 3 };

    let (mut out, mut data, mut compressed, mut restart) = (Vec::new(), Vec::new(), Vec::new(), 0_u8);
    loop {
        data.clear();
        let mut count = 0;
        while count < STRIP
            && let Some(row) = rows.next()?
        {
            data.extend_from_slice(row);
            count += 1;
        }
        if count == 0 {
            break;
        }
        let strip =
            Strip { data: &data, width, height: u16::try_from(count).map_err(|_| CodecError::Unreadable)?, colours };
        compressed.clear();
        let mut encoder = Encoder::new(&mut compressed, quality);
        encoder.set_restart_interval(interval);
        encoder.encode_image(strip)?;
        let parts = Parts::of(&compressed).ok_or(CodecError::Unreadable)?;
        if out.is_empty() {
            out.extend_from_slice(parts.before_height);
            out.extend_from_slice(&height.to_be_bytes());
            out.extend_from_slice(parts.after_height);
        } else {
            out.extend_from_slice(&[0xff, 0xd0 + restart]);
            restart = (restart + 1) % 8;
        }
        out.extend_from_slice(parts.scan);
        check_length(&out)?;
        pace.keep().await;
    }
    if out.is_empty() {
        return Err(CodecError::Unreadable);
    }
    out.extend_from_slice(&[0xff, 0xd9]);
    Ok(out)
}

/// Parts of a JPEG.
struct Parts<'a> {
    /// From the beginning to the height, which the frame's header tells.
    before_height: &'a [u8],
    /// Behind the height, to the end of the scan's header.
    after_height: &'a [u8],
    /// Compressed data, without the end of the image.
    scan: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(jpeg: &'a [u8]) -> Option<Self> {
        let (mut at, mut height_at) = (2, None);
        loop {
            let [0xff, marker, high, low] = *jpeg.get(at..at + 4)?.first_chunk()? else { return None };
            let next = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            match marker {
                // Length and precision come before it.
                0xc0 | 0xc1 => height_at = Some(at + 5),
                0xda => {
                    let height_at = height_at?;
                    return Some(Self {
                        before_height: jpeg.get(..height_at)?,
                        after_height: jpeg.get(height_at + 2..next)?,
                        scan: jpeg.get(next..)?.strip_suffix(&[0xff, 0xd9])?,
                    });
                }
                _ => {}
            }
            at = next;
        }
    }
}

/// A strip of an image, on white: a JPEG has no transparency.
struct Strip<'a> {
    data: &'a [u8],
    width: u16,
    height: u16,
    colours: usize,
}

impl ImageBuffer for Strip<'_> {
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
        let row = usize::from(self.width) * self.colours;
        let start = usize::from(y) * row;
        let pixels = self.data.get(start..start + row).unwrap_or_default().chunks_exact(self.colours);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transparent_is_white() {
        assert_eq!((on_white(0, 0), on_white(9, 255), on_white(0, 128)), (255, 9, 127));
    }

    #[test]
    fn what_is_no_jpeg_has_no_parts() {
        for bytes in [&b""[..], b"\xff\xd8", b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8\xff\xc0\0\0\xff\xd9", b"xxxxxxxxxx"]
        {
            assert!(Parts::of(bytes).is_none(), "{bytes:?}");
        }
    }
}
