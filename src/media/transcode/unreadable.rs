//! Failure of a codec.

/// An image that can't be read, or not be written in the wanted format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl From<png::DecodingError> for Unreadable {
    fn from(_: png::DecodingError) -> Self {
        Self
    }
}

impl From<png::EncodingError> for Unreadable {
    fn from(_: png::EncodingError) -> Self {
        Self
    }
}

impl From<std::io::Error> for Unreadable {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<image_webp::DecodingError> for Unreadable {
    fn from(_: image_webp::DecodingError) -> Self {
        Self
    }
}

impl From<jpeg_encoder::EncodingError> for Unreadable {
    fn from(_: jpeg_encoder::EncodingError) -> Self {
        Self
    }
}
