//! PNG, written row by row.

use std::io::Write as _;

use png::{BitDepth, ColorType, Compression, Encoder};

use super::error::CodecError;
use super::pace::Pace;
use super::rows::Rows;

/// Writes `rows` as a PNG.
pub(super) async fn write(mut rows: Rows, pace: &Pace) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, rows.width, rows.height);
    encoder.set_color(if rows.has_alpha { ColorType::Rgba } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut file = encoder.write_header()?;
    let mut writer = file.stream_writer()?;
    while let Some(row) = rows.next()? {
        writer.write_all(row)?;
        pace.keep().await;
    }
    writer.finish()?;
    file.finish()?;
    Ok(out)
}
