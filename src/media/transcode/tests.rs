use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_webp::{ColorType as WebpColour, WebPDecoder, WebPEncoder};

use super::*;
use crate::platform::sim::World;

/// An image, eight bits for each of its colours.
#[derive(Clone, Debug, PartialEq)]
struct Pixels {
    width: u32,
    height: u32,
    has_alpha: bool,
    data: Vec<u8>,
}

impl Pixels {
    /// An image of that size, different in each row and column, with some pixels alike.
    fn new(width: u32, height: u32, has_alpha: bool) -> Self {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let flat = (x / 9 + y / 7) % 3 == 0;
                let [red, green, blue] = if flat { [9, 8, 200] } else { [x * 7 + y, y * 5 + x * x / 30, x ^ y] };
                let alpha = if flat { 255 } else { 255 - x % 7 * 30 };
                let colours = [red, green, blue, alpha].map(|colour| u8::try_from(colour % 256).unwrap());
                data.extend_from_slice(if has_alpha { &colours } else { &colours[..3] });
            }
        }
        Self { width, height, has_alpha, data }
    }

    fn png(&self) -> Bytes {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(if self.has_alpha { ColorType::Rgba } else { ColorType::Rgb });
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&self.data).unwrap();
        out.into()
    }

    fn webp(&self) -> Bytes {
        let mut out = Vec::new();
        let colour = if self.has_alpha { WebpColour::Rgba8 } else { WebpColour::Rgb8 };
        WebPEncoder::new(&mut out).encode(&self.data, self.width, self.height, colour).unwrap();
        out.into()
    }

    fn of_png(bytes: &[u8]) -> Self {
        let mut decoder = Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        let has_alpha = info.color_type == ColorType::Rgba;
        Self { width: info.width, height: info.height, has_alpha, data }
    }

    fn of_webp(bytes: &[u8]) -> Self {
        let mut decoder = WebPDecoder::new(Cursor::new(bytes)).unwrap();
        let (width, height) = decoder.dimensions();
        let mut data = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_image(&mut data).unwrap();
        Self { width, height, has_alpha: decoder.has_alpha(), data }
    }
}

fn convert(bytes: Bytes, format: Format, to: Format, quality: u8) -> Result<(Format, Bytes), Failure> {
    let world = World::new(1);
    let converter = Converter::new(&world.host());
    world.run(async move { converter.convert(bytes, format, TargetFormat { format: to, quality }).await })
}

#[test]
fn an_image_becomes_what_is_wanted_without_loss() {
    for (width, height) in [(100, 80), (1, 1), (1, 70), (70, 1), (600, 531)] {
        for has_alpha in [false, true] {
            let image = Pixels::new(width, height, has_alpha);
            let (made, webp) = convert(image.png(), Format::Png, Format::Webp, 1).unwrap();
            assert_eq!((made, Format::of_magic(&webp)), (Format::Webp, Some(Format::Webp)));
            assert_eq!(Pixels::of_webp(&webp), image);
            let (made, png) = convert(image.webp(), Format::Webp, Format::Png, 1).unwrap();
            assert_eq!((made, Pixels::of_png(&png)), (Format::Png, image));
        }
    }
}

#[test]
fn a_plain_image_needs_no_bits_for_its_pixels() {
    let image = Pixels { width: 3000, height: 700, has_alpha: false, data: [200, 20, 2].repeat(3000 * 700) };
    let (_, webp) = convert(image.png(), Format::Png, Format::Webp, 1).unwrap();
    assert!(webp.len() < 2000, "{}", webp.len());
    assert!(Pixels::of_webp(&webp) == image);
}

#[test]
fn a_jpeg_in_strips_is_one_image() {
    for (width, height) in [(100, 80), (1, 1), (17, 31), (16, 32), (33, 33), (70, 1000)] {
        for quality in [0, 50, 89, 90, 100] {
            let image = Pixels::new(width, height, quality % 2 == 0);
            let (made, jpeg) = convert(image.png(), Format::Png, Format::Jpeg, quality).unwrap();
            assert_eq!((made, Format::of_magic(&jpeg)), (Format::Jpeg, Some(Format::Jpeg)));
            let size = imagesize::blob_size(&jpeg).unwrap();
            assert_eq!((size.width, size.height), (width as usize, height as usize));
            let restarts = jpeg.windows(2).filter(|two| two[0] == 0xff && (0xd0..0xd8).contains(&two[1])).count();
            assert_eq!(restarts, (height as usize).div_ceil(32) - 1, "{width}x{height}");
        }
    }
}

