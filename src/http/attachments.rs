//! Images in a JSON body, taken out of its text while it comes.
//!
//! Clients send images as base64 inside of JSON. A text of 64 MiB would be held four times over on its way to bytes: as
//! it came, with its escapes undone, as a value, and decoded. So base64 of more than [`LONG`] characters behind
//! `;base64,`, or at the start of a string that begins as an image does, is decoded at once, and `attachment:` with its
//! number stands in the text in its place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use crate::platform::Reservation;

/// Length from which on base64 is taken out, in characters.
const LONG: usize = 4096;
/// Mark before the data of a data URL (RFC 2397).
const MARK: &[u8] = b";base64,";
/// Beginnings of base64 of PNG, JPEG, GIF and WebP; JPEG's may have its slashes escaped.
const STARTS: [&[u8]; 5] = [b"iVBORw0KGgo", b"/9j/", b"\\/9j\\/", b"R0lGOD", b"UklGR"];
/// Length of a string from which on its beginning is known, in bytes.
const LONGEST_START: usize = 12;
/// Name of an attachment in the text, before its number.
const NAME: &str = "attachment:";
/// Number of attachments of one body at most; further ones stay in the text.
const MAX_ATTACHMENTS: usize = 64;

/// Images of a body, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attachments(Vec<Option<Bytes>>);

