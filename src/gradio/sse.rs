//! Server-sent events, decoded from bytes as they arrive.
//!
//! The decoder takes pieces of any size, cut anywhere: inside a UTF-8 character, between CR and LF, inside the byte
//! order mark. It looks at each byte once: a cursor remembers how far the unfinished line has been searched, so that an
//! event of several megabytes in small pieces costs linear time. What it keeps is bounded: one event may take
//! `limit` bytes, and more than that is an error, since a peer that never ends a line would otherwise fill the memory.
//!
//! Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Gradio's queue uses only `data`; `event`, `id`
//! and `retry` fields are passed over, as are comments. As the standard says, an event that isn't ended by a blank line
//! is dropped with the stream.

use thiserror::Error;

/// An event, or a line of one, is longer than the decoder's limit.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit that was passed, in bytes.
    pub limit: usize,
}

/// Room of the buffer that is kept, in bytes.
const LARGE: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Length that a line may have beside its data, in bytes: its field's name, a colon and a space, and a byte order mark.
const BESIDE: usize = BYTE_ORDER_MARK.len() + b"data: ".len();

/// Turns the bytes of an event stream into the data of its events.
#[derive(Debug)]
pub struct Decoder {
    /// Received bytes, of which those before `line_start` are done with.
    buffer: Vec<u8>,
    /// Start of the unfinished line in `buffer`.
    line_start: usize,
    /// End of what has been searched for that line's end.
    scanned: usize,
    /// The `data` of the event that is being received, lines joined by LF; `None` until there is a line of it.
    data: Option<Vec<u8>>,
    /// Set after a line that ended with CR, so that an LF at the start of the next belongs to it.
    after_cr: bool,
    /// Set after the first line, which alone may begin with a byte order mark.
    started: bool,
    limit: usize,
}

impl Decoder {
    /// A decoder for events of at most `limit` bytes of data.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), line_start: 0, scanned: 0, data: None, after_cr: false, started: false, limit }
    }

    /// Number of bytes that it keeps of an event that isn't whole.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.line_start + self.data.as_ref().map_or(0, Vec::len)
    }

    /// Takes the next bytes of the stream. Call [`Decoder::next_event`] until it gives `None` before the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.line_start > 0 {
            self.buffer.drain(..self.line_start);
            self.scanned -= self.line_start;
            self.line_start = 0;
            // The room of a large event isn't kept for the small ones behind it.
            if self.buffer.capacity() > LARGE {
                self.buffer.shrink_to(LARGE);
            }
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The data of the next whole event, or `None` until more bytes have come.
    ///
    /// # Errors
    /// [`TooLong`] once an event passes the limit; the stream is of no use after that.
    pub fn next_event(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        while let Some((start, end)) = self.next_line() {
            let line = self.buffer.get(start..end).unwrap_or_default();
            // Whatever field it is, so that the same stream is refused however it is cut.
            if line.len() > self.limit.saturating_add(BESIDE) {
                return Err(TooLong { limit: self.limit });
            }
            let is_first = !std::mem::replace(&mut self.started, true);
            let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else if let Some(value) = data_value(line) {
                let joined = self.data.is_some();
                let data = self.data.get_or_insert_default();
                if data.len() + usize::from(joined) + value.len() > self.limit {
                    return Err(TooLong { limit: self.limit });
                }
                if joined {
                    data.push(b'\n');
                }
                data.extend_from_slice(value);
            }
        }
        let unfinished = self.buffer.len() - self.line_start;
        if unfinished > self.limit.saturating_add(BESIDE) {
            return Err(TooLong { limit: self.limit });
        }
        Ok(None)
    }

    /// Start and end of the next whole line in the buffer, its line end left out.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        if self.after_cr {
            match self.buffer.get(self.line_start) {
                Some(b'\n') => {
                    self.line_start += 1;
                    self.scanned = self.line_start;
                }
                Some(_) => {}
                None => return None,
            }
            self.after_cr = false;
        }
        let unsearched = self.buffer.get(self.scanned..)?;
        let Some(found) = memchr::memchr2(b'\n', b'\r', unsearched) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + found;
        self.after_cr = self.buffer.get(end) == Some(&b'\r');
        let start = self.line_start;
        self.line_start = end + 1;
        self.scanned = self.line_start;
        Some((start, end))
    }
}

