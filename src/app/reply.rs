//! Answers and their headers.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::error::{Error, Retry};
use crate::openai::body::JsonBody;
use crate::openai::making::Answer;
use crate::platform::{Body, Content};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// As `Retry-After`, in milliseconds: both of OpenAI's SDKs read it first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// The request's fields that changed nothing, separated by commas. A name that no header can hold makes it absent.
/// Number of ignored parameters that are told at most.
const MOST_IGNORED: usize = 20;
/// Length of an ignored parameter's name as it is told at most, in characters.
const LONGEST_NAME: usize = 64;
const IGNORED: HeaderName = HeaderName::from_static("x-ignored-parameters");
/// W3C Server Timing.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Proxies of the nginx kind hold streams back otherwise.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response<Content>, Error> {
    json_with_status(StatusCode::OK, value)
}

/// A value as JSON, with a status of its own.
pub(super) fn json_with_status(status: StatusCode, value: &impl Serialize) -> Result<Response<Content>, Error> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("The answer could not be written.", error.to_string()))?;
    Ok(full_json(status, text))
}

/// A JSON text with images in it.
pub(super) fn json_body(body: JsonBody) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    json_headers(response.headers_mut(), body.len());
    *response.body_mut() = body.into_content();
    response
}

/// An answer with images in it.
pub(super) fn answer(answer: Answer) -> Response<Content> {
    let Answer { body, ignored, course } = answer;
    let mut response = json_body(body);
    if !ignored.is_empty() {
        insert(response.headers_mut(), IGNORED, &listed(&ignored));
    }
    if let Some(course) = course {
        insert(response.headers_mut(), SERVER_TIMING, &course.server_timing());
    }
    response
}

/// Names for a header: the first few, and of each no more than anybody would call a parameter.
fn listed(names: &[String]) -> String {
    let short = names.iter().take(MOST_IGNORED).map(|name| name.chars().take(LONGEST_NAME).collect::<String>());
    let mut listed = short.collect::<Vec<_>>().join(", ");
    if names.len() > MOST_IGNORED {
        listed.push_str(", ...");
    }
    listed
}

/// Says how long the answer took in all, in milliseconds.
pub(super) fn add_total_timing(headers: &mut HeaderMap, milliseconds: u128) {
    let parts = headers.get(SERVER_TIMING).and_then(|value| value.to_str().ok()).map(|parts| format!("{parts}, "));
    insert(headers, SERVER_TIMING, &format!("{}total;dur={milliseconds}", parts.unwrap_or_default()));
}

/// Events as they come.
pub(super) fn events(body: Body) -> Response<Content> {
    let mut response = Response::new(Content::Stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// An error, in OpenAI's shape.
pub(super) fn error(error: &Error) -> Response<Content> {
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

/// Inserts a value that is known to fit; one that doesn't is left out rather than fatal.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A value as JSON, with another status than 200.
pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Result<Response<Content>, Error> {
    let mut response = json(value)?;
    *response.status_mut() = status;
    Ok(response)
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
