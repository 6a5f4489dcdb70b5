//! Errors of requests that can't be read, and of paths and methods that aren't there.

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry};

impl Error {
    /// 400: `param` has a value that can't be.
    pub fn invalid_value(param: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("invalid_value"), message);
        Self { param: Some(param), ..error }
    }

    /// 400: images were sent along, and the model makes images from text only.
    pub fn edits_nothing(model: &str) -> Self {
        let message = format!(
            "The model '{model}' makes images from text only, or can't be asked now: it takes no 'image'. Leave it \
             out, or use a model that edits images."
        );
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("unsupported_by_model"), message);
        Self { param: Some("image"), ..error }
    }

    /// 400: `param` must be there and isn't.
    pub fn missing(param: &'static str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("missing_required_parameter"), message);
        Self { param: Some(param), ..error }
    }

    /// 400: the body is not what the route takes.
    pub fn bad_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, None, message)
    }

    /// 404: no such path.
    pub fn unknown_path(method: &http::Method, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, None, format!("Invalid URL ({method} {path})"))
    }

    /// 405: the path takes other methods, `allow`.
    pub fn wrong_method(method: &http::Method, allow: &'static str) -> Self {
        let message = format!("Not allowed to {method} here. Allowed: {allow}.");
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, None, message);
        Self { allow: Some(allow), ..error }
    }

    /// 413: the body has more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        let message = format!("The request's body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, None, message)
    }

    /// 413: the body has more than `limit` bytes beside its images.
    pub fn text_too_large(limit: usize) -> Self {
        let message = format!(
            "The request's text is larger than {limit} bytes, its images left out. Send fewer messages, and images as \
             data URLs in base64."
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, None, message)
    }

    /// 415: the body is of a type that the route doesn't take.
    pub fn wrong_content_type(expected: &'static str) -> Self {
        let message = format!("Unsupported content type. Send {expected}.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, None, message)
    }

    /// 408: the body stopped coming.
    pub fn body_stalled() -> Self {
        let error =
            Self::new(StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, None, "The request's body did not arrive in time.");
        Self { retry: Retry::Soon, ..error }
    }
}
