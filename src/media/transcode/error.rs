//! Failures of codecs.

/// Size of the largest file that a conversion makes, in bytes.
const MAX_FILE: usize = 32 << 20;

/// Failure of a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodecError {
    /// The image can't be read, or not be written in the wanted format.
    Unreadable,
    /// The file would be too large in the wanted format.
    TooLarge,
}

/// Checks the length of a file that is being written.
pub(super) fn check_length(file: &[u8]) -> Result<(), CodecError> {
    if file.len() > MAX_FILE { Err(CodecError::TooLarge) } else { Ok(()) }
}

impl From<png::DecodingError> for CodecError {
    fn from(_: png::DecodingError) -> Self {
        Self::Unreadable
    }
}

impl From<png::EncodingError> for CodecError {
    fn from(_: png::EncodingError) -> Self {
        Self::Unreadable
    }
}

impl From<std::io::Error> for CodecError {
    fn from(_: std::io::Error) -> Self {
        Self::Unreadable
    }
}

impl From<image_webp::DecodingError> for CodecError {
    fn from(_: image_webp::DecodingError) -> Self {
        Self::Unreadable
    }
}

impl From<jpeg_encoder::EncodingError> for CodecError {
    fn from(_: jpeg_encoder::EncodingError) -> Self {
        Self::Unreadable
    }
}
