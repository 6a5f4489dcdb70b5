//! Errors of requests with an `Idempotency-Key`.

use std::time::Duration;

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry};

impl Error {
    /// 400: the header `Idempotency-Key` can't be read.
    pub fn bad_idempotency_key() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            Some("invalid_idempotency_key"),
            "The header Idempotency-Key must come once, with 1 to 255 printable ASCII characters. A random UUID is a \
             good one.",
        )
    }

    /// 422: the idempotency key came before with another request.
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            INVALID_REQUEST,
            Some("idempotency_key_reused"),
            "This Idempotency-Key was sent before with another request. Send the same request again, or another key.",
        )
    }

    /// 409: the request of that idempotency key is being answered, where its answer can't be had from.
    pub fn idempotency_in_progress() -> Self {
        let error = Self::new(
            StatusCode::CONFLICT,
            INVALID_REQUEST,
            Some("idempotency_in_progress"),
            "A request with this Idempotency-Key is being answered. Try again when it is done.",
        );
        Self { retry: Retry::After(Duration::from_secs(2)), ..error }
    }
}
