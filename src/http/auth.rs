//! Authentication by API key.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::keys::{ApiKeys, KeyId};
use crate::error::Error;

/// Callers that are let in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody.
    Open,
    /// Those who have one of these keys.
    Keys(ApiKeys),
}

/// Caller of a request: one of the keys, or anybody where no key is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(Option<KeyId>);

impl Caller {
    /// A caller without a key.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// Owner of what belongs to the caller; all callers without a key are one.
    pub fn id(&self) -> &str {
        self.0.as_ref().map_or("", KeyId::as_str)
    }
}

/// Lets a request pass that brings a configured key: as `Authorization: Bearer KEY` (RFC 6750; the scheme in any case),
/// or in `api-key` (Azure's way) or `x-api-key`.
///
/// # Errors
/// 401, with a message that says what is missing.
pub fn authenticate(auth: &Auth, headers: &HeaderMap) -> Result<Caller, Error> {
    let keys = match auth {
        Auth::Open => return Ok(Caller(None)),
        Auth::Keys(keys) if keys.is_empty() => return Err(Error::no_key_configured()),
        Auth::Keys(keys) => keys,
    };
    match presented(headers) {
        None => Err(Error::no_key()),
        Some(key) => keys.find(key).map(|id| Caller(Some(id))).ok_or_else(Error::wrong_key),
    }
}

/// Key in `Authorization: Bearer KEY` (RFC 6750; the scheme in any case).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

/// Key in a request's headers.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let plain = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii());
    [bearer(headers), plain("api-key"), plain("x-api-key")].into_iter().flatten().find(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn outcome(auth: &Auth, name: &'static str, value: &'static str) -> Result<(), (u16, Option<&'static str>)> {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
        authenticate(auth, &headers).map(|_| ()).map_err(|error| (error.status.as_u16(), error.code))
    }

    #[test]
    fn a_key_is_taken_from_any_of_three_headers() {
        let auth = Auth::Keys(ApiKeys::parse("sk-a"));
        for (name, value) in [
            ("authorization", "Bearer sk-a"),
            ("authorization", "bearer  sk-a "),
            ("api-key", "sk-a"),
            ("x-api-key", "sk-a"),
        ] {
            assert_eq!(outcome(&auth, name, value), Ok(()), "{name}: {value}");
        }
        for (name, value) in
            [("authorization", "sk-a"), ("authorization", "Basic sk-a"), ("cookie", "sk-a"), ("api-key", "")]
        {
            assert_eq!(outcome(&auth, name, value), Err((401, None)), "{name}: {value}");
        }
        for (name, value) in [("authorization", "Bearer sk-b"), ("api-key", "sk-"), ("x-api-key", "sk-a,sk-a")] {
            assert_eq!(outcome(&auth, name, value), Err((401, Some("invalid_api_key"))), "{name}: {value}");
        }
    }

    #[test]
    fn without_a_configured_key_nobody_is_let_in_unless_it_is_open() {
        let none = Auth::Keys(ApiKeys::default());
        let error = authenticate(&none, &HeaderMap::new()).unwrap_err();
        assert!(error.message.contains("api_keys"), "{}", error.message);
        assert!(outcome(&none, "authorization", "Bearer ").is_err());
        assert_eq!(authenticate(&Auth::Open, &HeaderMap::new()), Ok(Caller(None)));
    }
}
