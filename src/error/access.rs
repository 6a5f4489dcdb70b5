//! Errors of callers that aren't let in, or not now.

use std::time::Duration;

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry};

impl Error {
    /// 401: no key came with the request.
    pub fn no_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            None,
            "You didn't provide an API key. Send it as `Authorization: Bearer KEY` (or in the header api-key or \
             x-api-key).",
        )
    }

    /// 401: the key is none of ours.
    pub fn wrong_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            Some("invalid_api_key"),
            "Incorrect API key provided. Use one of the keys in this server's variable api_keys.",
        )
    }

    /// 401: the key of the figures is missing, or another one.
    pub fn no_metrics_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            Some("invalid_api_key"),
            "The figures are for who has the key in this server's variable metrics_key. Send it as `Authorization: \
             Bearer KEY`.",
        )
    }

    /// 401: there is no key to compare with, so nobody is let in.
    pub fn no_key_configured() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            None,
            "This server has no API key yet. Its operator must set the variable api_keys (comma-separated), or auth \
             to \"open\" to let everybody in.",
        )
    }

    /// 403: a web page of another origin, at a server that asks for no key.
    pub fn foreign_page() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            INVALID_REQUEST,
            Some("origin_not_allowed"),
            "This web page may not use the server. Its operator must add the page's origin to the variable \
             cors_origins, or set public_url to the address by which the server is reached.",
        )
    }

    /// 403: a name that may be a stranger's, at a server that asks for no key.
    pub fn foreign_name() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            INVALID_REQUEST,
            Some("host_not_allowed"),
            "The server doesn't answer to the name in the request's Host. Its operator must set the variable \
             public_url to the address by which it is reached.",
        )
    }

    /// 429: one request more than `limit` in a minute; after `wait` it would be let in.
    pub fn too_many_requests(limit: u32, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64();
        Self::rate_limited(
            wait,
            format!(
                "Rate limit reached for requests: {limit} per minute for one API key. Try again in {seconds:.1} s."
            ),
        )
    }

    /// 429: more images than the `limit` that the key may have in the making at once.
    pub fn too_many_jobs(limit: u32, wait: Duration) -> Self {
        Self::rate_limited(
            wait,
            format!(
                "Rate limit reached for images at once: {limit} for one API key, and fewer are left. Try again when \
                 one is done."
            ),
        )
    }

    /// 429: the key has as many unfinished tasks as it may have.
    pub fn too_many_tasks(limit: usize) -> Self {
        let message = format!(
            "You have {limit} unfinished tasks, and no more are taken (variable max_tasks). Wait until one ends, or \
             cancel one."
        );
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("too_many_tasks"), message);
        Self { retry: Retry::After(Duration::from_secs(10)), ..error }
    }

    fn rate_limited(wait: Duration, message: String) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", Some("rate_limit_exceeded"), message);
        Self { retry: Retry::After(wait), ..error }
    }
}
