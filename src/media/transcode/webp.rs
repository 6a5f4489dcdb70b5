//! WebP without loss (RFC 9649 section 3), written in two passes over the rows: the first counts, and the second
//! writes with the codes that are best for what was counted.
//!
//! Of the format's means three are used, as `image-webp` does: the difference to the pixel above, red and blue as
//! differences to green, and runs of the same.

use super::error::{CodecError, check_length};
use super::huffman::{Code, codes};
use super::pace::Pace;
use super::rows::Rows;

/// The longest run of the same pixel, with one symbol.
const MAX_RUN: u32 = 4096;
/// Symbols for a literal's green: 256, and 24 for lengths of runs.
const GREENS: usize = 256 + 24;
/// Order in which the lengths of the codes for lengths are written.
const LENGTHS_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// The longest code.
const LONGEST: u8 = 15;
/// The longest code for a length.
const LONGEST_OF_LENGTHS: u8 = 7;
/// Pixel before the first: opaque black.
const FIRST: Pixel = [0, 0, 0, 255];

/// Red, green, blue and alpha.
type Pixel = [u8; 4];

/// Writes `rows` as a WebP.
pub(super) async fn write(mut rows: Rows, pace: &Pace) -> Result<Vec<u8>, CodecError> {
    let mut counts = Counts::default();
    let mut runs = Residuals::new(rows.has_alpha);
    while let Some(row) = rows.next()? {
        runs.add_row(row, &mut counts);
        pace.keep().await;
    }
    runs.finish(&mut counts);
    rows.rewind()?;

    let mut bits = Bits::default();
    write_head(&mut bits, &rows)?;
    let tables = counts.write(&mut bits, rows.has_alpha);
    let (has_alpha, mut writer) = (rows.has_alpha, Writer { bits, tables });
    let mut runs = Residuals::new(has_alpha);
    while let Some(row) = rows.next()? {
        runs.add_row(row, &mut writer);
        check_length(&writer.bits.out)?;
        pace.keep().await;
    }
    runs.finish(&mut writer);
    writer.bits.finish()
}

/// Size of the image, and the transforms that are used.
fn write_head(bits: &mut Bits, rows: &Rows) -> Result<(), CodecError> {
    let side = |side: u32| side.checked_sub(1).ok_or(CodecError::Unreadable);
    bits.put(0x2f, 8);
    bits.put(side(rows.width)?, 14);
    bits.put(side(rows.height)?, 14);
    bits.put(u32::from(rows.has_alpha), 1);
    bits.put(0, 3);
    // Green is taken off red and blue.
    bits.put(0b101, 3);
    // In blocks of 512, which all have the mode 2: the pixel above is taken off.
    bits.put(0b11_1001, 6);
    bits.put(0, 1);
    put_single(bits, 2);
    for _ in 0..4 {
        put_single(bits, 0);
    }
    // No more transforms, no cache of colours, one set of codes.
    bits.put(0, 3);
    Ok(())
}

/// Consumer of what an image consists of.
trait Sink {
    /// A pixel that is not the one before.
    fn literal(&mut self, pixel: Pixel);
    /// The pixel before again, so many times.
    fn run(&mut self, length: u32);
}

/// Differences of an image's pixels to those above, and runs of the same.
struct Residuals {
    has_alpha: bool,
    /// The row above, with green taken off red and blue.
    above: Vec<Pixel>,
    is_first_row: bool,
    before: Option<Pixel>,
    run: u32,
}

impl Residuals {
    fn new(has_alpha: bool) -> Self {
        Self { has_alpha, above: Vec::new(), is_first_row: true, before: None, run: 0 }
    }

    fn add_row(&mut self, row: &[u8], sink: &mut impl Sink) {
        let colours = if self.has_alpha { 4 } else { 3 };
        let mut above = std::mem::take(&mut self.above);
        if self.is_first_row {
            above = vec![FIRST; row.len() / colours];
        }
        let mut left = FIRST;
        for (pixel, above) in row.chunks_exact(colours).zip(&mut above) {
            let pixel = match pixel {
                [red, green, blue] => [red.wrapping_sub(*green), *green, blue.wrapping_sub(*green), 255],
                [red, green, blue, alpha] => [red.wrapping_sub(*green), *green, blue.wrapping_sub(*green), *alpha],
                _ => FIRST,
            };
            let [red, green, blue, alpha] = pixel;
            let [r, g, b, a] = if self.is_first_row { left } else { *above };
            let difference = [red.wrapping_sub(r), green.wrapping_sub(g), blue.wrapping_sub(b), alpha.wrapping_sub(a)];
            (left, *above) = (pixel, pixel);
            self.add(difference, sink);
        }
        (self.above, self.is_first_row) = (above, false);
    }

    fn add(&mut self, pixel: Pixel, sink: &mut impl Sink) {
        if self.before == Some(pixel) && self.run < MAX_RUN {
            self.run += 1;
            return;
        }
        self.finish(sink);
        self.before = Some(pixel);
        sink.literal(pixel);
    }

    /// Ends the run.
    fn finish(&mut self, sink: &mut impl Sink) {
        if self.run > 0 {
            sink.run(self.run);
            self.run = 0;
        }
    }
}

/// Symbol of a run's length among those of greens, and the bits behind it with their number.
fn length_symbol(length: u32) -> (usize, u32, u8) {
    let rest = length.saturating_sub(1);
    let symbol = |number: u32| 256 + usize::try_from(number).unwrap_or_default();
    if rest < 4 {
        return (symbol(rest), 0, 0);
    }
    let highest = rest.ilog2();
    let second = (rest >> (highest - 1)) & 1;
    let extra = highest - 1;
    (symbol(2 * highest + second), rest & ((1 << extra) - 1), u8::try_from(extra).unwrap_or_default())
}

