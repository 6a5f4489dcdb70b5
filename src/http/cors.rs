//! Cross-origin resource sharing (the Fetch standard, section 3.2, "CORS protocol").
//!
//! A call is allowed by its key, never by a cookie, so that to answer a foreign page gives away nothing that the page
//! didn't have. Still an operator may restrict the origins, with the variable `cors_origins`.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::Url;

use crate::platform::Content;

/// Methods of all routes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS");
/// Headers of an answer that scripts may read. A `*` would not do: old browsers take it for a name.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, openai-processing-ms, retry-after, retry-after-ms, x-should-retry, x-ignored-parameters, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, idempotency-replayed, \
     location, preference-applied",
);
const DAY: HeaderValue = HeaderValue::from_static("86400");
const VARY_BY: HeaderValue = HeaderValue::from_static("Origin, Access-Control-Request-Headers");
/// The longest list of headers that is echoed, in bytes.
const MAX_ECHO: usize = 4096;

/// Origins whose pages may call the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All.
    #[default]
    Any,
    /// Those of these origins, as browsers write them; none where there are none.
    Only(Vec<String>),
}

impl CorsOrigins {
    /// Parses `*`, `none` or comma-separated origins.
    ///
    /// # Errors
    /// The origins of a list that has something else too.
    pub fn parse(text: &str) -> Result<Self, Self> {
        let listed = match text.trim() {
            "*" => return Ok(Self::Any),
            "none" => return Ok(Self::Only(Vec::new())),
            listed => listed.split(',').map(str::trim).filter(|origin| !origin.is_empty()),
        };
        let mut is_whole = true;
        let read = listed.filter_map(|text| {
            let origin = Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
            is_whole &= origin.is_some();
            origin.map(|origin| origin.ascii_serialization())
        });
        let origins = Self::Only(read.collect());
        if is_whole { Ok(origins) } else { Err(origins) }
    }
}

/// Permissions of a request's origin.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Value of `Access-Control-Allow-Origin`; `None` for an origin that isn't allowed.
    allowed: Option<HeaderValue>,
    /// Headers that the browser asks to send, where it asks.
    requested: Option<HeaderValue>,
}

impl Cors {
    /// Reads a request's headers.
    pub fn of(origins: &CorsOrigins, headers: &HeaderMap) -> Self {
        let origin = headers.get(ORIGIN);
        let allowed = match origins {
            CorsOrigins::Any => origin.map(|_| HeaderValue::from_static("*")),
            CorsOrigins::Only(listed) => {
                origin.filter(|origin| listed.iter().any(|one| one.as_bytes() == origin.as_bytes())).cloned()
            }
        };
        Self { allowed, requested: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|list| is_list(list)).cloned() }
    }

    /// Answer to a preflight request: no key is asked for, as browsers send none with it.
    pub fn preflight(&self) -> Response<Content> {
        let mut response = Response::new(Content::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, METHODS);
        if self.allowed.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, DAY);
            // Echoed, since no list would hold all of `x-stainless-…`, and `*` doesn't stand for `Authorization`.
            if let Some(requested) = &self.requested {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
            }
        }
        response
    }

    /// Adds the headers to an answer. A route's own stay as they are.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        headers.append(VARY, VARY_BY);
        if let Some(allowed) = &self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// True for a list of header names and nothing else.
fn is_list(value: &HeaderValue) -> bool {
    let name = |name: &[u8]| HeaderName::from_bytes(name.trim_ascii()).is_ok();
    value.len() <= MAX_ECHO && value.as_bytes().split(|byte| *byte == b',').all(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &CorsOrigins, origin: &'static str, requested: &'static str) -> (HeaderMap, HeaderMap) {
        let request = HeaderMap::from_iter([
            (ORIGIN, HeaderValue::from_static(origin)),
            (ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(requested)),
        ]);
        let cors = Cors::of(origins, &request);
        let mut answer = cors.preflight().headers().clone();
        cors.apply(&mut answer);
        let mut plain = HeaderMap::new();
        cors.apply(&mut plain);
        (answer, plain)
    }

    #[test]
    fn what_the_browser_asks_to_send_is_echoed_if_it_is_names() {
        let (answer, plain) = cors(&CorsOrigins::Any, "https://chat.example", "authorization, x-stainless-os");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "authorization, x-stainless-os");
        assert_eq!(plain[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(plain[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("x-request-id"));
        let (answer, _) = cors(&CorsOrigins::Any, "https://chat.example", "a b, c");
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        let listed = CorsOrigins::Only(vec!["https://a.example".to_owned()]);
        let (answer, plain) = cors(&listed, "https://a.example", "authorization");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(plain[VARY], VARY_BY);
        for origin in ["https://b.example", "https://a.example.evil", "null"] {
            let (answer, plain) = cors(&listed, origin, "authorization");
            assert!(
                !answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && !answer.contains_key(ACCESS_CONTROL_ALLOW_METHODS)
            );
            assert!(!plain.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
            assert_eq!(plain[VARY], VARY_BY, "what is kept for one origin is not for another");
        }
    }
}
