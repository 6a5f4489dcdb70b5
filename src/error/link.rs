//! Errors of image links.

use std::time::Duration;

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry};
use crate::gradio::failure::Failure;

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

    /// 404: the database doesn't have the image any more.
    pub fn stored_image_gone() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            Some("image_gone"),
            "The server no longer keeps this image: its time is over, or newer ones have taken its place. Make the \
             image again.",
        )
    }

    /// 416: the image has no such bytes.
    pub fn unsatisfiable_range() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, INVALID_REQUEST, None, "The image has no such range of bytes.")
    }

    /// Failure of a Space to give an image that a link leads to.
    pub fn of_linked_image(failure: Failure) -> Self {
        match failure {
            // Gradio answers 403 for a file that isn't there (any more).
            Failure::Status { status: StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE, .. } => {
                Self { detail: Some(failure.to_string()), ..Self::image_gone() }
            }
            Failure::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. } => Self::unsatisfiable_range(),
            other => other.into(),
        }
    }

    /// 429: the image was converted too often, and is too large to be kept; after `wait` it would be converted again.
    pub fn too_many_conversions(wait: Duration) -> Self {
        let message = "This image was converted to its link's format too often, and can't be kept. Keep it, or ask for \
                       links without output_format, which lead to the image as it was made.";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("too_many_conversions"), message);
        Self { retry: Retry::After(wait), ..error }
    }

    /// 503: other images are being converted to their links' formats.
    pub fn conversions_busy() -> Self {
        let message = "Other images are being converted to their links' formats. Try again in a moment.";
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable_error",
            Some("server_is_overloaded"),
            message,
        );
        Self { retry: Retry::After(Duration::from_secs(5)), ..error }
    }
}
