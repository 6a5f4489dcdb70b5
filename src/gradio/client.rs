//! One call to a Space, with its limits.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::cookies::CookieJar;
use super::failure::{Failure, plain};
use super::image_hosts::ImageHosts;
use super::limits::Limits;
use super::space::{Origin, Space, Token};
use crate::bounded_json::JsonBounds;
use crate::platform::{
    HeldBuffer, Host, Inbound, Outbound, ReadError, TransportError, read_held, read_to_end, send, timeout,
};
use crate::trace_context::TraceContext;

/// For a connection. A Space that can't be reached in this time is as good as down.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest answer to a call that is read, in bytes. `/config` of a large app is about 200 KB.
const MAX_ANSWER: usize = 8 << 20;
/// Memory that an answer takes while it is parsed, in multiples of its length.
const COPIES: usize = 8;
/// The longest error answer that is read, in bytes.
const MAX_ERROR: usize = 16 << 10;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("z-image-2api/", env!("CARGO_PKG_VERSION")));

const HF_AUTHORIZATION: HeaderName = HeaderName::from_static("x-hf-authorization");

/// Calls Spaces.
#[derive(Clone)]
pub struct Client {
    host: Host,
    limits: Limits,
    image_hosts: ImageHosts,
    token: Option<Token>,
    cookies: Option<CookieJar>,
    /// Trace that calls belong to, and the origin that learns of it.
    trace: Option<Rc<(TraceContext, Origin)>>,
}

impl Client {
    /// A client that calls through `host` within `limits`.
    pub fn new(host: Host, limits: Limits) -> Self {
        Self { host, limits, image_hosts: ImageHosts::default(), token: None, cookies: None, trace: None }
    }

    /// A client that may fetch images from `hosts` too.
    pub fn with_image_hosts(self, hosts: &ImageHosts) -> Self {
        Self { image_hosts: hosts.clone(), ..self }
    }

    /// A client that brings `space`'s first token, where it has one, and where a token may go.
    pub fn for_space(&self, space: &Space) -> Self {
        self.with_token(space.tokens().first())
    }

    /// A client that brings `token`, where a token may go.
    pub fn with_token(&self, token: Option<&Token>) -> Self {
        Self { token: token.cloned(), ..self.clone() }
    }

    /// A client that keeps the cookies of answers in `jar`, and brings them where they came from.
    pub fn with_cookies(&self, jar: &CookieJar) -> Self {
        Self { cookies: Some(jar.clone()), ..self.clone() }
    }

    /// A client whose calls to `space`, and to nobody else, belong to `trace`.
    pub fn with_trace(&self, trace: Option<&TraceContext>, space: &Space) -> Self {
        Self { trace: trace.map(|trace| Rc::new((trace.clone(), space.origin().clone()))), ..self.clone() }
    }

    /// A client whose jobs may take no longer than `limit`.
    pub fn within(&self, limit: Duration) -> Self {
        let job = self.limits.job.min(limit);
        Self { limits: Limits { job, ..self.limits }, ..self.clone() }
    }

    /// A client that waits for answers that many times as long.
    pub fn patient(&self, factor: u32) -> Self {
        let idle = self.limits.idle.saturating_mul(factor);
        Self { limits: Limits { idle, ..self.limits }, ..self.clone() }
    }

    /// Host that it calls through.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Hosts other than Spaces that images may be fetched from.
    pub fn image_hosts(&self) -> &ImageHosts {
        &self.image_hosts
    }

    /// GETs `url` and returns the answer once its head is there, whatever its status.
    ///
    /// # Errors
    /// [`Failure::Transport`], or [`Failure::Stalled`] where no head comes within the idle limit.
    pub async fn get(&self, url: Url, headers: HeaderMap) -> Result<Inbound, Failure> {
        self.send(Method::GET, url, headers, None).await
    }

    /// POSTs `json` to `url`; else as [`Client::get`].
    pub async fn post(&self, url: Url, json: Vec<u8>) -> Result<Inbound, Failure> {
        self.post_as(url, HeaderValue::from_static("application/json"), Bytes::from(json)).await
    }

