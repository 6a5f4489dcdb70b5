//! Answers and their headers.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::json::JsonBody;
use super::sse::{self, Events, Heartbeat};
use crate::error::{Error, Retry};
use crate::platform::{Content, Host};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// `Retry-After` in milliseconds, which both of OpenAI's SDKs read first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// W3C Server Timing.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Proxies of the nginx kind hold streams back otherwise.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// JSON of a value.
///
/// # Errors
/// 500 where it can't be written.
pub fn json(value: &impl Serialize) -> Result<Response<Content>, Error> {
    json_with_status(StatusCode::OK, value)
}

/// JSON of a value, with a status of its own.
///
/// # Errors
/// As [`json`].
pub fn json_with_status(status: StatusCode, value: &impl Serialize) -> Result<Response<Content>, Error> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("The answer could not be written.", error.to_string()))?;
    Ok(full_json(status, text))
}

/// JSON with images in it.
pub fn json_body(body: JsonBody) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    json_headers(response.headers_mut(), body.len());
    *response.body_mut() = body.into_content();
    response
}

/// Appends the total time of the answer, in milliseconds, to `Server-Timing`.
pub fn add_total_timing(headers: &mut HeaderMap, milliseconds: u128) {
    let parts = headers.get(SERVER_TIMING).and_then(|value| value.to_str().ok()).map(|parts| format!("{parts}, "));
    insert(headers, SERVER_TIMING, &format!("{}total;dur={milliseconds}", parts.unwrap_or_default()));
}

/// Server-sent events, with heartbeats where there are none for long.
pub fn events(host: &Host, events: Events, heartbeat: Heartbeat) -> Response<Content> {
    let mut response = Response::new(Content::Stream(sse::body(host, events, heartbeat.clone())));
    response.extensions_mut().insert(heartbeat);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Error object, with the headers that say when to try again.
pub fn error(error: &Error) -> Response<Content> {
    let text = serde_json::to_vec(&error.body()).unwrap_or_default();
    let mut response = full_json(error.status, text);
    let headers = response.headers_mut();
    let again = matches!(error.retry, Retry::Soon | Retry::After(_));
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(if again { "true" } else { "false" }));
    if let Retry::After(wait) | Retry::NotBefore(wait) = error.retry {
        // Upwards, as who comes a moment early is refused again.
        let milliseconds = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(milliseconds));
    }
    if let Some(allow) = error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Inserts a header, or leaves it out where the value doesn't fit into one.
pub fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn full_json(status: StatusCode, text: Vec<u8>) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    *response.status_mut() = status;
    json_headers(response.headers_mut(), text.len());
    *response.body_mut() = Content::Full(Bytes::from(text));
    response
}

fn json_headers(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, NO_STORE);
}