#[test]
fn other_forms_of_png_are_read() {
    let grey: Vec<u8> = (0..60_u8).collect();
    for (colour, data, pixel) in [
        (ColorType::Grayscale, grey.clone(), [7, 7, 7, 255]),
        (ColorType::GrayscaleAlpha, grey.iter().flat_map(|grey| [*grey, 90]).collect(), [7, 7, 7, 90]),
    ] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 10, 6);
        encoder.set_color(colour);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        let (_, webp) = convert(out.into(), Format::Png, Format::Webp, 1).unwrap();
        let read = Pixels::of_webp(&webp);
        let colours = if read.has_alpha { 4 } else { 3 };
        assert_eq!(read.data[7 * colours..8 * colours], pixel[..colours]);
    }
}

/// An interlaced PNG of 9 × 9 pixels, of which the one in column x and row y has the colours 9x + y, 9y + x and xy.
const INTERLACED: &str = "\
     iVBORw0KGgoAAAANSUhEUgAAAAkAAAAJCAIAAAEY9KHRAAAA5UlEQVR42gXBhwKBUAAF0Nt6DamkCEkUklVmdvYe//81zgGAmwAI\
     N/x+KXwW6L1csD6CQHv1XOg0ZgQotIRlaKH80LafCLQOw2BbBSGx5EdZA5nBSuRwaa3X/mcbQaRQYdDnsOOBTJ6ummRYlPYlBdkm\
     W2vLccc4dm2oc1Jf6OOVc96EyN0F72lN38H1m4ASIUlUPkPbMtPMsgOFm6sk1fh7TgBTgWwzZpU4jtiuyZGrLur6oWE+PQtcH8qA\
     Kw4lN1I7sTEalVZj5zTx3tMA/A5aypf2SuNgdo/25ORtzuHlEn+vyR8pcB5hxNd4VAAAAABJRU5ErkJggg==";

#[test]
fn an_interlaced_png_is_put_together() {
    let interlaced = Bytes::from(STANDARD.decode(INTERLACED).unwrap());
    let (_, webp) = convert(interlaced, Format::Png, Format::Webp, 1).unwrap();
    let pixels = (0..9_u8).flat_map(|y| (0..9_u8).flat_map(move |x| [9 * x + y, 9 * y + x, x * y]));
    assert_eq!(Pixels::of_webp(&webp), Pixels { width: 9, height: 9, has_alpha: false, data: pixels.collect() });
}

#[test]
fn what_has_the_format_or_is_not_read_or_too_large_is_left_as_it_is() {
    let png = Pixels::new(10, 10, false).png();
    assert_eq!(convert(png.clone(), Format::Png, Format::Png, 1), Ok((Format::Png, png)));
    let gif = Bytes::from_static(b"GIF89a");
    assert_eq!(convert(gif.clone(), Format::Gif, Format::Jpeg, 1), Ok((Format::Gif, gif)));
    let wide = Pixels { width: 20_000, height: 1, has_alpha: false, data: vec![0; 60_000] }.png();
    assert_eq!(convert(wide.clone(), Format::Png, Format::Jpeg, 1), Ok((Format::Png, wide)));
    // Only the header says that it is so large.
    let mut large = Pixels::new(10, 10, false).png().to_vec();
    large[16..24].copy_from_slice(&[0, 0, 16, 1, 0, 0, 16, 0]);
    let checksum = checksum(&large[12..29]);
    large[29..33].copy_from_slice(&checksum.to_be_bytes());
    let large = Bytes::from(large);
    assert_eq!(convert(large.clone(), Format::Png, Format::Jpeg, 1), Ok((Format::Png, large)));
    let large = Pixels { width: 2049, height: 2048, has_alpha: false, data: vec![0; 2049 * 2048 * 3] }.webp();
    assert_eq!(convert(large.clone(), Format::Webp, Format::Jpeg, 1), Ok((Format::Webp, large)));
}

/// Checksum of a PNG's chunk (ISO/IEC 15948 annex D).
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

#[test]
fn what_cannot_be_read_is_told() {
    let image = Pixels::new(100, 80, true);
    let whole = image.png();
    for to in [Format::Jpeg, Format::Webp] {
        for end in [8, 20, 40, whole.len() / 2] {
            assert!(convert(whole.slice(..end), Format::Png, to, 90).is_err(), "cut at {end}");
        }
    }
    let webp = image.webp();
    for end in 0..webp.len() / 2 {
        assert!(convert(webp.slice(..end), Format::Webp, Format::Jpeg, 90).is_err(), "cut at {end}");
    }
}
