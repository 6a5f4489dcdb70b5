//! Errors of this server's own.

use std::time::Duration;

use http::StatusCode;

use super::{Error, Retry, SERVER};
use crate::platform::{OutOfMemory, StoreError};

impl Error {
    /// 503: the database fails, or there is none, and what is asked for can't be done without.
    pub fn store_failed(error: &StoreError) -> Self {
        let (message, retry) = match error {
            StoreError::Off => (
                "The server has no database, which this needs. Calls that wait for their images need no database.",
                Retry::Never,
            ),
            _ => (
                "The server's database fails. Try again in a moment; calls that wait for their images need no \
                 database.",
                Retry::After(Duration::from_secs(5)),
            ),
        };
        let failed =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error", Some("store_unavailable"), message);
        Self { retry, detail: Some(error.to_string()), ..failed }
    }

    /// 500: something here is not as it must be; `detail` goes to the log only.
    pub fn internal(message: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, Some("internal_error"), message);
        Self { detail: Some(detail.into()), ..error }
    }

    /// 503: other requests of the instance leave no memory for this one.
    pub fn out_of_memory(refused: &OutOfMemory) -> Self {
        let message =
            "The server has no memory left for a request of this size. Try again in a moment, or send smaller images.";
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable_error",
            Some("server_is_overloaded"),
            message,
        );
        Self { retry: Retry::After(Duration::from_secs(2)), detail: Some(refused.to_string()), ..error }
    }

    /// 503: more is asked for than the Spaces can make.
    pub fn overloaded(message: String) -> Self {
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable_error",
            Some("server_is_overloaded"),
            message,
        );
        Self { retry: Retry::After(Duration::from_secs(10)), ..error }
    }
}
