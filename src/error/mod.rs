//! Errors, for the client and for the log.
//!
//! The client gets OpenAI's error object and a status; both SDKs choose their exception by the status, and retry 408,
//! 409, 429 and 5xx twice unless `x-should-retry` says otherwise. A failure that a second try can't mend therefore says
//! `false`: each needless try would make the image again.
//!
//! Source: OpenAI's API reference ("Error codes") and both SDKs' retry rules.

mod access;
mod idempotency;
mod link;
mod not_found;
mod request;
mod server;
mod space;
pub mod wire;

use std::time::Duration;

use http::StatusCode;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`: the family of the error.
    pub kind: &'static str,
    /// OpenAI's `code`: name for machines.
    pub code: Option<&'static str>,
    /// The request's parameter that is at fault.
    pub param: Option<&'static str>,
    /// Text for people: what happened, and what to do about it.
    pub message: String,
    /// Advice on asking again.
    pub retry: Retry,
    /// Detail for the log, beside the message.
    pub detail: Option<String>,
    /// The methods that the path takes, for a 405's `Allow`.
    pub allow: Option<&'static str>,
}

/// Advice on asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No: the same would happen.
    Never,
    /// Yes, with the client's own pauses.
    Soon,
    /// Not before this time has gone by, and then by hand: too long for a program to wait.
    NotBefore(Duration),
    /// Yes, after this time.
    After(Duration),
}

/// OpenAI's `type` for a fault of the request.
const INVALID_REQUEST: &str = "invalid_request_error";
/// OpenAI's `type` for a fault behind the API.
const SERVER: &str = "server_error";

impl Error {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code, param: None, message, retry: Retry::Never, detail: None, allow: None }
    }

    /// True where a later try may go another way, as what failed was not the request.
    pub fn may_pass(&self) -> bool {
        // A Space's crash or empty result is none of the request's faults, whatever its status.
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
        self.kind == SERVER || self.status.is_server_error() || passing.contains(&self.status)
    }
}
