//! Responses that can be replayed.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::platform::Content;

/// Maximum size of a stored body, in bytes.
pub const MAX_BODY: usize = 8 << 20;

/// Header that isn't stored, since a replay takes another time.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Header that marks a replay.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// Status of the response.
    pub status: StatusCode,
    /// Headers without length and timing.
    pub headers: HeaderMap,
    /// Body of the response.
    pub body: Bytes,
}

impl StoredResponse {
    /// A response of that head and body.
    pub fn new(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        let mut headers = headers.clone();
        headers.remove(CONTENT_LENGTH);
        headers.remove(SERVER_TIMING);
        Self { status, headers, body }
    }

    /// The response of a row: status, headers as [`StoredResponse::head`] wrote them, and body; none where those are no
    /// response's. A header that no response can have is left out.
    pub fn of_row(status: i64, head: &str, body: Vec<u8>) -> Option<Self> {
        let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
        let head: Vec<(String, String)> = serde_json::from_str(head).ok()?;
        let header = |(name, value): &(String, String)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
        };
        Some(Self { status, headers: head.iter().filter_map(header).collect(), body: Bytes::from(body) })
    }

    /// The headers as JSON, a list of names and values.
    pub fn head(&self) -> Result<String, serde_json::Error> {
        let headers = self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        serde_json::to_string(&headers.collect::<Vec<_>>())
    }

    /// Response to the original request.
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

    /// Response to a repeated request.
    pub fn replayed(self) -> Response<Content> {
        let mut response = self.into_response();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// True for the media type of event streams.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