/// Number of times that each symbol occurs.
struct Counts {
    green: [u32; GREENS],
    red: [u32; 256],
    blue: [u32; 256],
    alpha: [u32; 256],
}

impl Default for Counts {
    fn default() -> Self {
        Self { green: [0; GREENS], red: [0; 256], blue: [0; 256], alpha: [0; 256] }
    }
}

fn count(counts: &mut [u32], symbol: usize) {
    if let Some(count) = counts.get_mut(symbol) {
        *count += 1;
    }
}

impl Sink for Counts {
    fn literal(&mut self, [red, green, blue, alpha]: Pixel) {
        count(&mut self.red, red.into());
        count(&mut self.green, green.into());
        count(&mut self.blue, blue.into());
        count(&mut self.alpha, alpha.into());
    }

    fn run(&mut self, length: u32) {
        let (symbol, ..) = length_symbol(length);
        count(&mut self.green, symbol);
    }
}

impl Counts {
    /// Writes the best codes, and returns them.
    fn write(&self, bits: &mut Bits, has_alpha: bool) -> Tables {
        let green = put_codes(bits, &self.green);
        let red = put_codes(bits, &self.red);
        let blue = put_codes(bits, &self.blue);
        let alpha = if has_alpha {
            put_codes(bits, &self.alpha)
        } else {
            put_single(bits, 0);
            vec![Code::default(); 256]
        };
        // All runs are of the pixel to the left, whose distance has the symbol 1.
        put_single(bits, 1);
        Tables { green, red, blue, alpha }
    }
}

/// Codes of symbols.
struct Tables {
    green: Vec<Code>,
    red: Vec<Code>,
    blue: Vec<Code>,
    alpha: Vec<Code>,
}

/// Writes symbols with their codes.
struct Writer {
    bits: Bits,
    tables: Tables,
}

impl Sink for Writer {
    fn literal(&mut self, [red, green, blue, alpha]: Pixel) {
        let Tables { green: greens, red: reds, blue: blues, alpha: alphas } = &self.tables;
        for (table, symbol) in [(greens, green), (reds, red), (blues, blue), (alphas, alpha)] {
            self.bits.put_code(table, symbol.into());
        }
    }

    fn run(&mut self, length: u32) {
        let (symbol, rest, count) = length_symbol(length);
        self.bits.put_code(&self.tables.green, symbol);
        self.bits.put(rest, count);
    }
}

/// Writes a code that has but one symbol, and so no bits.
fn put_single(bits: &mut Bits, symbol: u8) {
    // A simple code, of one symbol, of one bit or of eight.
    bits.put(0b01, 2);
    let (is_long, length) = if symbol > 1 { (1, 8) } else { (0, 1) };
    bits.put(is_long, 1);
    bits.put(u32::from(symbol), length);
}

/// Writes the best codes for symbols that occur so often, and returns them.
fn put_codes(bits: &mut Bits, counts: &[u32]) -> Vec<Code> {
    let all = codes(counts, LONGEST);
    if all.iter().all(|code| code.length == 0) {
        let only = counts.iter().position(|count| *count > 0).and_then(|symbol| u8::try_from(symbol).ok());
        put_single(bits, only.unwrap_or_default());
        return all;
    }
    let mut lengths = [0_u32; 19];
    for code in &all {
        count(&mut lengths, code.length.into());
    }
    let length_codes = codes(&lengths, LONGEST_OF_LENGTHS);
    let is_single = length_codes.iter().all(|code| code.length == 0);
    bits.put(0, 1);
    bits.put(19 - 4, 4);
    for symbol in LENGTHS_ORDER {
        let own = length_codes.get(symbol).map_or(0, |code| code.length);
        let occurs = lengths.get(symbol).is_some_and(|count| *count > 0);
        bits.put(u32::from(if is_single && occurs { 1 } else { own }), 3);
    }
    // All symbols have a length.
    bits.put(0, 1);
    for code in &all {
        bits.put_code(&length_codes, code.length.into());
    }
    all
}

/// Bits of the file, of which the first is a byte's lowest.
struct Bits {
    out: Vec<u8>,
    open: u64,
    count: u8,
}

/// Names and lengths before the image: `RIFF`, the file's length, `WEBP`, `VP8L`, the image's length.
const HEADER: &[u8; 20] = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0";

impl Default for Bits {
    fn default() -> Self {
        Self { out: HEADER.to_vec(), open: 0, count: 0 }
    }
}

impl Bits {
    /// Writes the lowest `count` bits of `bits`, 32 at most.
    fn put(&mut self, bits: u32, count: u8) {
        self.open |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.open.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.open >>= 32;
            self.count -= 32;
        }
    }

    fn put_code(&mut self, table: &[Code], symbol: usize) {
        let Code { bits, length } = table.get(symbol).copied().unwrap_or_default();
        self.put(bits.into(), length);
    }

    /// The file.
    fn finish(mut self) -> Result<Vec<u8>, CodecError> {
        let open = self.open.to_le_bytes();
        self.out.extend(open.iter().take(usize::from(self.count.div_ceil(8))));
        let length = self.out.len() - HEADER.len();
        if length % 2 == 1 {
            self.out.push(0);
        }
        let mut put_length = |at: usize, length: usize| -> Result<(), CodecError> {
            let bytes = u32::try_from(length).map_err(|_| CodecError::Unreadable)?.to_le_bytes();
            self.out.get_mut(at..at + 4).ok_or(CodecError::Unreadable)?.copy_from_slice(&bytes);
            Ok(())
        };
        put_length(16, length)?;
        put_length(4, length.div_ceil(2) * 2 + 12)?;
        Ok(self.out)
    }
}
