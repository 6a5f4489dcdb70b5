//! Images that a client has sent.

use std::fmt;

use bytes::Bytes;

use super::format::Format;

/// An image that a client has sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceImage {
    /// Bytes of the file.
    pub bytes: Bytes,
    /// Format that its magic bytes say.
    pub format: Format,
}

impl fmt::Debug for SourceImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceImage({:?}, {} bytes)", self.format, self.bytes.len())
    }
}