impl Attachments {
    /// Image for `data`, a text of base64 or the name of an attachment; none where it can't be decoded.
    pub fn decode(&self, data: &str) -> Option<Bytes> {
        match data.trim().strip_prefix(NAME) {
            Some(number) => self.0.get(number.parse::<usize>().ok()?)?.clone(),
            None => STANDARD.decode(data.trim()).ok().map(Bytes::from),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A JSON text without the images in it.
#[derive(Debug, Default)]
pub struct JsonText {
    /// The text.
    pub text: Vec<u8>,
    /// The images.
    pub attachments: Attachments,
}

impl From<Vec<u8>> for JsonText {
    /// A text without long images.
    fn from(text: Vec<u8>) -> Self {
        Self { text, attachments: Attachments::default() }
    }
}

/// Reader of a JSON text with images.
pub struct JsonReader {
    json: JsonText,
    /// End of what has been looked at, in the text.
    seen: usize,
    state: State,
    /// End of the string in hand, as far as it has come, and whether it is its end; none where that isn't known.
    end: Option<(usize, bool)>,
    mark: Finder<'static>,
}

/// Place of a reader in the text.
enum State {
    /// Between strings.
    Outside,
    /// At the beginning of a string, which shows what it is.
    Start,
    /// In a string, behind that position of the text.
    Inside(usize),
    /// In data from that position of the text on, which may become long.
    Data(usize),
    /// In data that is being decoded.
    Long(Base64),
}

impl Default for JsonReader {
    /// A reader of a text that hasn't begun.
    fn default() -> Self {
        Self { json: JsonText::default(), seen: 0, state: State::Outside, end: None, mark: Finder::new(MARK) }
    }
}

impl JsonReader {
    /// Length of the text so far, without the images, in bytes.
    pub fn text_length(&self) -> usize {
        self.json.text.len()
    }

    /// Memory that it takes beside the images that are whole, in bytes.
    pub fn memory(&self) -> usize {
        let open = if let State::Long(base64) = &self.state { base64.decoded.capacity() } else { 0 };
        self.json.text.len().saturating_mul(2).saturating_add(open.saturating_mul(2))
    }

    /// Takes the next piece. Images that are whole take their memory from `reservation`.
    pub fn feed(&mut self, piece: &[u8], reservation: &mut Reservation) {
        let rest = match &mut self.state {
            State::Long(base64) => {
                let taken = base64.feed(piece);
                if base64.is_open {
                    return;
                }
                self.close(reservation);
                piece.get(taken..).unwrap_or_default()
            }
            _ => piece,
        };
        self.json.text.extend_from_slice(rest);
        self.end = None;
        while self.step(reservation) {}
    }

    /// The text and its images, at its end.
    pub fn finish(mut self, reservation: &mut Reservation) -> JsonText {
        self.close(reservation);
        self.json
    }

    /// Goes on to the next place in the text. False where more must come first.
    fn step(&mut self, reservation: &mut Reservation) -> bool {
        let text = &self.json.text;
        let unseen = text.get(self.seen..).unwrap_or_default();
        match self.state {
            State::Outside => match memchr(b'"', unseen) {
                Some(at) => {
                    self.seen += at + 1;
                    self.state = State::Start;
                    true
                }
                None => {
                    self.seen = text.len();
                    false
                }
            },
            State::Start => {
                let is_short = unseen.len() < LONGEST_START && !unseen.contains(&b'"');
                if !is_short {
                    let is_image = begins_an_image(unseen);
                    self.state = if is_image { State::Data(self.seen) } else { State::Inside(self.seen) };
                }
                !is_short
            }
            State::Inside(start) => {
                let (end, is_whole) = *self.end.get_or_insert_with(|| {
                    let (end, is_whole) = string_end(unseen);
                    (self.seen + end, is_whole)
                });
                // The mark may have begun in what was seen.
                let from = start.max(self.seen.saturating_sub(MARK.len() - 1));
                if let Some(at) = text.get(from..end).and_then(|part| self.mark.find(part)) {
                    self.seen = from + at + MARK.len();
                    self.state = State::Data(self.seen);
                    return true;
                }
                self.seen = end + usize::from(is_whole);
                if is_whole {
                    self.state = State::Outside;
                    self.end = None;
                }
                is_whole
            }
            State::Data(start) => {
                let data = text.get(start..).unwrap_or_default();
                let length = data_length(data);
                if length >= LONG && self.json.attachments.0.len() < MAX_ATTACHMENTS {
                    self.take_out(start, reservation);
                    return true;
                }
                let behind = data.get(length..).unwrap_or_default();
                if length < LONG && matches!(behind, [] | [b'\\']) {
                    return false;
                }
                self.seen = start + length;
                self.state = State::Inside(self.seen);
                true
            }
            State::Long(_) => false,
        }
    }

    /// Takes the data at `start` out of the text.
    fn take_out(&mut self, start: usize, reservation: &mut Reservation) {
        let data = self.json.text.split_off(start);
        self.end = None;
        let mut base64 = Base64::default();
        let taken = base64.feed(&data);
        let is_open = base64.is_open;
        self.json.text.extend_from_slice(format!("{NAME}{}", self.json.attachments.0.len()).as_bytes());
        self.seen = self.json.text.len();
        self.state = State::Long(base64);
        if !is_open {
            self.close(reservation);
            self.json.text.extend_from_slice(data.get(taken..).unwrap_or_default());
        }
    }

    /// Ends the data that is being decoded, if there is any.
    fn close(&mut self, reservation: &mut Reservation) {
        if let State::Long(base64) = std::mem::replace(&mut self.state, State::Inside(self.seen)) {
            if base64.has_escape {
                self.json.text.push(b'\\');
            }
            let image = base64.finish().map(|bytes| reservation.split(bytes.capacity()).hold(bytes));
            self.json.attachments.0.push(image);
        }
    }
}

/// Base64 that is being decoded as it comes.
struct Base64 {
    decoded: Vec<u8>,
    /// Characters that wait for others of their group of four.
    left: Vec<u8>,
    /// Set after a backslash, which may escape a slash.
    has_escape: bool,
    is_open: bool,
    is_valid: bool,
}

impl Default for Base64 {
    fn default() -> Self {
        Self { decoded: Vec::new(), left: Vec::new(), has_escape: false, is_open: true, is_valid: true }
    }
}

/// Number of characters that are decoded at a time: whole groups of four.
const GROUPS: usize = 32 << 10;

impl Base64 {
    /// Takes characters until the data ends. Returns the number of those taken.
    fn feed(&mut self, text: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.has_escape {
                if rest.first() != Some(&b'/') {
                    // Any other escape ends the data, and stays in the text.
                    self.is_open = false;
                    return taken;
                }
                self.has_escape = false;
            }
            let run = rest.iter().take(GROUPS).position(|byte| !is_base64(*byte)).unwrap_or(rest.len().min(GROUPS));
            self.left.extend_from_slice(rest.get(..run).unwrap_or_default());
            taken += run;
            if self.left.len() >= GROUPS {
                self.decode(self.left.len() / 4 * 4);
            }
            match rest.get(run) {
                Some(b'\\') => {
                    self.has_escape = true;
                    taken += 1;
                }
                Some(byte) if !is_base64(*byte) => {
                    self.is_open = false;
                    return taken;
                }
                _ => {}
            }
        }
        taken
    }

    fn decode(&mut self, length: usize) {
        let rest = self.left.split_off(length);
        if self.is_valid {
            // By halves rather than by doubling: most of an image's memory is the image.
            let more = length / 4 * 3;
            if self.decoded.capacity() - self.decoded.len() < more {
                self.decoded.reserve_exact(more.max(self.decoded.len() / 2));
            }
            self.is_valid = STANDARD.decode_vec(&self.left, &mut self.decoded).is_ok();
        }
        if !self.is_valid {
            self.decoded = Vec::new();
        }
        self.left = rest;
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        self.decode(self.left.len());
        self.decoded.shrink_to_fit();
        self.is_valid.then_some(self.decoded)
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Length of the data that `text` begins with, in bytes, escaped slashes included.
fn data_length(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = text.get(length..).unwrap_or_default();
        let run = rest.iter().take(LONG).position(|byte| !is_base64(*byte)).unwrap_or(rest.len().min(LONG));
        length += run;
        if length < LONG && rest.get(run..run + 2) == Some(b"\\/") {
            length += 2;
        } else {
            return length;
        }
    }
}

fn begins_an_image(text: &[u8]) -> bool {
    // AVIF begins with a length, which varies, and `ftyp`.
    let is_avif = text.starts_with(b"AAAA") && text.get(6..11) == Some(b"Z0eXB");
    is_avif || STARTS.iter().any(|start| text.starts_with(start))
}

/// End of the string that `text` is the rest of, and whether it is there; where it isn't, all but a cut escape.
fn string_end(text: &[u8]) -> (usize, bool) {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return (at, true),
            (_, None) => return (at, false),
            _ => at += 2,
        }
    }
    (text.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::MemoryBudget;

    /// Reads `text` in pieces of that size: the text without images, and the images.
    fn read(text: &[u8], size: usize) -> (String, Vec<Option<Bytes>>) {
        let budget = MemoryBudget::default();
        let (mut reader, mut reservation) = (JsonReader::default(), budget.take(64 << 20));
        for piece in text.chunks(size) {
            reader.feed(piece, &mut reservation);
        }
        let json = reader.finish(&mut reservation);
        (String::from_utf8(json.text).unwrap(), json.attachments.0)
    }

    fn png(length: usize) -> Vec<u8> {
        let noise = (0..length).map(|at| u8::try_from(at * 7 % 256).unwrap());
        b"\x89PNG\r\n\x1a\n".iter().copied().chain(noise).collect()
    }

    #[test]
    fn long_images_are_taken_out_wherever_they_stand_and_however_they_are_cut() {
        let (image, small) = (png(5000), png(30));
        let (long, short) = (STANDARD.encode(&image), STANDARD.encode(&small));
        let escaped = long.replace('/', "\\/");
        let text = format!(
            r#"{{"a":"data:image/png;base64,{long}","b":["{long}","!(data:image/png;base64,{escaped})"],
            "c":"data:image/png;base64,{short}","d":"{short}","e":"\"{long}\\","{short}":";base64,"}}"#
        );
        let expected = format!(
            r#"{{"a":"data:image/png;base64,attachment:0","b":["attachment:1","!(data:image/png;base64,attachment:2)"],
            "c":"data:image/png;base64,{short}","d":"{short}","e":"\"{long}\\","{short}":";base64,"}}"#
        );
        for size in [1, 2, 3, 5, 11, 100, 4095, text.len()] {
            let (json, images) = read(text.as_bytes(), size);
            assert_eq!(json, expected, "in pieces of {size}");
            assert_eq!(images.len(), 3);
            assert!(images.iter().all(|found| found.as_deref() == Some(image.as_slice())), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_base64_is_known_as_such() {
        let long = STANDARD.encode(png(5000));
        for (data, behind, is_image) in [
            (format!("{long}A"), "", false),
            (format!("={long}"), "", false),
            (format!("{long}\\n"), "\\n", true),
            (format!("{long}\\\"}}"), "\\\"}", true),
        ] {
            for size in [1, 7, 10_000] {
                let (json, images) = read(format!("[\"data:;base64,{data}\",1]").as_bytes(), size);
                assert_eq!(json, format!("[\"data:;base64,attachment:0{behind}\",1]"));
                assert_eq!(images.iter().map(Option::is_some).collect::<Vec<_>>(), [is_image]);
            }
        }
        let attachments = Attachments(vec![None, Some(Bytes::from_static(b"x"))]);
        assert_eq!(attachments.decode("attachment:1").as_deref(), Some(b"x".as_slice()));
        for name in ["attachment:0", "attachment:2", "attachment:-1", "attachment:", "?"] {
            assert_eq!(attachments.decode(name), None, "{name}");
        }
        assert_eq!(attachments.decode("AAAA").as_deref(), Some([0, 0, 0].as_slice()));
    }

    #[test]
    fn a_text_without_images_stays_as_it_is() {
        let word = "x".repeat(LONG * 3);
        for text in ["", "\"", "[1,2", "\"\\", r#"{"a":"b\"c"}"#, "\"\\\"\"", "\"iVBORw0KGgo", &format!("\"{word}\"")] {
            for size in [1, 2, 1000] {
                assert_eq!(read(text.as_bytes(), size), (text.to_owned(), vec![]), "{text}");
            }
        }
    }

    #[test]
    fn marks_without_end_cost_no_more_than_their_length() {
        let text = format!("[\"{}\"]", ";base64,".repeat(1 << 20));
        for size in [32 << 10, text.len()] {
            assert_eq!(read(text.as_bytes(), size).0.len(), text.len());
        }
    }

    #[test]
    fn an_image_takes_little_more_than_itself() {
        let image = png(20 << 20);
        let text = format!("{{\"image\":\"data:image/png;base64,{}\"}}", STANDARD.encode(&image));
        let budget = MemoryBudget::default();
        let (mut reader, mut reservation) = (JsonReader::default(), budget.take(100 << 20));
        let mut most = 0;
        for piece in text.as_bytes().chunks(32 << 10) {
            reader.feed(piece, &mut reservation);
            most = most.max(reader.memory());
        }
        let json = reader.finish(&mut reservation);
        assert!(json.text.len() < 100 && most < 64 << 20, "{most} bytes");
        drop(reservation);
        assert_eq!(budget.used(), image.len());
    }
}
