//! Masks as an image editor has them.
//!
//! A client's mask is transparent where the image is to change, as OpenAI has it, or, without any transparency, white
//! there. An editor's layer is the reverse: what is painted over the image, and nothing elsewhere.

use std::io::{Cursor, Write as _};
use std::time::Duration;

use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, EncodingError, Limits, Transformations};

use crate::generation::{Format, SourceImage};
use crate::platform::Host;

/// Pixels of a mask that is converted, at most.
const MAX_PIXELS: u64 = 2048 * 2048;
/// Longest side of a mask that is converted, in pixels.
const MAX_SIDE: u32 = 4096;
/// Memory that its decoder may take for what isn't pixels, at most, in bytes.
const MAX_MEMORY: usize = 4 << 20;
/// Rows after which others get their turn.
const BREATH: u32 = 64;
/// Pixel that is painted.
const PAINTED: [u8; 4] = [255; 4];
/// Pixel that isn't.
const BLANK: [u8; 4] = [0; 4];

/// The layer that `mask` is, in white; `mask` itself where it is no PNG, or too large a one.
pub(super) async fn layer(host: &Host, mask: &SourceImage) -> SourceImage {
    let layer = if mask.format == Format::Png { painted(host, &mask.bytes).await.ok().flatten() } else { None };
    layer.map_or_else(|| mask.clone(), |bytes| SourceImage { bytes: bytes.into(), format: Format::Png })
}

/// A PNG that can't be read or written.
struct NoMask;

impl From<DecodingError> for NoMask {
    fn from(_: DecodingError) -> Self {
        Self
    }
}

impl From<EncodingError> for NoMask {
    fn from(_: EncodingError) -> Self {
        Self
    }
}

impl From<std::io::Error> for NoMask {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

async fn painted(host: &Host, bytes: &[u8]) -> Result<Option<Vec<u8>>, NoMask> {
    let mut is_transparent = false;
    let Some((width, height)) = each_row(host, bytes, |pixels| {
        is_transparent |= pixels.iter().any(|pixel| pixel.alpha < 128);
        Ok(())
    })
    .await?
    else {
        return Ok(None);
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut file = encoder.write_header()?;
    let mut writer = file.stream_writer()?;
    let is_painted = |pixel: &MaskPixel| if is_transparent { pixel.alpha < 128 } else { pixel.light > 127 };
    each_row(host, bytes, |pixels| {
        let row: Vec<u8> = pixels.iter().flat_map(|pixel| if is_painted(pixel) { PAINTED } else { BLANK }).collect();
        Ok(writer.write_all(&row)?)
    })
    .await?;
    writer.finish()?;
    file.finish()?;
    Ok(Some(out))
}

/// A pixel of a mask.
struct MaskPixel {
    light: u8,
    alpha: u8,
}

/// Reads the rows of a PNG in order. Returns its width and height; none where it has too many pixels, or its rows
/// don't come in order.
async fn each_row(
    host: &Host,
    bytes: &[u8],
    mut take: impl FnMut(&[MaskPixel]) -> Result<(), NoMask>,
) -> Result<Option<(u32, u32)>, NoMask> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_MEMORY });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info()?;
    let info = reader.info();
    let (width, height, is_interlaced) = (info.width, info.height, info.interlaced);
    if is_interlaced || width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Ok(None);
    }
    let (color, _) = reader.output_color_type();
    let mut number = 0_u32;
    while let Some(row) = reader.next_row()? {
        let pixels: Vec<MaskPixel> = row.data().chunks_exact(color.samples()).map(pixel).collect();
        take(&pixels)?;
        number = number.wrapping_add(1);
        if number.is_multiple_of(BREATH) {
            host.sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(Some((width, height)))
}

/// A pixel of grey or colours, with a transparency or without.
fn pixel(samples: &[u8]) -> MaskPixel {
    match samples {
        [light] => MaskPixel { light: *light, alpha: 255 },
        [light, alpha] => MaskPixel { light: *light, alpha: *alpha },
        [red, green, blue] => MaskPixel { light: mean(*red, *green, *blue), alpha: 255 },
        [red, green, blue, alpha, ..] => MaskPixel { light: mean(*red, *green, *blue), alpha: *alpha },
        [] => MaskPixel { light: 0, alpha: 255 },
    }
}

fn mean(red: u8, green: u8, blue: u8) -> u8 {
    u8::try_from((u16::from(red) + u16::from(green) + u16::from(blue)) / 3).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::platform::sim::World;

    fn png(color: ColorType, width: u32, pixels: &[u8]) -> Bytes {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, width, 1);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        out.into()
    }

    /// Pixels of the layer that a mask is.
    fn layer_of(bytes: Bytes, format: Format) -> (SourceImage, Vec<u8>) {
        let world = World::new(1);
        let host = world.host();
        let made = world.run(async move { layer(&host, &SourceImage { bytes, format }).await });
        let mut pixels = vec![0; 64];
        if let Ok(mut reader) = Decoder::new(Cursor::new(made.bytes.to_vec())).read_info()
            && let Ok(info) = reader.next_frame(&mut pixels)
        {
            pixels.truncate(info.buffer_size());
        }
        (made, pixels)
    }

    #[test]
    fn what_is_transparent_or_else_white_is_painted() {
        let [painted, blank] = [PAINTED, BLANK];
        let transparent = png(ColorType::Rgba, 2, &[0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(layer_of(transparent, Format::Png).1, [painted, blank].concat());
        let white = png(ColorType::Rgb, 2, &[0, 0, 0, 255, 255, 255]);
        assert_eq!(layer_of(white, Format::Png).1, [blank, painted].concat());
        let grey = png(ColorType::Grayscale, 3, &[255, 100, 200]);
        assert_eq!(layer_of(grey, Format::Png).1, [painted, blank, painted].concat());
    }

    #[test]
    fn what_can_not_be_read_stays_as_it_is() {
        for (bytes, format) in [(Bytes::from_static(b"x"), Format::Png), (Bytes::from_static(b"x"), Format::Jpeg)] {
            assert_eq!(layer_of(bytes.clone(), format).0, SourceImage { bytes, format });
        }
    }
}