    /// POSTs a body of that type to `url`; else as [`Client::get`].
    pub async fn post_as(&self, url: Url, content_type: HeaderValue, body: Bytes) -> Result<Inbound, Failure> {
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, content_type);
        self.send(Method::POST, url, headers, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Inbound, Failure> {
        let idle = self.limits.idle;
        let request = self.outbound(method, url.clone(), headers, body);
        match timeout(&self.host, idle, send(&self.host, request)).await {
            Ok(Err(TransportError::TimedOut(_))) | Err(_) => Err(Failure::Stalled { after: idle }),
            Ok(answer) => Ok(self.keep_cookies(&url, answer?)),
        }
    }

    /// An answer from `url`, whose cookies are kept.
    pub(super) fn keep_cookies(&self, url: &Url, answer: Inbound) -> Inbound {
        if let Some(jar) = &self.cookies {
            jar.keep(url, &answer.headers);
        }
        answer
    }

    /// A request with the client's token, where that may go, and its limits.
    pub(super) fn outbound(&self, method: Method, url: Url, mut headers: HeaderMap, body: Option<Bytes>) -> Outbound {
        headers.insert(USER_AGENT, AGENT);
        if let Some(bearer) = self.token.as_ref().filter(|_| Origin::takes_tokens(&url)).and_then(Token::bearer) {
            // Hugging Face's front keeps the one for itself; the other reaches the app.
            headers.insert(AUTHORIZATION, bearer.clone());
            headers.insert(HF_AUTHORIZATION, bearer);
        }
        if let Some(cookies) = self.cookies.as_ref().and_then(|jar| jar.header(&url)) {
            headers.insert(COOKIE, cookies);
        }
        let trace = self.trace.as_ref().filter(|trace| trace.1.is_of(&url));
        let span = trace.and_then(|trace| trace.0.insert_into(&self.host, &mut headers));
        let idle = self.limits.idle;
        let (connect_timeout, head_timeout, read_timeout) = (CONNECT.min(idle), idle, idle);
        Outbound { method, url, headers, body, connect_timeout, head_timeout, read_timeout, on_sent: None, span }
    }

    /// The whole body of a successful answer.
    ///
    /// # Errors
    /// What [`Client::refusal`] makes of any other status; [`Failure::Unreadable`] for a body of over 8 MB.
    pub async fn body(&self, call: &'static str, answer: Inbound) -> Result<Bytes, Failure> {
        if answer.status != StatusCode::OK {
            return Err(self.refusal(call, answer).await);
        }
        let body = read_held(&self.host, answer.body, MAX_ANSWER, HeldBuffer::new(&self.host, COPIES));
        match timeout(&self.host, self.limits.idle, body).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(ReadError::OutOfMemory(refused))) => Err(refused.into()),
            Ok(Err(ReadError::TooLarge)) => Err(Failure::Unreadable(format!("{call} answered more than 8 MB"))),
            Ok(Err(ReadError::Transport(TransportError::TimedOut(_)))) | Err(_) => {
                Err(Failure::Stalled { after: self.limits.idle })
            }
            Ok(Err(ReadError::Transport(error))) => Err(error.into()),
        }
    }

    /// Failure that an answer without success stands for, with FastAPI's `{"detail": …}` or plain text.
    pub async fn refusal(&self, call: &'static str, answer: Inbound) -> Failure {
        let status = answer.status;
        // Its other form, a date, isn't used by anything that Spaces run behind.
        let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let body = timeout(&self.host, self.limits.idle, read_to_end(answer.body, MAX_ERROR)).await;
        let body = match body {
            Ok(Ok(body)) => body,
            _ => Bytes::new(),
        };
        if let Some((message, parameter)) = objection(&body) {
            return Failure::Invalid { message, parameter };
        }
        let detail = detail(&body);
        if status == StatusCode::SERVICE_UNAVAILABLE && detail.to_lowercase().contains("queue is full") {
            return Failure::QueueFull { detail };
        }
        Failure::Status { call, status, detail, retry_after }
    }
}

/// The words of a function's validator (from Gradio 5.45 on), which refuses arguments when a job joins, and the
/// parameter that it names.
fn objection(body: &[u8]) -> Option<(String, Option<String>)> {
    #[derive(Deserialize)]
    struct WireRefusal {
        detail: Vec<WireObjection>,
    }
    #[derive(Deserialize)]
    struct WireObjection {
        #[serde(rename = "__type__")]
        kind: String,
        is_valid: Option<bool>,
        message: Option<String>,
        parameter_name: Option<String>,
    }
    let refusal: WireRefusal = JsonBounds::EVENT.parse(body).ok()?;
    let objects = |one: &WireObjection| one.kind == "validate" && one.is_valid != Some(true);
    let objection = refusal.detail.into_iter().find(objects)?;
    let message = objection.message.as_deref().map(plain).filter(|message| !message.is_empty())?;
    Some((message, objection.parameter_name.as_deref().map(plain).filter(|name| !name.is_empty())))
}

/// The readable part of an error's body; empty where there is none, as in a page of HTML.
fn detail(body: &[u8]) -> String {
    match JsonBounds::EVENT.parse::<serde_json::Value>(body) {
        Ok(json) => match json.get("detail") {
            Some(serde_json::Value::String(text)) => plain(text),
            Some(other) => plain(&other.to_string()),
            None => String::new(),
        },
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            if text.trim_start().starts_with('<') { String::new() } else { plain(&text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{detail, objection};

    #[test]
    fn the_words_of_a_validator_are_found() {
        let of = |body: &str| objection(body.as_bytes());
        let told = |text: &str, name: Option<&str>| Some((text.to_owned(), name.map(str::to_owned)));
        let valid = r#"{"__type__":"validate","is_valid":true,"message":""}"#;
        let wrong = r#"{"__type__":"validate","is_valid":false,"message":"<b>Too</b> short","parameter_name":"x"}"#;
        assert_eq!(of(&format!(r#"{{"detail":[{valid},{wrong}]}}"#)), told("Too short", Some("x")));
        let nameless = r#"{"__type__":"validate","is_valid":false,"message":"No"}"#;
        assert_eq!(of(&format!(r#"{{"detail":[{nameless}]}}"#)), told("No", None));
        assert_eq!(of(&format!(r#"{{"detail":[{valid}]}}"#)), None);
        assert_eq!(of(r#"{"detail":[{"type":"missing"}]}"#), None);
        assert_eq!(of(r#"{"detail":"Queue is full."}"#), None);
    }

    #[test]
    fn an_errors_detail_is_found_in_json_and_in_text_but_not_in_a_page() {
        assert_eq!(detail(br#"{"detail":"Queue is full."}"#), "Queue is full.");
        assert_eq!(detail(br#"{"detail":[{"type":"missing"}]}"#), r#"[{"type":"missing"}]"#);
        assert_eq!(detail(b"Internal Server Error"), "Internal Server Error");
        assert_eq!(detail(b"<!DOCTYPE html><p>x"), "");
        assert_eq!(detail(b"{}"), "");
        assert_eq!(detail(b""), "");
    }
}
