//! Answers that can be given again.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::platform::Content;

/// The largest body that is kept, in bytes.
pub const MAX_BODY: usize = 8 << 20;

/// How long an answer took is another thing the second time.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Says that an answer was made for an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, but for its length and its times.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl StoredResponse {
    /// An answer of that head and body.
    pub fn new(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        let mut headers = headers.clone();
        headers.remove(CONTENT_LENGTH);
        headers.remove(SERVER_TIMING);
        Self { status, headers, body }
    }

    /// For the one whom it was made for.
    pub fn into_response(self) -> Response<Content> {
        let mut response = Response::new(Content::Empty);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if !is_event_stream(response.headers()) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        *response.body_mut() = Content::Full(self.body);
        response
    }

    /// For another one.
    pub fn replayed(self) -> Response<Content> {
        let mut response = self.into_response();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// Whether an answer is told as it happens.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
