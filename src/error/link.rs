//! Errors of image links.

use http::StatusCode;

use super::{Error, INVALID_REQUEST};

impl Error {
    /// 403: an image link that was not made here, or not for this image.
    pub fn forged_link() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            INVALID_REQUEST,
            Some("invalid_link"),
            "This image link was not made by this server, or its Space is no longer configured. Make the image again.",
        )
    }

    /// 410: an image link whose time is over.
    pub fn expired_link() -> Self {
        Self::new(
            StatusCode::GONE,
            INVALID_REQUEST,
            Some("expired_link"),
            "This image link has expired. Make the image again, or have links live longer with the variable link_ttl.",
        )
    }

    /// 404: the Space doesn't have the image any more.
    pub fn image_gone() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            Some("image_gone"),
            "The Space no longer has this image: it was restarted or has cleaned up. Make the image again.",
        )
    }

    /// 416: the image has no such bytes.
    pub fn unsatisfiable_range() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, INVALID_REQUEST, None, "The image has no such range of bytes.")
    }
}
