//! Parsing of JSON from outside, within bounds of values and nesting.
//!
//! A value of a few bytes of JSON takes some ten times as many in memory: thirty megabytes of `[{},{},…]` are half a
//! gigabyte of values, which ends the instance. Long strings are harmless: images come as such. So the text is looked
//! through before it is parsed, in time linear in its length, strings by leaps.

use memchr::memchr2;
use serde::de::{DeserializeOwned, Error as _};

/// Bounds of a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonBounds {
    /// Number of values.
    pub values: usize,
    /// Depth of nesting.
    pub depth: usize,
}

impl JsonBounds {
    /// Bounds of what clients send: a chat of a thousand messages with images is far below.
    pub const REQUEST: Self = Self { values: 100_000, depth: 64 };
    /// Bounds of an event of a Space.
    pub const EVENT: Self = Self { values: 200_000, depth: 64 };
    /// Bounds of a Space's description of itself: the largest that are known have a tenth.
    pub const DESCRIPTION: Self = Self { values: 1_000_000, depth: 64 };

    /// True for a text within the bounds. A text that is no JSON may be taken for either.
    pub fn hold(self, text: &[u8]) -> bool {
        let (mut values, mut depth, mut rest) = (1_usize, 0_usize, text);
        while let [byte, more @ ..] = rest {
            rest = more;
            match byte {
                b'"' => rest = behind_string(rest),
                b',' | b':' => values += 1,
                b'[' | b'{' => (values, depth) = (values + 1, depth + 1),
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if values > self.values || depth > self.depth {
                return false;
            }
        }
        true
    }

    /// Parses a text.
    ///
    /// # Errors
    /// A text that exceeds the bounds, is no JSON, or is another value.
    pub fn parse<T: DeserializeOwned>(self, text: &[u8]) -> Result<T, serde_json::Error> {
        if !self.hold(text) {
            return Err(serde_json::Error::custom("it has too many values, or they are nested too deeply"));
        }
        serde_json::from_slice(text)
    }
}

/// The text behind the end of the string that it begins in.
fn behind_string(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', text) {
        let is_escape = text.get(at) == Some(&b'\\');
        text = text.get(at + 1 + usize::from(is_escape)..).unwrap_or_default();
        if !is_escape {
            return text;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const BOUNDS: JsonBounds = JsonBounds { values: 10, depth: 3 };

    #[test]
    fn values_and_nesting_are_counted_outside_of_strings() {
        for text in ["[1,2,3,4,5,6,7,8,9]", "[[[1]]]", r#"{"a":{"b":[1]}}"#, r#"["[[[[[[,,,,,,,,,,,\"[[[[\\"]"#] {
            assert!(BOUNDS.parse::<Value>(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["[1,2,3,4,5,6,7,8,9,10]", "[[[[1]]]]", r#"{"a":{"b":{"c":{}}}}"#, r#"["\\",[[[[]]]]]"#] {
            assert!(serde_json::from_slice::<Value>(text.as_bytes()).is_ok(), "{text}");
            assert!(BOUNDS.parse::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_json_is_an_error_and_never_a_panic() {
        for text in ["", "\"", "\"\\", "]", "[\"", "{\"a\\", "\u{0}"] {
            assert!(BOUNDS.parse::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_of_many_values_is_refused_before_it_takes_memory() {
        let text = format!("[{}{{}}]", "{},".repeat(10_000_000));
        assert!(!JsonBounds::REQUEST.hold(text.as_bytes()));
        let image = format!("[\"{}\"]", "A".repeat(30_000_000));
        assert!(JsonBounds::REQUEST.hold(image.as_bytes()));
    }
}