/// The value of a `data` field, or `None` where the line is a comment or another field.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` and returns the data of all events.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut decoder = Decoder::new(1 << 20);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            while let Some(data) = decoder.next_event().unwrap() {
                events.push(String::from_utf8(data).unwrap());
            }
        }
        events
    }

    const STREAM: &str = "\u{feff}: hello\n\ndata: one\n\ndata:two\rdata: zwei\r\r\nid: 7\nevent: x\ndata\ndata: \n\n\
        data: 红色的狐狸 \u{1f98a}\r\n\r\ndatum: no\n\nretry: 1\n\ndata:  spaced\n\ndata: unended\n";

    fn expected() -> Vec<&'static str> {
        vec!["one", "two\nzwei", "\n", "红色的狐狸 \u{1f98a}", " spaced"]
    }

    #[test]
    fn reads_fields_comments_and_every_line_end() {
        assert_eq!(decode([STREAM.as_bytes()]), expected());
    }

    #[test]
    fn a_cut_at_any_byte_changes_nothing() {
        let stream = STREAM.as_bytes();
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            assert_eq!(decode([before, after]), expected(), "cut at byte {at}");
        }
        assert_eq!(decode(stream.chunks(1)), expected(), "byte by byte");
    }

    #[test]
    fn two_data_lines_of_which_the_first_is_empty_are_joined() {
        assert_eq!(decode([b"data:\ndata: x\n\n".as_slice()]), ["x"].map(|x| format!("\n{x}")));
    }

    #[test]
    fn an_event_over_the_limit_is_refused_whole_or_in_pieces() {
        let mut decoder = Decoder::new(8);
        decoder.feed(b"data: 12345678\n\n");
        assert_eq!(decoder.next_event(), Ok(Some(b"12345678".to_vec())));
        decoder.feed(b"data: 123456789\n\n");
        assert_eq!(decoder.next_event(), Err(TooLong { limit: 8 }));

        let mut decoder = Decoder::new(8);
        decoder.feed(b"data: 1234\ndata: 5678\n");
        assert_eq!(decoder.next_event(), Err(TooLong { limit: 8 }), "lines add up");

        let mut decoder = Decoder::new(8);
        let mut refused = None;
        for sent in 0..100 {
            decoder.feed(b"x");
            if decoder.next_event().is_err() {
                refused = Some(sent);
                break;
            }
        }
        assert_eq!(refused, Some(17), "a line that never ends");
    }

    #[test]
    fn a_line_that_is_passed_over_is_refused_whole_or_in_pieces_too() {
        for line in [format!(": {}\n", "x".repeat(20)), format!("\u{feff}: {}\n", "x".repeat(13))] {
            for size in [1, line.len()] {
                let mut decoder = Decoder::new(8);
                let mut decode = |piece| {
                    decoder.feed(piece);
                    decoder.next_event()
                };
                let refused = line.as_bytes().chunks(size).any(|piece| decode(piece).is_err());
                assert!(refused, "{line:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn bytes_are_searched_once() {
        // 4 MB in pieces of 64 bytes: 65,536 pieces. Searching from the line's start each time would look at 131 GB.
        let value = "x".repeat(4 << 20);
        let stream = format!("data: {value}\n\n");
        let mut decoder = Decoder::new(8 << 20);
        let mut events = 0;
        for piece in stream.as_bytes().chunks(64) {
            decoder.feed(piece);
            assert!(decoder.scanned <= decoder.buffer.len());
            while let Some(data) = decoder.next_event().unwrap() {
                assert_eq!(data.len(), value.len());
                events += 1;
            }
            assert_eq!(decoder.scanned, decoder.buffer.len(), "all that has come has been searched");
        }
        assert_eq!(events, 1);
    }
}
